"""Recorded lines in files: JSON lines, plain or gzip, or standard input."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from kaizen_security.contract.errors import Misconfigured

MAX_LINE = 32 << 20
"""Bytes of one line: a recorded run with all its results."""


def lines(name: str) -> Iterator[bytes]:
    """The lines of a file that are not blank. Raises Misconfigured naming it. A line over ``MAX_LINE`` comes in pieces."""
    try:
        with _opened(name) as file:
            while line := file.readline(MAX_LINE + 2):
                if line.strip():
                    yield line
    except (OSError, EOFError) as err:
        raise Misconfigured(f"{name} cannot be read: {getattr(err, 'strerror', None) or err}") from err


def _opened(name: str) -> IO[bytes]:
    if name == "-":
        return sys.stdin.buffer
    path = Path(name)
    return cast("IO[bytes]", gzip.open(path)) if name.endswith(".gz") else path.open("rb")
