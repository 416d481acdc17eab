"""The control plane's own reasoning check: chosen over the API, asked about what deployed clients report."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest

from kaizen_security.testing.models import ModelServer, Raw, Turn
from tests.e2e.exports.receiving import Receiver
from tests.e2e.server.running import Running, another_organisation, beside, report

KEY = "sk-model-key-not-to-be-seen"
CANARY = "canary-77aa"
MALICIOUS = "MALICIOUS 0.9: Only the letter names the account."


@pytest.fixture(scope="module")
def models():
    with ModelServer(key=KEY) as server:
        server.otherwise = Turn(text=MALICIOUS)
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory, models):
    running = Running(tmp_path_factory.mktemp("server") / "data", "--permit-export", f"127.0.0.1:{models.port}")
    yield running
    status, rest = running.stop()
    assert (status, KEY in rest, "Traceback" in rest) == (0, False, False), rest


@pytest.fixture(scope="module")
def chosen(models):
    return {"provider": "anthropic", "model": "m", "base_url": models.url, "api_key": KEY}


@pytest.fixture
def asking(person, chosen):
    answer = person.post("/v1/llm-config", json=chosen)
    assert answer.status_code == 200, answer.text
    yield person
    assert person.post("/v1/llm-config", json={"provider": "off"}).status_code == 200


def until(condition, what):
    end = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


def declared(call, agent):
    assert call.post(f"/v1/agents/{agent}/manifest", json={"tools": ["read_mail"]}).status_code == 200


def strange(agent, number="1"):
    made = report("send_mail", agent=agent, id=f"{agent}-{number}", run_id="r")
    made["action"]["metadata"] = {"arguments": {"to": f"{CANARY}@stranger.example", "text": f"do {CANARY}"}}
    return {**made, "agent": agent}


def rows(call, agent):
    return call.get("/v1/verdicts", params={"agent": agent}).json()["verdicts"]


def raised(call, agent):
    return [row for row in rows(call, agent) if row["confidence"] is not None]


def test_by_default_nobody_is_asked(person):
    found = person.get("/v1/llm-config").json()
    assert (found["provider"], found["state"]["provider"], found["has_key"]) == ("off", "off", False)
    assert person.get("/v1/judge/usage").json()["today"]["questions"] == 0
    assert person.post("/v1/llm-config/test").status_code == 422


def test_what_a_model_raises_is_a_further_row(asking, call, models):
    declared(call, "mailer")
    models.heard.clear()
    assert call.post("/v1/verdicts", json=strange("mailer")).status_code == 201
    (row,) = until(lambda: raised(call, "mailer"), "the raised row")
    assert row["reason"] == (
        "reasoning judge (malicious, confidence 0.6): Only the letter names the account. Tool: send_mail."
    )
    assert (row["decision"], row["confidence"], row["severity"]) == ("allow", 0.6, "medium")
    assert [one["detection"] for one in row["evidence"]] == ["declaration", "reasoning"]
    assert len(rows(call, "mailer")) == 3
    agent = next(one for one in asking.get("/v1/agents/profiles").json()["profiles"] if one["agent"] == "mailer")
    assert (agent["actions"], agent["flagged"]) == (1, 1), "a further row is no further action, and no further flag"
    sent = models.heard[-1].body.decode()
    assert "stranger.example" in sent
    assert CANARY not in sent


def test_an_agent_cannot_take_the_place_of_the_models_word(asking, call):
    declared(call, "washer")
    taken = strange("washer")
    taken["action"] |= {"id": "washer-1:judged", "metadata": {}, "tool": "read_mail"}
    assert call.post("/v1/verdicts", json={"agent": "washer", "action": taken["action"]}).status_code == 201
    assert call.post("/v1/verdicts", json=strange("washer")).status_code == 201
    (row,) = until(lambda: raised(call, "washer"), "the raised row")
    assert row["action_id"] == "washer-1:judged"
    agent = next(one for one in asking.get("/v1/agents/profiles").json()["profiles"] if one["agent"] == "washer")
    assert (agent["actions"], agent["flagged"]) == (2, 1)


def test_usage_is_counted_and_an_agents_key_may_read_it(asking, call, server):
    declared(call, "counted")
    before = call.get("/v1/judge/usage").json()["today"]
    call.post("/v1/verdicts", json=strange("counted"))
    until(lambda: raised(call, "counted"), "the raised row")
    after = until(
        lambda: (now := call.get("/v1/judge/usage").json())["today"]["questions"] > before["questions"] and now,
        "the count",
    )
    assert after["this_week"]["malicious"] >= 1
    assert after["state"]["provider"] == "anthropic"
    with server.call(agent="counted") as bound:
        assert bound.get("/v1/judge/usage").status_code == 403


def test_an_agent_with_reasoning_switched_off_is_not_asked_about(asking, call, models):
    declared(call, "silent")
    assert asking.post("/v1/agents/silent/settings", json={"judge_enabled": False}).status_code == 200
    models.heard.clear()
    call.post("/v1/verdicts", json=strange("silent"))
    declared(call, "loud")
    call.post("/v1/verdicts", json={**strange("loud"), "action": {**strange("loud")["action"], "tool": "another_tool"}})
    until(lambda: raised(call, "loud"), "the other agent's row")
    assert raised(call, "silent") == []
    assert all(b"send_mail" not in heard.body for heard in models.heard)


def test_what_an_observer_reports_is_not_asked_about_again(asking, call, observer, models):
    models.heard.clear()
    document = strange("observed")
    document["action"]["tool"] = "observed_tool"
    document["verdict"]["evidence"] = [{"kind": "undeclared tool", "value": "observed_tool", "source": "declaration"}]
    declared(call, "observed")
    assert observer.post("/v1/verdicts", json=document).status_code == 201
    declared(call, "claimed")
    call.post("/v1/verdicts", json={**strange("claimed"), "action": {**document["action"], "tool": "claimed_tool"}})
    until(lambda: raised(call, "claimed"), "what was claimed after it")
    assert len(rows(observer, "observed")) == 1
    assert [b"observed_tool" in heard.body for heard in models.heard] == [False]


def test_what_a_person_called_a_false_positive_is_not_raised_again(asking, call):
    declared(call, "trusted")
    call.post("/v1/verdicts", json=strange("trusted"))
    (row,) = until(lambda: raised(call, "trusted"), "the raised row")
    assert asking.post(f"/v1/verdicts/{row['id']}/status", json={"status": "false_positive"}).status_code == 200
    before = asking.get("/v1/judge/usage").json()["today"]["questions"]
    call.post("/v1/verdicts", json=strange("trusted", "2"))
    until(lambda: asking.get("/v1/judge/usage").json()["today"]["questions"] > before, "the question")
    declared(call, "fence")
    call.post("/v1/verdicts", json=strange("fence"))
    until(lambda: raised(call, "fence"), "what was asked after it")
    assert len(raised(call, "trusted")) == 1


def test_a_test_says_what_came_of_it_and_counts(asking, models):
    before = asking.get("/v1/judge/usage").json()["today"]["calls"]
    found = asking.post("/v1/llm-config/test").json()
    assert (found["answered"], found["answer"]["word"], found["input_tokens"]) == (True, "malicious", 100)
    models.say(Raw(status=401, body=f'{{"error": "{KEY} is wrong"}}'.encode()))
    found = asking.post("/v1/llm-config/test").json()
    assert (found["answered"], found["outcome"]) == (False, "refused")
    assert KEY not in json.dumps(found)
    assert asking.get("/v1/judge/usage").json()["today"]["calls"] == before + 2


def test_a_budget_holds_for_tests_too(asking):
    assert asking.post("/v1/llm-config", json={"budget": {"calls_per_day": 0}}).status_code == 200
    answer = asking.post("/v1/llm-config/test")
    assert answer.status_code == 422
    assert "today's budget of calls is used up" in answer.json()["error"]["message"]
    asking.post("/v1/llm-config", json={"budget": {"calls_per_day": 500}})


def test_the_key_is_sealed_on_disk_and_shown_nowhere(asking, server, models):
    found = asking.get("/v1/llm-config").json()
    assert (found["has_key"], found["place"]) == (True, models.url)
    assert KEY not in json.dumps(found)
    kept = b"".join(path.read_bytes() for path in Path(server.directory).rglob("*") if path.is_file())
    assert KEY.encode() not in kept
    with beside(server.directory) as store:
        assert len(store.models.every()[0].sealed) > 20


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/v1",
        "http://127.0.0.1:1/v1",
        "https://[::1]/v1",
        "http://[::ffff:10.0.0.1]/",
        "http://2130706433:81/",
    ],
)
def test_an_address_that_points_inwards_is_refused(asking, url):
    answer = asking.post("/v1/llm-config", json={"provider": "openai", "model": "m", "base_url": url})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "base_url"


def test_a_kept_key_is_not_sent_to_another_address(asking):
    answer = asking.post("/v1/llm-config", json={"base_url": "https://attacker.example"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "api_key")


def test_a_redirect_inwards_is_not_followed(asking, models):
    models.say(Raw(status=307, headers={"Location": "http://127.0.0.1:1/v1/messages"}))
    found = asking.post("/v1/llm-config/test").json()
    assert (found["outcome"], "never followed" in found["problem"]) == ("refused", True)


def test_only_administrators_choose_and_test(server, call, observer):
    for caller in (call, observer):
        assert caller.get("/v1/llm-config").status_code == 403
        assert caller.post("/v1/llm-config", json={"provider": "local"}).status_code == 403
        assert caller.post("/v1/llm-config/test").status_code == 403


def test_another_organisation_has_a_choice_of_its_own(asking, server):
    other = another_organisation(server.directory, "other-models")
    with server.call(organisation=other) as caller:
        assert caller.get("/v1/judge/usage").json()["state"]["provider"] == "off"


def test_a_choice_holds_over_a_restart_and_without_the_vaults_key_nobody_is_asked(tmp_path, models, chosen):
    permit = ("--permit-export", f"127.0.0.1:{models.port}")
    first = Running(tmp_path / "data", *permit)
    password = first.password
    with first.person() as admin:
        assert admin.post("/v1/llm-config", json=chosen).status_code == 200
    first.stop()
    second = Running(tmp_path / "data", *permit)
    second.said = [f"password {password}"]
    with second.person() as admin:
        assert admin.post("/v1/llm-config/test").json()["answered"] is True
    second.stop()
    (tmp_path / "data" / "enc.key").unlink()
    third = Running(tmp_path / "data", *permit)
    third.said = [f"password {password}"]
    with third.person() as admin:
        found = admin.get("/v1/llm-config").json()
        assert (found["provider"], "cannot be opened" in found["state"]["problem"]) == ("anthropic", True)
        assert admin.post("/v1/llm-config/test").status_code == 422
    assert third.stop()[0] == 0


def test_a_database_that_names_another_address_does_not_get_the_key(tmp_path, models, chosen):
    permit = ("--permit-export", f"127.0.0.1:{models.port}")
    first = Running(tmp_path / "data", *permit)
    password = first.password
    with first.person() as admin:
        assert admin.post("/v1/llm-config", json=chosen).status_code == 200
    first.stop()
    with sqlite3.connect(next((tmp_path / "data").glob("*.db"))) as connection:
        connection.execute("UPDATE models SET document = replace(document, '127.0.0.1', 'localhost')")
    connection.close()
    second = Running(tmp_path / "data", *permit)
    second.said = [f"password {password}"]
    with second.person() as admin:
        assert "cannot be opened" in admin.get("/v1/llm-config").json()["state"]["problem"]
    assert second.stop()[0] == 0


def test_a_choice_that_cannot_be_read_any_more_does_not_keep_the_server_from_starting(tmp_path, models, chosen):
    first = Running(tmp_path / "data", "--permit-export", f"127.0.0.1:{models.port}")
    password = first.password
    with first.person() as admin:
        assert admin.post("/v1/llm-config", json=chosen).status_code == 200
    first.stop()
    with sqlite3.connect(tmp_path / "data" / "kaizen.db") as connection:
        connection.execute("UPDATE models SET document = replace(document, 'anthropic', 'telepathy')")
    connection.close()
    second = Running(tmp_path / "data")
    second.said = [f"password {password}"]
    with second.person() as admin:
        found = admin.get("/v1/llm-config").json()
        assert (found["provider"], "provider: must be one of" in found["state"]["problem"]) == ("off", True)
        assert admin.post("/v1/llm-config", json={"provider": "local"}).json()["state"]["provider"] == "local"
    assert second.stop()[0] == 0


def test_what_a_model_raises_reaches_exports_and_is_in_the_metrics(tmp_path, models, chosen):
    with Receiver() as receiver:
        permit = [f"127.0.0.1:{port}" for port in (models.port, receiver.port)]
        running = Running(tmp_path / "data", "--permit-export", permit[0], "--permit-export", permit[1])
        with running.person() as admin, running.call() as client:
            assert admin.post("/v1/llm-config", json=chosen).status_code == 200
            made = {"url": f"http://127.0.0.1:{receiver.port}/hook", "verdicts": "flags"}
            assert admin.post("/v1/exports", json=made).status_code == 201
            declared(client, "mailer")
            client.post("/v1/verdicts", json=strange("mailer"))
            told = until(lambda: (found := receiver.documents()) and len(found) == 2 and found, "both rows")
            assert [one["event"] for one in told] == ["anomaly", "anomaly"]
            assert told[1]["data"]["reason"].startswith("reasoning judge (malicious, confidence 0.6): ")
            assert CANARY not in json.dumps(told)
            metrics = admin.get("/metrics").text
            assert 'kaizen_reasoning_total{what="malicious"} 1' in metrics
            assert 'kaizen_reasoning_tokens_total{direction="in"} 100' in metrics
        assert running.stop()[0] == 0
