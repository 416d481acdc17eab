"""Policy that is put in force on our server holds in clients that are deployed already."""

from __future__ import annotations

import pytest

BLOCKED = "blocked by policy: "
DOMAIN, ADDRESS, TOOL = (
    BLOCKED + kind for kind in ("malicious domain", "known-bad address", "malicious skill pattern")
)
NOTHING = "no policy matched"


def reasons(program, *actions, agent="policy"):
    """The deployed client's reason for each action, one client for all of them."""
    code = f"client = attached({agent!r})\ntold([client.inspect(Action(**fields)) for fields in {list(actions)!r}])"
    with program(code) as running:
        verdicts = running.answer()
    assert all((verdict["decision"] == "allow") == (verdict["reason"] == NOTHING) for verdict in verdicts)
    return [verdict["reason"] for verdict in verdicts]


def test_without_a_policy_everything_is_allowed(program):
    assert reasons(program, {"tool": "x", "target": "anywhere.example:443"}) == [NOTHING]


@pytest.mark.parametrize(
    ("destination", "targets", "reason"),
    [
        ("attacker.example", ["attacker.example", "attacker.example:443", "https://u@a.attacker.example/x?y"], DOMAIN),
        ("Attacker.Example.", ["attacker.example:443", "ATTACKER.EXAMPLE."], DOMAIN),
        ("*.attacker.example", ["a.attacker.example:443", "https://b.a.attacker.example/"], DOMAIN),
        ("bücher.example", ["xn--bcher-kva.example:443", "https://bücher.example/"], DOMAIN),
        ("*.bücher.example", ["a.xn--bcher-kva.example:443", "https://a.bücher.example/"], DOMAIN),
        ("198.51.100.7", ["198.51.100.7", "198.51.100.7:443", "http://198.51.100.7/x"], ADDRESS),
        ("203.0.113.0/24", ["203.0.113.77:443"], ADDRESS),
        ("203.0.113.8/24", ["203.0.113.77:443"], ADDRESS),
        ("0xcb007109", ["203.0.113.9:443"], ADDRESS),
        ("2001:DB8:0::1", ["2001:db8::1", "[2001:db8::1]:443", "http://[2001:db8::1]/"], ADDRESS),
        ("2001:db8::/32", ["[2001:db8:1::9]:443"], ADDRESS),
        ("::ffff:203.0.113.9", ["203.0.113.9:443"], ADDRESS),
    ],
)
def test_a_blocked_destination_is_blocked_with_the_documented_reason(
    program, organisation, destination, targets, reason
):
    organisation(mode="blocklist", destinations=[destination])
    other = {"kind": "connect", "target": "elsewhere.example:443"}
    blocked = [{"kind": "connect", "target": target} for target in targets]
    assert reasons(program, *blocked, other) == [reason] * len(targets) + [NOTHING]


@pytest.mark.parametrize("tool", ["delete_all", "wire.money(*)", "a/b", "déjà vu", "C:\\x", "[x]{2}+?|^$"])
def test_a_blocked_tool_is_blocked_and_no_other(program, organisation, tool):
    organisation(mode="blocklist", tools=[tool])
    assert reasons(program, {"tool": tool}, {"tool": tool + "2"}, {"tool": "re" + tool}) == [TOOL, NOTHING, NOTHING]


def test_an_allowlist_of_tools_blocks_every_other(program, organisation):
    organisation(mode="allowlist", tools=["issue_refund"])
    allowed, refused = reasons(program, {"tool": "issue_refund"}, {"tool": "wire_money"})
    assert (allowed, refused) == (NOTHING, BLOCKED + "tool not on the allowlist")


def test_an_allowlist_of_destinations_does_not_make_old_clients_drop_the_rest(program, organisation, person):
    # They know no such rule. Our server applies it to what they report.
    blocklist = {"mode": "blocklist", "rules": {"publishers": ["evil"]}, "name": "publishers"}
    person.post("/v1/policies", json=blocklist).raise_for_status()
    organisation(mode="allowlist", destinations=["api.stripe.com"])
    said = reasons(program, {"tool": "x", "publisher": "evil"}, {"target": "elsewhere.example"})
    assert said == [BLOCKED + "blacklisted publisher", NOTHING]


def test_a_sensitive_read_followed_by_a_connection_is_blocked(program, organisation):
    organisation(mode="off", correlation=True)
    read = {"kind": "file", "target": "/home/ada/payroll.xlsx", "metadata": {"sensitive": True}}
    out = {"kind": "connect", "target": "forms.example:443"}
    assert reasons(program, out, read, out) == [
        NOTHING,
        NOTHING,
        "blocked by correlation: sensitive read then outbound connect",
    ]


def test_policies_of_one_s_own_are_in_force_together_with_the_organisation_s(program, organisation, person):
    rules = {"publishers": ["evil"], "hashes": ["ABC123"], "skill_patterns": ["^rm_.*$"], "domains": ["paste.example"]}
    person.post("/v1/policies", json={"mode": "blocklist", "rules": rules, "name": "mine"}).raise_for_status()
    organisation(mode="blocklist", tools=["delete_all"])
    actions = [
        {"tool": "x", "publisher": "Evil"},
        {"hash": "abc123"},
        {"tool": "rm_all", "target": "paste.example"},
        {"tool": "delete_all"},
        {"tool": "x", "target": "good.example"},
    ]
    assert reasons(program, *actions) == [
        BLOCKED + "blacklisted publisher",
        BLOCKED + "known-bad hash",
        BLOCKED + "malicious domain, malicious skill pattern",
        TOOL,
        NOTHING,
    ]


def test_a_policy_that_is_off_is_not_in_force(program, organisation, person):
    policy = {"mode": "blocklist", "rules": {"publishers": ["evil"]}, "name": "off", "enabled": False}
    person.post("/v1/policies", json=policy).raise_for_status()
    assert reasons(program, {"publisher": "evil"}) == [NOTHING]


def test_policy_is_fetched_when_a_client_is_made_and_not_when_it_is_told_not_to(program, organisation):
    code = """
early = attached("sync")
told("made")
hold()
late, deaf = attached("sync"), attached("sync", sync=False)
told([client.inspect(tool="delete_all").decision for client in (early, late, deaf)])
"""
    with program(code) as running:
        assert running.answer() == "made"
        organisation(mode="blocklist", tools=["delete_all"])
        running.go_on()
        assert running.answer() == ["allow", "block", "allow"]


def test_a_client_that_was_given_policies_asks_for_none_of_the_server_s(program, organisation):
    organisation(mode="blocklist", tools=["delete_all"])
    code = """
client = attached(policies=[Policy("blocklist", {"domains": ["evil.example"]}, name="own")])
told([client.inspect(tool="delete_all").reason, client.inspect(target="evil.example").reason])
"""
    with program(code) as running:
        assert running.answer() == [NOTHING, DOMAIN]
