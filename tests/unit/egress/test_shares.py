"""One peer cannot take every place of the proxy."""

from __future__ import annotations

import pytest

from kaizen_security.egress.shares import Shares

PLACES = 512


def fill(shares: Shares, *peers: str) -> dict[str, int]:
    """Each peer in turn takes what it can; how many it got."""
    got = dict.fromkeys(peers, 0)
    grew = True
    while grew:
        grew = False
        for peer in peers:
            free = PLACES - sum(got.values())
            if free and shares.permit(peer, free):
                shares.take(peer)
                got[peer] += 1
                grew = True
    return got


@pytest.mark.parametrize("greedy", [1, 2, 10])
def test_whoever_comes_after_those_who_take_all_finds_a_place(greedy):
    shares = Shares()
    got = fill(shares, *(f"10.0.0.{i}" for i in range(greedy)))
    free = PLACES - sum(got.values())
    assert free > 0
    assert sum(got.values()) > 0.9 * PLACES, "who is alone goes short of next to nothing"
    assert shares.permit("10.0.1.1", free)


def test_what_has_ended_counts_no_more():
    shares = Shares()
    fill(shares, "10.0.0.1")
    assert not shares.permit("10.0.0.1", 1)
    for _ in range(PLACES):
        shares.give("10.0.0.1")
    assert shares.permit("10.0.0.1", 1)


def test_the_addresses_of_one_host_are_one_peer():
    shares = Shares()
    for i in range(16):
        shares.take(f"fd00::{i:x}")
    shares.take("::ffff:10.0.0.1")
    assert not shares.permit("fd00::beef", 1)
    assert shares.permit("fd00:0:0:1::1", 1)
    assert shares.permit("::ffff:10.0.0.2", 1)
    for _ in range(15):
        shares.take("10.0.0.1")
    assert not shares.permit("::ffff:10.0.0.1", 1), "an IPv4 address is the same in its IPv6 coat"
    assert shares.permit("fe80::1%eth0", 1)
