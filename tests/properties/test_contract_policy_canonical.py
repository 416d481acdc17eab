"""Laws of the canonical forms: idempotent, total or ValueError, and IPv4 as ``connect()`` reads it."""

from __future__ import annotations

import ipaddress
import socket

from hypothesis import example, given
from hypothesis import strategies as st

from kaizen_security.contract import canonical
from kaizen_security.contract.canonical_address import embedded, fold, format6, ipv4, ipv6
from kaizen_security.contract.canonical_target import EDGES

hostile = st.text(
    st.one_of(
        st.sampled_from(list("abAB01.:/\\@%#?[]-_~ \t\n\0x")),
        st.sampled_from(
            list(
                "\u00ad\u200b\u200c\u200d\u3002\uff0e\uff0f\uff20\uff1a\u00df\u03c2\u212a\ufb01\u0130\u2488\u33a1\u0660"
            )
        ),
        st.characters(),
    ),
    max_size=40,
)
shaped = st.builds(
    "".join,
    st.lists(
        st.sampled_from(
            (
                "http:// https:\\\\ // \\\\ user:pw@ @ evil.com EVIL.COM \uff45vil xn--bcher-kva xn--evil- .de .. . 1.2.3.4 0x7f.1 "
                "[::1] [::ffff:1.2.3.4] ::1 %2e %2E%2e %25 %65 :80 :99999 :x / ../ ./ ? # proc/self/root /proc/1/cwd ~ $HOME file: "
                "mailto: jdbc: C:\\ \u200d \u00df 10.0.0.0/8"
            ).split(" ")
        ),
        max_size=7,
    ),
)
anything = hostile | shaped | st.text(max_size=30)


def result(function, text):
    try:
        return function(text)
    except ValueError:
        return None


@given(anything)
def test_host_is_idempotent_and_raises_nothing_but_value_error(text):
    once = result(canonical.host, text)
    assert once is None or canonical.host(once) == once


@given(anything)
def test_a_host_is_ascii_lower_case_and_bounded(text):
    once = result(canonical.host, text)
    assert once is None or (once.isascii() and once == once.lower() and 0 < len(once) <= 253 and not once.endswith("."))


@given(anything)
def test_url_is_idempotent_and_raises_nothing_but_value_error(text):
    once = result(canonical.url, text)
    assert once is None or canonical.url(once) == once


@given(anything)
def test_names_and_hashes_are_idempotent_and_take_any_text(text):
    for function in (canonical.tool, canonical.publisher, canonical.permitted, canonical.digest):
        once = function(text)
        assert function(once) == once


@given(anything)
def test_a_name_that_is_permitted_as_another_is_denied_as_another_too(text):
    assert canonical.tool(canonical.permitted(text)) == canonical.tool(text)


@given(anything)
def test_any_text_is_a_target_and_its_host_is_canonical_when_it_is_readable(text):
    found = canonical.target(text)
    if found.host and found.readable:
        assert canonical.host(found.host) == found.host
    assert len(found.host) <= 253
    assert 0 <= found.port <= 65535


@given(anything)
def test_every_target_of_a_connection_is_a_destination_unless_it_is_empty(text):
    assert (canonical.destination("connect", text) is None) == (text.strip(EDGES) == "")


@given(anything)
def test_where_a_host_lies_is_always_known(text):
    once = result(canonical.host, text)
    assert once is None or canonical.network(once) in canonical.Network


numbers = st.integers(0, 2**34)
parts = numbers.flatmap(lambda n: st.sampled_from([str(n), f"{n:#x}", f"0{n:o}", f"{n:#X}", f"00{n:o}", f"0x0{n:x}"]))
small = st.integers(0, 260).flatmap(lambda n: st.sampled_from([str(n), f"{n:#x}", f"0{n:o}"]))
spellings = st.lists(parts | small, min_size=1, max_size=5).map(".".join) | st.text("0123456789abcdefxX.", max_size=20)


@given(spellings)
@example("08.1")
@example("0x.1")
@example("1.16777216")
def test_ipv4_is_what_inet_aton_reads(text):
    try:
        expected = int.from_bytes(socket.inet_aton(text), "big")
    except OSError:
        expected = None
    assert ipv4(text) == expected


@given(st.ip_addresses(v=4), st.integers(0, 4))
def test_every_spelling_of_an_ipv4_address_is_one_host(address, how):
    n = int(address)
    spelled = [
        str(n),
        f"{n:#x}",
        f"0{n:o}",
        f"{n >> 24}.{n & 0xFFFFFF:#x}",
        f"0x{n >> 24:x}.0{n >> 16 & 255:o}.{n & 0xFFFF}",
    ][how]
    assert canonical.host(spelled) == str(address)
    assert canonical.target(f"http://{spelled}:81/").host == str(address)


@given(st.ip_addresses(v=4))
def test_ipv6_spellings_of_an_ipv4_address_are_that_address(address):
    for spelled in (f"::ffff:{address}", f"[::FFFF:{address}]", f"64:ff9b::{address}", f"[::ffff:{address}%eth0]"):
        assert canonical.host(spelled) == str(address)


@given(st.ip_addresses(v=6))
def test_ipv6_text_is_what_the_standard_library_reads(address):
    n = int(address)
    for spelled in (str(address), address.exploded, address.exploded.upper()):
        assert ipv6(spelled) == n
    assert ipaddress.ip_address(format6(n)) == address
    if fold(n) is None:
        assert canonical.host(f"[{address}]") == format6(n)


@given(st.text("0123456789abcdef:.", max_size=40))
@example("1:2:3:4:5:6:7::")
@example("::1::")
@example("1:2:3:4:5:6:1.2.3.4")
def test_what_is_no_ipv6_to_the_standard_library_is_none_to_us(text):
    try:
        expected = int(ipaddress.IPv6Address(text))
    except ValueError:
        expected = None
    assert ipv6(text) == expected


@given(st.ip_addresses(v=4), st.integers(0, 2**80 - 1))
def test_addresses_inside_tunnels_are_found(address, rest):
    n = int(address)
    assert embedded(0x2002 << 112 | n << 80 | rest) == (n,)
    assert n in embedded(0x2001_0000 << 96 | (rest & 0xFFFFFFFF) << 64 | (n ^ 0xFFFFFFFF))
