"""Every example runs without a key, and catches the same injected run."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys

import pytest

from tests.integrations.conftest import PYTHON, ROOT

EXAMPLES = sorted(path for path in (ROOT / "examples" / "integrations").glob("*.py") if path.name != "bills.py")


def needs(path) -> set[str]:
    """What of it is no standard library, and not ours."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {_package(one.name) for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(_package(node.module))
    return names - set(sys.stdlib_module_names) - {"bills", "kaizen_security"}


def _package(name: str) -> str:
    """What has to be installed for it: ``google`` is a room that several share."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "google" else parts[0]


def _is_here(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


HERE = [path for path in EXAMPLES if all(map(_is_here, needs(path)))]


@pytest.mark.parametrize("path", HERE, ids=lambda path: path.stem)
def test_the_example_runs_and_the_injected_transfer_is_caught(path):
    environment = {**os.environ, "KAIZEN_SERVER_PYTHON": PYTHON, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, str(path)], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 of 12 bills of the user's own were paid." in done.stdout
    assert "refused" in done.stdout or "was flagged: True" in done.stdout


def test_this_environment_has_some():
    assert HERE
