"""The red-team corpus as the demonstration takes it: scenarios, and the listed misses with their reasons."""

from __future__ import annotations

from pathlib import Path

from kaizen_security.redteam.files import build, read
from kaizen_security.redteam.scenario import Scenario
from kaizen_security.redteam.scorecard import read_misses


def scenarios(folder: Path) -> tuple[Scenario, ...]:
    """Every scenario of a corpus folder. Raises Misconfigured naming file and field."""
    return tuple(build(document) for document in read(folder))


def excuses(folder: Path) -> dict[str, str]:
    """Why each listed miss is missed, by ``SCENARIO/STEP``."""
    misses = read_misses(folder / "hard" / "misses.toml")
    return {f"{miss.scenario}/{miss.step}": miss.reason for miss in misses.entries}
