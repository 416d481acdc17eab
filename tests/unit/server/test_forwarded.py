"""Who asks behind a reverse proxy: nobody but a named proxy is believed, and no header makes anybody somebody else."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.server.forwarded import HOPS, Trusted, trusted_proxies

PROXIES = Trusted(trusted_proxies(["10.0.0.0/8", "2001:db8::1"]))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        # What the client wrote itself stands on the left of what the proxy saw.
        ("10.0.0.1", ["127.0.0.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["127.0.0.1", "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["10.1.1.1, 203.0.113.7, 10.0.0.9"], "203.0.113.7"),
        # Nobody else is believed.
        ("203.0.113.9", ["127.0.0.1"], "203.0.113.9"),
        ("192.168.0.1", ["198.51.100.1, 10.0.0.1"], "192.168.0.1"),
        ("", ["127.0.0.1"], ""),
        # The proxy said nothing, or something that is no address.
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, 10.0.0.2, _hidden"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, <script>, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.7,"], "10.0.0.1"),
        # All the way through our own.
        ("10.0.0.1", ["10.9.9.9"], "10.9.9.9"),
        # Forms of addresses.
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("2001:db8::1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("2001:db8::2", ["203.0.113.7"], "2001:db8::2"),
        ("10.0.0.1", ["203.0.113.7:80"], "203.0.113.7"),
        ("10.0.0.1", ["0x7f.1"], "10.0.0.1"),
        ("10.0.0.1", ["2130706433"], "10.0.0.1"),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
    ],
)
def test_the_header_is_read_from_the_right_as_far_as_trusted_proxies_wrote_it(peer, forwarded, client):
    assert PROXIES.client(peer, forwarded) == client


def test_a_header_without_end_is_looked_at_from_the_right_only():
    assert PROXIES.client("10.0.0.1", ["203.0.113.7, " + ", ".join(["10.0.0.2"] * (HOPS + 5))]) == "10.0.0.2"


@given(
    st.text(max_size=80), st.lists(st.text(alphabet="0123456789abcdef.:[],% \t\u0660\u00b2x", max_size=60), max_size=4)
)
def test_a_client_is_always_the_peer_or_an_address(peer, forwarded):
    assert PROXIES.client(peer, forwarded) == peer
    found = PROXIES.client("10.0.0.1", forwarded)
    assert str(ipaddress.ip_address(found)) == found


@pytest.mark.parametrize("wrong", ["proxy.example", "10.0.0.1/8", "0.0.0.0/0", "::/0", ""])
def test_a_proxy_that_cannot_be_trusted_is_named(wrong):
    with pytest.raises(Misconfigured, match="--trusted-proxy"):
        trusted_proxies([wrong])


def test_loopback_is_trusted_when_nobody_is_named():
    found = Trusted(trusted_proxies([]))
    assert found.believes("127.0.0.2")
    assert found.believes("::1")
    assert not found.believes("10.0.0.1")
