"""The scorecard for people and for machines. Every figure comes from ``Scorecard``; nothing is written that was not counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kaizen_security.contract.action import Json
from kaizen_security.redteam.scenario import Scenario, Shelf
from kaizen_security.redteam.scorecard import Count, Judged, Played, Scorecard

_COLOURS = {"PASS": "32", "FAIL": "31", "MISS": "33"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a figure was measured on; it is printed beside the figures."""

    target: str
    corpus: str
    seed: int | None
    version: str
    command: str

    def __str__(self) -> str:
        names = "names as written" if self.seed is None else f"names randomised, seed {self.seed}"
        return f"target: {self.target} · corpus {self.corpus} · {names} · kaizen {self.version}"


def mark(word: str, *, colour: bool) -> str:
    """``[PASS]``, ``[FAIL]`` or ``[MISS]``."""
    return f"[\033[{_COLOURS[word]}m{word}\033[0m]" if colour else f"[{word}]"


def line(played: Played, card: Scorecard, *, colour: bool = False) -> str:
    """One scenario: ``[PASS] id``, and what was missed or flagged below it."""
    listed = card.misses.keys
    unlisted = [judged for judged in played.missed if (played.scenario.id, judged.deed.name) not in listed]
    word = "FAIL" if unlisted or played.flags else "MISS" if played.missed else "PASS"
    lines = [f"{mark(word, colour=colour)} {played.scenario.id}"]
    lines += [f"       missed {named(judged)}: {instead(judged)}" for judged in unlisted]
    lines += [f"       flagged {named(judged)}: {judged.verdict.reason}" for judged in played.flags]
    return "\n".join(lines)


def named(judged: Judged) -> str:
    """An action for people: its step in the scenario, and its tool."""
    deed = judged.deed
    return f"{deed.name} ({deed.tool})" if deed.name else deed.tool


def instead(judged: Judged) -> str:
    """What was expected of a missed action, and what was said instead."""
    expected = judged.deed.expected
    wanted = " or ".join(expected.detections) if expected else ""
    found = ", ".join(finding.detection for finding in judged.verdict.evidence) or "nothing"
    return f"expected {wanted}, found {found}; {judged.verdict.decision.value}: {judged.verdict.reason}"


def summary(card: Scorecard, measured: Measured, *, hard: bool = False) -> Iterator[str]:
    """The lines below the scenarios. ``hard`` lists every known miss with its reason."""
    caught = card.caught(Shelf.SCENARIOS)
    if caught.n:
        yield f"Detection scorecard: Kaizen caught {caught.hits}/{caught.n} red-team actions ({caught.percent})."
        yield f"  interval {caught.interval} (Wilson, 95 %); counted as the deployed runner counts: {_of(card.deployed)}"
    flags, learned = card.false_flags, card.baseline_flags
    yield f"false flags: {_of(flags)} benign actions (interval {flags.interval}); {_of(learned)} baseline actions"
    if card.of(Shelf.HARD):
        yield from _hard(card, full=hard)
    yield str(measured)


def _hard(card: Scorecard, *, full: bool) -> Iterator[str]:
    caught = card.caught(Shelf.HARD)
    played = {played.scenario.id for played in card.of(Shelf.HARD)}
    listed = [miss for miss in card.misses.entries if miss.scenario in played]
    yield (
        f"hard set (declared tools, allowed hosts): {_of(caught)} actions caught (interval {caught.interval}); "
        f"{len(listed)} listed misses, {len(card.unlisted_of(Shelf.HARD))} not listed"
    )
    if full:
        for miss in listed:
            yield f"  {miss.scenario}/{miss.step}: {miss.reason} Needs {' or '.join(miss.needs)}."
    elif listed:
        yield "  kaizen redteam --hard lists each with its reason"
    for scenario, step in card.recovered:
        yield f"  {scenario}/{step} is caught now: take it out of hard/misses.toml"


def _of(count: Count) -> str:
    return f"{count.hits}/{count.n}"


def tables(scenarios: Iterable[Scenario]) -> str:
    """The tables of the reference page, in Markdown, one for each shelf."""
    parts = []
    for shelf, heading in _HEADINGS.items():
        rows = [_row(scenario) for scenario in scenarios if scenario.shelf is shelf]
        parts.append("\n".join([heading, *rows]))
    return "\n\n".join(parts) + "\n"


_COLUMNS = "| scenario | class | OWASP | ATLAS | actions | what happens | its twin | expected |\n|---|---|---|---|---|---|---|---|"
_HEADINGS = {
    Shelf.SCENARIOS: f"### The ten\n\n{_COLUMNS}",
    Shelf.HARD: f"### The hard set\n\n{_COLUMNS}",
    Shelf.BENIGN: "### Benign work\n\n| scenario | actions | what happens |\n|---|---|---|",
}


def _row(scenario: Scenario) -> str:
    class_ = scenario.attack_class
    if class_ is None:
        return f"| `{scenario.id}` | {len(scenario.benign)} | {scenario.story} |"
    expected = sorted({" or ".join(deed.expected.detections) for deed in scenario.attacks if deed.expected})
    cells = (
        f"`{scenario.id}`",
        f"{class_.number}",
        " ".join(class_.owasp),
        " ".join(class_.atlas),
        str(len(scenario.attacks)),
        scenario.story,
        scenario.twin_story,
        "; ".join(expected),
    )
    return "| " + " | ".join(cells) + " |"


def document(card: Scorecard, measured: Measured) -> dict[str, Json]:
    """Everything for machines."""
    return {
        "ok": card.good,
        "measured": {
            "target": measured.target,
            "corpus": measured.corpus,
            "seed": measured.seed,
            "version": measured.version,
            "command": measured.command,
        },
        "caught": card.caught(Shelf.SCENARIOS).to_json(),
        "hard": card.caught(Shelf.HARD).to_json(),
        "false_flags": card.false_flags.to_json(),
        "baseline_flags": card.baseline_flags.to_json(),
        "deployed_rule": card.deployed.to_json(),
        "missed_not_listed": [f"{scenario}/{step}" for scenario, step in card.unlisted],
        "listed_but_caught": [f"{scenario}/{step}" for scenario, step in card.recovered],
        "misses": [
            {"scenario": miss.scenario, "step": miss.step, "needs": list(miss.needs), "reason": miss.reason}
            for miss in card.misses.entries
        ],
        "scenarios": [_scenario(played) for played in card.played],
    }


def _scenario(played: Played) -> dict[str, Json]:
    scenario = played.scenario
    class_ = scenario.attack_class
    return {
        "id": scenario.id,
        "shelf": scenario.shelf.value,
        "title": scenario.title,
        "attack": scenario.attack,
        "owasp": list(class_.owasp) if class_ else [],
        "atlas": list(class_.atlas) if class_ else [],
        "attacks": [
            {
                "step": judged.deed.name,
                "caught": played.caught(judged),
                "expected": list(judged.deed.expected.detections) if judged.deed.expected else [],
                **_verdict(judged),
            }
            for judged in played.attacks
        ],
        "benign": len(played.benign),
        "baseline": len(played.baseline),
        "flagged": [_verdict(judged) for judged in played.flags],
    }


def _verdict(judged: Judged) -> dict[str, Json]:
    return {
        "tool": judged.deed.tool,
        "found": [finding.detection for finding in judged.verdict.evidence],
        "decision": judged.verdict.decision.value,
        "reason": judged.verdict.reason,
    }
