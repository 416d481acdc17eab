"""Reports come in in every shape that deployed clients send, and rows go out."""

from __future__ import annotations

import json
import socket
from uuid import uuid4

import pytest

from kaizen_security.contract.reasons import AN_AGENTS_KEY
from tests.e2e.server.running import another_organisation, report

ALLOW = {"decision": "allow", "reason": "ok", "evidence": []}
SHAPES = {
    "all six keys, nulls kept": {
        "schema_version": "1",
        "action": {
            "kind": "tool_call",
            "tool": "issue_refund",
            "publisher": None,
            "target": "api.stripe.com:443",
            "hash": None,
            "metadata": {"source": "sdk"},
        },
        "verdict": ALLOW,
    },
    "absent keys, no version, blocked": {
        "action": {"kind": "tool_call", "tool": "issue_refund"},
        "verdict": {**ALLOW, "blocked": False},
    },
    "the egress proxy's": {
        "action": {"kind": "connect", "target": "api.stripe.com:443", "metadata": {"source": "egress"}},
        "verdict": {"decision": "allow", "reason": "observed egress", "evidence": []},
    },
    "an empty target": {"action": {"kind": "tool_call", "tool": "x", "target": ""}, "verdict": ALLOW},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_in_the_wild_is_taken_and_answered_with_a_verdict(call, shape):
    agent = f"shape {shape}"
    answer = call.post("/v1/verdicts", json={"agent": agent, **SHAPES[shape]})
    assert answer.status_code == 201
    assert answer.json()["decision"] == "allow"
    [row] = call.get("/v1/verdicts", params={"agent": agent}).json()["verdicts"]
    assert row["id"] == answer.json()["id"]
    assert row["claimed"] is True
    assert row["policy_version"]
    assert row["source"] == SHAPES[shape]["action"].get("metadata", {}).get("source", "sdk")
    assert row == call.get(f"/v1/verdicts/{row['id']}").json()


def test_the_clients_word_is_row_one_and_what_we_find_is_row_two(call, person):
    agent = "finds"
    call.post(f"/v1/agents/{agent}/manifest", json={"tools": ["issue_refund"], "destinations": ["api.stripe.com"]})
    answer = call.post("/v1/verdicts", json={"agent": agent, **report("wire_money", "attacker.example:443")})
    expected = (
        "undeclared: this agent used a tool it never declared (wire_money), "
        "connected to a destination it never declared (attacker.example)."
    )
    assert answer.json()["reason"] == expected
    assert answer.json()["flagged"] is True
    ours, claim = call.get("/v1/verdicts", params={"agent": agent}).json()["verdicts"]
    assert (claim["claimed"], claim["reason"], claim["decision"], claim["origin"]) == (True, "ok", "allow", "claim")
    assert (ours["claimed"], ours["reason"], ours["origin"]) == (False, expected, "server")
    assert {finding["kind"] for finding in ours["evidence"]} == {"undeclared tool", "undeclared destination"}
    assert ours["severity"] in ("low", "medium")


def test_an_action_that_is_denied_by_policy_is_found_whatever_the_client_claims(call, person):
    person.post("/v1/policies", json={"mode": "blocklist", "name": "hosts", "rules": {"domains": ["attacker.example"]}})
    answer = call.post("/v1/verdicts", json={"agent": "denied", **report("fetch", "https://attacker.example/x")})
    assert (answer.json()["decision"], answer.json()["reason"]) == ("block", "blocked by policy: malicious domain")
    rows = call.get("/v1/verdicts", params={"agent": "denied", "decision": "block"}).json()["verdicts"]
    assert [row["severity"] for row in rows] == ["high"]
    # A client that said so itself is believed: nothing is added.
    said = report("fetch", "https://attacker.example/x", decision="block", reason="blocked by policy: malicious domain")
    call.post("/v1/verdicts", json={"agent": "honest", **said})
    assert len(call.get("/v1/verdicts", params={"agent": "honest"}).json()["verdicts"]) == 1
    assert person.delete("/v1/policies/hosts").status_code == 200
    assert person.delete("/v1/policies/hosts").status_code == 404


def test_the_same_action_is_kept_once_and_answered_the_same(call):
    document = {"agent": "twice", **report(id=str(uuid4()))}
    first, second = (call.post("/v1/verdicts", json=document) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert len(call.get("/v1/verdicts", params={"agent": "twice"}).json()["verdicts"]) == 1


def test_a_batch_takes_what_it_can_and_names_what_it_cannot(call):
    good = {"agent": "batch", **report(id="b-1")}
    bad = {"agent": "batch", **report(tool=7)}
    answer = call.post("/v1/verdicts:batch", json={"reports": [good, bad, "x", good, {**good, "action": None}]}).json()
    assert (answer["accepted"], answer["duplicates"]) == (1, 1)
    assert [(one["index"], one["field"]) for one in answer["rejected"]] == [
        (1, "reports[1].action.tool"),
        (2, "reports[2]"),
        (4, "reports[4].action"),
    ]
    assert answer["ids"][0] == answer["ids"][1]
    assert call.post("/v1/verdicts:batch", json={"reports": []}).json()["accepted"] == 0
    assert call.post("/v1/verdicts:batch", json={}).status_code == 422
    assert call.post("/v1/verdicts:batch", json={"reports": [0] * 5001}).status_code == 413


def test_what_an_observer_says_is_the_verdict(observer, call):
    said = report("wire_money", decision="block", reason="undeclared: x", id="o-1")
    said["verdict"] |= {
        "confidence": 0.4,
        "evidence": [{"kind": "undeclared tool", "value": "wire_money", "source": "declaration"}],
        "policy_version": "seen there",
    }
    answer = observer.post("/v1/verdicts", json={"agent": "seen", **said})
    assert answer.json()["decision"] == "block"
    [row] = observer.get("/v1/verdicts", params={"agent": "seen"}).json()["verdicts"]
    assert (row["origin"], row["claimed"], row["decision"], row["confidence"]) == ("observer", False, "block", 0.4)
    assert row["policy_version"] == "seen there"
    # The same id claimed by the agent itself does not take the observer's place, nor the other way round.
    claimed = call.post("/v1/verdicts", json={"agent": "seen", **report("wire_money", id="o-1")})
    assert claimed.status_code == 201
    assert observer.post("/v1/verdicts", json={"agent": "seen", **said}).status_code == 200
    missing = {"agent": "seen", "action": {"tool": "x"}}
    assert observer.post("/v1/verdicts", json=missing).json()["error"]["field"] == "verdict"


def test_a_report_without_a_verdict_gets_ours(call):
    assert call.post("/v1/verdicts", json={"agent": "mute", "action": {"tool": "x"}}).status_code == 201
    [row] = call.get("/v1/verdicts", params={"agent": "mute"}).json()["verdicts"]
    assert row["origin"] == "server"


def test_text_of_a_run_is_not_kept(call, server):
    canary = "CANARY7f3a91"
    document = report(
        target=f"https://bob:{canary}@api.example/v1?token={canary}#{canary}",
        metadata={"source": "sdk", "arguments": {"note": canary, canary: 1}, "unknown": canary, "input": [canary]},
    )
    document["verdict"]["evidence"] = [{"kind": "x", "value": f"https://a.example/?q={canary}", "source": "y"}]
    assert call.post("/v1/verdicts", json={"agent": "secretive", **document}).status_code == 201
    [row] = call.get("/v1/verdicts", params={"agent": "secretive"}).json()["verdicts"]
    assert canary not in json.dumps(row)
    assert row["action"]["target"].startswith("https://api.example")
    for path in server.directory.iterdir():
        assert canary.encode() not in path.read_bytes(), path


def test_rows_are_filtered_paged_and_newest_first(call):
    for i in range(5):
        source = {"source": "egress"} if i % 2 else {}
        call.post("/v1/verdicts", json={"agent": "paged", **report(f"tool{i}", f"h{i}.example", metadata=source)})

    def tools(**query):
        rows = call.get("/v1/verdicts", params={"agent": "paged", **query}).json()["verdicts"]
        return [row["action"]["tool"] for row in rows]

    assert tools() == ["tool4", "tool3", "tool2", "tool1", "tool0"]
    assert tools(limit=2, offset=1) == ["tool3", "tool2"]
    assert tools(source="egress") == ["tool3", "tool1"]
    assert tools(q="H3.exa") == ["tool3"]
    assert tools(decision="block") == []
    assert tools(status="open", limit=1) == ["tool4"]
    assert tools(since="2100-01-01T00:00:00Z") == []
    assert tools(since="0") == tools(since="2000-01-01T00:00:00+02:00") == tools()
    ids = [row["id"] for row in call.get("/v1/verdicts", params={"agent": "paged"}).json()["verdicts"]]
    assert tools(after=ids[1]) == ["tool4"]
    assert tools(before=ids[3]) == ["tool0"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=closed", "status"),
        ("decision=maybe", "decision"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
        ("since=yesterday", "since"),
        ("since=%C2%B2", "since"),
        ("flagged=maybe", "flagged"),
        ("q=%00", "q"),
        ("agent=" + "x" * 300, "agent"),
    ],
)
def test_a_filter_that_cannot_be_used_is_named(call, query, field):
    answer = call.get(f"/v1/verdicts?{query}")
    assert answer.status_code in (413, 422)
    assert answer.json()["error"]["field"] == field


def raw(server, head, body=b""):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head + b"\r\n\r\n" + body)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    "name", ["my agent", "a/b/c", "déjà vu", "agent/manifest", "日本 語", "a%b", "x+y", "manifest", "..", "a;b=c"]
)
def test_an_agents_name_may_stand_unencoded_in_the_path(server, name):
    key = server.key()
    body = b'{"tools":["only"],"destinations":[]}'
    head = (
        f"POST /v1/agents/{name}/manifest HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
    )
    status, answer = raw(server, head.encode() + b"Content-Length: %d" % len(body), body)
    assert status == 200, answer
    assert answer["agent"] == name
    assert answer["declaration"] == {"tools": ["only"], "destinations": [], "purpose": "", "data": []}
    head = f"GET /v1/policy?agent={name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close"
    assert raw(server, head.encode()) == (200, {"policies": []})


