"""Which model a sidecar asks: a file, the environment, and a key that stays where it is."""

from __future__ import annotations

import pytest

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.reasoners.choice import Provider
from kaizen_security.reasoners.config import judge_from, read_config
from kaizen_security.testing.judging import a_question
from kaizen_security.testing.models import ModelServer

KEY = "sk-not-to-be-seen"


def written(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_nothing_stated_asks_nobody():
    assert read_config({}).choice.provider is Provider.OFF
    assert judge_from(read_config({}), b"k" * 32, chance=lambda: 0.5, clock=lambda: 0.0) is None


def test_the_switch_alone_asks_the_local_judge_and_off_is_off_whatever_else_is_stated():
    assert read_config({"OBSERVER_RUN_JUDGE": "1"}).choice.provider is Provider.LOCAL
    named = {"OBSERVER_RUN_JUDGE": "0", "KZ_MODEL_BACKEND": "anthropic", "KZ_MODEL": "m", "KAIZEN_MODEL_KEY": KEY}
    assert read_config(named).choice.provider is Provider.OFF
    with pytest.raises(Misconfigured, match="OBSERVER_RUN_JUDGE"):
        read_config({"OBSERVER_RUN_JUDGE": "maybe"})


def test_the_environment_alone_is_enough():
    found = read_config({"KZ_MODEL_BACKEND": "bedrock", "KZ_MODEL": "vendor.m-1:0", "AWS_REGION": "eu-central-1"})
    assert (found.choice.provider, found.choice.region, found.choice.key) == (Provider.BEDROCK, "eu-central-1", "")
    assert read_config({"KZ_MODEL_BACKEND": "none"}).choice.provider is Provider.OFF


def test_a_file_and_over_it_the_environment(tmp_path):
    path = written(
        tmp_path / "model.toml",
        'provider = "openai"\nmodel = "m"\nkey_env = "MINE"\nconfidence_threshold = 0.7\n[budget]\ncalls_per_day = 9\n',
        0o644,
    )
    found = read_config({"MINE": KEY, "KZ_MODEL": "other"}, path)
    choice = found.choice
    assert (choice.model, choice.key, choice.threshold, choice.budget.calls) == ("other", KEY, 0.7, 9)
    assert KEY not in repr(found)
    assert read_config({"MINE": KEY, "KAIZEN_MODEL_CONFIG": path}).choice.model == "m"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("provider = ", "is not TOML"),
        ('provider = "openai"\nmodel = "m"\nkey_env = "NOT_SET"', "NOT_SET is not set"),
        ('provider = "openai"\nmodel = "m"', "api_key"),
        ('provider = "openai"\nmodel = "m"\nkey_file = "none"', "cannot be read"),
        ("provider = 1979-05-27", "must be text"),
        ('provider = "telepathy"', "provider: must be one of"),
        ("x = " + "[" * 5000, "is not TOML"),
    ],
)
def test_what_cannot_be_used_is_refused_when_it_starts(tmp_path, text, said):
    with pytest.raises(Misconfigured, match=said):
        read_config({}, written(tmp_path / "model.toml", text))


def test_a_file_that_is_not_there_or_far_too_long_is_refused(tmp_path):
    with pytest.raises(Misconfigured, match="cannot be read"):
        read_config({}, str(tmp_path / "none.toml"))
    with pytest.raises(Misconfigured, match="longer than"):
        read_config({}, written(tmp_path / "long.toml", "#" * 70_000))


def test_a_key_that_others_may_read_is_refused_and_not_repeated(tmp_path):
    written(tmp_path / "key", KEY, 0o644)
    path = written(tmp_path / "model.toml", 'provider = "openai"\nmodel = "m"\nkey_file = "key"\n')
    with pytest.raises(Misconfigured, match="chmod 600") as caught:
        read_config({}, path)
    assert KEY not in str(caught.value)
    within = written(tmp_path / "own.toml", f'provider = "openai"\nmodel = "m"\napi_key = "{KEY}"\n', 0o640)
    with pytest.raises(Misconfigured, match="chmod 600"):
        read_config({}, within)


def test_a_key_file_is_read_again_when_it_changes(tmp_path):
    with ModelServer(key="second") as server:
        written(tmp_path / "key", "first\n")
        text = f'provider = "azure"\nmodel = "m"\nbase_url = "{server.url}"\nkey_file = "key"\nentra = true\n'
        found = read_config({}, written(tmp_path / "model.toml", text))
        judge = judge_from(found, b"k" * 32, chance=lambda: 0.5, clock=lambda: 0.0)
        assert judge is not None
        assert judge.attempt(a_question(), 10.0).outcome == "refused"
        written(tmp_path / "key", "second\n")
        assert judge.attempt(a_question(), 10.0).outcome == "answered"
        assert server.heard[-1].headers["authorization"] == "Bearer second"
        (tmp_path / "key").unlink()
        assert judge.attempt(a_question(), 10.0).outcome == "refused"
