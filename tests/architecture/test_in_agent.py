"""What runs inside a customer's agent needs Python and nothing else, and costs little to import."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.architecture.tree import name_of, parsed, sources

IN_AGENT = ("contract", "client", "egress")


def imported(module: ast.Module) -> set[str]:
    roots = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            roots.add(node.module.split(".")[0])
    return roots


@pytest.mark.parametrize("path", list(sources(*IN_AGENT)), ids=name_of)
def test_only_the_standard_library_is_imported(path):
    assert imported(parsed(path)) - set(sys.stdlib_module_names) - {"kaizen_security"} == set()


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    return set(
        subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )


def test_importing_the_package_loads_nothing_else_of_it():
    ours = {name for name in modules_after("import kaizen_security") if name.startswith("kaizen_security.")}
    assert ours == set()


def test_the_client_loads_neither_the_deciding_parts_nor_heavy_modules():
    loaded = modules_after("from kaizen_security import Kaizen, KaizenBlocked, Action, Verdict, Finding, Policy")
    heavy = {
        "asyncio",
        "ssl",
        "http.client",
        "email",
        "sqlite3",
        "urllib.request",
        "multiprocessing",
        "msgspec",
        "starlette",
    }
    deciding = {
        "kaizen_security.observer",
        "kaizen_security.detections",
        "kaizen_security.runtime",
        "kaizen_security.store",
    }
    assert loaded & (heavy | deciding) == set()
