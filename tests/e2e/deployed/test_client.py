"""The deployed client on our server: reports, declarations, refusals, threads, names, and a server that is not there."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.e2e.deployed.published import Program
from tests.ports import free_port

ALLOWED = {"decision": "allow", "reason": "no policy matched", "evidence": []}


def test_a_report_becomes_a_row_with_the_client_s_claim(program, rows):
    code = """
client = attached("reports")
told(client.inspect(tool="issue_refund", target="api.stripe.com:443", publisher="acme", metadata={"source": "sdk"}))
hold()
"""
    with program(code) as running:
        assert running.answer() == ALLOWED
        [row] = rows("reports", 1)
    assert (row["agent"], row["source"], row["rung"], row["status"]) == ("reports", "sdk", "cooperative", "open")
    assert {key: row[key] for key in ALLOWED} == ALLOWED
    assert row["confidence"] is None
    action = {"kind": "tool_call", "tool": "issue_refund", "publisher": "acme", "target": "api.stripe.com:443"}
    assert {key: row["action"][key] for key in action} == action


def test_what_was_declared_makes_the_server_add_its_own_row(program, rows, declared):
    code = """
client = attached("declares")
client.declare(tools=["issue_refund"], destinations=["api.stripe.com"])
hold()
told([client.inspect(tool=tool, target=target) for tool, target in
      (("issue_refund", "api.stripe.com:443"), ("wire_money", "attacker.example:443"))])
hold()
"""
    with program(code) as running:
        assert declared("declares", 1) == (["issue_refund"], ["api.stripe.com"])
        running.go_on()
        assert running.answer() == [ALLOWED, ALLOWED]
        found = rows("declares", 3)
    said = Counter((row["action"]["tool"], row["reason"]) for row in found)
    assert said == {
        ("issue_refund", "no policy matched"): 1,
        ("wire_money", "no policy matched"): 1,
        (
            "wire_money",
            "undeclared: this agent used a tool it never declared (wire_money), "
            "connected to a destination it never declared (attacker.example).",
        ): 1,
    }


def test_a_declaration_replaces_and_an_empty_one_declares_nothing(program, declared):
    code = """
client = attached("redeclares")
for declared in ({"tools": ["a", "b"], "destinations": ["c.example"]}, {"tools": ["b"]}, {}):
    told(client.declare(**declared))
    hold()
"""
    with program(code) as running:
        for tools, destinations in ((["a", "b"], ["c.example"]), (["b"], []), ([], [])):
            assert running.answer() is None
            assert declared("redeclares", len(tools)) == (tools, destinations)
            running.go_on()


def test_what_policy_blocks_is_refused_by_enforce_and_guard_and_does_not_run(program, organisation, rows):
    organisation(mode="blocklist", tools=["delete_all", "wipe"])
    code = """
client, ran = attached("enforces"), []

@client.guard
def delete_all(what): ran.append(what)

@client.guard(tool="wipe", kind="exec")
def other(): ran.append("other")

@client.guard
def look(what): return what

def refused(call):
    try:
        return ["ran", call()]
    except KaizenBlocked as error:
        return [str(error), error.verdict.decision]

told([refused(call) for call in (lambda: delete_all("x"), other, lambda: look("y"),
     lambda: client.enforce(tool="delete_all").decision, lambda: client.enforce(tool="look").decision)])
told(ran)
hold()
"""
    blocked = ["blocked by policy: malicious skill pattern", "block"]
    with program(code) as running:
        assert running.answer() == [blocked, blocked, ["ran", "y"], blocked, ["ran", "allow"]]
        assert running.answer() == []
        found = rows("enforces", 5)
    # Our server comes to the same, so each report is one row: the claim.
    said = Counter((row["action"]["kind"], row["action"]["tool"], row["decision"]) for row in found)
    assert said == {
        ("tool_call", "delete_all", "block"): 2,
        ("exec", "wipe", "block"): 1,
        ("tool_call", "look", "allow"): 2,
    }
    assert [row["evidence"][0]["value"] for row in found if row["action"]["tool"] == "wipe"] == ["wipe"]


def test_a_claim_that_hides_a_known_bad_action_does_not_stand_alone(program, organisation, rows):
    organisation(mode="blocklist", tools=["delete_all"])
    with program('told(attached("hides", sync=False).inspect(tool="delete_all"))\nhold()') as running:
        assert running.answer() == ALLOWED
        found = rows("hides", 2)
    assert [row["decision"] for row in found] == ["allow", "block"]


@pytest.mark.parametrize(
    "form", [{"tool": ""}, {"kind": None}, {"target": ""}, {"metadata": {"source": "unheard of", "input": {"a": [1]}}}]
)
def test_odd_actions_are_taken(program, rows, form):
    agent = "odd " + json.dumps(form).replace('"', "'")
    with program(f"told(attached({agent!r}).inspect(**{form!r}))\nhold()") as running:
        assert running.answer() == ALLOWED
        assert len(rows(agent, 1)) == 1


def test_the_text_of_arguments_is_not_kept(program, rows, server):
    code = 'told(attached("canary").inspect(tool="x", metadata={"arguments": {"q": "CANARY-5f1b"}}))\nhold()'
    with program(code) as running:
        running.answer()
        [row] = rows("canary", 1)
    assert "CANARY" not in json.dumps(row)
    assert not [path for path in server.directory.rglob("*") if path.is_file() and b"CANARY-5f1b" in path.read_bytes()]


def test_every_verdict_is_given_to_on_verdict(program):
    code = """
