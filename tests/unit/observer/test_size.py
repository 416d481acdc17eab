"""The size learner: the laws, the bound, and what it costs to move it."""

from __future__ import annotations

import pytest

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.observer.learners.size import GRACE, ROOM, Amount, Size, Table
from kaizen_security.testing.checks import check_learner

USUAL = [Amount(1, 40.0 + n % 7) for n in range(40)]


def load(document, replica):
    size = Size.new(replica)
    size.load(document, Table.from_json, "size")
    return size


def learned(numbers, key=1):
    size = Size.new()
    for number in numbers:
        size.learn_one(Amount(key, number))
    return size


def test_sizes_keep_the_laws_of_learners():
    amounts = [*USUAL, *(Amount(2, 10.0**n) for n in range(12)), Amount(3, 0.0), Amount(3, 1e30)]
    strangers = [Amount(1, 1e9), Amount(2, 1e14), Amount(77, 5.0), Amount(1, 0.0)]
    check_learner(Size.new, load, amounts, strangers=strangers)


def test_nothing_is_said_before_a_dozen_numbers():
    assert learned([5.0] * (GRACE - 1)).score_one(Amount(1, 1e6)) == 0.0
    assert learned([5.0] * GRACE).score_one(Amount(1, 1e6)) > 0.99


@pytest.mark.parametrize(("number", "large"), [(46.0, False), (80.0, False), (110.0, True), (430.0, True)])
def test_what_is_a_few_times_the_mean_of_even_numbers_is_large(number, large):
    assert (learned([one.number for one in USUAL]).score_one(Amount(1, number)) >= 0.99) is large


def test_numbers_over_many_powers_of_ten_make_it_quiet():
    assert learned([10.0 ** (n % 7) for n in range(70)]).score_one(Amount(1, 5e7)) < 0.99


def test_the_largest_harmless_number_is_never_large():
    assert learned([5.0] * 200 + [5e6]).score_one(Amount(1, 5e6)) == 0.0


def test_a_wider_floor_is_more_patient():
    size = learned([1.0] * 50)
    assert size.score_one(Amount(1, 6.0)) >= 0.99 > size.score_one(Amount(1, 6.0, floor=0.5))


def test_the_poisoning_budget_is_what_crafted_numbers_really_take():
    size = learned([one.number for one in USUAL])
    told = size.poisoning(1, 0.01)
    before = size.usual(1, 0.01).bound
    crafted = 0
    while size.usual(1, 0.01).bound < 2 * before:
        number = size.usual(1, 0.01).bound * 0.999
        assert size.score_one(Amount(1, number)) < 0.99, "a crafted number passes unflagged"
        size.learn_one(Amount(1, number))
        crafted += 1
    assert crafted == told > 1
    assert learned([5.0]).poisoning(1, 0.01) is None


def test_a_flood_of_keys_drives_out_only_what_hashes_above_it():
    size = learned([5.0] * 20, key=7)
    for n in range(10_000):
        size.learn_one(Amount(1000 + n, 1.0))
    assert len(size.whole.rows) == ROOM
    assert size.usual(7, 0.01) is not None
    assert size.whole.rows.turned > 9000


@pytest.mark.parametrize(
    "document",
    [
        {"parts": [{"replica": "a", "generation": 1, "total": 1, "rows": ["AAAA"]}]},
        {"parts": [{"replica": "a", "generation": 1, "total": -1}]},
        {"parts": {}},
    ],
)
def test_a_broken_state_is_refused_with_its_field(document):
    with pytest.raises(InvalidInput, match="size"):
        load(document, "a")
