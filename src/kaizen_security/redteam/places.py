"""Where scenario files are: a corpus with its shelves, any folder, single files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.redteam.scenario import Shelf

MAX_BYTES = 1 << 20
"""Of one scenario file; the longest of the corpus has 6 kB."""


def content(path: Path) -> bytes:
    """A scenario file's bytes. Raises Misconfigured when it cannot be read, is no file, or has more than ``MAX_BYTES``."""
    try:
        if not path.is_file():
            raise Misconfigured(f"{path}: is no file")
        with path.open("rb") as file:
            read = file.read(MAX_BYTES + 1)
    except OSError as err:
        raise Misconfigured(f"{path}: cannot be read: {err.strerror}") from err
    if len(read) > MAX_BYTES:
        raise Misconfigured(f"{path}: has more than {MAX_BYTES >> 20} MiB; no scenario needs that")
    return read


def sources(place: Path | Sequence[Path]) -> tuple[tuple[Shelf | None, Path], ...]:
    """The files of a corpus, with the shelf that each stands on, None where the file itself says it.

    A folder with ``scenarios/``, ``hard/`` and ``benign/`` is a corpus; any other folder, and single files, are loose: what has an
    ``attack`` is a scenario, what has not is benign work. Raises Misconfigured for a place that is not there.
    """
    if not isinstance(place, Path):
        return tuple(source for one in place for source in sources(one))
    if not place.is_dir():
        if not place.exists():
            raise Misconfigured(f"{place}: there is no such file or folder")
        return ((None, place),)
    shelves = [shelf for shelf in Shelf if (place / shelf.value).is_dir()]
    if not shelves:
        return tuple((None, path) for path in _scenario_files(place))
    return tuple((shelf, path) for shelf in shelves for path in _scenario_files(place / shelf.value))


def _scenario_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml" and path.name != "misses.toml")
    except OSError as err:
        raise Misconfigured(f"{folder}: cannot be read: {err.strerror}") from err
