"""The source tree as the architecture tests read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "kaizen_security"


def sources(*rooms: str) -> Iterator[Path]:
    """Every Python file of the package, or of some of its rooms."""
    for folder in [PACKAGE / room for room in rooms] or [PACKAGE]:
        yield from sorted(folder.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))
