"""A run's outcome for build servers: JUnit XML and SARIF 2.1.0 (OASIS Standard, errata 01).

Both say the same as the scorecard: an attacking action that is missed fails, one that is a listed miss is skipped (JUnit) or
suppressed with its reason (SARIF), a benign action that is flagged fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

from kaizen_security.contract.action import Json
from kaizen_security.redteam.report import Measured, instead, named
from kaizen_security.redteam.scenario import Scenario, Shelf
from kaizen_security.redteam.scorecard import Judged, Played, Scorecard

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FALSE_FLAG = "false-flag"
LEARNED = "learned"
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 (section 2.2) has no character for."""


# --- JUnit --------------------------------------------------------------------------------------------------------------------


def junit(card: Scorecard, measured: Measured, learned: tuple[str, ...] = ()) -> bytes:
    """One suite a shelf, one case for each attacking action, one for each scenario's benign actions.

    ``learned`` is what the baseline should not hold (``own.taught``); it is an error of the whole run.
    """
    top = ElementTree.Element("testsuites", name="kaizen redteam")
    for shelf in Shelf:
        if card.of(shelf):
            suite = _suite(top, shelf.value, measured)
            for played in card.of(shelf):
                _cases(suite, played, card)
            _count(suite)
    if learned:
        suite = _suite(top, LEARNED, measured)
        case = ElementTree.SubElement(suite, "testcase", classname="redteam", name="the baseline learned nothing of it")
        _failure(case, LEARNED, "the agent's baseline has learned from the run: " + ", ".join(learned))
        _count(suite)
    _count(top)
    ElementTree.indent(top)
    written: bytes = ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _suite(top: ElementTree.Element, name: str, measured: Measured) -> ElementTree.Element:
    suite = ElementTree.SubElement(top, "testsuite", name=name)
    properties = ElementTree.SubElement(suite, "properties")
    for key in ("target", "corpus", "version", "command"):
        ElementTree.SubElement(properties, "property", name=key, value=_xml(str(getattr(measured, key))))
    return suite


def _cases(suite: ElementTree.Element, played: Played, card: Scorecard) -> None:
    class_ = f"redteam.{played.scenario.shelf.value}.{played.scenario.id}"
    reasons = {(miss.scenario, miss.step): miss.reason for miss in card.misses.entries}
    for judged in played.attacks:
        case = ElementTree.SubElement(
            suite, "testcase", classname=class_, name=_xml(f"{named(judged)} is caught"), file=played.scenario.path
        )
        listed = reasons.get((played.scenario.id, judged.deed.name))
        if judged in played.missed and listed is not None:
            ElementTree.SubElement(case, "skipped", message=_xml(f"a listed miss: {listed}"))
        elif judged in played.missed:
            _failure(case, "missed", instead(judged))
    if played.benign or played.baseline:
        name = "benign actions are left in peace"
        case = ElementTree.SubElement(suite, "testcase", classname=class_, name=name, file=played.scenario.path)
        if played.flags:
            _failure(case, FALSE_FLAG, "\n".join(f"{named(one)}: {one.verdict.reason}" for one in played.flags))


def _failure(case: ElementTree.Element, type_: str, message: str) -> None:
    failure = ElementTree.SubElement(case, "failure", type=type_, message=_xml(message.partition("\n")[0]))
    failure.text = _xml(message)


def _count(element: ElementTree.Element) -> None:
    element.set("tests", str(len(element.findall(".//testcase"))))
    for counted, name in (("failures", "failure"), ("skipped", "skipped")):
        element.set(counted, str(len(element.findall(f".//{name}"))))
    element.set("errors", "0")


def _xml(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)


# --- SARIF --------------------------------------------------------------------------------------------------------------------


