"""Laws of policies and declarations: deny never loosens, spelling does not help, the version is the content's."""

from __future__ import annotations

import ipaddress
import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.compiled_correlation import Correlation
from kaizen_security.contract.compiled_ranges import Ranges
from kaizen_security.contract.compiled_rules import parse_range
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.policy import Policy
from tests.properties import strategies as s
from tests.properties.test_contract_policy_canonical import anything

labels = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
names = st.lists(labels, min_size=2, max_size=4).map(".".join)
addresses = st.ip_addresses().map(str)
networks = st.ip_addresses(v=4).flatmap(lambda a: st.integers(0, 32).map(lambda n: f"{a}/{n}"))
words = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
blocklists = st.fixed_dictionaries(
    {},
    optional={
        "domains": st.lists(names | names.map("*.{}".format), max_size=3),
        "ips": st.lists(addresses | networks, max_size=3),
        "publishers": st.lists(words, max_size=3),
        "hashes": st.lists(st.text("0123456789abcdef", min_size=8, max_size=64), max_size=3),
        "skill_patterns": st.lists(words | st.sampled_from(["del.*", "[a-f]+", "(a|b)+c?"]), max_size=3),
    },
)
allowlists = st.fixed_dictionaries({"tools": st.lists(words, min_size=1, max_size=3)})
policies = st.builds(Policy, st.just("blocklist"), blocklists, words) | st.builds(
    Policy, st.just("allowlist"), allowlists, words
)
sets = st.lists(policies, max_size=4)


@st.composite
def aimed(draw, several):
    """An action that is likely to meet one of the policies' entries."""
    entries = {key: [] for key in ("domains", "ips", "publishers", "hashes", "skill_patterns", "tools")}
    for policy in several:
        for key, values in policy.rules.items():
            entries[key] += values
    places = [e.removeprefix("*.") for e in entries["domains"]] + [e.split("/")[0] for e in entries["ips"]]
    target = draw(st.sampled_from(places) if places else names)
    target = draw(st.sampled_from(["{}", "sub.{}", "https://{}/x", "{}:443", "{}."])).format(target)
    return Action(
        kind=draw(st.sampled_from(["connect", "tool_call"])),
        tool=draw(st.sampled_from(entries["skill_patterns"] + entries["tools"] + ["", "search"])),
        publisher=draw(st.sampled_from(entries["publishers"] + ["", "someone"])),
        hash=draw(st.sampled_from(entries["hashes"] + [""])),
        target=draw(st.sampled_from([target, "harmless.test"])),
    )


@given(st.data())
def test_a_policy_more_never_turns_a_block_into_an_allow(data):
    several, more = data.draw(sets), data.draw(policies)
    action = data.draw(aimed([*several, more]))
    if compile_policies(several).decide(action).blocked:
        assert compile_policies([*several, more]).decide(action).blocked


@given(st.data())
def test_an_entry_more_in_a_blocklist_never_turns_a_block_into_an_allow(data):
    rules, more = data.draw(blocklists), data.draw(blocklists)
    before = Policy("blocklist", rules, "p")
    after = Policy("blocklist", {key: [*rules.get(key, []), *more.get(key, [])] for key in {*rules, *more}}, "p")
    action = data.draw(aimed([before, after]))
    if compile_policies([before]).decide(action).blocked:
        assert compile_policies([after]).decide(action).blocked


@given(st.data())
def test_an_entry_less_in_an_allowlist_never_turns_a_block_into_an_allow(data):
    tools = data.draw(st.lists(words, min_size=2, max_size=5, unique=True))
    action = Action(tool=data.draw(st.sampled_from([*tools, "other"])))
    if compile_policies([Policy("allowlist", {"tools": tools}, "p")]).decide(action).blocked:
        assert compile_policies([Policy("allowlist", {"tools": tools[1:]}, "p")]).decide(action).blocked


