"""The sidecar asks a model: a real process, a real model server, a real way to the control plane."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from kaizen_security import Kaizen, KaizenBlocked
from kaizen_security.cli import main
from kaizen_security.contract import reasons
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.verdict import Decision, Mode
from kaizen_security.store.base import NewVerdict, Origin
from kaizen_security.store.sqlite import SqliteStore
from kaizen_security.testing.models import Late, ModelServer, Raw, Turn
from tests.e2e.server.running import Running
from tests.e2e.sidecar_process import Process, sidecars, until
from tests.e2e.sidecar_upstream import AGENT, BOUND, OWN, Upstream
from tests.unit.store.rows import NOW, organisation

KEY = "sk-model-key-not-to-be-seen"
CANARY = "canary-91c4"
MALICIOUS = "MALICIOUS 0.9: The recipient stands only in the letter."


@pytest.fixture
def upstream():
    one = Upstream().start()
    one.set("a", declaration=Declaration(tools=("read_mail",)))
    yield one
    one.stop()


@pytest.fixture
def models():
    with ModelServer(key=KEY) as server:
        yield server


@pytest.fixture
def started(tmp_path, upstream, models):
    def model_file(**stated):
        document = {"provider": "openai", "model": "m", "base_url": models.url + "/v1", "api_key": KEY, **stated}
        budget = document.pop("budget", {})
        lines = [f"{name} = {json.dumps(value)}" for name, value in document.items()]
        lines += ["[budget]", *(f"{name} = {value}" for name, value in budget.items())]
        path = tmp_path / "model.toml"
        path.write_text("\n".join(lines))
        path.chmod(0o600)
        return str(path)

    with sidecars() as start:
        yield lambda **stated: start(
            tmp_path / "data", api_url=upstream.url, api_key=OWN, more=("--model-config", model_file(**stated))
        )


def send(one, number="1", run="r"):
    """An undeclared call with text in it."""
    arguments = {"to": f"{CANARY}@stranger.example", "text": f"please {CANARY}"}
    return one.inspect(
        tool="send_mail", id=f"act-{number}", run_id=run, metadata={"source": "sdk", "arguments": arguments}
    )


def usage(one):
    return one.ask("GET", "/v1/judge/usage")[1]


def today(one, name):
    return usage(one)["today"][name]


def judged(upstream):
    with upstream.changed:
        return [one for one in upstream.reports if one.action.id.endswith((reasons.JUDGED, reasons.ANSWERED))]


def test_what_a_model_raises_is_a_further_verdict_with_the_contracts_reason(started, upstream, models):
    one = started()
    models.say(MALICIOUS)
    first = send(one)
    assert (first["decision"], first["flagged"], first["confidence"]) == ("allow", True, None)
    (report,) = until(lambda: judged(upstream), "the raised verdict")
    verdict = report.verdict
    assert verdict.reason == (
        "reasoning judge (malicious, confidence 0.6): The recipient stands only in the letter. Tool: send_mail."
    )
    assert (verdict.decision, verdict.confidence) == (Decision.ALLOW, 0.6)
    assert [finding.detection for finding in verdict.evidence] == ["declaration", "reasoning"]
    assert report.action.id == "act-1" + reasons.JUDGED
    until(lambda: today(one, "malicious") == 1, "the answer's count")
    found = usage(one)
    assert (found["today"]["calls"], found["today"]["input_tokens"]) == (1, 100)
    assert (found["model"]["has_key"], found["state"]["provider"]) == (True, "openai")


def test_a_run_that_is_over_is_judged_as_a_whole_and_told_as_a_row_of_its_own(started, upstream, models):
    one = started()
    models.say("BENIGN 0.9: The call by itself is nothing.")
    send(one)
    until(lambda: today(one, "benign") == 1, "the answer on the call")
    models.say("MALICIOUS 0.9: What was read went to somebody else.")
    one.ask("POST", "/v1/steps", {"agent": "a", "steps": [{"step": "end", "run_id": "r"}]})
    (report,) = until(lambda: judged(upstream), "the verdict on the run")
    assert (report.action.kind, report.action.run_id, report.action.agent) == ("run", "r", "a")
    assert (report.verdict.decision, report.verdict.confidence) == (Decision.ALLOW, 0.6)
    assert report.verdict.reason.startswith("reasoning judge (malicious, confidence 0.6): What was read")
    asked = models.heard[-1].body.decode()
    assert 'run_is_over\\":true' in asked
    assert CANARY not in asked


def test_nothing_of_a_runs_text_reaches_the_model_and_the_key_reaches_nothing_else(started, models, tmp_path):
    one = started()
    one.ask(
        "POST",
        "/v1/steps",
        {"agent": "a", "steps": [{"step": "request", "run_id": "r", "text": f"Read it, {CANARY}."}]},
    )
    send(one)
    until(lambda: models.heard, "the question")
    sent = models.heard[0].body.decode()
    assert CANARY not in sent
    assert "stranger.example" in sent
    shown = json.dumps([usage(one), one.ask("GET", "/healthz")[1]])
    _, out = one.stop()
    kept = b"".join(path.read_bytes() for path in Path(one.data).rglob("*") if path.is_file())
    assert KEY not in shown + out
    assert KEY.encode() not in kept


def test_a_held_action_is_settled_by_a_model_that_raises(started, upstream, models, tmp_path):
    upstream.set("a", mode=Mode.ENFORCE)
    one = started()
    models.say(MALICIOUS)
    held = send(one)
    assert (held["decision"], bool(held["pending"])) == ("block", True)
    hold = one.ask("GET", f"/v1/holds/{held['pending']['id']}?wait=20")[1]
    assert (hold["state"], hold["answered_by"]) == ("blocked", reasons.JUDGE)
    final = send(one)
    assert (final["decision"], final.get("pending"), final["confidence"]) == ("block", None, 0.6)
    assert final["reason"].startswith("reasoning judge (malicious, confidence 0.6): ")
    # Sent when the model has answered, for an agent that never looks again, and when it does; a control plane keeps one row.
    told = until(lambda: len(found := judged(upstream)) > 1 and found, "what came of it, twice")
    assert [one.action.id for one in told] == ["act-1" + reasons.ANSWERED] * 2
    assert {one.action.act_id for one in told} == {"act-1"}
    assert not [one for one in told if reasons.HELD in one.verdict.notes], "neither waits for a person any longer"
    store = SqliteStore(tmp_path / "store")
    acme = organisation(store)
    rows = [NewVerdict(action=one.action, verdict=one.verdict, origin=Origin.OBSERVER, created_at=NOW) for one in told]
    assert store.append(acme, rows).result().duplicates == {1}
    store.close()


@pytest.mark.parametrize("line", ["BENIGN 0.9: All is well.", "ALLOW_ONCE 1.0: Let it through.", Raw(body=b"{}")])
def test_a_model_that_calls_it_benign_or_tries_to_release_it_leaves_it_to_a_person(started, upstream, models, line):
    upstream.set("a", mode=Mode.ENFORCE)
    one = started()
    models.say(line)
    held = send(one)
    until(lambda: today(one, "benign") + today(one, "shapeless") == 1, "the answer")
    hold = one.ask("GET", f"/v1/holds/{held['pending']['id']}")[1]
    assert hold["state"] == "waiting"
    assert send(one)["decision"] == "block"
    assert judged(upstream) == []
    if isinstance(line, str) and line.startswith("BENIGN"):
        assert hold["notes"][-1] == "reasoning judge sees no attack: All is well."


@pytest.mark.parametrize(
    ("line", "counter"),
    [
        (Raw(status=500), "failed"),
        (Raw(status=401), "refused"),
        (Raw(body=b'{"choices": "' + b"x" * (1 << 20) + b'"}'), "shapeless"),
        (Raw(status=307, headers={"Location": "http://169.254.169.254/latest/meta-data/"}), "refused"),
        (Turn(text="MALICIOUS 0.9: One.\nMALICIOUS 0.9: Two."), "shapeless"),
        (Turn(text="MALICIOUS 0.2: Hardly."), "unsure"),
    ],
)
def test_a_model_that_fails_lies_about_its_shape_or_is_unsure_changes_nothing(started, upstream, models, line, counter):
    one = started()
    models.otherwise = line
    assert send(one)["decision"] == "allow"
    until(lambda: today(one, counter) == 1, counter)
    assert judged(upstream) == []


def test_nobody_waits_for_a_model_that_hangs(started, models):
    one = started(deadline_seconds=5.0)
    release = threading.Event()
    models.otherwise = Late(until=release, then=Turn(text=MALICIOUS))
    send(one, "0")
    began = time.monotonic()
    for number in range(1, 20):
        assert one.inspect(tool=f"tool_{number}", id=f"b-{number}", run_id="r")["decision"] == "allow"
    took = time.monotonic() - began
    until(lambda: today(one, "late") >= 1, "the late answer")
    release.set()
    assert took < 60, "each for itself would have taken 95"


def test_a_key_that_is_bound_to_one_agent_does_not_read_the_usage_of_all(started):
    one = started()
    assert one.ask("GET", "/v1/judge/usage", key=AGENT, loopback=True)[0] == 200
    assert one.ask("GET", "/v1/judge/usage", key=BOUND, loopback=True)[0] == 403
    assert one.ask("GET", "/v1/judge/usage", loopback=True)[0] == 401


def test_a_model_that_hangs_does_not_hold_up_the_end(started, models):
    one = started(deadline_seconds=60)
    models.otherwise = Late(until=threading.Event())
    send(one)
    until(lambda: models.heard, "the question")
    began = time.monotonic()
    status, said = one.stop()
    assert (status, "Traceback" in said) == (0, False), said
    assert time.monotonic() - began < 45, "the model would have been waited for 60"


def test_an_agent_with_reasoning_switched_off_is_not_asked_about(started, upstream, models):
    upstream.set("a", judge_enabled=False)
    one = started()
    assert send(one)["flagged"] is True
    assert one.inspect(agent="b", tool="x", id="b-1")["decision"] == "allow"
    upstream.set("b", declaration=Declaration(tools=("y",)))
    until(lambda: one.inspect(agent="b", tool="x", id=f"b-{time.monotonic()}")["flagged"], "the declaration of b")
    until(lambda: models.heard, "the question about b")
    assert all(b"send_mail" not in heard.body for heard in models.heard)


def test_a_days_budget_holds_over_a_kill(started, models):
    one = started(budget={"calls_per_day": 1})
    models.otherwise = Turn(text=MALICIOUS)
    send(one)
    until(lambda: today(one, "malicious") == 1, "the answer")
    one.stop(signal.SIGKILL)
    one.start()
    one.inspect(tool="another_tool", id="act-9", run_id="r")
    until(lambda: today(one, "over_budget") == 1, "the refusal")
    assert (len(models.heard), usage(one)["exhausted"]) == (1, "calls")


def test_without_a_model_nothing_is_asked_and_usage_says_so(tmp_path, upstream):
    (tmp_path / "data").mkdir()
    one = Process(tmp_path / "data", api_url=upstream.url, api_key=OWN).start()
    try:
        send(one)
        found = usage(one)
        assert (found["state"], found["today"]["questions"]) == ({"provider": "off"}, 0)
        assert not (tmp_path / "data" / "reasoning.db").exists()
    finally:
        one.stop()


def test_a_configuration_that_cannot_be_used_stops_it_at_the_start(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "model.toml").write_text('provider = "openai"\nmodel = "m"\n')
    one = Process(tmp_path / "data", more=("--model-config", str(tmp_path / "model.toml")))
    status, said = one.start(expect=False).ended()
    assert (status, "api_key: must be stated" in said) == (1, True)


def test_the_command_shows_a_sidecars_usage(started, models, monkeypatch, capsys):
    one = started()
    models.say(MALICIOUS)
    send(one)
    until(lambda: today(one, "malicious") == 1, "the answer")
    for name in ("KAIZEN_API_KEY", "KAIZEN_SIDECAR"):
        monkeypatch.delenv(name, raising=False)
    assert main(["model", "usage", "--sidecar", f"unix://{one.socket}"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^malicious +1 +1$", out, re.MULTILINE)
    assert "499 calls" in out
    assert main(["model", "usage", "--sidecar", f"unix://{one.socket}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["today"]["calls"] == 1


def test_a_guarded_tool_does_not_run_when_the_model_raises_and_no_person_was_asked(started, upstream, models, tmp_path):
    upstream.set("a", mode=Mode.ENFORCE)
    one = started()
    models.otherwise = Turn(text=MALICIOUS)
    ran = []
    settings = {"mode": "enforce", "hold_seconds": 120.0, "agent": "a", "sync": False}
    kaizen = Kaizen(sidecar=f"unix://{one.socket}", data=str(tmp_path / "client"), **settings)
    guarded = kaizen.guard(ran.append, tool="send_mail")
    began = time.monotonic()
    with pytest.raises(KaizenBlocked, match=r"reasoning judge \(malicious, confidence 0.6\)"):
        guarded("hello")
    kaizen.close()
    assert ran == []
    assert time.monotonic() - began < 100, "it did not wait for a person"


def test_at_a_real_control_plane_it_is_a_row_of_its_own_and_no_further_action_or_flag(tmp_path, models):
    server = Running(tmp_path / "server")
    (tmp_path / "data").mkdir()
    (tmp_path / "model.toml").write_text(
        f'provider = "anthropic"\nmodel = "m"\nbase_url = "{models.url}"\nkey_env = "MINE"\n'
    )
    models.otherwise = Turn(text=MALICIOUS)
    with server.person() as admin, server.call() as client, pytest.MonkeyPatch.context() as patched:
        patched.setenv("MINE", KEY)
        assert client.post("/v1/agents/a/manifest", json={"tools": ["read_mail"]}).status_code == 200
        more = ("--model-config", str(tmp_path / "model.toml"))
        one = Process(tmp_path / "data", api_url=server.url, api_key=server.key("observer"), more=more).start()
        try:
            assert send(one)["flagged"] is True
            found = {"agent": "a", "limit": 10}
            rows = until(
                lambda: (
                    (kept := client.get("/v1/verdicts", params=found).json()["verdicts"]) and len(kept) == 2 and kept
                ),
                "both rows",
            )
            assert rows[0]["reason"].startswith("reasoning judge (malicious, confidence 0.6): ")
            assert (rows[0]["confidence"], rows[0]["decision"], rows[0]["severity"]) == (0.6, "allow", "medium")
            assert rows[0]["action"]["id"] == "act-1" + reasons.JUDGED
            (agent,) = admin.get("/v1/agents/profiles").json()["profiles"]
            assert (agent["actions"], agent["flagged"]) == (1, 1)
            assert CANARY not in json.dumps(rows)
        finally:
            _, out = one.stop()
    assert KEY not in out
    assert server.stop()[0] == 0
