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
            names |= {one.name.split(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"bills", "kaizen_security"}


HERE = [path for path in EXAMPLES if all(importlib.util.find_spec(name) for name in needs(path))]


@pytest.mark.parametrize("path", HERE, ids=lambda path: path.stem)
def test_the_example_runs_and_the_injected_transfer_is_caught(path):
    environment = {**os.environ, "KAIZEN_SERVER_PYTHON": PYTHON, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, str(path)], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 of 12 bills of the user's own were paid." in done.stdout
    assert "refused" in done.stdout or "was flagged: True" in done.stdout


def test_this_environment_has_some():
    assert HERE
