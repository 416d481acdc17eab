"""Compiled policies: what they say, what they refuse, and what they remember."""

from __future__ import annotations

import pytest

from kaizen_security.contract import compiled as module
from kaizen_security.contract.action import Action
from kaizen_security.contract.compiled import Correlation, compile_policies
from kaizen_security.contract.compiled_correlation import MAX_AGENTS, MAX_RUNS, WINDOW
from kaizen_security.contract.compiled_patterns import MAX_NODES, Automaton
from kaizen_security.contract.compiled_ranges import Ranges
from kaizen_security.contract.compiled_rules import parse_range
from kaizen_security.contract.compiled_syntax import parse
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Decision, Verdict

READ = {"sensitive": True}


def connect(target="evil.example", **more):
    return Action(kind="connect", target=target, **more)


def blocklist(name="org", **rules):
    return Policy("blocklist", rules, name)


def test_a_finding_names_policy_rule_entry_field_and_what_to_do():
    (finding,) = compile_policies([blocklist(domains=["evil.example"])]).findings(connect("https://a.evil.example/x"))
    assert (finding.kind, finding.value, finding.source) == ("malicious domain", "a.evil.example", "policy:org")
    assert (finding.detection, finding.field, finding.attack) == ("policy", "target", "blocked-host")
    assert "domains" in finding.expected
    assert "evil.example" in finding.expected
    assert finding.observed == "a.evil.example"
    assert "org" in finding.advice


@pytest.mark.parametrize(
    ("rules", "action", "entry"),
    [
        ({"ips": ["10.0.0.0/8"]}, connect("10.1.2.3"), "10.0.0.0/8"),
        ({"ips": ["10.1.2.3"]}, connect("10.1.2.3"), "10.1.2.3)"),
        ({"ips": ["2001:db8::/32"]}, connect("[2001:db8::1]:1"), "2001:db8::/32"),
        ({"domains": ["*.evil.example"]}, connect("a.evil.example"), "*.evil.example"),
        ({"skill_patterns": ["drop_.*"]}, Action(tool="drop_all"), "drop_.*"),
    ],
)
def test_a_finding_names_the_entry_that_matched(rules, action, entry):
    (finding,) = compile_policies([blocklist(**rules)]).findings(action)
    assert entry in finding.expected


def test_a_policy_without_a_name_is_named_by_its_mode():
    (finding,) = compile_policies([blocklist("", domains=["evil.example"])]).findings(connect())
    assert finding.source == "policy:blocklist"


def test_an_error_names_a_policy_without_a_name_by_its_place():
    with pytest.raises(Misconfigured, match=r"policy number 2 \(blocklist\): rule ips\[0\]"):
        compile_policies([blocklist(), blocklist("", ips=["x"])])


def test_the_most_special_domain_that_is_listed_is_named():
    compiled = compile_policies([blocklist(domains=["example", "evil.example"])])
    assert "(evil.example)" in compiled.findings(connect("a.evil.example"))[0].expected


def test_values_in_findings_are_bounded():
    compiled = compile_policies([Policy("allowlist", {"tools": ["a"]}, "only"), blocklist(skill_patterns=["x+"])])
    assert max(len(finding.value) for finding in compiled.findings(Action(tool="x" * 5000))) == 512


def test_a_verdict_carries_the_action_s_id_and_the_policy_s_version():
    compiled = compile_policies([blocklist(domains=["evil.example"])])
    for action in (connect(id="7"), connect("good.test", id="7"), connect(id="7")):
        verdict = compiled.decide(action)
        assert (verdict.action_id, verdict.policy_version) == ("7", compiled.version)
    assert compiled.decide(connect()).action_id == ""


def test_a_verdict_that_was_built_quickly_is_a_verdict():
    compiled = compile_policies([blocklist(domains=["evil.example"])])
    verdict = compiled.decide(connect(id="7"))
    assert verdict == Verdict(
        decision=Decision.BLOCK,
        reason="blocked by policy: malicious domain",
        evidence=verdict.evidence,
        action_id="7",
        policy_version=compiled.version,
    )
    assert hash(verdict) == hash(compiled.decide(connect(id="7")))