def respelled(name):
    """Spellings that some client dials as ``name``."""
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in name)
    yield from (name.upper(), name + ".", name.replace(".", "\u3002"), name.replace(".", "\uff0e"), wide)
    yield from (
        name[0] + "\u00ad" + name[1:],
        name[0] + "\u200b" + name[1:],
        name[0] + "\u200d" + name[1:],
        f" {name}\t",
    )
    yield from (
        f"{name}:443",
        f"http://{name}",
        f"HTTPS://x:y@{name}:8443/p?q#f",
        f"//{name}/x",
        f"\\\\{name}\\x",
        f"http:\\\\{name}",
    )
    yield from (
        f"http:{name}",
        f"http:////{name}",
        f"ht\ntp://{name}",
        f"http://{name}\\@good.test",
        f"http://good.test\\@{name}",
    )
    yield from (
        f"http://%{ord(name[0]):02x}{name[1:]}/",
        f"mailto:someone@{name}",
        f"someone@{name}",
        f"git@{name}:x/y",
    )
    yield from (
        f"{name}:99999",
        f"sub.{name}",
        f"x..{name}",
        f"http://a@{name}@good.test",
        f"jdbc:postgresql://{name}:5432/db",
    )


@given(names)
def test_no_spelling_of_a_blocked_host_passes(name):
    compiled = compile_policies([Policy("blocklist", {"domains": [name]}, "p")])
    passed = [text for text in respelled(name) if compiled.decide(Action(kind="connect", target=text)).allowed]
    assert passed == []


@given(names, st.data())
def test_a_blocked_domain_blocks_in_whatever_spelling_it_was_listed(name, data):
    listed = data.draw(st.sampled_from([name.upper(), name + ".", name.replace(".", "\u3002"), f" {name} "]))
    compiled = compile_policies([Policy("blocklist", {"domains": [listed]}, "p")])
    assert compiled.decide(Action(kind="connect", target=name)).blocked


@given(st.ip_addresses(v=4).filter(lambda a: int(a) > 0xFFFF), st.integers(8, 32))
def test_no_spelling_of_a_blocked_address_passes(address, length):
    n = int(address)
    compiled = compile_policies([Policy("blocklist", {"ips": [f"{address}/{length}"]}, "p")])
    spelled = [
        str(n),
        f"{n:#x}",
        f"0{n:o}",
        f"{n >> 24}.{n & 0xFFFFFF}",
        f"::ffff:{address}",
        f"::ffff:{n >> 16:x}:{n & 0xFFFF:x}",
    ]
    spelled += [
        f"64:ff9b::{address}",
        f"2002:{n >> 16:x}:{n & 0xFFFF:x}::1",
        f"::{address}",
        f"{address}.",
        f"[::ffff:{address}%25lo]:80",
    ]
    spelled += [
        f"http://{n}/",
        f"http://[::ffff:{address}]:80/",
        f"u@{address}:22",
        "".join(chr(ord(c) + 0xFEE0) for c in str(n)),
    ]
    passed = [text for text in spelled if compiled.decide(Action(kind="connect", target=text)).allowed]
    assert passed == []


def folded(address):
    return address.version == 6 and int(address) >> 32 in (0, 0xFFFF, 0x0064FF9B << 64)


@given(
    st.lists(
        st.ip_addresses().flatmap(lambda a: st.integers(0, a.max_prefixlen).map(lambda n: f"{a}/{n}")), max_size=12
    ),
    st.lists(st.ip_addresses(), max_size=4),
)
def test_an_address_is_found_exactly_where_the_standard_library_finds_it(listed, others):
    # What is folded into IPv4 has its own vectors.
    listed = [text for text in listed if not folded(ipaddress.ip_interface(text).ip)]
    networks = [ipaddress.ip_network(text, strict=False) for text in listed]
    ranges = {family: Ranges(family, [(parse_range(text), i) for i, text in enumerate(listed)]) for family in (4, 6)}
    edges = [edge for network in networks for edge in (network[0], network[-1])]
    beyond = [edge + step for edge in edges for step in (-1, 1) if 0 <= int(edge) + step < 2**edge.max_prefixlen]
    for address in others + edges + beyond:
        if folded(address):
            continue
        expected = {i for i, network in enumerate(networks) if address in network}
        assert {owner for owner, _ in ranges[address.version].find(int(address))} == expected


@given(sets, st.randoms(use_true_random=False))
def test_the_version_does_not_depend_on_an_order_that_means_nothing(several, random):
    shuffled = [
        Policy(
            p.mode,
            {
                key: random.sample(list(p.rules[key]), len(p.rules[key]))
                for key in random.sample(list(p.rules), len(p.rules))
            },
            p.name,
        )
        for p in random.sample(several, len(several))
    ]
    assert compile_policies(several).version == compile_policies(shuffled).version


@given(st.data())
def test_the_version_changes_with_the_content(data):
    several, more = data.draw(sets), data.draw(words)
    extra = Policy("blocklist", {"domains": [f"{more}.test"]}, "extra")
    assert compile_policies(several).version != compile_policies([*several, extra]).version


