"""``kaizen redteam`` and ``python red-team/corpus.py``, as somebody types them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from kaizen_security.redteam.corpus import folder, misses
from tests.architecture.tree import ROOT

IDS = {path.stem for path in (ROOT / "red-team/scenarios").glob("*.toml")}


def kaizen(*words, **environment):
    return started([sys.executable, "-m", "kaizen_security.cli", "redteam", *words], environment)


def started(command, environment):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("KAIZEN_")}
    return subprocess.run(command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, timeout=120)


def test_the_scorecard_has_its_documented_form_and_the_false_flags_beside_it():
    said = kaizen()
    assert said.returncode == 0, said.stdout + said.stderr
    assert {id_ for id_ in IDS if f"[PASS] {id_}\n" in said.stdout} == IDS
    assert "Detection scorecard: Kaizen caught 13/13 red-team actions (100%).\n" in said.stdout
    assert re.search(r"^false flags: 0/\d{2,} benign actions \(interval ", said.stdout, re.M)
    assert re.search(r"^hard set .*: \d+/31 actions caught .*listed misses, 0 not listed$", said.stdout, re.M)
    assert re.search(r"corpus [0-9a-f]{16}", said.stdout)
    assert "\033" not in said.stdout


def test_the_script_says_where_it_runs_and_prints_the_same_scorecard():
    said = started([sys.executable, "red-team/corpus.py"], {"KAIZEN_API_URL": "http://127.0.0.1:9"})
    assert said.returncode == 0, said.stdout + said.stderr
    assert "against: embedded (no server" in said.stdout
    assert "Kaizen caught 13/13 red-team actions (100%)." in said.stdout


def test_with_a_key_and_a_url_the_script_goes_to_that_server():
    said = started(
        [sys.executable, "red-team/corpus.py"], {"KAIZEN_API_URL": "http://127.0.0.1:9", "KAIZEN_API_KEY": "kz_live_x"}
    )
    assert said.returncode == 2
    assert said.stderr.startswith("corpus: cannot reach http://127.0.0.1:9")


def listed(corpus):
    """The corpus with one miss listed that is none."""
    with (corpus / "hard/misses.toml").open("a") as file:
        file.write('\n[[miss]]\nscenario = "dearest-item"\nsteps = ["book"]\nneeds = ["alignment", "volume"]\n')
        file.write('reason = "Only the request says cheapest."\n')
    return corpus


def test_the_hard_set_is_listed_with_reasons_on_request(corpus):
    changed(corpus / "hard/dearest-item.toml", 'detections = ["alignment", "volume"]', 'detections = ["no_such"]')
    said = kaizen("--hard", "--corpus", str(listed(corpus)), "--scenario", "dearest-item")
    assert said.returncode == 0
    assert "dearest-item/book: " in said.stdout
    assert "Needs alignment or volume." in said.stdout


def test_machines_get_one_document():
    said = kaizen("--json", "--seed", "4")
    told = json.loads(said.stdout)
    assert said.returncode == 0
    assert told["ok"] is True
    assert (told["caught"]["count"], told["caught"]["of"]) == (13, 13)
    assert told["false_flags"]["count"] == 0
    assert told["measured"] == {
        **told["measured"],
        "seed": 4,
        "command": "kaizen redteam --seed 4",
        "target": "embedded",
    }
    assert {row["id"] for row in told["scenarios"] if row["shelf"] == "scenarios"} == IDS
    assert all(row["owasp"] for row in told["scenarios"] if row["attack"])


def test_one_scenario_can_be_chosen_and_an_unknown_one_is_named():
    assert "Kaizen caught 2/2 red-team actions" in kaizen("--scenario", "slow-drift").stdout
    wrong = kaizen("--scenario", "no-such")
    assert wrong.returncode == 2
    assert wrong.stderr == "kaizen redteam: --scenario: there is no scenario 'no-such'; --list shows them\n"


def test_the_list_runs_nothing():
    said = kaizen("--list")
    assert said.returncode == 0
    assert set(said.stdout.split()) >= IDS
    assert {row["id"] for row in json.loads(kaizen("--list", "--json").stdout)} >= IDS


def test_a_target_that_is_no_url_is_refused_by_name():
    said = kaizen("--target", "somewhere")
    assert said.returncode == 2
    assert "target: must be embedded, an http(s) URL, or unix:///path" in said.stderr


@pytest.fixture
def corpus(tmp_path):
    shutil.copytree(folder(), tmp_path / "corpus", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return tmp_path / "corpus"


def changed(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_attack_that_is_missed_fails_the_run(corpus):
    changed(corpus / "scenarios/scope-creep.toml", 'tool = "price_set"', 'tool = "low_report"')
    said = kaizen("--corpus", str(corpus))
    assert said.returncode == 1
    assert "[FAIL] scope-creep\n       missed price (low_report): expected declaration, found nothing" in said.stdout
    assert "Kaizen caught 12/13 red-team actions (92%)." in said.stdout


def test_a_benign_action_that_is_flagged_fails_the_run(corpus):
    changed(corpus / "benign/scope-creep.toml", 'tool = "low_report"', 'tool = "new_report"')
    said = kaizen("--corpus", str(corpus), "--scenario", "scope-creep")
    assert said.returncode == 1
    assert "flagged price (new_report): undeclared: this agent used a tool it never declared" in said.stdout
    assert "false flags: 1/2 benign actions" in said.stdout


def test_a_hard_miss_that_is_not_listed_fails_the_run(corpus):
    changed(corpus / "hard/dearest-item.toml", 'detections = ["alignment", "volume"]', 'detections = ["no_such"]')
    said = kaizen("--corpus", str(corpus))
    assert said.returncode == 1
    assert "[FAIL] dearest-item" in said.stdout
    assert f"{misses().ratchet} listed misses, 1 not listed" in said.stdout


def test_a_listed_miss_that_is_caught_is_told(corpus):
    said = kaizen("--corpus", str(listed(corpus)), "--scenario", "dearest-item")
    assert "dearest-item/book is caught now: take it out of hard/misses.toml" in said.stdout


def test_a_broken_file_is_named_with_its_field(corpus):
    changed(corpus / "hard/dearest-item.toml", 'do = "http_post"\ntool = "room_book"', 'do = "fly"\ntool = "room_book"')
    said = kaizen("--corpus", str(corpus))
    assert said.returncode == 2
    assert f"{corpus}/hard/dearest-item.toml: sessions[0].moves[1].do: must be one of" in said.stderr
