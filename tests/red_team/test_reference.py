"""The reference page says what is in the files."""

from __future__ import annotations

import tomllib

from kaizen_security import __version__
from kaizen_security.redteam.computed import ENCODINGS
from kaizen_security.redteam.corpus import digest, load, misses
from kaizen_security.redteam.report import Measured, summary, tables
from kaizen_security.redteam.runner import play
from kaizen_security.redteam.scenario import Effect, Shelf
from kaizen_security.redteam.scorecard import Scorecard
from kaizen_security.redteam.targets import Embedded
from tests.architecture.tree import ROOT

PAGE = (ROOT / "docs/reference/red-team.md").read_text()


def test_the_tables_are_those_of_the_files():
    start, end = "<!-- generated: kaizen redteam --list --markdown -->\n", "<!-- end of what is generated -->"
    shown = PAGE.partition(start)[2].partition(end)[0]
    assert shown.strip() == tables(load()).strip()


def test_the_figures_are_those_that_are_measured():
    card = Scorecard(played=tuple(play(load(), Embedded())), misses=misses())
    measured = Measured(target="embedded", corpus=digest(), seed=None, version=__version__, command="kaizen redteam")
    assert PAGE.partition("```text\n")[2].partition("```")[0].splitlines() == list(summary(card, measured))


def test_the_example_and_its_twin_are_good_files(tmp_path):
    example, twin = [block.partition("```")[0] for block in PAGE.split("```toml\n")[1:]]
    for shelf in Shelf:
        (tmp_path / shelf).mkdir()
    (tmp_path / "scenarios/two-words.toml").write_text(example)
    (tmp_path / "benign/two-words.toml").write_text(twin)
    (scenario,) = load(tmp_path)
    assert [deed.name for deed in scenario.attacks] == ["take"]
    assert len(load(tmp_path, seed=1)) == 1
    assert tomllib.loads(example)["id"] == "two-words"


def test_every_effect_and_every_encoding_is_named():
    assert [name for name in (*Effect, *ENCODINGS) if f"`{name}`" not in PAGE and f'"{name}"' not in PAGE] == []
