"""What a declaration and policies become in the kernel's tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.collectors.kernel.policy import compile_rules, hashed
from kaizen_security.collectors.kernel.shapes import Name, mapped
from kaizen_security.contract.action import Action
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.compiled_rules import Range
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.policy import Policy


def rules(*destinations: str, **blocked: list[str]):
    policies = (Policy("blocklist", dict(blocked), name="p"),) if blocked else ()
    return compile_rules(Declaration(destinations=destinations), policies)


def test_names_with_and_without_ports_and_below():
    made = rules("api.example", "db.example:5432", "db.example:5433", "*.cdn.example", "https://www.example/path")
    assert made.flags_of("api.example") == (Name.EXACT, frozenset())
    assert made.flags_of("db.example") == (Name.EXACT, frozenset({5432, 5433}))
    assert made.flags_of("cdn.example") == (Name(0), frozenset())
    assert made.flags_of("a.b.cdn.example")[0] == Name.BELOW
    assert made.flags_of("www.example") == (Name.EXACT, frozenset({443}))
    assert made.flags_of("xapi.example") == (Name(0), frozenset())


def test_a_destination_without_a_port_stays_any_whatever_else_is_stated():
    assert rules("db.example:5432", "db.example").flags_of("db.example")[1] == frozenset()
    assert rules("db.example", "db.example:5432").flags_of("db.example")[1] == frozenset()


def test_more_ports_than_fit_are_refused_not_cut():
    made = rules(*(f"db.example:{port}" for port in range(1, 10)))
    with pytest.raises(Misconfigured, match="at most 8 ports"):
        made.names["db.example"].pack("db.example")


def test_ranges_and_addresses_and_their_translated_form():
    made = rules("10.0.0.0/8", ips=["192.0.2.7"])
    assert Range(4, 10 << 24, 8) in made.declared
    translated = next(
        span for span in made.denied if span.family == 6 and span.length == 128 and span.first >> 96 == 0x64FF9B
    )
    assert translated.first & 0xFFFFFFFF == 192 << 24 | 2 << 8 | 7


def test_metadata_is_denied_by_default_and_not_where_it_is_declared():
    metadata = Range(4, 169 << 24 | 254 << 16, 16)
    assert metadata in rules("api.example").denied
    assert metadata not in rules("169.254.169.254").denied


def test_addresses_are_mapped_as_the_programs_do_it():
    assert mapped(4, 127 << 24 | 2, 32) == (128, bytes(10) + b"\xff\xff\x7f\0\0\2")
    assert mapped(6, 1, 64) == (64, bytes(15) + b"\1")


def test_hashes_differ_by_key_and_by_suffix():
    keys = (0x1234567890ABCDEF, 0x9E3779B97F4A7C15)
    names = ["example", "a.example", "b.example", "aexample", "a.b.example"]
    assert len({hashed(name, keys) for name in names}) == len(names)
    assert hashed("example", keys) != hashed("example", (keys[0] + 1, keys[1]))


LABEL = st.sampled_from(["a", "b", "api", "x-1"])
HOST = st.lists(LABEL, min_size=1, max_size=4).map(lambda labels: ".".join([*labels, "example"]))


@given(declared=st.lists(st.tuples(st.booleans(), HOST), min_size=1, max_size=4), asked=HOST)
def test_the_tables_declare_what_the_contract_declares(declared: list[tuple[bool, str]], asked: str):
    stated = tuple(f"*.{host}" if below else host for below, host in declared)
    found, _ = rules(*stated).flags_of(asked)
    assert bool(found & (Name.EXACT | Name.BELOW)) == compile_declaration(Declaration(destinations=stated)).destination(
        asked
    )


@given(denied=st.lists(st.tuples(st.booleans(), HOST), min_size=1, max_size=4), asked=HOST)
def test_the_tables_deny_what_the_contract_denies(denied: list[tuple[bool, str]], asked: str):
    policy = Policy("blocklist", {"domains": [f"*.{host}" if below else host for below, host in denied]})
    found, _ = compile_rules(Declaration(), (policy,)).flags_of(asked)
    verdict = compile_policies((policy,)).decide(Action(kind="connect", target=f"{asked}:443"))
    assert bool(found & (Name.DENIED | Name.DENIED_BELOW)) == verdict.blocked
