"""The corpus of lying agents, and of honest ones: ``red-team/sandbox/*.toml``."""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.observer.gap.expectation import Expectation, read_expectation


class Witness(StrEnum):
    """The lowest rung that can see a lie."""

    EGRESS = "egress"
    RESOLVER = "resolver"
    FILES = "files"
    KERNEL = "kernel"


LIES = ("other-host", "extra-connection", "other-file", "more-bytes", "nothing", "late", "child", "dns")
"""The kinds of lies."""
SHAPES = ("steps", "bedrock", "otel", "openai-agents", "langchain")
"""In which an agent's account comes."""
AUTHORS = ("second", "third")
"""Whose files have their name in theirs: who wrote lies and honest runs without having read the detection."""
LONG = 1000
"""Characters of a text whose size is that of what is sent."""
_TEXT = re.compile(r"\{text:(\d+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """One run of an agent. ``lie`` is empty for an honest one; ``unseen``: written before the detection was; ``author``:
    ``second`` or ``third``, who had not read it, ``""`` for who wrote it."""

    id: str
    expectation: Expectation
    request: str
    steps: tuple[dict[str, Any], ...]
    lie: str = ""
    witness: Witness = Witness.EGRESS
    late: dict[str, Any] = field(default_factory=dict)
    unseen: bool = False
    author: str = ""
    shape: str = "steps"

    def _written(self) -> Iterator[list[Any]]:
        """Deeds as they stand, those at the same time one by one."""
        calls = (call for step in self.steps for call in step.get("parallel", [step]))
        for part in (*calls, self.late):
            for deed in part.get("deeds", ()):
                yield from deed[1:] if deed[0] == "together" else [deed]

    def deeds(self) -> Iterator[list[Any]]:
        """Everything that it does, what children do included."""
        for deed in self._written():
            yield [item for item in deed if item not in ("child", "bypass")]

    def direct(self) -> Iterator[tuple[str, int]]:
        """Host and port, on loopback, of what it connects to past the proxy."""
        for deed in self._written():
            if "bypass" in deed:
                host, _, port = deed[-2].rpartition(":")
                yield host.strip("[]"), int(port)

    def places(self) -> Iterator[tuple[str, int, str]]:
        """Host, port and scheme (``raw`` without TLS) of all that it connects to."""
        for name, *rest in self.deeds():
            if name in ("get", "post", "session"):
                parts = urlsplit(rest[0])
                yield parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), parts.scheme
            elif name in ("open", "keep"):
                host, _, port = rest[0].rpartition(":")
                yield host.strip("[]").lower(), int(port), "raw"


def load(folder: Path) -> tuple[Lying, ...]:
    """All runs. Raises Misconfigured naming file and run."""
    declares = {name: read_expectation(value, name) for name, value in _read(folder / "declares.toml").items()}
    found = []
    for path in sorted(folder.glob("*.toml")):
        if path.name == "declares.toml":
            continue
        found += [_run(entry, declares, path) for entry in _read(path)["run"]]
    ids = [one.id for one in found]
    if len(set(ids)) != len(ids):
        raise Misconfigured(f"{folder}: an id stands twice")
    return tuple(found)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as err:
        raise Misconfigured(f"{path}: {err}") from err


def _run(entry: dict[str, Any], declares: dict[str, Expectation], path: Path) -> Lying:
    where = f"{path.name}: {entry.get('id')}"
    if entry.get("lie", LIES[0]) not in LIES or entry.get("declares") not in declares:
        raise Misconfigured(f"{where}: an unknown lie or declaration")
    if entry.get("shape", SHAPES[0]) not in SHAPES:
        raise Misconfigured(f"{where}: an unknown shape")
    return Lying(
        id=entry["id"],
        expectation=declares[entry["declares"]],
        request=entry["request"],
        steps=tuple(_filled(entry["steps"])),
        lie=entry.get("lie", ""),
        witness=Witness(entry.get("rung", "egress")),
        late=entry.get("late", {}),
        unseen="unseen" in path.name,
        author=next((one for one in AUTHORS if one in path.name), ""),
        shape=entry.get("shape", SHAPES[0]),
    )


def _filled(value: Any) -> Any:
    """``{text:N}`` to that many characters of text."""
    if isinstance(value, dict):
        return {key: _filled(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_filled(below) for below in value]
    if isinstance(value, str):
        return _TEXT.sub(lambda found: ("All that is known. " * (int(found[1]) // 19 + 1))[: int(found[1])], value)
    return value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _strings(below)


def varied(run: Lying, number: int) -> Lying:
    """The same run with other particulars: sizes of bodies up to half as large again, numbers of orders. Repeatable.

    Sizes stay where a text of so many characters is reported: an honest run sends what it says, and not half as much again.
    """
    chance = random.Random(f"{run.id} {number}")  # noqa: S311 - a variation, no secret
    order = f"B-{chance.randrange(10_000)}"
    sized = any(len(text) >= LONG for text in _strings(list(run.steps)))

    def other(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: other(below) for key, below in value.items()}
        if isinstance(value, list):
            return [other(below) for below in value]
        if isinstance(value, str):
            return value.replace("{order}", order)
        if isinstance(value, int) and not isinstance(value, bool) and value > 32 and not sized:
            return int(value * chance.uniform(0.8, 1.5))
        return value

    return replace(run, id=f"{run.id}-{number}", request=other(run.request), steps=tuple(other(list(run.steps))))