def test_the_version_is_that_of_what_is_in_force():
    on, off = blocklist(domains=["evil.example"]), Policy("blocklist", {"domains": ["x.example"]}, "off", enabled=False)
    assert compile_policies([on, off]).version == compile_policies([on]).version
    assert compile_policies([on]).version != compile_policies([]).version
    assert compile_policies([blocklist(domains=["EVIL.example."])]).version == compile_policies([on]).version
    assert compile_policies([blocklist("other", domains=["evil.example"])]).version != compile_policies([on]).version


def test_a_policy_that_is_off_may_be_illegal_but_not_of_an_unknown_mode():
    compile_policies([Policy("blocklist", {"domains": ["a b"]}, "off", enabled=False)])
    with pytest.raises(Misconfigured, match="mode"):
        compile_policies([Policy("greylist", {}, "off", enabled=False)])


def test_what_is_remembered_is_bounded_and_what_is_dropped_is_counted(monkeypatch):
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    compiled = compile_policies([blocklist(domains=["evil.example"], skill_patterns=["x.*"])])
    for i in range(95):
        compiled.decide(connect(f"h{i}.example", tool=f"t{i}"))
    assert compiled.forgotten >= 90
    assert len(compiled._known) <= 10
    assert len(compiled._known_tools) <= 10


def test_long_texts_are_judged_and_not_remembered():
    compiled = compile_policies([blocklist(domains=["evil.example"])])
    assert compiled.decide(connect("https://evil.example/" + "x" * 4000)).blocked
    assert compiled._known == {}


def test_the_hash_counts_for_what_is_remembered():
    compiled = compile_policies([blocklist(hashes=["abc"])])
    assert [compiled.decide(Action(tool="t", hash=h)).blocked for h in ("x", "abc", "x", "", "abc", "")] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]


# --- patterns ----------------------------------------------------------------------------------------------------------------


def test_patterns_that_are_too_large_together_are_refused_by_name():
    with pytest.raises(Misconfigured, match=r"'big'.*skill_patterns.*too large"):
        compile_policies([blocklist("big", skill_patterns=[f"(a{{100}}{i}b?){{50}}" for i in range(5)])])
    assert MAX_NODES == 10_000


@pytest.mark.parametrize(
    "pattern", ["(" * 41 + ")" * 41, "a" * 1001, "a{1001}", "a{3,2}", "((((a{900}){900}){900}){900})"]
)
def test_a_pattern_without_measure_is_refused_and_quickly(pattern):
    with pytest.raises(Misconfigured):
        compile_policies([blocklist(skill_patterns=[pattern])])


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("^ab$", "ab", "xab"),
        ("(^a|b)c", "ac", "aac"),
        ("a?(^b|c)", "b", "ab"),
        ("(a$|a)b?", "a", "aa"),
        ("a($|b)c?", "a", "ac"),
        (r"a\b-\bb", "a-b", "a--b"),
        (r"a\Bb", "ab", "a-b"),
    ],
)
def test_assertions_hold_where_they_stand(pattern, matching, other):
    automaton = Automaton([parse(pattern)])
    assert automaton.match(matching) == (0,)
    assert automaton.match(other) == ()


def test_many_literal_patterns_are_no_automaton():
    compiled = compile_policies([blocklist(skill_patterns=[f"tool_{i}" for i in range(20_000)])])
    assert compiled.decide(Action(tool="tool_19999")).blocked
    assert compiled.decide(Action(tool="tool_20000")).allowed


def test_what_an_automaton_remembers_is_bounded_and_counted():
    automaton = Automaton([parse(".*a.{12}")])
    for i in range(2**13):
        automaton.match(f"{i:013b}".replace("0", "a").replace("1", "b") * 2)
    assert len(automaton._states) <= 1000
    assert automaton.forgotten > 0


def test_an_automaton_answers_the_same_after_it_forgot():
    automaton = Automaton([parse(".*a.{12}")])
    texts = [f"{i:014b}".replace("0", "a").replace("1", "b") for i in range(3000)]
    first = [automaton.match(text) for text in texts]
    assert automaton.forgotten > 0
    assert [automaton.match(text) for text in texts] == first == [(0,) if t[1] == "a" else () for t in texts]


