"""The corpus under other names: no detector can be keyed on its strings."""

from __future__ import annotations

import os
import re

import pytest

from kaizen_security.redteam.corpus import folder, load
from kaizen_security.redteam.files import build, read
from kaizen_security.redteam.randomise import randomise
from kaizen_security.redteam.runner import play
from kaizen_security.redteam.scenario import Deed, Shelf
from kaizen_security.redteam.scorecard import Judged
from kaizen_security.redteam.targets import Embedded

DOCUMENTS = read(folder())
SEEDS = range(20 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 8)


@pytest.mark.parametrize("seed", SEEDS)
def test_under_any_names_every_attack_is_caught_and_nothing_benign_flagged(seed):
    scenarios = load(seed=seed, shelves=(Shelf.SCENARIOS, Shelf.BENIGN))
    attacks = 0
    for one in play(scenarios, Embedded(), deployed=False):
        attacks += len(one.attacks)
        assert [(judged.deed.tool, judged.verdict.reason) for judged in (*one.missed, *one.flags)] == []
    assert attacks == 13


@pytest.fixture(scope="module")
def as_written():
    return list(play(load(shelves=(Shelf.HARD,)), Embedded()))


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_no_more_of_the_hard_set_is_missed_under_any_names(seed, as_written):
    renamed = list(play(load(seed=seed, shelves=(Shelf.HARD,)), Embedded()))
    # Less may be: in a baseline claimOpenFern is one word, so opening a claim counts as an act, and approving one as a rarer one.
    more = [(one.scenario.id, {*_missed(one)} - {*_missed(was)}) for one, was in zip(renamed, as_written, strict=True)]
    assert [name for name, missed in more if missed] == []
    assert [one.flags for one in renamed] == [()] * len(as_written)


def _missed(one):
    return [judged.deed.name for judged in one.missed if isinstance(judged, Judged)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.path.stem)
def test_agents_tools_hosts_and_files_all_get_other_names(document):
    old, new = build(document), build(randomise(document, 1))
    kept = set(document.data.get("randomise", {}).get("keep", ()))
    assert old.agent != new.agent
    assert not {deed.tool for deed in old.deeds()} & {deed.tool for deed in new.deeds()}
    assert not (set(old.declaration.destinations) & set(new.declaration.destinations)) - kept
    assert not (hosts(old) & hosts(new)) - kept
    assert not (files(old) & files(new)) - kept


def hosts(scenario):
    return {match[1] for deed in scenario.deeds() if (match := re.match(r"https?://([^/:]+)", deed.target))}


def files(scenario):
    return {deed.target for deed in scenario.deeds() if deed.effect in ("read_file", "write_file")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.path.stem)
def test_the_structure_stays(document):
    old, new = build(document), build(randomise(document, 7))
    assert (new.id, new.attack, new.shelf, new.times, new.rungs) == (
        old.id,
        old.attack,
        old.shelf,
        old.times,
        old.rungs,
    )
    for before, after in zip(parts(old), parts(new), strict=True):
        assert len(before.moves) == len(after.moves)
        for this, that in zip(before.moves, after.moves, strict=True):
            assert type(this) is type(that)
            if isinstance(this, Deed):
                same = ("effect", "kind", "source", "sensitive", "name", "injected", "expected")
                assert [getattr(this, key) for key in same] == [getattr(that, key) for key in same]
                assert this.arguments.keys() == that.arguments.keys()
    # Two names that were different are different still, and the same ones the same.
    for key in ("tool", "target"):
        pairs = {(getattr(a, key), getattr(b, key)) for a, b in zip(old.deeds(), new.deeds(), strict=True)}
        assert len({first for first, _ in pairs}) == len({second for _, second in pairs}) == len(pairs)


def parts(scenario):
    return (*scenario.baseline, *scenario.sessions, *scenario.twin)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.path.stem)
def test_every_string_that_is_listed_for_randomising_occurs(document):
    settings = document.data.get("randomise", {})
    whole = str({key: value for key, value in document.data.items() if key != "randomise"})
    for key in ("keep", "names", "values"):
        assert [string for string in settings.get(key, ()) if string not in whole] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.path.stem)
def test_attack_and_twin_are_asked_in_the_same_words(document):
    scenario = build(randomise(document, 3))
    if scenario.sessions:
        assert [s.request for s in scenario.sessions] == [s.request for s in scenario.twin]


def test_a_seed_gives_the_same_names_and_another_seed_others():
    assert load(seed=5) == load(seed=5)
    assert load(seed=5) != load(seed=6)


def test_a_value_keeps_its_origin_when_it_gets_another_name():
    (document,) = [document for document in DOCUMENTS if document.path.stem == "injected-transfer"]
    scenario = build(randomise(document, 11))
    (bill,) = [move for move in scenario.sessions[0].moves if move.name == "bill"]
    (transfer,) = scenario.attacks
    assert transfer.arguments["iban"] in bill.result
    assert transfer.arguments["iban"] not in str(document.data)


def test_an_encoded_payload_is_encoded_from_the_new_names():
    (document,) = [document for document in DOCUMENTS if document.path.stem == "dns-labels"]
    scenario = build(randomise(document, 11))
    (lookup,) = scenario.attacks
    token = bytes.fromhex(lookup.arguments["mirror"]).decode()
    assert token != "tok-9Qw3Ev81zx"
    assert token in next(move.result for move in scenario.sessions[0].moves if move.name == "list")
