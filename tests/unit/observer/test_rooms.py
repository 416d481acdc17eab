"""Structures of a fixed room: what they keep, what they forget, and that they survive their document."""

from __future__ import annotations

import json
import random

import pytest

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.observer.counts import MOST, Counts, Owned
from kaizen_security.observer.rooms import LONGEST, Few, Names, Requests, Tools, short

CHANCE = random.Random(11)
HASHES = [CHANCE.getrandbits(64) for _ in range(200)]


def again(document):
    return json.loads(json.dumps(document))


def test_a_full_set_of_the_smallest_hashes_is_the_same_whoever_learned_what():
    whole, one, two = Few(16), Few(16), Few(16)
    for n, mark in enumerate(HASHES):
        whole.add(mark)
        (one if n % 3 else two).add(mark)
    assert list(one.merge(two)) == list(whole) == sorted(HASHES)[:16]
    assert list(Few.from_json(again(whole.to_json()), 16, "few")) == list(whole)
    assert whole.turned == len(HASHES) - 16


def test_counts_stop_at_their_most_and_survive_their_document():
    counts = Counts(8)
    for _ in range(MOST + 3):
        counts.add(5)
    assert counts[5] == counts[13] == MOST
    assert Counts.from_json(again(counts.to_json()), 8, "counts")[5] == MOST


def test_names_keep_order_and_counts_and_give_up_the_rarest_then_first():
    names = Names()
    for name in ["b", "", "a", "b", "ü", "a", "c"]:
        names.add(name)
    assert list(names.items()) == [("b", 2), ("", 1), ("a", 2), ("ü", 1), ("c", 1)]
    assert (names["a"], names["x"], "" in names, "ab" in names) == (2, 0, True, False)
    assert names.pop_rarest() == ("", 1)
    assert names.pop_rarest() == ("ü", 1)
    assert list(names) == ["b", "a", "c"]


def test_the_last_name_that_goes_leaves_an_empty_room():
    names = Names([("only", 1)])
    names.pop_rarest()
    assert (list(names), len(names), "only" in names) == ([], 0, False)


def test_tools_keep_the_smallest_marks_and_add_up_their_runs():
    tools = Tools(4)
    for mark in [*HASHES[:10], *HASHES[:10]]:
        tools.add(mark)
    kept = dict(tools.items())
    assert kept == dict.fromkeys(sorted(HASHES[:10])[:4], 2)
    assert dict(Tools.from_json(again(tools.to_json()), 4, "tools").items()) == kept
    assert tools[sorted(HASHES[:10])[9]] == 0


def test_requests_remember_which_tools_served_them():
    requests = Requests(3)
    requests.add(HASHES[:5], HASHES[20:22])
    requests.add(HASHES[:5], HASHES[22:23])
    rows = dict(requests)
    assert rows == {Requests.sketch(HASHES[:5]): frozenset(mark & MOST for mark in HASHES[20:23])}
    assert dict(Requests.from_json(again(requests.to_json()), 3, "requests")) == rows


def test_full_requests_are_the_same_whoever_learned_which():
    whole, one, two = Requests(4), Requests(4), Requests(4)
    for n in range(0, 180, 6):
        words, tools = HASHES[n : n + 4], HASHES[n + 4 : n + 6]
        whole.add(words, tools)
        (one if n % 4 else two).add(words, tools)
    assert len(whole) == 4
    assert one.merge(two).to_json() == two.merge(one).to_json() == whole.to_json()


@pytest.mark.parametrize("value", ["a" * 49, "é" * 40, "\x01" * 40, '"' * 40, "\ud800" * 30, "漢" * 17])
def test_a_name_takes_no_more_than_its_bytes_in_a_document(value):
    kept = short(value)
    assert len(json.dumps(kept, ensure_ascii=False).encode("utf-8", "surrogatepass")) - 2 <= LONGEST
    assert kept != short(value + "x")


@pytest.mark.parametrize("value", ["", "a" * 48, "é" * 24, "search"])
def test_a_short_name_is_kept_as_it_is(value):
    assert short(value) == value


@pytest.mark.parametrize(
    "read",
    [
        lambda: Few.from_json(3, 4, "room"),
        lambda: Few.from_json("AAAA", 4, "room"),
        lambda: Few.from_json("A" * 80, 4, "room"),
        lambda: Counts.from_json("AAA=", 4, "room"),
        lambda: Tools.from_json({}, 4, "room"),
        lambda: Tools.from_json(["AAAAAAAAAAA=", ""], 4, "room"),
        lambda: Requests.from_json(["AAAAAA==", ""], 4, "room"),
        lambda: Requests.from_json(["AAAAAA==", 3], 4, "room"),
    ],
)
def test_what_is_no_state_is_refused_with_its_field(read):
    with pytest.raises(InvalidInput, match="room"):
        read()


def test_a_cell_that_several_share_counts_nobody_too_often():
    owned, true = Owned(16), dict.fromkeys((n * 0x9E3779B97F4A7C15 % 2**64 for n in range(1, 200)), 0)
    for n, one in enumerate(true):
        for _ in range(n % 9):
            owned.add(one)
            true[one] += 1
    shared = [
        one
        for one in true
        if any(other >> 40 & 63 == one >> 40 & 63 and other % 16 == one % 16 for other in true if other != one)
    ]
    assert all(owned[one] <= true[one] for one in true if one not in shared)
    assert len(shared) < len(true) // 2
    alone = Owned(16)
    for _ in range(2000):
        alone.add(3 << 40)
    assert (alone[3 << 40], alone[4 << 40]) == (1023, 0)
    assert Owned.from_json(again(alone.to_json()), 16, "owned")[3 << 40] == 1023


def test_two_owners_of_one_cell_leave_the_difference():
    one, other = Owned(4), Owned(4)
    for _ in range(5):
        one.add(1 << 40)
    for _ in range(3):
        other.add(2 << 40)
    assert (one.plus(other)[1 << 40], other.plus(one)[1 << 40], one.plus(other)[2 << 40]) == (2, 2, 0)
    assert one.plus(one)[1 << 40] == 10