def test_two_requests_in_one_piece_are_answered_in_turn(server):
    key = server.key()
    body = json.dumps({"agent": "piped é", **report()}).encode()
    head = f"POST /v1/verdicts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    last = f"GET /v1/verdicts?agent=piped%20%C3%A9 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        # The second head comes with the first request, its body in a piece of its own.
        connection.sendall(head + body + head)
        connection.sendall(body[:5])
        connection.sendall(body[5:] + last.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert [part.split()[0] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"201", b"201", b"200"]


def test_organisations_do_not_see_each_other(server, call):
    other = another_organisation(server.directory, "beta")
    document = {"agent": "shared name", **report("secret_tool", id="same")}
    call.post("/v1/verdicts", json=document)
    [mine] = call.get("/v1/verdicts", params={"agent": "shared name"}).json()["verdicts"]
    with server.call(organisation=other) as stranger:
        assert stranger.get("/v1/whoami").json()["organisation"] == "beta"
        assert stranger.get("/v1/verdicts").json() == {"verdicts": []}
        assert stranger.get(f"/v1/verdicts/{mine['id']}").status_code == 404
        assert stranger.get("/v1/agents/profiles").json() == {"profiles": []}
        assert stranger.get("/v1/agents/shared name/profile").status_code == 404
        assert stranger.post("/v1/verdicts", json=document).status_code == 201
        # What a document says of its organisation is not looked at.
        forged = {"agent": "shared name", **report(organisation="default", id="forged")}
        assert stranger.post("/v1/verdicts", json=forged).status_code == 201
        assert len(stranger.get("/v1/verdicts").json()["verdicts"]) == 2
        assert all(day["actions"] in (0, 2) for day in stranger.get("/v1/metrics/timeseries").json()["days"])
    assert len(call.get("/v1/verdicts", params={"agent": "shared name"}).json()["verdicts"]) == 1


def test_a_key_that_is_bound_to_an_agent_speaks_for_no_other(server, call):
    call.post("/v1/verdicts", json={"agent": "free", **report()})
    [theirs] = call.get("/v1/verdicts", params={"agent": "free"}).json()["verdicts"]
    with server.call(agent="bound") as bound:
        assert bound.get("/v1/whoami").json()["agent"] == "bound"
        assert bound.post("/v1/verdicts", json={"agent": "free", **report()}).json()["error"]["field"] == "agent"
        assert bound.post("/v1/verdicts", json={**report()}).status_code == 201
        assert bound.post("/v1/agents/free/manifest", json={}).status_code == 403
        assert bound.post("/v1/agents/bound/manifest", json={}).status_code == 200
        assert bound.get("/v1/policy", params={"agent": "free"}).status_code == 403
        assert bound.get("/v1/bundle", params={"agent": "free"}).status_code == 403
        assert bound.get("/v1/verdicts", params={"agent": "free"}).status_code == 403
        assert {row["agent"] for row in bound.get("/v1/verdicts").json()["verdicts"]} == {"bound"}
        assert bound.get(f"/v1/verdicts/{theirs['id']}").status_code == 404
        assert [one["agent"] for one in bound.get("/v1/agents/profiles").json()["profiles"]] == ["bound"]
        batch = bound.post("/v1/verdicts:batch", json={"reports": [report(), {"agent": "free", **report()}]}).json()
        assert (batch["accepted"], [one["field"] for one in batch["rejected"]]) == (1, ["reports[1].agent"])


def test_what_a_client_blocked_is_not_learned(call, person):
    # It was never done: an agent that is kept from something must not come to be known for it.
    blocked = report(
        "wire_money", "attacker.example:443", decision="block", reason="blocked by policy: malicious domain"
    )
    for _ in range(40):
        done = call.post("/v1/verdicts", json={"agent": "kept from it", **report("look", "shop.example:443")})
        assert done.status_code == 201
        kept = call.post("/v1/verdicts", json={"agent": "kept from it", **blocked})
        assert kept.status_code == 201
    learned = person.get("/v1/agents/kept%20from%20it/profile").json()["profile"]
    assert learned["seen"] >= 40
    assert "look" in str(learned["learned"])
    assert "wire_money" not in str(learned["learned"])
    assert "attacker.example" not in str(learned["learned"])


SEEN = {"kind": "connect", "target": "api.stripe.com:443", "metadata": {"source": "egress"}}


@pytest.mark.parametrize("whole", [True, False], ids=["a batch that is read at once", "one"])
@pytest.mark.parametrize(
    ("scope", "source", "rung", "noted"),
    [
        ("agent", "egress", 3, True),
        ("sdk", "egress-told", 1, False),
        ("collector", "egress", 3, False),
        ("observer", "egress", 3, False),
    ],
)
def test_who_may_say_what_the_network_saw(server, call, scope, source, rung, noted, whole):
    agent = f"seen {scope} {whole}"
    said = {"agent": agent, "action": SEEN, "verdict": ALLOW}
    with server.call(scope) as speaks:
        answer = (
            speaks.post("/v1/verdicts:batch", json={"reports": [said]})
            if whole
            else speaks.post("/v1/verdicts", json=said)
        )
    assert answer.status_code in (200, 201)
    [row] = call.get("/v1/verdicts", params={"agent": agent}).json()["verdicts"]
    assert (row["source"], row["rung_number"]) == (source, rung)
    assert [note for note in row.get("notes", []) if "agents use" in note] == ([AN_AGENTS_KEY] if noted else [])


def test_an_agents_key_that_says_beside_its_own_word_that_others_saw_it_is_noted(server, call):
    action = {"tool": "t", "target": "https://good.example/", "seen_by": ["sdk", "ebpf"]}
    said = {"agent": "seen beside", "action": action, "verdict": ALLOW}
    assert call.post("/v1/verdicts", json=said).status_code in (200, 201)
    [row] = call.get("/v1/verdicts", params={"agent": "seen beside"}).json()["verdicts"]
    assert (row["source"], row["notes"]) == ("sdk", [AN_AGENTS_KEY])


def test_a_collectors_key_declares_nothing(server):
    with server.call("collector") as proxy:
        assert proxy.get("/v1/policy", params={"agent": "a"}).status_code == 200
        assert proxy.post("/v1/agents/a/manifest", json={"tools": ["all"]}).status_code == 403