seen = []
client = attached("watched", on_verdict=lambda verdict, action: seen.append([verdict.decision, action.tool]))
client.inspect(tool="a")
client.inspect(tool="b")
told(seen)
"""
    with program(code) as running:
        assert running.answer() == [["allow", "a"], ["allow", "b"]]


def test_threads_share_a_client(program, organisation, rows):
    organisation(mode="blocklist", tools=["delete_all"])
    code = """
import threading
client, verdicts = attached("threads"), []
def work():
    for n in range(10):
        verdicts.append(client.inspect(tool="delete_all" if n % 2 else "look").decision)
        time.sleep(0.005)
workers = [threading.Thread(target=work) for _ in range(8)]
for worker in workers: worker.start()
for worker in workers: worker.join()
told(verdicts)
hold()
"""
    with program(code) as running:
        assert Counter(running.answer()) == {"allow": 40, "block": 40}
        found = rows("threads", 80)
    assert Counter((row["action"]["tool"], row["decision"]) for row in found) == {
        ("delete_all", "block"): 40,
        ("look", "allow"): 40,
    }


@pytest.mark.parametrize("agent", ["team/refunds", "a%20b", "a+b", "a&b", "a=b", "a:b@c", "x" * 200])
def test_a_name_that_it_can_put_into_a_url_gets_policy_and_declaration(program, organisation, rows, agent):
    organisation(mode="blocklist", tools=["delete_all"])
    code = f"""
client = attached({agent!r})
client.declare(tools=["delete_all", "look"])
told([client.inspect(tool=tool).decision for tool in ("delete_all", "look", "other")])
hold()
"""
    with program(code) as running:
        assert running.answer() == ["block", "allow", "allow"]
        assert len(rows(agent, 3)) >= 3


@pytest.mark.parametrize("agent", ["support desk", "Unterstützung", "支援", "a\tb"])
def test_a_name_that_it_cannot_put_into_a_url_still_reports(program, organisation, rows, agent):
    # It neither fetches policy nor declares under such a name, whatever a server does: nothing of it leaves the client.
    organisation(mode="blocklist", tools=["delete_all"])
    code = f'client = attached({agent!r})\nclient.declare(tools=["x"])\ntold(client.inspect(tool="delete_all"))\nhold()'
    with program(code) as running:
        assert running.answer() == ALLOWED
        claim, ours = rows(agent, 2)
    assert (claim["agent"], claim["decision"]) == (agent, "allow")
    assert (ours["decision"], ours["reason"]) == ("block", "blocked by policy: malicious skill pattern")


@pytest.fixture
def nobody():
    """An address at which nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("fail_open", [True, False])
def test_with_the_server_down_it_goes_on_without_policy(place, nobody, fail_open):
    code = f'client = attached(fail_open={fail_open})\ntold([client.declare(tools=["x"]), client.inspect(tool="x")])'
    with Program(place, code, nobody, "kz_live_x") as running:
        assert running.answer() == [None, ALLOWED]


@pytest.mark.parametrize(("fail_open", "decision"), [(True, "allow"), (False, "block")])
def test_fail_open_says_what_holds_when_its_own_engine_breaks(program, rows, fail_open, decision):
    agent = f"breaks {fail_open}"
    code = f'told(attached({agent!r}, fail_open={fail_open}, policies=["nonsense"]).inspect(tool="x"))\nhold()'
    with program(code) as running:
        assert running.answer()["decision"] == decision
        [row] = rows(agent, 1)
    assert row["decision"] == decision
    assert row["reason"].startswith("engine error, failed ")


def test_a_wrong_key_costs_it_policy_and_reports_and_nothing_else(place, server, organisation, rows):
    organisation(mode="blocklist", tools=["delete_all"])
    code = 'told(attached("stranger").inspect(tool="delete_all"))'
    with Program(place, code, server.url, "kz_live_" + "x" * 43) as running:
        assert running.answer() == ALLOWED
    assert rows("stranger", 0) == []


def test_a_key_of_one_agent_gets_that_agent_s_policy(place, server, organisation, rows):
    organisation(mode="blocklist", tools=["delete_all"])
    code = 'told([attached(name).inspect(tool="delete_all").decision for name in ("mine", "others")])\nhold()'
    with Program(place, code, server.url, server.key(agent="mine")) as running:
        assert running.answer() == ["block", "allow"]
        assert len(rows("mine", 1)) == 1
    assert rows("others", 0) == []
