"""What is in force, who may change it, and how it reaches agents."""

from __future__ import annotations

import concurrent.futures
import re
import time

import pytest

from kaizen_security.contract.bundle import decode_policy, key_hash, signing_key, unseal
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.verdict import Mode
from tests.e2e.server.running import Caller, report

LEGAL = {
    "blocklist": {"publishers", "ips", "ip", "domains", "hashes", "skill_patterns"},
    "allowlist": {"publishers", "tools"},
    "correlation": {"risky_sequence"},
}


@pytest.fixture(autouse=True)
def _off(person):
    yield
    person.post("/v1/org-policy", json={"mode": "off"})
    for policy in person.get("/v1/policies").json()["policies"]:
        person.delete(f"/v1/policies/{policy['name']}")


def served(call):
    policies = call.get("/v1/policy", params={"agent": "a"}).json()["policies"]
    for policy in policies:
        assert set(policy) == {"mode", "rules", "name", "enabled"}
        assert policy["enabled"] is True
        assert set(policy["rules"]) <= LEGAL[policy["mode"]]
        if policy["mode"] == "allowlist":
            assert policy["rules"].get("publishers") or policy["rules"].get("tools")
    compile_policies([decode_policy(policy) for policy in policies])
    return policies


def test_nothing_is_in_force_at_first(call, person):
    assert served(call) == []
    assert person.get("/v1/org-policy").json() == {"mode": "off", "tools": [], "destinations": [], "correlation": False}


def test_an_organisations_blocklist_travels_in_forms_that_deployed_clients_know(call, person):
    said = {
        "mode": "blocklist",
        "tools": ["wire.money(*)", "déjà vu", "wire.money(*)"],
        "destinations": [
            "Attacker.Example.",
            "*.bad.example",
            "198.51.100.7",
            "203.0.113.0/24",
            "2001:db8::1",
            "0x7f.1",
        ],
        "correlation": True,
    }
    kept = person.post("/v1/org-policy", json=said).json()
    assert kept["tools"] == ["wire.money(*)", "déjà vu"]
    blocklist, correlation = served(call)
    assert blocklist["rules"]["domains"] == ["attacker.example", "bad.example"]
    assert (
        blocklist["rules"]["ips"]
        == blocklist["rules"]["ip"]
        == ["198.51.100.7", "203.0.113.0/24", "2001:db8::1", "127.0.0.1"]
    )
    pattern = blocklist["rules"]["skill_patterns"][0]
    assert re.search(pattern, "wire.money(*)")
    assert not re.search(pattern, "wire_money(*)")
    assert not re.search(pattern, "rewire.money(*)")
    assert correlation["rules"] == {"risky_sequence": "read_then_connect"}
    found = call.post("/v1/verdicts", json={"agent": "a", **report("wire.money(*)")}).json()
    assert found["reason"] == "blocked by policy: malicious skill pattern"
    found = call.post("/v1/verdicts", json={"agent": "a", **report("x", "https://sub.bad.example/")}).json()
    assert found["reason"] == "blocked by policy: malicious domain"


def test_an_organisations_allowlist_of_tools_is_served_and_applied(call, person):
    person.post("/v1/org-policy", json={"mode": "allowlist", "tools": ["issue_refund"]})
    [policy] = served(call)
    assert policy["rules"] == {"tools": ["issue_refund"]}
    assert call.post("/v1/verdicts", json={"agent": "l", **report("issue_refund")}).json()["decision"] == "allow"
    found = call.post("/v1/verdicts", json={"agent": "l", **report("wire_money")}).json()
    assert found["reason"] == "blocked by policy: tool not on the allowlist"


