"""The reasoning model's page over HTTP, with a real model server on loopback."""

from __future__ import annotations

import html
import re

import pytest

from kaizen_security.exports.vault import Vault
from kaizen_security.server.settings import Settings
from kaizen_security.testing.models import ModelServer, Raw
from tests.unit.console.rows import PAYLOADS
from tests.unit.console.site import running

KEY = "sk-not-to-be-seen"


@pytest.fixture
def models():
    with ModelServer(key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    settings = Settings(vault=Vault(directory / "enc.key"), permitted=("127.0.0.1",))
    with running(directory, settings) as started:
        yield started


@pytest.fixture
def admin(site):
    with site.client() as client:
        client.headers["Accept"] = "text/html"
        yield client
        client.post("/model", data={"provider": "off"})


def chosen(admin, models, **more):
    form = {"provider": "anthropic", "model": "the-model", "base_url": models.url, "api_key": KEY, **more}
    answer = admin.post("/model", data=form)
    assert answer.headers.get("location") == "/model?done=chosen", html.unescape(answer.text)


def test_at_first_nobody_is_asked(admin):
    page = admin.get("/model").text
    assert "Nobody. Every verdict is what the rules say." in page
    assert "Test it" not in page


def test_a_model_is_chosen_tested_and_its_key_is_shown_nowhere(admin, models):
    chosen(admin, models, confidence_threshold="0.7", calls_per_day="9")
    models.say("MALICIOUS 0.9: Only the letter names the account.")
    page = html.unescape(admin.post("/model/test").text)
    assert "confidence 0.9: Only the letter names the account." in page
    again = html.unescape(admin.get("/model").text)
    for said in ("the-model", models.url, "Its key is kept, sealed", 'value="0.7"', 'value="9"'):
        assert said in again
    twin = admin.get("/model?format=json")
    assert twin.json()["model"]["has_key"] is True
    assert twin.json()["usage"]["today"]["calls"] == 1
    for answer in (page, again, twin.text):
        assert KEY not in answer


def test_a_key_that_is_left_empty_stays(admin, models):
    chosen(admin, models)
    chosen(admin, models, api_key="", model="another")
    assert admin.post("/model/test?format=json").json()["test"]["answered"] is True
    assert models.heard[-1].model == "another"


def test_a_test_that_fails_says_why(admin, models):
    chosen(admin, models)
    models.say(Raw(status=401, body=KEY.encode()))
    page = html.unescape(admin.post("/model/test").text)
    assert "The test had no answer (refused): the provider does not take the key (status 401)" in page
    assert KEY not in page


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"provider": "oracle"}, "provider: must be one of"),
        ({"model": ""}, "model: must be stated"),
        ({"api_key": "two words"}, "api_key: must be printable"),
        ({"base_url": "http://169.254.169.254/"}, "base_url: "),
        ({"base_url": "https://169.254.169.254/"}, "base_url: cannot be used"),
        ({"confidence_threshold": "much"}, "confidence_threshold: must be a number"),
        ({"calls_per_day": "-1"}, "budget.calls_per_day: must be a number from 0"),
        ({"deadline_seconds": "900"}, "deadline_seconds: must be a number from 0.1 to 120"),
    ],
)
def test_what_cannot_be_used_is_refused_and_the_key_is_not_sent_back(admin, models, more, said):
    form = {"provider": "anthropic", "model": "typed before", "base_url": models.url, "api_key": KEY, **more}
    answer = admin.post("/model", data=form)
    assert answer.status_code == 422
    assert said in html.unescape(answer.text)
    assert "typed before" in answer.text or more == {"model": ""}
    assert KEY not in answer.text
    assert "Nobody. Every verdict" in admin.get("/model").text


def test_a_viewer_sees_the_choice_and_changes_nothing(site, admin, models):
    chosen(admin, models)
    with site.client(user=site.reader) as viewer:
        viewer.headers["Accept"] = "text/html"
        page = viewer.get("/model").text
        assert "the-model" in page
        assert re.findall(r"<button[^>]*>([^<]*)", page.partition("<main")[2]) == []
        for path in ("/model", "/model/test"):
            assert viewer.post(path, data={"provider": "off"}).status_code == 403
    assert models.heard == []


@pytest.mark.parametrize("payload", [one for one in PAYLOADS if one.isprintable()])
def test_what_a_model_says_and_how_it_is_named_is_only_ever_text(admin, models, payload):
    chosen(admin, models, model=payload[:200])
    models.say(f"MALICIOUS 0.9: {payload[:200]}")
    page = admin.post("/model/test").text
    assert not set(re.findall(r"<([a-z][a-z0-9]*)", page)) & {"img", "iframe", "style", "template"}
    assert page.count("<script") == 1


def test_an_agent_is_taken_out_of_the_check_and_back(site, admin):
    site.store.settings(site.organisation, "quiet", at=1.0)
    page = admin.get("/agent?name=quiet").text
    assert "Ask no model about it" in page
    for value, said in (
        ("false", "No model is asked about this agent"),
        ("true", "The model is asked about this agent again"),
    ):
        answer = admin.post("/agent/settings?name=quiet", data={"judge_enabled": value})
        assert answer.status_code == 303
        assert said in admin.get(answer.headers["location"]).text
        assert site.store.agent(site.organisation, "quiet").judge_enabled is (value == "true")
    assert admin.post("/agent/settings?name=quiet", data={"judge_enabled": "maybe"}).status_code == 422


def test_a_server_without_a_key_for_secrets_keeps_no_api_key_and_may_ask_the_local_judge(tmp_path, models):
    with running(tmp_path, Settings(permitted=("127.0.0.1",))) as bare, bare.client() as client:
        client.headers["Accept"] = "text/html"
        form = {"provider": "anthropic", "model": "m", "base_url": models.url, "api_key": KEY}
        answer = client.post("/model", data=form)
        assert answer.status_code == 422
        assert "without a key for secrets" in answer.text
        assert client.post("/model", data={"provider": "local"}).headers["location"] == "/model?done=chosen"
        assert "local judge, no model" in client.post("/model/test").text