def sarif(card: Scorecard, measured: Measured, learned: tuple[str, ...] = (), *, base: Path) -> dict[str, Json]:
    """One result for each miss and each false flag, at the scenario's file. ``base``: files below it get relative names."""
    rules: dict[str, dict[str, Json]] = {}
    results: list[Json] = []
    for rule, result in _results(card, learned, base):
        rules.setdefault(str(rule["id"]), rule)
        results.append({"ruleId": rule["id"], "ruleIndex": list(rules).index(str(rule["id"])), **result})
    driver: dict[str, Json] = {"name": "kaizen redteam", "version": measured.version, "rules": list(rules.values())}
    run: dict[str, Json] = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "commandLine": measured.command}],
        "columnKind": "utf16CodeUnits",
        "results": results,
        "properties": {
            "target": measured.target,
            "corpus": measured.corpus,
            "caught": card.caught(Shelf.SCENARIOS).to_json(),
            "falseFlags": card.false_flags.to_json(),
        },
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _results(
    card: Scorecard, learned: tuple[str, ...], base: Path
) -> Iterator[tuple[dict[str, Json], dict[str, Json]]]:
    reasons = {(miss.scenario, miss.step): miss.reason for miss in card.misses.entries}
    for played in card.played:
        scenario = played.scenario
        for judged in played.missed:
            listed = reasons.get((scenario.id, judged.deed.name))
            result = _result(scenario, judged, f"Missed: {named(judged)}: {instead(judged)}", base)
            result["level"] = "error" if listed is None else "note"
            if listed is not None:
                result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": listed}]
            yield _missed(scenario), result
        for judged in played.flags:
            said = f"A benign action is flagged: {named(judged)}: {judged.verdict.reason}"
            yield _FALSE_FLAG, {**_result(scenario, judged, said, base), "level": "warning"}
    for value in learned:
        yield (
            _LEARNED,
            {"level": "error", "message": {"text": f"The agent's baseline has learned from the run: {value}"}},
        )


def _missed(scenario: Scenario) -> dict[str, Json]:
    class_ = scenario.attack_class
    title = class_.title if class_ else scenario.attack
    tags = ["security", *(class_.owasp if class_ else ()), *(class_.atlas if class_ else ())]
    return {
        "id": f"missed/{scenario.attack}",
        "name": "Missed" + "".join(word.title() for word in scenario.attack.split("-")),
        "shortDescription": {"text": f"{title}: an attacking action was not caught"},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": list(tags)},
    }


_FALSE_FLAG: dict[str, Json] = {
    "id": FALSE_FLAG,
    "name": "FalseFlag",
    "shortDescription": {"text": "A benign action was flagged or blocked"},
    "defaultConfiguration": {"level": "warning"},
    "properties": {"tags": ["false positive"]},
}
_LEARNED: dict[str, Json] = {
    "id": LEARNED,
    "name": "LearnedFromAttack",
    "shortDescription": {"text": "A red-team run taught the agent's baseline something"},
    "defaultConfiguration": {"level": "error"},
    "properties": {"tags": ["security"]},
}


def _result(scenario: Scenario, judged: Judged, message: str, base: Path) -> dict[str, Json]:
    step = judged.deed.name or judged.deed.tool
    place: dict[str, Json] = {"logicalLocations": [{"fullyQualifiedName": f"{scenario.id}/{step}", "kind": "member"}]}
    if scenario.path:
        place["physicalLocation"] = {
            "artifactLocation": {"uri": _uri(Path(scenario.path), base)},
            "region": {"startLine": _line(Path(scenario.path), step)},
        }
    return {
        "message": {"text": message},
        "locations": [place],
        "partialFingerprints": {"kaizenRedteam/v1": f"{scenario.id}/{step}/{judged.deed.tool}"},
    }


def _uri(path: Path, base: Path) -> str:
    whole = path.resolve()
    return quote(whole.relative_to(base).as_posix()) if whole.is_relative_to(base) else whole.as_uri()


def _line(path: Path, step: str) -> int:
    """Where the step stands in its file; 1 when its name cannot be found there."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return 1
    wanted = re.compile(rf"(name|tool|of)\s*=\s*[\"']{re.escape(step)}[\"']")
    return next((n for n, line in enumerate(lines, 1) if wanted.search(line)), 1)