def test_an_allowlist_of_destinations_is_applied_to_reports_and_never_sent_in_an_illegal_form(call, person):
    person.post("/v1/org-policy", json={"mode": "allowlist", "destinations": ["api.stripe.com", "10.0.0.0/8"]})
    assert served(call) == []
    for target in ("api.stripe.com:443", "https://10.1.2.3/x", ""):
        assert call.post("/v1/verdicts", json={"agent": "d", **report("x", target)}).json()["decision"] == "allow"
    found = call.post("/v1/verdicts", json={"agent": "d", **report("x", "https://other.example/x")}).json()
    assert found["decision"] == "block"
    assert found["reason"] == "policy: this destination is not on the organisation's allowlist (other.example)"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"mode": "deny"}, "mode"),
        ({"mode": 7}, "mode"),
        ({"mode": "allowlist"}, "tools"),
        ({"mode": "blocklist", "tools": "x"}, "tools"),
        ({"mode": "blocklist", "tools": [" "]}, "tools[0]"),
        ({"mode": "blocklist", "tools": [None]}, "tools[0]"),
        ({"mode": "blocklist", "destinations": ["ok.example", "not a host"]}, "destinations[1]"),
        ({"mode": "blocklist", "destinations": ["*"]}, "destinations[0]"),
        ({"mode": "off", "correlation": "yes"}, "correlation"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_by_field_and_the_old_one_stays(call, person, document, field):
    person.post("/v1/org-policy", json={"mode": "blocklist", "tools": ["before"]})
    answer = person.post("/v1/org-policy", json=document)
    assert (answer.status_code, answer.json()["error"].get("field")) == (422, field)
    assert served(call)[0]["rules"] == {"skill_patterns": ["^before$"]}


@pytest.mark.parametrize(
    "document",
    [
        {"mode": "blocklist", "name": "", "rules": {}},
        {"mode": "allowlist", "name": "x", "rules": {}},
        {"mode": "firewall", "name": "x", "rules": {}},
        {"mode": "blocklist", "name": "x", "rules": {"skill_patterns": ["("]}},
        {"mode": "blocklist", "name": "x", "rules": {"ips": ["300.1.2.3.4"]}},
        {"mode": "blocklist", "name": "x", "rules": {"unheard_of": []}},
        {"mode": "correlation", "name": "x", "rules": {"risky_sequence": "other"}},
        {"mode": "allowlist", "name": "x", "rules": {}, "enabled": False},
        {"mode": "blocklist", "name": "organisation policy", "rules": {}},
    ],
)
def test_a_further_policy_that_does_not_compile_is_never_kept(call, person, document):
    assert person.post("/v1/policies", json=document).status_code == 422
    assert served(call) == []


def test_a_policy_that_is_not_enabled_is_kept_and_not_sent(call, person):
    document = {"mode": "blocklist", "name": "later", "rules": {"domains": ["x.example"]}, "enabled": False}
    assert person.post("/v1/policies", json=document).json() == document
    assert person.get("/v1/policies").json()["policies"] == [document]
    assert served(call) == []


def test_api_keys_change_no_policy_and_no_settings(call, observer):
    for caller in (call, observer):
        for method, path in [
            ("GET", "/v1/org-policy"),
            ("POST", "/v1/org-policy"),
            ("GET", "/v1/policies"),
            ("POST", "/v1/policies"),
            ("DELETE", "/v1/policies/x"),
            ("GET", "/v1/keys"),
            ("POST", "/v1/keys"),
            ("DELETE", "/v1/keys/x"),
            ("POST", "/v1/agents/a/settings"),
            ("POST", "/v1/agents/a/reset"),
            ("POST", "/v1/verdicts/x/status"),
            ("POST", "/v1/verdicts/x/learn"),
        ]:
            answer = caller.request(method, path, json={})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden"), path


def test_a_bundle_is_signed_for_the_key_that_asks_and_follows_every_change(server, person):
    token = server.key()
    signed_with = signing_key(key_hash(token))
    with Caller(server.url, token) as call:
        first = call.get("/v1/bundle", params={"agent": "b"})
        bundle = unseal(first.content, signed_with, agent="b", now=time.time())
        assert (bundle.policies, bundle.mode, bundle.paused) == ((), Mode.OBSERVE, False)
        tag = first.headers["etag"]
        assert call.get("/v1/bundle", params={"agent": "b"}, headers={"If-None-Match": tag}).status_code == 304
        person.post("/v1/org-policy", json={"mode": "blocklist", "tools": ["x"]})
        call.post("/v1/agents/b/manifest", json={"tools": ["t"]})
        person.post("/v1/agents/b/settings", json={"mode": "enforce", "paused": True})
        second = call.get("/v1/bundle", params={"agent": "b"}, headers={"If-None-Match": tag})
        newer = unseal(second.content, signed_with, agent="b", now=time.time(), newest=bundle.version)
        assert newer.version > bundle.version
        assert newer.declaration == Declaration(tools=("t",))
        assert (newer.mode, newer.paused, newer.policies[0].mode) == (Mode.ENFORCE, True, "blocklist")
        with server.call() as other, pytest.raises(Exception, match="signature"):
            unseal(other.get("/v1/bundle", params={"agent": "b"}).content, signed_with, agent="b", now=time.time())
    assert person.get("/v1/bundle").status_code == 403


def test_a_long_poll_is_answered_when_something_changes(server, person):
    with server.call() as call, concurrent.futures.ThreadPoolExecutor(1) as pool:
        tag = call.get("/v1/bundle", params={"agent": "poll"}).headers["etag"]
        started = time.monotonic()
        waiting = pool.submit(
            call.get, "/v1/bundle", params={"agent": "poll", "wait": "50"}, headers={"If-None-Match": tag}
        )
        assert not concurrent.futures.wait([waiting], timeout=0.5).done
        person.post("/v1/agents/poll/settings", json={"mode": "enforce"})
        answer = waiting.result(60)
        assert answer.status_code == 200
        assert answer.headers["etag"] != tag
        assert time.monotonic() - started < 45, "before the 50 seconds were over"
        tag = answer.headers["etag"]
        same = call.get("/v1/bundle", params={"agent": "poll", "wait": "0.2"}, headers={"If-None-Match": tag})
        assert same.status_code == 304
        assert call.get("/v1/bundle", params={"wait": "61"}).json()["error"]["field"] == "wait"


def test_a_key_that_is_revoked_while_it_waits_is_given_nothing_more(server, person):
    made = person.post("/v1/keys", json={"name": "poller", "scope": "agent"}).json()
    with Caller(server.url, made["key"]) as poller, concurrent.futures.ThreadPoolExecutor(1) as pool:
        tag = poller.get("/v1/bundle?agent=p").headers["etag"]
        waiting = pool.submit(poller.get, "/v1/bundle?agent=p&wait=50", headers={"If-None-Match": tag})
        began = time.monotonic()
        while not waiting.running():
            pass
        assert person.delete(f"/v1/keys/{made['id']}").status_code == 200
        assert waiting.result().status_code == 401
        assert time.monotonic() - began < 45, "before the 50 seconds were over"


def test_an_agent_that_is_paused_is_recorded_and_not_flagged(call, person):
    call.post("/v1/agents/resting/manifest", json={"tools": ["only"]})
    person.post("/v1/agents/resting/settings", json={"paused": True})
    assert call.post("/v1/verdicts", json={"agent": "resting", **report("other")}).json()["flagged"] is False
    person.post("/v1/agents/resting/settings", json={"paused": False})
    assert call.post("/v1/verdicts", json={"agent": "resting", **report("other")}).json()["flagged"] is True
    rows = call.get("/v1/verdicts", params={"agent": "resting"}).json()["verdicts"]
    assert [row["claimed"] for row in rows] == [False, True, True]


def test_settings_say_what_is_wrong_with_them(person):
    for document, field in [
        ({"mode": "off"}, "mode"),
        ({"paused": "yes"}, "paused"),
        ({"judge_enabled": 1}, "judge_enabled"),
    ]:
        assert person.post("/v1/agents/s/settings", json=document).json()["error"]["field"] == field
    made = person.post("/v1/agents/s/settings", json={"judge_enabled": False}).json()
    assert (made["judge_enabled"], made["mode"], made["paused"]) == (False, "observe", False)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"tools": "x"}, "tools"),
        ({"destinations": [3]}, "destinations[0]"),
        ({"destinations": ["*"]}, "destinations"),
        ({"tools": ["x" * 300]}, "tools[0]"),
        ({"tools": ["x"] * 1001}, "tools"),
        ([], "manifest"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused_and_the_old_one_stays(call, document, said):
    call.post("/v1/agents/careful/manifest", json={"tools": ["kept"]})
    answer = call.post("/v1/agents/careful/manifest", json=document)
    assert answer.status_code in (413, 422)
    assert said in str(answer.json()["error"]) or answer.json()["error"]["field"] == "body"
    assert call.get("/v1/agents/careful/profile").json()["declaration"]["tools"] == ["kept"]
