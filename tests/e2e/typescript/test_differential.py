"""Both languages say the same of generated cases; the long form is ``python -m tests.e2e.typescript.differential 100000``."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.e2e.typescript import differential
from tests.e2e.typescript.conftest import environment


@pytest.fixture(autouse=True)
def node(sdk, monkeypatch):
    monkeypatch.setenv("PATH", environment()["PATH"])


def test_python_and_typescript_agree_on_everything():
    found = differential.disagreements(3000, seed=11)
    assert found == [], json.dumps(found[0])


def test_a_disagreement_would_be_seen():
    case = {
        "policies": [{"mode": "blocklist", "rules": {"domains": ["evil.example"]}, "name": "p"}],
        "declaration": {"tools": ["search"]},
        "actions": [{"tool": "Send", "target": "https://www.evil.example/x"}],
    }
    done = subprocess.run(
        [shutil.which("node") or "node", differential.built()],
        input=json.dumps([case]) + "\n",
        capture_output=True,
        text=True,
    )
    [theirs] = json.loads(done.stdout)
    assert theirs == json.loads(json.dumps(differential.judged(case)))
    for path in (("verdict", "decision"), ("verdict", "policy_version"), ("verdict", "evidence"), ("undeclared",)):
        assert theirs["actions"][0][path[0]] if len(path) == 1 else theirs["actions"][0][path[0]][path[1]]
    assert theirs["actions"][0]["verdict"]["evidence"][0]["expected"].endswith("(evil.example)")
