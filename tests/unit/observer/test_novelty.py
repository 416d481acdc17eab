"""The novelty learner: the laws, the estimate, the bound."""

from __future__ import annotations

import itertools

import pytest

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.observer.learners.novelty import Novelty
from kaizen_security.observer.learners.parts import MAX_PARTS
from kaizen_security.observer.rooms import LONGEST, short
from kaizen_security.testing.checks import check_learner


def make(replica="local", **settings):
    return Novelty(replica=replica, **settings)


def load(document, replica):
    return Novelty.from_json(document, replica=replica)


def test_novelty_keeps_the_laws_of_learners():
    check_learner(
        make,
        load,
        ["search", "read", "search", "mail", "read", "x" * 300, "ünï", "search"] * 12,
        strangers=["never seen", "search?", ""],
    )


def test_the_estimate_is_the_share_of_values_seen_once_with_the_judged_one_among_them():
    learner = make(grace=1)
    for value in ["a"] * 5 + ["b"] * 3 + ["c"]:
        learner.learn_one(value)
    assert learner.unseen == (1 + 1) / (9 + 1)
    assert learner.score_one("new") == 1 - 2 / 10
    assert learner.score_one("c") == 0.0


def test_a_learner_that_has_seen_the_same_for_long_is_nearly_sure_about_something_new():
    learner = make()
    for _ in range(999):
        learner.learn_one("same")
    assert learner.score_one("new") == pytest.approx(0.999)


def test_a_learner_that_keeps_discovering_is_not_surprised():
    learner = make(capacity=1000)
    for n in range(500):
        learner.learn_one(f"site{n}")
    assert learner.score_one("another") == 0.0


def test_a_full_learner_forgets_the_rarest_value_and_counts_it_as_unseen():
    learner = make(capacity=3)
    for value in ["a", "a", "b", "b", "c", "d"]:
        learner.learn_one(value)
    assert learner.values() == {"a", "b", "d"}
    assert learner.forgotten == 1
    assert learner.unseen == (1 + 1 + 1) / 7


def test_forgetting_never_makes_a_learner_more_suspicious():
    wide, narrow = make(capacity=1000), make(capacity=10)
    for n in range(300):
        wide.learn_one(f"v{n % 40}")
        narrow.learn_one(f"v{n % 40}")
    assert narrow.score_one("new") <= wide.score_one("new")


def test_a_long_value_is_kept_short_and_still_told_apart():
    one, two = "a" * 500 + "1", "a" * 500 + "2"
    assert len(short(one).encode()) == LONGEST
    assert short(one) != short(two)


def test_what_a_closed_part_taught_is_folded_into_the_base_exactly_once():
    sidecar, centre = make("sidecar"), make("centre")
    for _ in range(10):
        sidecar.learn_one("a")
    sidecar.turn()
    sidecar.learn_one("b")
    centre = centre.merge(sidecar)
    centre.fold()
    assert centre.count("a") == 10
    again = sidecar.merge(centre).merge(centre)
    assert (again.count("a"), again.count("b"), again.seen) == (10, 1, 11)
    again.learn_one("a")
    back = centre.merge(again).merge(sidecar)
    assert (back.count("a"), back.seen) == (11, 12)


def test_an_older_state_of_a_part_loses_against_a_newer_one():
    learner = make("a")
    learner.learn_one("x")
    old = load(learner.to_json(), "a")
    learner.learn_one("x")
    assert learner.merge(old).seen == old.merge(learner).seen == 2


def test_more_parts_than_a_state_may_hold_are_refused():
    whole = make("r0")
    for n in range(MAX_PARTS - 1):
        whole = whole.merge(one_of(f"r{n + 1}"))
    with pytest.raises(InvalidInput, match="fold it first"):
        whole.merge(one_of("one too many"))


def one_of(replica):
    learner = make(replica)
    learner.learn_one("x")
    return learner


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"base": {"total": 5, "counts": {"a": 1}}},
        {"base": {"total": -1}},
        {"base": {"total": True}},
        {"base": {"counts": {"a" * 65: 1}, "total": 1}},
        {"base": {"counts": {"a": 0}, "total": 0}},
        {"epoch": "one"},
        {"parts": [{"replica": 1}]},
        {"parts": [{}] * (MAX_PARTS + 1)},
        {"folded": {"a": 1.5}},
    ],
)
def test_a_broken_document_is_refused_and_the_field_is_named(document):
    with pytest.raises(InvalidInput) as caught:
        Novelty.from_json(document)
    assert caught.value.field.startswith("novelty")


def test_clones_under_one_name_still_merge_to_the_same_state_in_every_order():
    clones = []
    for value in "xyz":
        clone = make("clone")
        clone.learn_one(value)
        clones.append(clone)
    states = {
        str(first.merge(second).merge(third).to_json()) for first, second, third in itertools.permutations(clones)
    }
    assert len(states) == 1


def test_what_it_knows_is_what_it_counted_through_parts_bases_and_copies():
    values = ["search", "mail", "x" * 300, "ünï", 'say "hi"', "\x01", ""]
    learner, other = make("a", capacity=4), make("b")
    for n in range(60):
        learner.learn_one(values[n % 5])
        other.learn_one(values[n % 3])
        if n % 20 == 19:
            learner.turn()
            other.turn()
            learner.fold()
    merged = learner.merge(other)
    for one in (learner, other, merged, load(merged.to_json(), "c"), load(learner.to_json(), "a")):
        for value in [*values, "never", "searc", "search\xff", "…"]:
            assert one.knows(value) == (one.count(value) > 0), value
    assert learner.forgotten