@given(sets, s.actions, anything)
def test_any_action_gets_a_verdict(several, action, text):
    compiled = compile_policies(several)
    for one in (action, Action(kind="connect", target=text, tool=text, publisher=text, hash=text)):
        verdict = compiled.decide(one)
        assert verdict.blocked == bool(verdict.evidence)
        assert all(f.kind and f.source and f.field and f.expected and f.observed and f.advice for f in verdict.evidence)
        assert compiled.decide(one) == verdict


@given(st.sampled_from(["blocklist", "allowlist", "correlation"]), st.dictionaries(
    st.sampled_from(["publishers", "ips", "ip", "domains", "hashes", "skill_patterns", "tools", "risky_sequence", "x"]),
    st.lists(anything, max_size=2) | s.documents, max_size=3))  # fmt: skip
def test_any_rules_compile_or_are_refused_by_name(mode, rules):
    try:
        compile_policies([Policy(mode, rules, "the policy")])
    except Misconfigured as err:
        assert "the policy" in str(err)


@given(s.declarations, s.actions, anything)
def test_any_declaration_compiles_or_is_refused_by_name(declaration, action, text):
    try:
        compiled = compile_declaration(declaration)
    except Misconfigured as err:
        assert "declaration: " in str(err)
        return
    for one in (action, Action(kind="connect", target=text, tool=text)):
        found = compiled.undeclared(one)
        assert all(f.kind in ("undeclared tool", "undeclared destination") and f.value for f in found)
    assert compile_declaration(Declaration()).undeclared(action) == ()


@given(st.lists(names | addresses, min_size=1, max_size=4), names)
def test_what_is_declared_is_declared_in_every_spelling_and_nothing_else_is(declared, other):
    compiled = compile_declaration(Declaration(destinations=tuple(declared)))
    for name in declared:
        for text in (name, f"{name}:80" if ":" not in name else f"[{name}]:80"):
            assert compiled.undeclared(Action(kind="connect", target=text)) == ()
    hosts = {canonical.host(name) for name in declared}
    assume(other not in hosts)
    assert [f.value for f in compiled.undeclared(Action(kind="connect", target=other))] == [other]


@given(names, names)
def test_a_declared_host_never_lends_its_name_to_another(declared, other):
    assume(declared != other)
    compiled = compile_declaration(Declaration(destinations=(declared,)))
    for text in (
        f"http://{declared}\\@{other}",
        f"http://{other}\\@{declared}",
        f"http://{declared}@{other}/",
        f"{declared}.{other}",
    ):
        assert compiled.undeclared(Action(kind="http", target=text)), text


@given(
    st.lists(
        st.tuples(st.sampled_from(["file", "connect", "tool_call"]), st.booleans(), st.sampled_from(["a", "b"])),
        max_size=30,
    )
)
def test_a_run_connects_freely_until_it_read_something_sensitive(steps):
    memory, read = Correlation(), set()
    for kind, sensitive, run in steps:
        found = memory.see(Action(kind=kind, run_id=run, metadata={"sensitive": sensitive}))
        assert (found is not None) == (kind == "connect" and run in read)
        if sensitive and kind != "connect":
            read.add(run)


def test_policies_survive_json():
    policy = Policy("blocklist", {"domains": ["evil.test"]}, "p")
    assert (
        compile_policies([Policy(policy.mode, json.loads(json.dumps(policy.rules)), "p")]).version
        == compile_policies([policy]).version
    )


LONG = [
    *(
        "a" * 5000,
        "http://" + "a" * 4000 + ".evil.test",
        "\ufdfa" * 2000,
        "xn--" + "a" * 1000,
        "%25" * 1300,
        "@" * 4000,
    ),
    *(
        "." * 4000,
        "[" * 4000,
        ":" * 4000,
        "jdbc:" * 800 + "//x",
        "file:" * 800,
        "http:" * 800,
        "..%2f" * 800,
        "\u0301" * 4000,
    ),
]


@pytest.mark.parametrize("text", LONG, ids=[text[:12].encode("unicode_escape").decode() for text in LONG])
def test_long_hostile_text_is_answered_quickly_and_without_an_error(text):
    compiled = compile_policies([Policy("blocklist", {"domains": ["evil.test"], "skill_patterns": ["a.*z"]}, "p")])
    compiled.decide(Action(kind="connect", target=text, tool=text, publisher=text, hash=text))
    canonical.destination("tool_call", text)
