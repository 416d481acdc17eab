"""DNS messages, names that look like data, and what a redirected connection says first."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kaizen_security.egress import labels
from kaizen_security.egress.dnswire import NXDOMAIN, addresses, question, refusal
from kaizen_security.egress.labels import Labels, domain
from kaizen_security.egress.names import MAX_NAMES, Names
from kaizen_security.egress.redirected import _MAY_BECOME_ONE, _REQUEST


def query(name: str, kind: int = 1, *, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part)
    return struct.pack("!6H", 0xBEEF, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def test_a_query_is_read():
    asked = question(query("API.Example.com", 28))
    assert (asked.id, asked.name, asked.type) == (0xBEEF, "api.example.com", "AAAA")
    assert question(query("", 2)).name == ""
    assert question(query("x", 4242)).type == "TYPE4242"


def test_bytes_that_are_no_text_cannot_forge_a_name():
    asked = question(struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\x05a.b\0c\x03com\0" + struct.pack("!2H", 1, 1))
    assert asked.name == "a\\046b\\000c.com"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        query("a.example")[:20],
        query("a.example", flags=0x8180),
        struct.pack("!6H", 1, 0, 2, 0, 0, 0) + b"\0" + bytes(4),
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c" + bytes(4),
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\x40a\0" + bytes(4),
        struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 4 + b"\0" + bytes(4),
    ],
    ids=["nothing", "cut", "a reply", "two questions", "a pointer to itself", "an odd label", "too long"],
)
def test_what_is_no_plain_query_is_refused(message: bytes):
    with pytest.raises(ValueError):
        question(message)


def test_an_answers_addresses_are_found_behind_other_records():
    asked = query("a.example")
    cname = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 300, 4) + b"\x01b\xc0\x0c"
    a = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 7])
    aaaa = b"\xc0\x0c" + struct.pack("!HHIH", 28, 1, 30, 16) + bytes(15) + b"\x09"
    reply = asked[:2] + struct.pack("!5H", 0x8180, 1, 3, 0, 0) + asked[12:] + cname + a + aaaa
    assert addresses(reply) == (0, ("192.0.2.7", "::9"), 30)


def test_a_refusal_answers_the_question_and_nothing_else():
    asked = query("a.example")
    said = refusal(asked + b"\0additional", question(asked), NXDOMAIN)
    assert addresses(said) == (NXDOMAIN, (), 0)
    assert question(said, reply=True).name == "a.example"


@given(st.binary(max_size=600))
@example(query("a.example") + b"\xc0")
def test_any_bytes_are_understood_or_refused(message: bytes):
    for read in (question, addresses):
        with suppress(ValueError):
            read(message)  # type: ignore[operator]


def test_what_is_registered():
    assert domain("a.b.example.com") == "example.com"
    assert domain("a.b.example.co.uk") == "example.co.uk"
    assert domain("example") == "example"


def test_lookups_as_programs_make_them_are_silent():
    seen = Labels(1000)
    names = [f"s{n}.eu-west-1.provider.example" for n in range(20)]
    assert not any(seen.see("a", name, float(turn)) for turn in range(50) for name in names)


def test_many_new_names_below_one_domain_are_a_finding_for_that_agent_alone():
    seen = Labels(1000)
    found = [seen.see("a", f"{n:04d}{'x' * 40}.leak.example", 0.0) for n in range(40)]
    assert not any(found[:20])
    assert found[-1] is not None
    assert found[-1].value == "leak.example"
    assert seen.see("b", "one.leak.example", 0.0) is None
    assert seen.see("a", f"later{'x' * 40}.leak.example", 7200.0) is None, "an hour later it has filled again"


def test_one_long_name_is_enough():
    assert Labels(4096).see("a", ".".join(["x" * 60] * 3) + ".leak.example", 0.0) is not None
    assert Labels(0).see("a", ".".join(["x" * 60] * 3) + ".leak.example", 0.0) is None


def test_a_flood_of_domains_shares_what_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(labels, "MAX_DOMAINS", 5)
    seen = Labels(100)
    found = [seen.see("a", f"{'x' * 30}.d{n}.example", 0.0) for n in range(20)]
    assert seen.shared == 15
    assert found[-1] is not None


def test_names_of_addresses_are_bounded_and_expire():
    names = Names()
    names.learn("a", "a.example", ("192.0.2.1",), 0.0, 100.0)
    assert names.of("a", "192.0.2.1", 99.0) == "a.example"
    assert names.of("a", "192.0.2.1", 100.0) == ""
    names.learn("a", "b.example", tuple(f"10.0.{n // 256}.{n % 256}" for n in range(MAX_NAMES)), 0.0, 100.0)
    assert names.of("a", "192.0.2.1", 5.0) == ""


def test_no_name_is_remembered_for_longer_than_a_day_whatever_its_owner_says():
    names = Names()
    names.learn("a", "a.example", ("192.0.2.1",), 0.0, 2.0**31)
    assert names.of("a", "192.0.2.1", 86_399.0) == "a.example"
    assert names.of("a", "192.0.2.1", 86_400.0) == ""


def test_what_one_agent_asks_for_names_nothing_of_anothers():
    names = Names()
    names.learn("a", "api.example", ("192.0.2.1",), 0.0, 100.0)
    names.learn("b", "attacker.example", tuple(f"192.0.{n // 256}.{n % 256}" for n in range(1024)), 0.0, 100.0)
    assert names.of("a", "192.0.2.1", 5.0) == "api.example"


@pytest.mark.parametrize("said", [b"GET /x", b"OPTIONS *", b"POST http://a/"])
def test_a_plain_request_is_known_by_its_first_words(said: bytes):
    assert _REQUEST.match(said)
    assert all(_MAY_BECOME_ONE.fullmatch(said[:n]) or _REQUEST.match(said[:n]) for n in range(1, len(said)))


@pytest.mark.parametrize("said", [b"get /", b"SSH-2.0", b"\x16\x03", b"PRI * HTTP/2.0"[:3] + b"?"])
def test_other_words_are_no_request(said: bytes):
    assert not _REQUEST.match(said)
    assert not _MAY_BECOME_ONE.fullmatch(said)
