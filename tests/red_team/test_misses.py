"""The list of known misses may only shrink."""

from __future__ import annotations

import subprocess
import tomllib

import pytest

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.redteam.corpus import folder, load, misses
from kaizen_security.redteam.runner import play
from kaizen_security.redteam.scenario import Shelf
from kaizen_security.redteam.scorecard import Scorecard, decode_misses, read_misses
from kaizen_security.redteam.targets import Embedded
from tests.architecture.tree import ROOT

LISTED = misses()
FILE = "red-team/hard/misses.toml"


def test_the_list_is_not_longer_than_its_ratchet_and_the_ratchet_is_tight():
    assert len(LISTED.entries) == len(LISTED.keys) == LISTED.ratchet


def test_the_ratchet_never_rises_above_what_it_was_in_any_version():
    log = git("log", "--format=%H", "--follow", "--", FILE)
    versions = log.stdout.split() if log.returncode == 0 else []
    if not versions:
        pytest.skip("no git history here, or one that does not hold the file")
    ratchets = [
        tomllib.loads(shown.stdout)["ratchet"]
        for version in versions
        if (shown := git("show", f"{version}:{FILE}")).returncode == 0
    ]
    # Two lines of work that met once left a higher one in between; what holds is the lowest that ever was.
    assert LISTED.ratchet <= min(ratchets)
    assert len(LISTED.entries) <= ratchets[-1]


def git(*words):
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)


def test_every_listed_miss_names_an_attacking_action_of_the_hard_set_and_its_detections():
    attacks = {(s.id, deed.name): deed for s in load(shelves=(Shelf.HARD,)) for deed in s.attacks}
    assert LISTED.keys <= attacks.keys()
    for miss in LISTED.entries:
        assert set(miss.needs) == set(attacks[miss.scenario, miss.step].expected.detections)


def test_what_is_missed_is_exactly_what_is_listed():
    card = Scorecard(played=tuple(play(load(shelves=(Shelf.HARD,)), Embedded())), misses=LISTED)
    assert card.unlisted == ()
    assert card.recovered == ()


def test_only_the_hard_set_may_have_misses():
    easy = {scenario.id for scenario in load(shelves=(Shelf.SCENARIOS,))}
    assert easy & {miss.scenario for miss in LISTED.entries} == set()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ratchet: must be a whole number"),
        ("ratchet = -1", "ratchet: must be a whole number"),
        ("ratchet = 1\nmiss = 3", "miss: must be a list"),
        ("ratchet = 1\n[[miss]]\nscenario = 'x'\nsteps = ['a']\nreason = 'short'", r"miss\[0\].reason: must say why"),
        ("ratchet = ", "Invalid value"),
    ],
)
def test_a_broken_list_is_refused_with_file_and_field(tmp_path, text, said):
    path = tmp_path / "misses.toml"
    path.write_text(text)
    with pytest.raises(Misconfigured, match=said) as refused:
        read_misses(path)
    assert str(path) in str(refused.value)


def test_no_list_is_an_empty_list(tmp_path):
    assert read_misses(tmp_path / "none.toml").entries == ()


def test_each_step_is_an_entry_of_its_own():
    entry = {"scenario": "x", "steps": ["a", "b"], "needs": ["taint"], "reason": "for no good reason at all"}
    assert [miss.step for miss in decode_misses({"ratchet": 2, "miss": [entry]}).entries] == ["a", "b"]


def test_the_list_stands_beside_the_hard_set():
    assert (folder() / "hard/misses.toml").exists()
