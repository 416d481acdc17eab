"""Token buckets: what they let through, and that nobody can make their table grow."""

from __future__ import annotations

import pytest

from kaizen_security.server.http import ApiError
from kaizen_security.server.limits import BURST_SECONDS, Buckets, Limits


def test_a_burst_passes_and_then_what_the_rate_allows():
    buckets = Buckets(2.0)
    assert [buckets.take("a", 100.0) for _ in range(int(2 * BURST_SECONDS))] == [0.0] * 20
    assert buckets.take("a", 100.0) == pytest.approx(0.5)
    assert buckets.take("a", 100.5) == 0.0
    assert buckets.take("a", 100.5) > 0


def test_one_who_sends_too_much_is_nobody_elses_trouble():
    buckets = Buckets(0.1)
    assert buckets.take("a", 1.0) == 0.0
    assert buckets.take("a", 1.0) > 0
    assert buckets.take("b", 1.0) == 0.0


def test_a_rate_of_zero_is_no_limit():
    buckets = Buckets(0.0)
    assert {buckets.take("a", 1.0) for _ in range(10_000)} == {0.0}


def test_the_table_is_bounded_and_what_it_forgets_is_counted():
    buckets = Buckets(1.0, size=10)
    for i in range(25):
        buckets.take(str(i), 1.0)
    assert len(buckets._buckets) == 10
    assert buckets.forgotten == 15


def test_a_clock_that_is_set_back_gives_and_takes_nothing():
    buckets = Buckets(1.0)
    for _ in range(10):
        assert buckets.take("a", 1000.0) == 0.0
    assert buckets.take("a", 10.0) > 0
    assert buckets.take("a", 12.0) == 0.0


def test_a_whole_ipv6_network_shares_one_bucket():
    limits = Limits(lambda: 5.0, by_key=0.0, by_address=0.1)
    limits.address("2001:db8::1")
    with pytest.raises(ApiError) as said:
        limits.address("2001:db8::2")
    assert (said.value.status, said.value.headers["Retry-After"]) == (429, "10")
    limits.address("2001:db8:0:1::1")
    assert limits.refused["address",] == 1


def test_an_ipv4_address_has_its_own_bucket_in_its_ipv6_coat_too():
    limits = Limits(lambda: 5.0, by_key=0.0, by_address=0.1)
    limits.address("::ffff:192.0.2.1")
    limits.address("::ffff:192.0.2.2")
    with pytest.raises(ApiError):
        limits.address("192.0.2.1")
