"""``kaizen model``: a question that nothing comes of, and no key anywhere."""

from __future__ import annotations

import json

import pytest

from kaizen_security.cli import main
from kaizen_security.testing.models import ModelServer, Raw

KEY = "sk-not-to-be-seen"


@pytest.fixture
def stated(monkeypatch):
    with ModelServer(key=KEY) as server:
        for name in ("KAIZEN_MODEL_CONFIG", "OBSERVER_RUN_JUDGE", "KAIZEN_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("KZ_MODEL_BACKEND", "anthropic")
        monkeypatch.setenv("KZ_MODEL", "m")
        monkeypatch.setenv("KAIZEN_MODEL_URL", server.url)
        monkeypatch.setenv("KAIZEN_MODEL_KEY", KEY)
        yield server


def test_it_tells_the_answer_and_what_it_cost(stated, capsys):
    stated.say("MALICIOUS 0.9: Only the letter names the account.")
    assert main(["model", "test"]) == 0
    out = capsys.readouterr().out
    assert "asked anthropic m at http://127.0.0.1:" in out
    assert "answer: malicious, confidence 0.9: Only the letter names the account." in out
    assert "100 tokens in, 20 out" in out


def test_for_machines(stated, capsys):
    assert main(["model", "test", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["answered"], document["answer"]["word"], document["model"]["has_key"]) == (True, "benign", True)


def test_no_answer_is_status_1_and_says_why_without_the_key(stated, capsys):
    stated.say(Raw(status=401, body=f'{{"error": "{KEY} is wrong"}}'.encode()))
    assert main(["model", "test"]) == 1
    said = "".join(capsys.readouterr())
    assert "no answer (refused): the provider does not take the key" in said
    assert KEY not in said


def test_without_a_model_it_says_how_to_state_one(monkeypatch, capsys):
    for name in ("KAIZEN_MODEL_CONFIG", "KZ_MODEL_BACKEND", "OBSERVER_RUN_JUDGE"):
        monkeypatch.delenv(name, raising=False)
    assert main(["model", "test"]) == 1
    assert "nobody is asked: nothing was stated" in capsys.readouterr().err


def test_the_local_judge_answers_without_anything(monkeypatch, capsys):
    monkeypatch.setenv("OBSERVER_RUN_JUDGE", "1")
    assert main(["model", "test"]) == 0
    assert "local judge, no model: the account in its arguments" in capsys.readouterr().out


def test_usage_of_nobody_is_unreachable(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KAIZEN_SIDECAR", f"unix://{tmp_path}/none.sock")
    assert main(["model", "usage"]) == 1
    assert "kaizen model: " in capsys.readouterr().err
