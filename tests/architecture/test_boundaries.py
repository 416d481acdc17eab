"""`except Exception` is a hole unless it is a listed boundary."""

from __future__ import annotations

import ast
import tomllib

from tests.architecture.tree import PACKAGE, name_of, parsed, sources

LISTED = tomllib.loads((PACKAGE.parents[1] / "tests/architecture/boundaries.toml").read_text()).get("boundary", [])


def catches_everything(handler: ast.ExceptHandler) -> bool:
    names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        name is None or (isinstance(name, ast.Name) and name.id in ("Exception", "BaseException")) for name in names
    )


def found() -> set[tuple[str, str]]:
    places = set()

    def walk(node: ast.AST, path: str, function: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = child.name
            if isinstance(child, ast.ExceptHandler) and catches_everything(child):
                places.add((path, inside))
            walk(child, path, inside)

    for path in sources():
        walk(parsed(path), name_of(path), "<module>")
    return places


def test_everything_is_caught_only_at_listed_boundaries():
    assert found() - {(entry["file"], entry["function"]) for entry in LISTED} == set()


def test_every_listed_boundary_is_still_there_and_says_why():
    assert {(entry["file"], entry["function"]) for entry in LISTED} - found() == set()
    assert all(len(entry["reason"]) > 20 for entry in LISTED)
