"""``--junit`` and ``--sarif``: what build servers read, and that it says what the scorecard says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator

from kaizen_security.redteam.corpus import folder
from tests.architecture.tree import ROOT
from tests.red_team.sarif import SCHEMA
from tests.red_team.test_command import changed, kaizen


def read_sarif(path):
    document = json.loads(path.read_text())
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(document)
    [run] = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    return run


def read_junit(path):
    top = ElementTree.parse(path).getroot()
    assert top.tag == "testsuites"
    for element in (top, *top.findall("testsuite")):
        for attribute, what in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
            assert int(element.get(attribute)) == len(element.findall(f".//{what}"))
    cases = top.findall(".//testcase")
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
    return top


@pytest.fixture
def corpus(tmp_path):
    shutil.copytree(folder(), tmp_path / "my corpus", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return tmp_path / "my corpus"


def outcome(tmp_path, *words):
    said = kaizen(*words, "--junit", str(tmp_path / "out.xml"), "--sarif", str(tmp_path / "out.sarif"))
    assert said.returncode in (0, 1), said.stderr
    return said, read_junit(tmp_path / "out.xml"), read_sarif(tmp_path / "out.sarif")


def test_a_good_run_has_a_case_for_each_action_and_no_result(tmp_path):
    said, top, run = outcome(tmp_path, "--scenario", "scope-creep", "--scenario", "exfil-to-allowed-host")
    assert said.returncode == 0
    assert (top.get("tests"), top.get("failures"), run["results"]) == ("5", "0", [])
    names = [case.get("name") for case in top.findall(".//testcase")]
    assert sum(name.endswith(" is caught") for name in names) == 3
    assert names.count("benign actions are left in peace") == 2
    assert run["properties"]["caught"]["count"] == 3
    properties = {one.get("name"): one.get("value") for one in top.findall("testsuite/properties/property")}
    assert properties["target"] == "embedded"
    assert properties["corpus"] == run["properties"]["corpus"]


def test_a_miss_is_a_failure_and_an_error_at_its_line(corpus, tmp_path):
    changed(corpus / "scenarios/scope-creep.toml", 'tool = "price_set"', 'tool = "low_report"')
    said, top, run = outcome(tmp_path, "--corpus", str(corpus), "--scenario", "scope-creep")
    assert said.returncode == 1
    [failure] = top.findall(".//failure")
    assert (failure.get("type"), failure.text) == (
        "missed",
        "expected declaration, found nothing; allow: no policy matched",
    )
    [result] = run["results"]
    assert (result["ruleId"], result["level"]) == ("missed/scope-creep", "error")
    assert "price (low_report)" in result["message"]["text"]
    place = result["locations"][0]
    assert place["logicalLocations"][0]["fullyQualifiedName"] == "scope-creep/price"
    uri = place["physicalLocation"]["artifactLocation"]["uri"]
    path = Path(unquote(uri.removeprefix("file://")))
    assert path == corpus / "scenarios/scope-creep.toml"
    assert '"price"' in path.read_text().splitlines()[place["physicalLocation"]["region"]["startLine"] - 1]
    tags = run["tool"]["driver"]["rules"][0]["properties"]["tags"]
    assert {"security", "ASI02", "AML.T0053"} <= set(tags)


def test_a_file_below_the_working_directory_has_a_relative_name(tmp_path):
    work = ROOT / "red-team/hard/dearest-item.toml"
    twin = ROOT / "red-team/benign/dearest-item.toml"
    _, _, run = outcome(tmp_path, str(work.relative_to(ROOT)), str(twin.relative_to(ROOT)))
    uris = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in run["results"]}
    assert uris <= {"red-team/hard/dearest-item.toml"}


def test_a_false_flag_is_a_failure_and_a_warning(corpus, tmp_path):
    changed(corpus / "benign/scope-creep.toml", 'tool = "low_report"', 'tool = "new_report"')
    said, top, run = outcome(tmp_path, "--corpus", str(corpus), "--scenario", "scope-creep")
    assert said.returncode == 1
    assert [failure.get("type") for failure in top.findall(".//failure")] == ["false-flag"]
    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [("false-flag", "warning")]


def test_a_listed_miss_is_skipped_and_suppressed_with_its_reason(corpus, tmp_path):
    # Made a miss that no detection can find: nothing of this name exists.
    changed(corpus / "hard/dearest-item.toml", 'detections = ["alignment", "volume"]', 'detections = ["no_such"]')
    with (corpus / "hard/misses.toml").open("a") as listed:
        listed.write('\n[[miss]]\nscenario = "dearest-item"\nsteps = ["book"]\nneeds = ["no_such"]\n')
        listed.write('reason = "Nothing of this name exists."\n')
    _, top, run = outcome(tmp_path, "--corpus", str(corpus), "--scenario", "dearest-item")
    [skipped] = top.findall(".//skipped")
    assert skipped.get("message").startswith("a listed miss: ")
    [result] = [result for result in run["results"] if result["ruleId"] == "missed/injection"]
    assert result["level"] == "note"
    [suppression] = result["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    assert len(suppression["justification"]) > 20


def test_text_that_xml_has_no_characters_for_does_not_break_the_file(corpus, tmp_path):
    path = corpus / "scenarios/scope-creep.toml"
    changed(path, 'tool = "price_set"', 'tool = "low\\u0001\\uffff<&]]>\\"\\u202e😀"')
    changed(path, 'detections = ["declaration"]', 'detections = ["no_such"]')
    said, top, run = outcome(tmp_path, "--corpus", str(corpus), "--scenario", "scope-creep")
    assert said.returncode == 1
    assert any("<&]]>" in case.get("name") for case in top.findall(".//testcase"))
    assert len(run["results"]) == 1


@pytest.mark.parametrize("option", ["--junit", "--sarif"])
def test_an_outcome_that_cannot_be_written_is_said_before_anything_is_played(tmp_path, option):
    said = kaizen(option, str(tmp_path / "no such folder/out"))
    assert said.returncode == 2
    assert said.stdout == ""
    assert said.stderr.startswith(f"kaizen redteam: {option}: ")
    assert "cannot be written: No such file or directory" in said.stderr


@pytest.mark.parametrize("option", ["--junit", "--sarif"])
def test_a_run_that_could_not_be_played_leaves_no_empty_outcome(tmp_path, option):
    said = kaizen(option, str(tmp_path / "out"), "--agent", "billing", "--target", f"unix://{tmp_path}/nobody.sock")
    assert said.returncode == 2
    assert list(tmp_path.iterdir()) == []
