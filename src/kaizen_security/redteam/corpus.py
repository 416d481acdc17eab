"""The corpus as a whole: where it is, what is in it, and the hash that says which one a figure was measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.redteam.files import build, read
from kaizen_security.redteam.randomise import randomise
from kaizen_security.redteam.scenario import Scenario, Shelf
from kaizen_security.redteam.scorecard import Misses, read_misses

_HERE = Path(__file__).resolve()
_PLACES = (_HERE.parent / "corpus", _HERE.parents[3] / "red-team")
"""In an installed package, in a checkout."""


def folder() -> Path:
    """Where the corpus's files are. Raises Misconfigured when they are not there."""
    for place in _PLACES:
        if (place / Shelf.SCENARIOS.value).is_dir():
            return place
    raise Misconfigured(
        "the corpus's files are not installed; give their folder with --corpus (red-team/ of the checkout)"
    )


def load(
    place: Path | None = None, *, shelves: Collection[Shelf] = tuple(Shelf), seed: int | None = None
) -> tuple[Scenario, ...]:
    """The scenarios, by shelf and id, with names randomised from ``seed`` when one is given.

    Raises Misconfigured naming file and field.
    """
    documents = [document for document in read(place or folder()) if document.shelf in shelves]
    return tuple(build(document if seed is None else randomise(document, seed)) for document in documents)


def misses(place: Path | None = None) -> Misses:
    """The hard set's known misses. Raises Misconfigured naming file and field."""
    return read_misses((place or folder()) / Shelf.HARD.value / "misses.toml")


def digest(place: Path | None = None) -> str:
    """SHA-256 over names and contents of the corpus's files, first 16 hex digits: goes beside every figure."""
    root = place or folder()
    whole = hashlib.sha256()
    for shelf in Shelf:
        for path in sorted((root / shelf.value).glob("*.toml")):
            content = path.read_bytes()
            whole.update(f"{shelf.value}/{path.name} {len(content)}\n".encode() + content)
    return whole.hexdigest()[:16]
