"""What an agent sees of Kaizen: verdicts, reports, and what holds when a part is gone."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import threading
import time

import pytest

from kaizen_security import Action, Kaizen, KaizenBlocked, Policy
from kaizen_security.contract import reasons
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.step import Claim, End, Message, Result
from kaizen_security.contract.verdict import ENFORCED, Decision, Finding, Verdict
from tests.unit.client.upstream import Upstream, free_port, reply, until

KEY = "kz_live_" + "k" * 43
DENY = Policy("blocklist", {"domains": ["evil.example"], "skill_patterns": ["rm_.*"]}, "no evil")
READ_THEN_CONNECT = Policy("correlation", {"risky_sequence": "read_then_connect"})


@pytest.fixture
def kaizen(upstream):
    with Kaizen(KEY, upstream.url, [DENY], agent="a b/ü", on_verdict=None) as kaizen:
        yield kaizen


# --- verdicts


def test_the_deployed_signature_works_unchanged(upstream):
    seen = []
    kaizen = Kaizen(
        api_key=KEY,
        base_url=upstream.url,
        policies=None,
        agent="default",
        fail_open=False,
        report=True,
        sync=True,
        on_verdict=lambda verdict, action: seen.append((verdict.decision, action.tool)),
    )
    verdict = kaizen.inspect(Action(tool="x", target="api.example:443"))
    assert (verdict.decision, verdict.reason, verdict.evidence) == ("allow", "no policy matched", ())
    assert (verdict.allowed, verdict.blocked) == (True, False)
    assert seen == [("allow", "x")]
    kaizen.close()


def test_policy_blocks_and_says_why(kaizen):
    verdict = kaizen.inspect(tool="fetch", target="api.evil.example:443")
    assert verdict.blocked
    assert verdict.reason == "blocked by policy: malicious domain"
    with pytest.raises(
        KaizenBlocked, match=r"^Blocked by Kaizen: blocked by policy: malicious skill pattern$"
    ) as blocked:
        kaizen.enforce(tool="rm_all")
    assert blocked.value.verdict.evidence[0].field == "tool"


def test_a_refusal_survives_pickling(kaizen):
    with pytest.raises(KaizenBlocked) as blocked:
        kaizen.enforce(tool="rm_all")
    copy = pickle.loads(pickle.dumps(blocked.value))
    assert str(copy) == str(blocked.value)
    assert copy.verdict == blocked.value.verdict


def test_actions_are_taken_in_every_form(kaizen):
    for verdict in (
        kaizen.inspect(Action(target="evil.example")),
        kaizen.inspect({"kind": "http", "target": "evil.example"}),
        kaizen.inspect(target="evil.example"),
        kaizen.inspect(Action(tool="x"), target="evil.example"),
        kaizen.inspect(tool=None, target="evil.example", metadata=None, hash=None, publisher=None, kind=None),
    ):
        assert verdict.blocked
    assert kaizen.inspect().allowed
    with pytest.raises(TypeError, match="tol"):
        kaizen.inspect(tol="x")
    with pytest.raises(TypeError, match="int"):
        kaizen.inspect(3)


def test_organisation_policy_is_in_force_from_the_first_verdict_on(upstream):
    upstream.policies = [{"mode": "blocklist", "rules": {"domains": ["bad.example"]}, "name": "org", "enabled": True}]
    with Kaizen(KEY, upstream.url, [DENY]) as kaizen:
        assert kaizen.inspect(target="bad.example").evidence[0].source == "policy:org"
        assert kaizen.inspect(target="evil.example").blocked
    with Kaizen(KEY, upstream.url, sync=False) as kaizen:
        assert kaizen.inspect(target="bad.example").allowed


def test_a_sensitive_read_then_a_connection_is_blocked_in_the_run_that_read(upstream):
    with Kaizen(policies=[READ_THEN_CONNECT]) as kaizen:
        with kaizen.run():
            assert kaizen.inspect(tool="read", sensitive=True).allowed
            assert kaizen.inspect(kind="connect", target="x.example").reason == reasons.CORRELATION
        with kaizen.run():
            assert kaizen.inspect(kind="connect", target="x.example").allowed


def test_a_declaration_flags_and_in_enforce_blocks(upstream):
    with Kaizen(KEY, upstream.url, agent="a b") as kaizen:
        assert kaizen.declare(tools=["search"], destinations=["api.example"], purpose="find things")
        assert upstream.manifests == {
            "a b": {"tools": ["search"], "destinations": ["api.example"], "purpose": "find things"}
        }
        assert kaizen.inspect(tool="search", target="api.example:443").evidence == ()
        verdict = kaizen.inspect(tool="pay", target="bank.example:443")
        assert verdict.allowed
        assert verdict.reason == reasons.undeclared(tool="pay", destination="bank.example")
    with Kaizen(mode="enforce") as kaizen:
        assert not kaizen.declare(tools=["search"])
        assert kaizen.inspect(tool="pay").blocked
        with pytest.raises(Misconfigured, match="tools"):
            kaizen.declare(tools="search")


def test_declared_classes_of_data_are_sent_and_an_unknown_one_is_refused(upstream):
    with Kaizen(KEY, upstream.url, agent="billing") as kaizen:
        assert kaizen.declare(data=["cards", "contacts"])
        assert upstream.manifests == {"billing": {"tools": [], "destinations": [], "data": ["cards", "contacts"]}}
        assert kaizen.inspect(tool="anything", target="anywhere.example:443").evidence == ()
        with pytest.raises(Misconfigured, match=r"data\[0\] is no class of data that is known: credentials, cards"):
            kaizen.declare(data=["medical"])


def test_a_declaration_that_could_not_be_sent_is_sent_later(upstream):
    upstream.faults = lambda method, path: (503, {}, b"") if "manifest" in path else None
    with Kaizen(KEY, upstream.url) as kaizen:
        assert not kaizen.declare(tools=["search"])
        assert kaizen.inspect(tool="pay").flagged
        upstream.faults = None
        assert kaizen.flush()
        assert upstream.manifests["default"]["tools"] == ["search"]


def test_a_declaration_is_sent_again_in_the_background(upstream):
    upstream.faults = lambda method, path: (503, {}, b"") if "manifest" in path else None
    with Kaizen(KEY, upstream.url) as kaizen:
        assert not kaizen.declare(tools=["search"])
        assert not kaizen.declare(tools=["find"])
        upstream.faults = None
        until(lambda: upstream.manifests)
    assert upstream.manifests["default"]["tools"] == ["find"]


def test_a_declaration_that_is_refused_is_counted_and_not_sent_again(upstream):
    upstream.faults = lambda method, path: (422, {}, b"") if "manifest" in path else None
    with Kaizen(KEY, upstream.url) as kaizen:
        assert not kaizen.declare(tools=["search"])
        assert kaizen.lost == {"declaration refused by the server": 1}
        upstream.faults = None
        assert kaizen.flush()
    assert upstream.manifests == {}


def test_a_forked_child_goes_on_sending_a_declaration(upstream):
    upstream.faults = lambda method, path: (503, {}, b"") if "manifest" in path else None
    kaizen = Kaizen(KEY, upstream.url, report=False)
    assert not kaizen.declare(tools=["search"])
    kaizen._attached.manifest.stop()
    upstream.faults = None
    pid = os.fork()
    if pid == 0:
        # The parent had given up; a child of one that had not goes on with its first verdict.
        kaizen._attached.manifest._stop.clear()
        kaizen.inspect(tool="search")
        deadline = time.monotonic() + 20
        while kaizen._attached.manifest.waiting and time.monotonic() < deadline:
            time.sleep(0.01)
        os._exit(0)
    os.waitpid(pid, 0)
    assert upstream.manifests["default"]["tools"] == ["search"]
    kaizen.close()


def test_what_on_verdict_raises_is_counted_and_not_raised():
    def broken(verdict, action):
        raise RuntimeError("the caller's own mistake")

    with Kaizen(policies=[DENY], on_verdict=broken) as kaizen:
        assert kaizen.inspect(tool="x").allowed
        assert kaizen.inspect(target="evil.example").blocked
        assert kaizen.lost == {"on_verdict errors": 2}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"policies": [Policy("nonsense")]}, "nonsense"),
        ({"policies": [Policy("blocklist", {"domains": [3]}, "mine")]}, "mine"),
        ({"policies": ["x"]}, r"policies\[0\]"),
        ({"base_url": "localhost:8000"}, "base_url"),
        ({"sidecar": "unix://relative"}, "sidecar"),
        ({"mode": "watch"}, "mode"),
        ({"agent": ""}, "agent"),
        ({"deadline": 0}, "deadline"),
        ({"api_key": "kz live"}, "api_key"),
    ],
)
def test_a_wrong_setting_is_refused_at_construction_by_name(arguments, named):
    with pytest.raises(Misconfigured, match=named):
        Kaizen(**arguments)


# --- reports


def test_every_verdict_is_reported_with_its_action(kaizen, upstream):
    kaizen.inspect(tool="search", target="api.example:443", run_id="r1")
    kaizen.inspect(target="evil.example")
    assert kaizen.flush()
    [block, allow] = sorted(upstream.reports, key=lambda report: report["verdict"]["decision"], reverse=True)
    assert allow["agent"] == block["agent"] == "a b/ü"
    assert (allow["schema_version"], allow["action"]["tool"], allow["action"]["run_id"]) == ("1", "search", "r1")
    assert len(allow["action"]["id"]) == 32
    assert allow["action"]["at"].endswith("Z")
    assert block["verdict"]["reason"] == "blocked by policy: malicious domain"
    assert next(headers for _, path, headers, _ in upstream.seen if "batch" in path)["Authorization"] == f"Bearer {KEY}"


def test_arguments_never_leave_for_the_control_plane(kaizen, upstream):
    canary = "CANARY-9f3b2a7c41d8"
    kaizen.inspect(
        tool="send",
        target=f"https://u:{canary}@api.example/{canary}?q={canary}",
        arguments={"body": canary, canary: [canary, {"x": (canary, canary.encode())}]},
        metadata={"note": canary},
    )
    kaizen.inspect(target=f"https://evil.example/{canary}?{canary}", arguments={"body": canary})
    assert kaizen.flush()
    assert len(upstream.reports) == 2
    assert not any(canary.encode() in body for _, _, _, body in upstream.seen)
    assert "api.example" in upstream.reports[0]["action"]["target"] + upstream.reports[1]["action"]["target"]


def test_a_report_shows_the_arguments_as_they_were_when_they_were_judged(kaizen, upstream):
    arguments = {"items": [1, 2, 3]}
    kaizen.inspect(tool="x", arguments=arguments)
    arguments["items"].clear()
    assert kaizen.flush()
    assert len([f for f in upstream.reports[0]["action"]["metadata"]["facts"] if "items" in f["field"]]) == 3


def test_strange_values_are_reported_and_break_nothing(kaizen, upstream):
    class Strange:
        def __repr__(self):
            raise RuntimeError

        __str__ = __eq__ = __repr__
        __hash__ = object.__hash__

    loop = []
    loop.append(loop)
    strange = [
        Strange(),
        loop,
        {1: 2, None: 3},
        {4, 5},
        b"\xff",
        float("nan"),
        10**400,
        "\ud800",
        "\0",
        object,
        range(3),
    ]
    for value in strange:
        assert kaizen.inspect(tool="x", arguments={"v": value}).allowed
        assert kaizen.inspect(tool="y", metadata={"v": value, 3: value}).allowed
    assert kaizen.inspect(tool="\ud800\0", target="\ud800", publisher=3, hash=b"x").allowed
    assert kaizen.flush()
    assert len(upstream.reports) == 2 * len(strange) + 1
    assert kaizen.lost == {}


def test_reports_travel_in_batches_and_repeats_do_not_count_twice(kaizen, upstream):
    for i in range(300):
        kaizen.inspect(tool=f"t{i}")
    assert kaizen.flush()
    assert sorted(upstream.tools()) == sorted(f"t{i}" for i in range(300))
    assert max(upstream.batches) <= 50
    assert kaizen.lost == {}


def test_a_report_that_the_server_refuses_is_counted_and_the_others_arrive(kaizen, upstream):
    upstream.rejected = {"t3"}
    for i in range(10):
        kaizen.inspect(tool=f"t{i}")
    assert kaizen.flush()
    assert len(upstream.reports) == 9
    assert kaizen.lost == {"refused by the server": 1}


def test_one_report_that_makes_the_server_refuse_its_batch_does_not_take_others_along(kaizen, upstream):
    def faults(method, path):
        if "batch" in path and b'"tool":"t7"' in upstream.seen[-1][3]:
            return reply({"error": {"code": "invalid", "message": "no", "field": "reports[3]"}}, 422)
        return None

    upstream.faults = faults
    for i in range(60):
        kaizen.inspect(tool=f"t{i}")
    assert kaizen.flush(20)
    assert sorted(upstream.tools()) == sorted(f"t{i}" for i in range(60) if i != 7)
    assert kaizen.lost == {"refused by the server": 1}


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_reports_wait_while_the_server_does_not_take_them(kaizen, upstream, status):
    upstream.faults = lambda method, path: (status, {"Retry-After": "0"}, b"") if "batch" in path else None
    kaizen.inspect(tool="x")
    assert not kaizen.flush(1)
    assert str(status) in kaizen.problem
    upstream.faults = None
    assert kaizen.flush()
    assert upstream.tools() == ["x"]
    assert kaizen.lost == {}


def test_a_block_is_on_disk_before_its_caller_learns_of_it(tmp_path):
    kaizen = Kaizen(KEY, f"http://127.0.0.1:{free_port()}", [DENY], sync=False)
    kaizen.inspect(target="evil.example")
    found = b"".join(path.read_bytes() for path in tmp_path.rglob("*.seg"))
    assert b"evil.example" in found
    kaizen.close(0.1)


def test_without_key_and_sidecar_nothing_is_sent_and_nothing_kept(tmp_path):
    with Kaizen(policies=[DENY]) as kaizen:
        assert kaizen.inspect(tool="x").allowed
        assert kaizen.flush()
    assert not (tmp_path / "data").exists()


def test_report_false_sends_no_verdict(upstream):
    with Kaizen(KEY, upstream.url, report=False) as kaizen:
        kaizen.inspect(tool="x")
        assert kaizen.flush()
    assert [path for _, path, _, _ in upstream.seen if "verdicts" in path] == []


def test_threads_report_everything(kaizen, upstream):
    def work(n):
        for i in range(500):
            kaizen.inspect(tool=f"{n}-{i}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kaizen.flush(30)
    assert sorted(upstream.tools()) == sorted(f"{n}-{i}" for n in range(4) for i in range(500))


def test_a_burst_of_20000_loses_nothing(kaizen, upstream):
    for i in range(20_000):
        kaizen.inspect(tool=f"t{i}")
    assert kaizen.flush(120)
    assert len(set(upstream.tools())) == 20_000
    assert kaizen.lost == {}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reporter_thread_that_dies_is_started_again(kaizen, upstream, monkeypatch):
    reporter = kaizen._reporter
    monkeypatch.setattr(reporter, "_turn", lambda: exec("raise SystemExit"))
    kaizen.inspect(tool="first")
    until(lambda: reporter._thread is None)
    monkeypatch.undo()
    kaizen.inspect(tool="second")
    until(lambda: len(upstream.reports) == 2)


def test_a_client_that_was_closed_still_judges(upstream):
    kaizen = Kaizen(KEY, upstream.url, [DENY])
    kaizen.close()
    kaizen.close()
    assert kaizen.inspect(target="evil.example").blocked
    assert kaizen.inspect(tool="x").allowed


# --- with a sidecar


def test_the_sidecar_is_asked_and_its_word_holds(sidecar):
    sidecar.verdict = {
        "decision": "block",
        "reason": "undeclared: this agent used a tool it never declared (x).",
        "evidence": [{"kind": "undeclared tool", "value": "x", "source": "declaration"}],
        "confidence": None,
    }
    with Kaizen(agent="a", sidecar=sidecar.url) as kaizen:
        verdict = kaizen.inspect(tool="x", arguments={"to": "bob"})
        assert verdict.blocked
        assert verdict.evidence == (Finding(kind="undeclared tool", value="x", source="declaration"),)
        [asked] = sidecar.asked
        assert verdict.action_id == asked["id"]
        assert asked["metadata"]["arguments"] == {"to": "bob"}
        assert asked["agent"] == "a"
        kaizen.flush()
    assert sidecar.reports == []


def test_what_policy_knows_is_blocked_without_asking_and_reported(sidecar):
    with Kaizen(policies=[DENY], sidecar=sidecar.url) as kaizen:
        assert kaizen.inspect(target="evil.example").blocked
        assert kaizen.flush()
    assert sidecar.asked == []
    assert len(sidecar.reports) == 1


def test_a_sidecar_that_is_not_in_the_tenant_gets_no_arguments(upstream):
    canary = "CANARY-9f3b2a7c41d8"
    with Kaizen(sidecar=upstream.url) as kaizen, kaizen.run(f"mail {canary}"):
        kaizen.inspect(tool="send", arguments={"body": canary})
        kaizen.guard(lambda: canary, tool="t")()
    assert upstream.asked[0]["metadata"]["facts"][0]["field"] == "arguments.body"
    assert {step["step"] for step in upstream.steps} == {"result", "end"}
    assert not any(canary.encode() in body for _, _, _, body in upstream.seen)
    with Kaizen(sidecar=upstream.url, in_tenant=True) as kaizen:
        kaizen.inspect(tool="send", arguments={"body": canary})
    assert upstream.asked[-1]["metadata"]["arguments"] == {"body": canary}


def test_a_run_tells_the_sidecar_request_results_and_end_in_order(sidecar):
    with Kaizen(agent="a", sidecar=sidecar.url) as kaizen:
        order = []
        sidecar.faults = lambda method, path: order.append(path.partition("?")[0])
        fetch = kaizen.guard(lambda url: {"page": url}, tool="fetch", target="url")
        with kaizen.run("read the page") as run:
            fetch("https://x.example/")
            kaizen.inspect(tool="next")
        kaizen.flush()
    assert [path for path in order if "policy" not in path and "bundle" not in path] == [
        "/v1/steps", "/v1/inspect", "/v1/steps", "/v1/inspect", "/v1/steps",
    ]  # fmt: skip
    request, result, end = sidecar.steps
    assert (request["step"], request["text"], request["run_id"]) == ("request", "read the page", run.id)
    assert (result["step"], result["action_id"], result["content"]) == (
        "result", sidecar.asked[0]["id"], {"page": "https://x.example/"},
    )  # fmt: skip
    assert (end["step"], end["completed"]) == ("end", True)
    assert {asked["run_id"] for asked in sidecar.asked} == {run.id}


def test_a_question_waits_for_the_steps_that_another_thread_is_sending(sidecar):
    order, on_its_way, asked = [], threading.Event(), threading.Event()

    def slowly(method, path):
        if path == "/v1/inspect":
            order.append("asked")
            asked.set()
        elif path == "/v1/steps":
            on_its_way.set()
            asked.wait(0.5)  # whoever does not wait for the steps asks meanwhile
            order.append("taken")

    with Kaizen(sidecar=sidecar.url, sync=False) as kaizen:
        sidecar.faults = slowly
        kaizen.note(Message(run_id="r", text="pay the other account"))
        assert on_its_way.wait(10)
        kaizen.inspect(tool="transfer", run_id="r")
        sidecar.faults = None
    assert order[:2] == ["taken", "asked"]


def test_what_was_noted_can_be_handed_over_before_anybody_asks_and_a_slow_sidecar_is_not_waited_for_twice(sidecar):
    with Kaizen(sidecar=sidecar.url, sync=False) as kaizen:
        kaizen.note_result(Action(tool="t", id="1", run_id="r"), {"read": "here"})
        assert kaizen.hand_over()
        assert [step["content"] for step in sidecar.steps] == [{"read": "here"}]
        sidecar.delay = 60.0
        kaizen.note_result(Action(tool="t", id="2", run_id="r"), "late")
        assert not kaizen.hand_over(0.05)
        began = time.monotonic()
        assert not kaizen.hand_over(50.0)
        assert time.monotonic() - began < 40
        kaizen.close(0.1)
    assert Kaizen(sync=False, report=False).hand_over()


def test_steps_are_sent_as_they_were_when_they_were_noted(sidecar):
    with Kaizen(sidecar=sidecar.url, sync=False) as kaizen:
        read, called = ["here"], {"arguments": {"path": "a"}}
        kaizen.note(Result(run_id="r", action_id="1", content=read))
        kaizen.note(Claim(run_id="r", action=Action(tool="t", metadata=called)))
        read.append("there")
        called["arguments"]["path"] = "b"
        assert kaizen.hand_over()
        result, claim = sidecar.steps
    assert result["content"] == ["here"]
    assert claim["action"]["metadata"] == {"arguments": {"path": "a"}}


def test_a_step_that_cannot_be_written_is_counted_and_the_others_are_sent(sidecar):
    with Kaizen(sidecar=sidecar.url, sync=False) as kaizen:
        kaizen.note(End(run_id="r", at=1e300))
        kaizen.note(End(run_id="s"))
        assert kaizen.hand_over()
        assert [step["run_id"] for step in sidecar.steps] == ["s"]
        assert kaizen.lost == {"steps: could not be encoded": 1}


def test_a_run_that_raises_is_not_completed_and_runs_nest(sidecar):
    with Kaizen(sidecar=sidecar.url) as kaizen:
        ids = []

        def outer():
            with kaizen.run() as run:
                with kaizen.run() as inner:
                    kaizen.inspect(tool="in")
                kaizen.inspect(tool="out")
                ids.extend([inner.id, run.id])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            outer()
        kaizen.flush()
    assert [asked["run_id"] for asked in sidecar.asked] == ids
    assert [(step["run_id"], step["completed"]) for step in sidecar.steps] == [(ids[0], True), (ids[1], False)]


def test_coroutines_carry_their_run_and_do_not_hold_up_the_loop(sidecar):
    sidecar.delay = 0.2

    async def one(kaizen, n):
        async with kaizen.run() as run:
            await kaizen.ainspect(tool=f"t{n}")
            return run.id

    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        with Kaizen(sidecar=sidecar.url, sync=False) as kaizen:
            ticking = asyncio.create_task(tick())
            ids = await asyncio.gather(*(one(kaizen, n) for n in range(3)))
            ticking.cancel()
            sidecar.delay = 0
        return ids, ticks

    ids, ticks = asyncio.run(main())
    assert ticks > 5
    assert {(asked["tool"], asked["run_id"]) for asked in sidecar.asked} == {(f"t{n}", ids[n]) for n in range(3)}


# --- fail modes: each part stopped


def unprotected(verdict):
    return [finding.kind for finding in verdict.evidence] == ["unprotected"]


@pytest.mark.parametrize(
    ("mode", "fail_open", "blocked"),
    [("observe", False, False), ("observe", True, False), ("enforce", False, True), ("enforce", True, False)],
)
@pytest.mark.parametrize("how", ["gone", "hangs", "refuses", "nonsense", "never was"])
def test_without_the_sidecar_the_mode_decides(tmp_path, mode, fail_open, blocked, how):
    path = str(tmp_path / "s.sock")
    sidecar = None if how == "never was" else Upstream(unix=path)
    kaizen = Kaizen(
        policies=[DENY], sidecar=f"unix://{path}", mode=mode, fail_open=fail_open, deadline=0.3, sync=how != "never was"
    )
    if how == "gone":
        assert not unprotected(kaizen.inspect(tool="x"))
    if sidecar is not None:
        sidecar.faults = {
            "refuses": lambda *_: reply({"error": {"code": "x", "message": "no"}}, 422),
            "nonsense": lambda *_: reply({"decision": "maybe"}),
        }.get(how)
        sidecar.delay = 0.6 if how == "hangs" else 0
        if how == "gone":
            sidecar.stop()
            os.unlink(path)
            kaizen._link._pool.close()
    verdict = kaizen.inspect(tool="x")
    assert unprotected(verdict)
    assert verdict.blocked is blocked
    assert verdict.reason == (reasons.FAILED_CLOSED if blocked else reasons.NO_POLICY_MATCHED)
    assert kaizen.inspect(target="evil.example").reason == "blocked by policy: malicious domain"
    kaizen.close(0.1)
    if sidecar is not None and how != "gone":
        sidecar.stop()


def test_a_sidecar_that_hangs_costs_an_observed_agent_its_deadline_only_once(tmp_path):
    with Upstream(unix=str(tmp_path / "s")) as sidecar, Kaizen(sidecar=sidecar.url, deadline=1.0, sync=False) as kaizen:
        sidecar.delay = 5.0
        began = time.monotonic()
        assert all(unprotected(kaizen.inspect(tool=f"t{i}")) for i in range(50))
        assert time.monotonic() - began < 40, "each for itself would have taken 50"
        sidecar.delay = 0
        until(lambda: not unprotected(kaizen.inspect(tool="again")))


def test_verdicts_given_without_the_sidecar_reach_it_when_it_is_back(tmp_path):
    path = str(tmp_path / "s.sock")
    with Kaizen(sidecar=f"unix://{path}", sync=False) as kaizen:
        assert unprotected(kaizen.inspect(tool="x"))
        assert not kaizen.flush(0.2)
        with Upstream(unix=path) as sidecar:
            assert kaizen.flush()
            assert sidecar.reports[0]["verdict"]["evidence"][0]["kind"] == "unprotected"


@pytest.mark.parametrize(
    ("mode", "fail_open", "blocked"), [("observe", False, False), ("enforce", False, True), ("enforce", True, False)]
)
@pytest.mark.parametrize("how", ["gone", "unusable policy", "error"])
def test_without_the_organisations_policy_the_mode_decides(upstream, mode, fail_open, blocked, how):
    url = upstream.url if how != "gone" else f"http://127.0.0.1:{free_port()}"
    if how == "unusable policy":
        upstream.policies = [{"mode": "blocklist", "rules": {"domains": "x"}}]
    elif how == "error":
        upstream.faults = lambda *_: (500, {}, b"")
    kaizen = Kaizen(KEY, url, [DENY], mode=mode, fail_open=fail_open, report=False)
    verdict = kaizen.inspect(tool="x")
    assert unprotected(verdict)
    assert verdict.blocked is blocked
    assert kaizen.inspect(target="evil.example").reason == "blocked by policy: malicious domain"
    upstream.faults = None
    kaizen.close()


@pytest.mark.parametrize("mode", ["observe", "enforce"])
@pytest.mark.parametrize(("fail_open", "decision"), [(False, Decision.BLOCK), (True, Decision.ALLOW)])
def test_when_our_own_code_fails_the_caller_has_chosen(monkeypatch, mode, fail_open, decision):
    with Kaizen(policies=[DENY], mode=mode, fail_open=fail_open) as kaizen:
        monkeypatch.setattr(kaizen, "_judge", lambda *_: 1 / 0)
        verdict = kaizen.inspect(tool="x")
        assert unprotected(verdict)
        assert verdict.decision is decision
        assert kaizen.lost == {"engine errors": 1}


def test_a_mode_can_only_be_tightened(upstream):
    from tests.unit.client.test_renewal import sealed

    upstream.bundle = sealed(mode="enforce", tools=("search",))
    with Kaizen(KEY, upstream.url, mode="observe") as kaizen:
        assert kaizen.inspect(tool="pay").blocked
    upstream.bundle = sealed(mode="observe", tools=("search",), version=2)
    with Kaizen(KEY, upstream.url, mode="enforce") as kaizen:
        assert kaizen.inspect(tool="pay").blocked


def finding(detection):
    return {"kind": f"{detection} kind", "value": "v", "source": "s", "detection": detection}


@pytest.mark.parametrize(
    ("evidence", "notes", "blocked"),
    [
        ([], [], False),
        ([finding("declaration")], [], True),
        ([finding("provenance")], [], True),
        ([finding("novelty")], [], False),
        ([finding("novelty"), finding("declaration")], [], True),
        ([{**finding("observer"), "kind": "unprotected"}], [], True),
        ([], [reasons.NO_POLICY_YET], True),
        ([], ["paused: recorded, not flagged (1 findings)"], False),
    ],
)
def test_the_stricter_of_client_and_sidecar_holds(sidecar, evidence, notes, blocked):
    sidecar.verdict = {**sidecar.verdict, "reason": "said", "evidence": evidence, "notes": notes}
    with Kaizen(sidecar=sidecar.url, sync=False) as kaizen:
        assert kaizen.inspect(tool="x").allowed
        assert kaizen.flush(20)
    assert sidecar.reports == []
    with Kaizen(sidecar=sidecar.url, sync=False, mode="enforce") as kaizen:
        verdict = kaizen.inspect(tool="x")
        assert verdict.blocked is blocked
        assert verdict.reason in ("said", "engine error, failed closed")
        assert kaizen.flush(20)
    # The sidecar is told that the action did not happen, under the id that it judged.
    assert [report["verdict"]["decision"] for report in sidecar.reports] == ["block"] * blocked
    assert [report["action"]["id"] for report in sidecar.reports] == [sidecar.asked[-1]["id"]] * blocked


def test_nothing_loosens_what_the_sidecar_blocked(sidecar):
    sidecar.verdict = {**sidecar.verdict, "decision": "block", "reason": "said", "evidence": [finding("declaration")]}
    for mode in ("observe", "enforce"):
        with Kaizen(sidecar=sidecar.url, sync=False, mode=mode, fail_open=True) as kaizen:
            assert kaizen.inspect(tool="x").blocked


def test_a_declaration_that_the_sidecar_has_not_taken_holds_in_the_client(sidecar):
    sidecar.faults = lambda method, path: (503, {}, b"{}") if path.endswith("/manifest") else None
    with Kaizen(sidecar=sidecar.url, sync=False, mode="enforce") as kaizen:
        assert not kaizen.declare(tools=["search"])
        assert kaizen.inspect(tool="pay").reason == "undeclared: this agent used a tool it never declared (pay)."
        assert kaizen.inspect(tool="search").allowed


def test_what_enforce_blocks_is_what_the_observers_table_says():
    from kaizen_security.observer.weigh import TABLE, Blocks

    assert {name for name, weight in TABLE.items() if weight.blocks is Blocks.ENFORCE} <= ENFORCED
    assert {name for name, weight in TABLE.items() if weight.blocks is not Blocks.ENFORCE} & ENFORCED == set()


def test_positional_values_and_none_work_as_in_deployed_code(kaizen):
    action = Action("connect", None, None, "evil.example:443", None, None)
    assert action == Action(kind="connect", target="evil.example:443")
    for verdict in (kaizen.inspect(action), kaizen.inspect(action=action), kaizen.inspect(None, action=action)):
        assert verdict.reason == "blocked by policy: malicious domain"
    assert kaizen.inspect(Action("tool_call", "x")).allowed
    assert kaizen.inspect(Action(None, None)).allowed
    made = Verdict("block", "why", [Finding("kind", "value")])
    assert (made.blocked, made.allowed, made.decision is Decision.BLOCK) == (True, False, True)
    assert made.evidence == (Finding(kind="kind", value="value", source="policy"),)
    assert Verdict().allowed
    with pytest.raises(ValueError, match="perhaps"):
        Verdict("perhaps")
    with pytest.raises(TypeError):
        Action("tool_call", "x", "", "", "", {}, "an id")
    with pytest.raises(TypeError):
        kaizen.inspect(action="x")


def test_the_finding_says_what_to_do():
    with Kaizen(sidecar="unix:///nowhere/kaizen.sock", sync=False, report=False) as kaizen:
        [finding] = kaizen.inspect(tool="x").evidence
    assert "unix:///nowhere/kaizen.sock" in finding.observed
    assert finding.advice


def test_a_verdict_is_what_it_always_was():
    verdict = Verdict(decision=Decision.ALLOW, reason="x")
    assert json.dumps(verdict.decision) == '"allow"'
