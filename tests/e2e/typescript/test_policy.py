"""The organisation's policy as an agent of Node gets it, and what holds when nobody can answer."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kaizen_security.contract.bundle import Bundle, key_hash, seal, signing_key
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode
from tests.e2e.typescript.conftest import KEY
from tests.unit.client.upstream import Upstream, reply, until

DENIED = Policy("blocklist", {"domains": ["evil.example"]}, name="org")
SAY = (
    "const { problem } = kaizen;\nconst { mode, origin } = kaizen.rules;\n"
    "console.log(JSON.stringify({ ...verdict, mode, origin, problem }));\n"
)


def sealed(**stated):
    now = time.time()
    bundle = Bundle(agent="default", version=3, policies=(DENIED,), issued_at=now, expires_at=now + 3600)
    return seal(replace(bundle, **stated), signing_key(key_hash(KEY)))


@pytest.fixture
def upstream(agents):
    with Upstream() as upstream:
        agents.url = upstream.url
        yield upstream


def verdict(agents, call="{ tool: 'send', target: 'evil.example:443' }", **options):
    out = agents.ran(f"const verdict = await kaizen.inspect({call});\n{SAY}", sync=True, **options)
    return json.loads(out)


def test_the_first_verdict_waits_for_the_signed_policy(agents, upstream):
    upstream.bundle = sealed(mode=Mode.ENFORCE), '"3"'
    said = verdict(agents)
    assert (said["decision"], said["reason"]) == ("block", "blocked by policy: malicious domain")
    assert said["evidence"][0]["source"] == "policy:org"
    assert (said["mode"], said["origin"]) == ("enforce", "bundle")


def test_it_is_kept_on_disk_and_holds_without_the_server(agents, upstream):
    upstream.bundle = sealed(), '"3"'
    verdict(agents)
    upstream.faults = lambda *_: reply({}, 503)
    said = verdict(agents)
    assert (said["decision"], said["origin"]) == ("block", "cache")


@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_one_that_has_expired_still_blocks_and_allows_for_nobody(agents, upstream, mode):
    upstream.bundle = sealed(), '"3"'
    verdict(agents)
    [kept] = Path(agents.data).rglob("bundle-*.json")
    kept.write_bytes(sealed(expires_at=time.time() - 1))
    upstream.faults = lambda *_: reply({}, 503)
    assert verdict(agents)["decision"] == "block"
    said = verdict(agents, "{ tool: 'send', target: 'good.example' }", mode=mode)
    assert said["decision"] == ("block" if mode == "enforce" else "allow")
    assert said["evidence"][0]["kind"] == "unprotected"
    assert "expired" in said["evidence"][0]["value"]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (lambda: sealed(agent="other"), "another agent"),
        (lambda: sealed().replace(b"evil", b"good"), "does not match"),
        (lambda: seal(Bundle(agent="default", version=9, expires_at=2e9), b"another key"), "does not match"),
        (lambda: b'{"bundle": "{}", "signature": ""}', "does not match"),
        (lambda: b"[]", "must be an object"),
        (lambda: sealed(policies=(Policy("blocklist", {"domains": ["http://x/"]}),)), "host name"),
    ],
    ids=["another agent's", "changed", "another key", "unsigned", "no document", "a policy that means nothing"],
)
def test_one_that_cannot_be_trusted_is_refused(agents, upstream, document, why):
    upstream.bundle = document(), '"x"'
    said = verdict(agents, "{ tool: 'x' }", mode="enforce")
    assert (said["decision"], said["reason"]) == ("block", "engine error, failed closed")
    assert why in said["problem"]


def test_an_older_version_than_one_seen_is_refused(agents, upstream):
    upstream.bundle = sealed(version=7), '"7"'
    verdict(agents)
    upstream.bundle = sealed(version=6, policies=()), '"6"'
    said = verdict(agents)
    assert (said["decision"], said["origin"]) == ("block", "cache")
    assert "rollback" in said["problem"]


def test_whoever_stands_between_cannot_take_the_signature_away(agents, upstream):
    upstream.bundle = sealed(version=0), '"0"'
    verdict(agents)
    upstream.bundle = None
    assert verdict(agents)["origin"] == "cache"


def test_that_nothing_has_changed_is_no_policy_where_there_was_none(agents, upstream):
    upstream.faults = lambda *_: reply({}, 304)
    said = verdict(agents, "{ tool: 'x' }", mode="enforce")
    assert (said["decision"], said["reason"]) == ("block", "engine error, failed closed")


def test_a_server_without_bundles_gives_the_list_of_the_wire_contract(agents, upstream):
    upstream.policies = [{"mode": "blocklist", "rules": {"domains": ["evil.example"]}, "name": "", "enabled": True}]
    said = verdict(agents)
    assert (said["decision"], said["origin"]) == ("block", "policy")


def test_a_change_arrives_while_the_agent_runs(agents, upstream):
    upstream.bundle = sealed(policies=()), '"3"'
    agent = agents.start(
        "await kaizen.inspect({ tool: 'x' });\n"
        "while ((await kaizen.inspect({ tool: 'send', target: 'evil.example' })).allowed) await sleep(50);",
        options={"sync": True},
    )
    until(lambda: any(path.startswith("/v1/bundle") for _, path, *_ in upstream.seen))
    upstream.bundle = sealed(version=4), '"4"'
    assert agent.wait(40) == 0


def test_what_the_organisation_declared_holds_and_a_suppression_too(agents, upstream):
    upstream.bundle = sealed(mode=Mode.ENFORCE, declaration=Declaration(tools=("search",)), policies=()), '"3"'
    said = verdict(agents, "{ tool: 'delete' }")
    assert (said["decision"], said["reason"]) == (
        "block",
        "undeclared: this agent used a tool it never declared (delete).",
    )
    assert verdict(agents, "{ tool: 'search' }")["decision"] == "allow"


@pytest.mark.parametrize(("mode", "decision"), [("observe", "allow"), ("enforce", "block")])
def test_without_policy_and_server_the_mode_says_what_holds(agents, mode, decision):
    said = verdict(agents, "{ tool: 'x' }", mode=mode)
    assert said["decision"] == decision
    assert said["evidence"][0]["kind"] == "unprotected"
    assert verdict(agents, "{ tool: 'x' }", mode=mode, failOpen=True)["decision"] == "allow"


def test_a_sub_agent_reports_under_its_own_name_with_its_owners_key(agents, upstream):
    agents.ran(
        "await kaizen.named('researcher').inspect({ tool: 'search' });\nawait kaizen.inspect({ tool: 'pay' });\n"
        "if (!(await kaizen.flush(60))) throw new Error(kaizen.problem);",
        agent="billing",
    )
    assert {(report["agent"], report["action"]["tool"]) for report in upstream.reports} == {
        ("billing/researcher", "search"),
        ("billing", "pay"),
    }
    assert {headers["Authorization"] for _, _, headers, _ in upstream.seen} == {f"Bearer {KEY}"}


@pytest.fixture
def sidecar(agents):
    with Upstream(unix=str(agents.folder / "s.sock")) as sidecar:
        yield sidecar


def test_the_sidecar_is_asked_and_hears_request_result_and_end(agents, sidecar):
    agents.ran(
        "const lookup = kaizen.guard(async function lookup({ key }) { return `value of ${key}`; });\n"
        "await kaizen.run('find it', () => lookup({ key: 'a' }));\nawait kaizen.close();",
        sidecar=sidecar.url,
    )
    [asked] = sidecar.asked
    assert (asked["tool"], asked["metadata"]["arguments"], asked["metadata"]["source"]) == (
        "lookup",
        {"key": "a"},
        "sdk",
    )
    assert [step["step"] for step in sidecar.steps] == ["request", "result", "end"]
    assert {step["run_id"] for step in sidecar.steps} == {asked["run_id"]}
    assert sidecar.steps[1]["content"] == "value of a"
    assert sidecar.steps[1]["action_id"] == asked["id"]


def test_over_loopback_only_boundary_fields_leave(agents, upstream):
    agents.ran(
        "const send = kaizen.guard(async function send({ body }) { return body; });\n"
        "await kaizen.run('CANARY-1', () => send({ body: 'CANARY-2' }));\nawait kaizen.close();",
        sidecar=upstream.url,
    )
    assert upstream.asked[0]["tool"] == "send"
    assert not any(b"CANARY" in body for *_, body in upstream.seen)


def test_a_blocked_call_never_runs(agents, sidecar):
    sidecar.verdict = {"decision": "block", "reason": "no", "evidence": [], "confidence": None}
    out = agents.ran(
        "const run = kaizen.guard(async () => console.log('ran'), { tool: 'run' });\n"
        "try { await run(); } catch (err) { console.log(err instanceof KaizenBlocked, err.message); }",
        sidecar=sidecar.url,
    )
    assert out == "true Blocked by Kaizen: no\n"


@pytest.mark.parametrize(("mode", "decision"), [("observe", "allow"), ("enforce", "block")])
@pytest.mark.parametrize("fault", ["gone", "slow", "nonsense", "refusing"])
def test_a_sidecar_that_does_not_answer_means_what_the_mode_says(agents, sidecar, mode, decision, fault):
    if fault == "gone":
        sidecar.stop()
        Path(sidecar.url.removeprefix("unix://")).unlink()
    sidecar.delay = 1.0 if fault == "slow" else 0.0
    answers = {"nonsense": (200, {}, b"<html>"), "refusing": reply({"error": {"message": "no"}}, 500)}
    sidecar.faults = lambda _, path: answers.get(fault) if path == "/v1/inspect" else None
    said = verdict(agents, "{ tool: 'x' }", sidecar=sidecar.url, mode=mode, deadline=0.3)
    assert said["decision"] == decision
    assert said["evidence"][0]["kind"] == "unprotected"


def test_inspect_sync_does_not_speak_for_the_sidecar(agents, sidecar):
    out = agents.ran(
        "const verdict = kaizen.inspectSync({ tool: 'x' });\n" + SAY, sidecar=sidecar.url, mode="enforce", sync=False
    )
    said = json.loads(out)
    assert (said["decision"], said["evidence"][0]["kind"]) == ("block", "unprotected")


def test_a_held_action_waits_for_a_person(agents, sidecar):
    held = {**sidecar.verdict, "decision": "block", "reason": "asked", "notes": ["held: waits for a person"]}
    held["pending"] = {"id": "h1", "expires_at": "2030-01-01T00:00:00Z"}
    released = {**sidecar.verdict, "notes": ["released once by a person"]}
    sidecar.verdict = held

    def looked(_, path):
        if not path.startswith("/v1/holds/h1?wait="):
            return None
        sidecar.verdict = released
        return reply({})

    sidecar.faults = looked
    said = verdict(agents, "{ tool: 'pay' }", sidecar=sidecar.url, mode="enforce", holdSeconds=120)
    assert (said["decision"], said["notes"]) == ("allow", ["released once by a person"])
    sidecar.verdict, sidecar.faults = held, None
    said = verdict(agents, "{ tool: 'pay' }", sidecar=sidecar.url, holdSeconds=0.3)
    assert (said["decision"], said["pending"]["id"]) == ("block", "h1")


def test_a_declaration_is_sent_until_it_is_taken(agents, sidecar):
    attempts = []

    def refusing(_, path):
        if path.endswith("/manifest"):
            attempts.append(path)
            return reply({}, 503) if len(attempts) < 2 else None
        return None

    sidecar.faults = refusing
    agent = agents.start(
        "console.log(await kaizen.declare({ tools: ['search'], destinations: ['api.example'], purpose: 'p' }));\n"
        "process.stdin.on('end', () => process.exit(0)).resume();",
        options={"sidecar": sidecar.url, "agent": "a b/c"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert agent.stdout.readline() == "false\n"
    until(lambda: sidecar.manifests)
    out, _ = agent.communicate()
    assert (out, agent.returncode, len(attempts)) == ("", 0, 2)
    assert sidecar.manifests == {"a b/c": {"tools": ["search"], "destinations": ["api.example"], "purpose": "p"}}


def test_steps_go_before_anybody_asks_and_an_attach_point_reports_what_it_decided(agents, sidecar):
    out = agents.ran(
        "const said = await kaizen.ready();\n"
        "const handed = await kaizen.run('find it', () => kaizen.handOver(60));\n"
        "const action = { ...(await new Promise((done) => { kaizen.onVerdict = (_, seen) => done(seen); "
        "kaizen.inspectSync({ tool: 'held back' }); })) };\n"
        "kaizen.report(action, evaluate({ tool: 'held back' }, [{ mode: 'blocklist', rules: "
        "{ skill_patterns: ['held back'] } }]));\n"
        "console.log(said, handed, await kaizen.flush());",
        sidecar=sidecar.url,
    )
    assert out == "true true true\n"
    assert [step["step"] for step in sidecar.steps] == ["request", "end"]
    assert sidecar.asked == []
    assert "blocked by policy: malicious skill pattern" in [report["verdict"]["reason"] for report in sidecar.reports]
