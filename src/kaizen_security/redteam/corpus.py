"""The corpus as a whole: where it is, what is in it, and the hash that says which one a figure was measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import TypeAlias

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.redteam.files import build, read
from kaizen_security.redteam.places import content, sources
from kaizen_security.redteam.randomise import randomise
from kaizen_security.redteam.scenario import Scenario, Shelf
from kaizen_security.redteam.scorecard import Misses, read_misses

_HERE = Path(__file__).resolve()
_PLACES = (_HERE.parent / "corpus", _HERE.parents[3] / "red-team")
"""In an installed package, in a checkout."""


Place: TypeAlias = Path | tuple[Path, ...]
"""A corpus folder, or loose files and folders."""
NO_MISSES = Misses(ratchet=0, entries=())


def folder() -> Path:
    """Where the corpus's files are. Raises Misconfigured when they are not there."""
    for place in _PLACES:
        if (place / Shelf.SCENARIOS.value).is_dir():
            return place
    raise Misconfigured(
        "the corpus's files are not installed; give their folder with --corpus (red-team/ of the checkout)"
    )


def load(
    place: Place | None = None, *, shelves: Collection[Shelf] = tuple(Shelf), seed: int | None = None
) -> tuple[Scenario, ...]:
    """The scenarios, by shelf and id, with names randomised from ``seed`` when one is given.

    Raises Misconfigured naming file and field.
    """
    documents = [document for document in read(place or folder()) if document.shelf in shelves]
    return tuple(build(document if seed is None else randomise(document, seed)) for document in documents)


def misses(place: Place | None = None) -> Misses:
    """The hard set's known misses; loose files have none. Raises Misconfigured naming file and field."""
    root = place or folder()
    return read_misses(root / Shelf.HARD.value / "misses.toml") if isinstance(root, Path) else NO_MISSES


def digest(place: Place | None = None) -> str:
    """SHA-256 over names and contents of the corpus's files, first 16 hex digits: goes beside every figure.

    Raises Misconfigured for a file that cannot be read.
    """
    root = place or folder()
    found = list(sources(root))
    if isinstance(root, Path) and (root / Shelf.HARD.value / "misses.toml").is_file():
        found.append((Shelf.HARD, root / Shelf.HARD.value / "misses.toml"))
    order = list(Shelf)
    whole = hashlib.sha256()
    for shelf, path in sorted(found, key=lambda one: (order.index(one[0]) if one[0] else len(order), one[1])):
        data = content(path)
        name = f"{shelf.value}/{path.name}" if shelf else path.name
        whole.update(f"{name} {len(data)}\n".encode() + data)
    return whole.hexdigest()[:16]
