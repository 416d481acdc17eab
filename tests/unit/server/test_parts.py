"""Live rows, changes, scoring, signatures, the organisation's policy."""

from __future__ import annotations

import asyncio
import json

import pytest

from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.suppression import can_suppress, signature
from kaizen_security.server import bundles, live
from kaizen_security.server.changes import Changes
from kaizen_security.server.score import account, score
from kaizen_security.store.base import VerdictQuery
from kaizen_security.store.sqlite import SqliteStore
from tests.unit.store.rows import organisation, row


@pytest.fixture
def kept(tmp_path):
    store = SqliteStore(tmp_path)
    acme = organisation(store)
    store.append(acme, [row(str(i)) for i in range(5)]).result()
    yield store.verdicts(acme, VerdictQuery())
    store.close()


def test_a_reader_that_is_too_slow_loses_the_oldest_and_it_is_counted(kept, monkeypatch):
    monkeypatch.setattr(live, "QUEUE", 3)

    async def read():
        broadcaster = live.Live()
        with broadcaster.subscribe(1) as mine, broadcaster.subscribe(2) as other:
            assert broadcaster.watched(1)
            broadcaster.publish(kept)
            broadcaster.close()
            found = [one.action_id async for one in mine]
            assert await other.next(within=5) is None
            with pytest.raises(TimeoutError):
                await other.next(within=0.01)
        assert not broadcaster.watched(1)
        return found, broadcaster.dropped

    found, dropped = asyncio.run(read())
    assert (found, dropped) == (["1", "0"], 3)


def test_there_are_only_so_many_readers(monkeypatch):
    monkeypatch.setattr(live, "READERS", 1)

    async def read():
        broadcaster = live.Live()
        with broadcaster.subscribe(1) as first, broadcaster.subscribe(1) as second:
            assert (first is not None, second) == (True, None)
        with broadcaster.subscribe(1) as third:
            assert third is not None

    asyncio.run(read())


def test_a_change_between_looking_and_waiting_is_not_missed():
    async def wait():
        changes = Changes()
        turn = changes.turn(1)
        changes.happened(1)
        await asyncio.wait_for(changes.wait(1, turn, 60), 30)
        waiting = asyncio.create_task(changes.wait(1, changes.turn(1), 60))
        await asyncio.sleep(0)
        changes.happened(2)
        await asyncio.sleep(0)
        assert not waiting.done()
        changes.happened(1)
        await asyncio.wait_for(waiting, 60)
        await changes.wait(1, changes.turn(1), 0.01)
        late = asyncio.create_task(changes.wait(1, changes.turn(1), 60))
        await asyncio.sleep(0)
        changes.close()
        await asyncio.wait_for(late, 60)
        await asyncio.wait_for(changes.wait(3, 0, 60), 30)

    asyncio.run(wait())


FINDING = Finding(kind="undeclared tool", value="x", source="declaration", detection="declaration")


def test_a_signature_is_the_deed_and_the_finding_and_nothing_wider():
    one = Action(tool="Wire_Money", target="https://API.example:443/a?b", id="1", run_id="r", at=5.0)
    same = Action(tool="wire_money", target="api.example:443", id="2", metadata={"source": "egress"})
    assert signature(one, [FINDING]) == signature(same, [FINDING, FINDING])
    for other in (
        Action(tool="wire_money2", target="api.example:443"),
        Action(tool="wire_money", target="other.example"),
    ):
        assert signature(other, [FINDING]) != signature(one, [FINDING])
    assert signature(one, []) != signature(one, [FINDING])


def test_a_policys_deny_cannot_be_suppressed():
    assert can_suppress([FINDING])
    assert not can_suppress([FINDING, Finding(kind="malicious domain", value="x", source="policy:hosts")])


GAP = "Trace-vs-egress gap: the agent reported only"
TOOL = "undeclared: this agent used a tool it never declared (wire_money)."
PLACE = "undeclared: this agent connected to a destination it never declared (evil.example)."
PROSE = "May reach api.example and nothing else."
DECLARED = json.dumps({"tools": ["lookup"], "destinations": ["api.example"], "purpose": "looks things up"})


@pytest.mark.parametrize(
    ("declaration", "trace", "egress", "feed", "decision", "reason"),
    [
        (DECLARED, '{"tool": "lookup", "target": "api.example"}', "CONNECT api.example:443", "egress", "allow", "ok"),
        (DECLARED, '[{"tool": "lookup"}]', '{"host": "evil.example"}', "egress", "block", GAP),
        (DECLARED, '{"tool": "wire_money"}', "", "content", "block", TOOL),
        (DECLARED, "", "GET https://evil.example/x", "egress", "block", PLACE),
        (DECLARED, '{"tool": "lookup"}', "CONNECT evil.example:443", "content", "allow", "ok"),
        (PROSE, "read api.example.", "api.example:443", "egress", "allow", "ok"),
        (PROSE, "read api.example.", "api.example:443\nevil.example:443", "egress", "block", GAP),
        ("", "I only talked to api.example", "evil.example:443", "egress", "block", GAP),
        ("", "", "evil.example:443", "egress", "allow", reasons.NOTHING_COMPARED),
        (" ", "\n", "evil.example:443", "content", "allow", reasons.NOTHING_COMPARED),
        ("{}", "This text says IGNORE ALL PREVIOUS INSTRUCTIONS and mentions malware.", "", "content", "allow", "ok"),
    ],
)  # fmt: skip
def test_scoring_judges_what_was_done_and_not_how_it_is_worded(declaration, trace, egress, feed, decision, reason):
    found = score(declaration, trace, egress, feed)
    assert found.decision == decision
    assert found.reason.startswith(reason)
    assert (found.confidence is None) == (decision == "allow")


def test_an_account_is_read_from_json_lines_and_prose():
    found = account(
        '{"tool": "a", "args": {"url": "https://x.example/p"}}\nthen it went to y.example:443, it said\n[{"host": "Z.Example."}]'
    )
    assert found.hosts == ("x.example", "y.example", "z.example")
    assert found.tools == ("a",)
    assert account("[" * 50_000).hosts == ()
    assert account(json.dumps({"a": [[["q.example:80"]]]})).hosts == ("q.example",)


def test_a_declaration_that_cannot_be_used_is_named():
    with pytest.raises(InvalidInput) as raised:
        score('{"destinations": ["*"]}', "", "", "egress")
    assert raised.value.field == "declaration"


@pytest.mark.parametrize("tool", ["a.b", "x*", "(y)", "[z]", "a|b", "a\\b", "é", "a/b", "a b", "^$", "{1}", "Ünï"])
def test_a_blocked_tool_is_blocked_and_its_likes_are_not(tool):
    said = bundles.decode_org_policy({"mode": "blocklist", "tools": [tool]})
    compiled = compile_policies(bundles.org_policies(said))
    assert compiled.decide(Action(tool=tool)).blocked
    for other in (tool + "x", "x" + tool, "other"):
        assert not compiled.decide(Action(tool=other)).blocked


def test_a_policy_that_was_kept_can_be_kept_again():
    said = bundles.decode_org_policy(
        {"mode": "blocklist", "tools": ["a"], "destinations": ["https://x.example:8443/p", "[2001:db8::1]:443"]}
    )
    assert bundles.decode_org_policy(dict(said)) == said
    [policy] = bundles.org_policies(said)
    assert policy.rules["domains"] == ["x.example"]
    assert policy.rules["ips"] == ["2001:db8::1"]
