"""Deny lists in spellings that deployed clients match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract.compiled_rules import parse_range
from kaizen_security.contract.spellings import for_deployed


@pytest.mark.parametrize(
    ("kept", "sent"),
    [
        (["evil.example"], ["evil.example"]),
        (["*.evil.example", ".evil.example", "evil.example"], ["evil.example"]),
        (["*.xn--bcher-kva.example"], ["xn--bcher-kva.example", "bücher.example"]),
        (["xn--\u0661.example"], ["xn--\u0661.example"]),
    ],
)
def test_a_domain_is_sent_as_it_is_compared(kept, sent):
    assert for_deployed({"domains": kept}) == {"domains": sent}


@pytest.mark.parametrize(
    ("kept", "sent"),
    [
        (["0x7f.1", "127.0.0.1"], ["127.0.0.1"]),
        (["203.0.113.8/24"], ["203.0.113.0/24"]),
        (["2001:DB8:0::1", "[2001:db8::]/32"], ["2001:db8::1", "2001:db8::/32"]),
        (["::ffff:203.0.113.9", "::1", "::/0"], ["203.0.113.9", "::1", "::/0"]),
        (["no address"], ["no address"]),
    ],
)
def test_an_address_is_sent_in_the_usual_spelling_under_both_names_of_the_rule(kept, sent):
    assert for_deployed({"ips": kept}) == {"ips": sent, "ip": sent}


@given(st.ip_addresses(), st.integers(0, 128))
def test_what_is_sent_is_the_range_that_was_kept(address, length):
    kept = f"{address}/{min(length, address.max_prefixlen)}"
    [sent] = for_deployed({"ips": [kept]})["ips"]
    assert parse_range(sent) == parse_range(kept)


def test_other_rules_stay_as_they_are():
    rules = {"publishers": ["*.x"], "skill_patterns": ["^\\*\\.x$"], "hashes": ["A"]}
    assert for_deployed(rules) == rules
