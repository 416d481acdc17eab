"""The scorecard counts, and says how sure the count is."""

from __future__ import annotations

import pytest

from kaizen_security.contract.declaration import NOTHING_DECLARED
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.redteam.report import Measured, document, line, summary
from kaizen_security.redteam.scenario import Deed, Effect, Expected, Scenario, Shelf
from kaizen_security.redteam.scorecard import Count, Judged, Miss, Misses, Played, Scorecard, wilson

MEASURED = Measured(target="t", corpus="c", seed=None, version="0", command="kaizen redteam")
NO_MISSES = Misses(ratchet=0, entries=())


def verdict(*detections, block=False):
    found = tuple(Finding(kind="k", value="v", source="s", detection=name) for name in detections)
    return Verdict(decision=Decision.BLOCK if block else Decision.ALLOW, reason="r", evidence=found)


def attack(name, said, **expected):
    expected = Expected(**{"detections": ("declaration",), **expected})
    return Judged(deed=Deed(effect=Effect.QUERY, tool="tool", name=name, expected=expected), verdict=said)


def benign(said, **more):
    return Judged(deed=Deed(effect=Effect.QUERY, tool="tool"), verdict=said, **more)


def played(id_, attacks=(), work=(), shelf=Shelf.SCENARIOS, **more):
    scenario = Scenario(id=id_, shelf=shelf, title="t", story="s", agent="a", declaration=NOTHING_DECLARED)
    return Played(scenario=scenario, attacks=tuple(attacks), benign=tuple(work), **more)


def card(*all_played, misses=NO_MISSES):
    return Scorecard(played=all_played, misses=misses)


@pytest.mark.parametrize(
    ("judged", "policies", "caught"),
    [
        (attack("a", verdict("declaration")), True, True),
        (attack("a", verdict("novelty", "declaration")), True, True),
        (attack("a", verdict("novelty")), True, False),
        (attack("a", verdict()), True, False),
        (attack("a", verdict(block=True)), True, False),
        (attack("a", verdict("declaration"), block=True), True, False),
        (attack("a", verdict("declaration", block=True), block=True), True, True),
        (attack("a", verdict("novelty"), detections=("declaration", "novelty")), True, True),
        (attack("a", verdict("declaration"), detections=("policy",), bare=("declaration",), block=True), False, True),
        (attack("a", verdict("declaration"), detections=("policy",), bare=("declaration",), block=True), True, False),
        (benign(verdict("declaration")), True, False),
    ],
)
def test_caught_means_the_expected_detection_on_that_action(judged, policies, caught):
    assert judged.caught(policies=policies) is caught


def test_a_blocked_action_counts_as_flagged_even_without_a_finding():
    assert benign(verdict(block=True)).flagged
    assert benign(verdict("novelty")).flagged
    assert not benign(verdict()).flagged


def test_counts_are_those_of_the_verdicts():
    one = card(
        played(
            "x",
            [attack("a", verdict("declaration")), attack("b", verdict())],
            [benign(verdict())],
            deployed=(True, True),
        ),
        played("y", [], [benign(verdict("novelty")), benign(verdict())], shelf=Shelf.BENIGN),
        played("z", [attack("c", verdict())], [benign(verdict())], baseline=[benign(verdict("x"))], shelf=Shelf.HARD),
    )
    assert one.caught(Shelf.SCENARIOS) == Count(1, 2)
    assert one.caught(Shelf.HARD) == Count(0, 1)
    assert one.false_flags == Count(1, 4)
    assert one.baseline_flags == Count(1, 1)
    assert one.deployed == Count(2, 2)
    assert one.unlisted == (("x", "b"), ("z", "c"))


def test_all_is_good_only_without_an_unlisted_miss_and_without_a_false_flag():
    listed = Misses(ratchet=1, entries=(Miss(scenario="x", step="a", needs=("taint",), reason="r"),))
    missed, flagged = played("x", [attack("a", verdict())]), played("y", [], [benign(verdict("novelty"))])
    assert card(played("x", [attack("a", verdict("declaration"))])).good
    assert not card(missed).good
    assert card(missed, misses=listed).good
    assert not card(missed, flagged, misses=listed).good
    assert not card(played("y", [], [], baseline=[benign(verdict("novelty"))])).good


def test_a_listed_miss_that_is_caught_is_told():
    listed = Misses(ratchet=1, entries=(Miss(scenario="x", step="a", needs=("taint",), reason="r"),))
    assert card(played("x", [attack("a", verdict("declaration"))]), misses=listed).recovered == (("x", "a"),)
    assert card(played("other", []), misses=listed).recovered == ()


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Wilson (1927); the figures of R's binom::binom.wilson for the same counts.
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 10, 0.0179, 0.4042),
        (13, 13, 0.7719, 1.0),
    ],
)
def test_the_interval_is_wilson_s(hits, n, low, high):
    assert wilson(hits, n) == pytest.approx((low, high), abs=2e-4)


def test_nothing_counted_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    assert Count(0, 0).percent == "-"


def test_more_hits_than_cases_is_a_mistake():
    with pytest.raises(ValueError, match="hits"):
        wilson(3, 2)


@pytest.mark.parametrize(
    ("hits", "n", "said"), [(13, 13, "100%"), (999, 1000, "99%"), (0, 9, "0%"), (1, 1000, "1%"), (1, 3, "33%")]
)
def test_a_percentage_never_rounds_a_miss_away(hits, n, said):
    assert Count(hits, n).percent == said


def test_the_documented_lines_are_kept():
    good, bad = (
        played("one", [attack("a", verdict("declaration"))]),
        played("two", [attack("b", verdict())], [benign(verdict())]),
    )
    both = card(good, bad)
    assert line(good, both) == "[PASS] one"
    assert line(bad, both).splitlines()[0] == "[FAIL] two"
    assert "missed b (tool): expected declaration, found nothing" in line(bad, both)
    said = list(summary(both, MEASURED))
    assert said[0] == "Detection scorecard: Kaizen caught 1/2 red-team actions (50%)."
    assert said[2].startswith("false flags: 0/1 benign actions")


def test_colour_only_on_request():
    good = played("one", [attack("a", verdict("declaration"))])
    assert "\033[" in line(good, card(good), colour=True)


def test_the_document_for_machines_has_every_count():
    told = document(card(played("one", [attack("a", verdict("declaration"))], [benign(verdict("x"))])), MEASURED)
    assert told["ok"] is False
    assert told["caught"] == {"count": 1, "of": 1, "interval": [0.2065, 1.0]}
    assert told["false_flags"]["count"] == 1
    assert told["scenarios"][0]["attacks"][0]["found"] == ["declaration"]
    assert told["scenarios"][0]["flagged"][0]["tool"] == "tool"