def test_characters_that_were_never_seen_are_classified_without_being_kept_for_ever():
    automaton = Automaton([parse(r"\w+")])
    for code in range(0x4E00, 0x4E00 + 6000):
        assert automaton.match(chr(code)) == (0,)
    assert len(automaton._chars) <= 4096


# --- ranges ------------------------------------------------------------------------------------------------------------------


def test_nested_ranges_of_several_owners_are_all_found_widest_first():
    spans = [(parse_range("10.0.0.0/8"), 0), (parse_range("10.1.0.0/16"), 1), (parse_range("10.1.2.3"), 0)]
    ranges = Ranges(4, spans)
    assert ranges.find(0x0A010203) == [(0, 8), (1, 16), (0, 32)]
    assert ranges.find(0x0B000000) == ()
    assert not Ranges(6, spans)


@pytest.mark.parametrize(
    ("text", "family", "length"),
    [
        ("1.2.3.4", 4, 32),
        ("1.2.3.4/0", 4, 0),
        ("0x01020304/8", 4, 8),
        ("::ffff:1.2.3.0/120", 4, 24),
        ("::/0", 6, 0),
        ("64:ff9b::/96", 4, 0),
        ("[2001:db8::]/32", 6, 32),
        ("::1", 6, 128),
        (" 10.0.0.0/8 ", 4, 8),
    ],
)
def test_a_range_is_read(text, family, length):
    span = parse_range(text)
    assert (span.family, span.length) == (family, length)


def test_every_nat64_address_is_every_ipv4_address():
    compiled = compile_policies([blocklist(ips=["64:ff9b::/96"])])
    assert compiled.decide(connect("64:ff9b::1.2.3.4")).blocked


# --- correlation -------------------------------------------------------------------------------------------------------------


def read(**more):
    return Action(kind="file", target="/x", metadata=READ, **more)


def test_runs_and_agents_and_organisations_are_apart():
    memory = Correlation()
    memory.see(read(run_id="r", agent="a", organisation="o"))
    for other in ({"run_id": "s"}, {"agent": "b"}, {"organisation": "p"}, {"run_id": ""}):
        assert memory.see(connect(**{"run_id": "r", "agent": "a", "organisation": "o", **other})) is None
    assert memory.see(connect(run_id="r", agent="a", organisation="o")) is not None


def test_a_finding_of_the_correlation_is_full_and_from_its_policy():
    compiled = compile_policies([Policy("correlation", {"risky_sequence": "read_then_connect"}, "sequence")])
    memory = compiled.correlation()
    memory.see(read(run_id="r"))
    finding = memory.see(connect(run_id="r"))
    assert (finding.kind, finding.source, finding.attack) == ("risky sequence", "policy:sequence", "read-then-egress")
    assert all((finding.value, finding.detection, finding.field, finding.expected, finding.observed, finding.advice))


def test_a_run_is_flooded_in_vain():
    memory = Correlation()
    memory.see(read(run_id="r"))
    for i in range(5000):
        memory.see(Action(tool=f"t{i}", run_id="r"))
    assert memory.see(connect(run_id="r")) is not None


def test_without_a_run_a_read_counts_for_a_number_of_actions():
    for between, found in ((WINDOW - 1, True), (WINDOW, True), (WINDOW + 1, False)):
        memory = Correlation()
        memory.see(read())
        for _ in range(between - 1):
            memory.see(Action(tool="t"))
        assert (memory.see(connect()) is not None) == found


def test_the_end_of_a_run_is_the_end_of_its_mark():
    memory = Correlation()
    memory.see(read(run_id="r"))
    memory.end("", "default", "r")
    memory.end("", "nobody", "r")
    assert memory.see(connect(run_id="r")) is None
    assert memory._agents == {}


def test_memory_of_runs_and_agents_is_bounded_and_losses_are_counted():
    memory = Correlation()
    for i in range(MAX_RUNS + 5):
        memory.see(read(run_id=str(i)))
    assert memory.forgotten == 5
    assert memory.see(connect(run_id=str(MAX_RUNS))) is not None
    memory = Correlation()
    for i in range(MAX_AGENTS + 3):
        memory.see(read(agent=str(i)))
    assert memory.forgotten == 3
