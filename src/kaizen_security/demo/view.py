"""What a person, or a program, sees of ``kaizen up``: one interface, three forms (live terminal, plain lines, JSON lines)."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Protocol, TextIO

from kaizen_security.contract.action import Json
from kaizen_security.contract.depth import Rung
from kaizen_security.demo.account import Outcome, Row, Scorecard


class View(Protocol):
    """Where ``kaizen up`` says what happens."""

    def say(self, text: str) -> None:
        """A line for people."""
        ...

    def started(self, name: str, address: str) -> None:
        """A part can be used now."""
        ...

    def secret(self, **values: str) -> None:
        """Something that is shown this once."""
        ...

    def progress(self, phase: str, done: int, total: int, actions: int) -> None:
        """How far a phase is; ``actions`` verdicts so far."""
        ...

    def verdict(self, row: Row, note: str = "") -> None:
        """A verdict of the line, as it arrives."""
        ...

    def scorecard(self, card: Scorecard, summary: Mapping[str, Json]) -> None:
        """The end of the demonstration."""
        ...

    def up(self, *, console: str, sign_in: str, environment: str) -> None:
        """Everything runs and stays up: where the console is, a link that signs in once, and a file for the user's shell."""
        ...

    def close(self) -> None:
        """Nothing follows for now."""
        ...


def shown(text: str, limit: int = 300) -> str:
    """Text that an agent may have written, for a terminal: nothing in it can move the cursor or hide."""
    safe = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:limit])
    return safe + "…" if len(text) > limit else safe


def word(row: Row) -> str:
    """``block``, ``flag`` or ``allow``."""
    return "block" if row.decision == "block" else "flag" if row.flagged else "allow"


def rung(number: int) -> str:
    """A rung as people read it: ``rung 3 ground truth (egress)``."""
    return f"rung {number} {Rung(number).label}" if number in list(Rung) else f"rung {number}"


def deed(row: Row) -> str:
    """Who did what, and where to."""
    what = " → ".join(part for part in (row.tool or row.kind, row.host or row.target) if part)
    return f"{shown(row.agent, 40)}: {shown(what, 90)}"


def sentence(row: Row) -> str:
    """Decision, rung, agent, action and reason in one line."""
    return f"{word(row).upper():<5}  {rung(row.rung)}  {deed(row)}  ({shown(row.reason)})"


def up_lines(console: str, sign_in: str, environment: str) -> list[str]:
    """How to go on, for people."""
    return [
        "",
        f"Console: {console}",
        f"  {sign_in}",
        "  (this link signs you in once, within ten minutes)",
        "Attach an agent of your own, in three lines:",
        f"  . {environment}",
        '  kaizen = Kaizen(agent="my-agent")     # from kaizen_security import Kaizen',
        "  search = kaizen.guard(search)         # any function that is a tool of your agent",
        "Ctrl-C ends everything; the data stays.",
    ]


def card_lines(card: Scorecard) -> list[str]:
    """The scorecard in plain lines."""
    rungs = ", ".join(f"{count} by {rung(number)}" for number, count in card.by_rung.items())
    lines = [
        *(f"{group:<21}{caught}/{attacks} attacks caught" for group, (caught, attacks) in card.by_group.items()),
        f"{'caught':<21}{card.caught}: {rungs or 'none'}",
        f"{'of these had begun':<21}{sum(outcome.ran for outcome in card.outcomes if outcome.caught)} "
        "(flagged and not stopped; on the wire the proxy refuses what policy denies and what nobody declared)",
        f"{'false flags':<21}{len(card.false)}/{card.benign} benign actions",
    ]
    left = {host: count for host, count in sorted(card.outside.items()) if count}
    lines += [f"{'bytes that left':<21}{count} reached {host}" for host, count in left.items()]
    kept = sorted(set(card.outside) - set(left))
    lines += [f"{'no byte reached':<21}{', '.join(kept)}"] if kept else []
    if card.listed:
        lines.append(f"{'listed misses':<21}{len(card.listed)}, each known and with its reason:")
        lines += [f"  {', '.join(keys)}: {reason}" for reason, keys in _by_reason(card.listed).items()]
    lines += [f"{'MISSED':<21}{missed(outcome)}" for outcome in card.missed]
    lines += [f"{'FALSE FLAG':<21}{sentence(row)}" for row in card.false]
    lines += [f"{'UNSEEN':<21}{shown(what)}: the line has no verdict on it" for what in card.unseen[:20]]
    return lines


def _by_reason(outcomes: list[Outcome]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for outcome in outcomes:
        keys = grouped.setdefault(outcome.attack.excuse, [])
        scenario, _, step = outcome.attack.key.partition("/")
        # Steps of one scenario that share a reason are told in one word.
        keys.append(step if any(key.partition("/")[0] == scenario for key in keys) else outcome.attack.key)
    return grouped


def missed(outcome: Outcome) -> str:
    """A miss that nobody listed, for people."""
    wanted = " or ".join(outcome.attack.detections)
    return f"{outcome.attack.key}: {outcome.attack.title}; expected a finding of {wanted}, got: {shown(outcome.reason)}"


class Plain:
    """Lines, for a pipe or a file."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._told = (-1, "")

    def say(self, text: str) -> None:
        """A line for people."""
        print(text, file=self._out, flush=True)

    def started(self, name: str, address: str) -> None:
        """A part can be used now."""
        self.say(f"  {name:<16} {address}")

    def secret(self, **values: str) -> None:
        """Shown this once."""
        for name, value in values.items():
            self.say(f"  {name.replace('_', ' '):<16} {value}")

    def progress(self, phase: str, done: int, total: int, actions: int) -> None:
        """A line for each tenth."""
        tenth = 10 * done // total if total else 10
        if (tenth, phase) != self._told:
            self._told = (tenth, phase)
            self.say(f"{phase}: {done}/{total}, {actions} verdicts")

    def verdict(self, row: Row, note: str = "") -> None:
        """Only what somebody should look at."""
        if not row.silent:
            self.say(sentence(row) + (f"  [{note}]" if note else ""))

    def scorecard(self, card: Scorecard, summary: Mapping[str, Json]) -> None:
        """The end of the demonstration."""
        self.say("")
        for line in card_lines(card):
            self.say(line)
        self.say("")

    def up(self, *, console: str, sign_in: str, environment: str) -> None:
        """How to go on."""
        for line in up_lines(console, sign_in, environment):
            self.say(line)

    def close(self) -> None:
        """Nothing is held back."""


class Lines:
    """One JSON document a line, each with ``event``; the last of a demonstration is ``summary``."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def _emit(self, event: str, **values: Json) -> None:
        print(json.dumps({"event": event, **values}), file=self._out, flush=True)

    def say(self, text: str) -> None:
        """Text for people."""
        if text:
            self._emit("said", text=text)

    def started(self, name: str, address: str) -> None:
        """A part can be used now."""
        self._emit("started", name=name, address=address)

    def secret(self, **values: str) -> None:
        """Shown this once."""
        self._emit("secret", **values)

    def progress(self, phase: str, done: int, total: int, actions: int) -> None:
        """Every step."""
        self._emit("progress", phase=phase, done=done, total=total, actions=actions)

    def verdict(self, row: Row, note: str = "") -> None:
        """Every verdict."""
        self._emit(
            "verdict",
            id=row.id,
            agent=row.agent,
            source=row.source,
            rung=row.rung,
            tool=row.tool,
            target=row.target,
            decision=row.decision,
            flagged=row.flagged,
            reason=row.reason,
            note=note,
        )

    def scorecard(self, card: Scorecard, summary: Mapping[str, Json]) -> None:
        """The end of the demonstration."""
        self._emit("summary", **summary)

    def up(self, *, console: str, sign_in: str, environment: str) -> None:
        """How to go on."""
        self._emit("up", console=console, sign_in=sign_in, environment=environment)

    def close(self) -> None:
        """Nothing is held back."""


def summarise(card: Scorecard, *, seed: int, seconds: float, tasks: int, verdicts: int) -> dict[str, Json]:
    """The scorecard as a document: ``caught`` + listed misses + misses = ``attacks``.

    ``began`` are the caught ones that were not stopped; ``seconds`` go from the first task to the last verdict.
    """
    return {
        "good": card.good,
        "seed": seed,
        "seconds": round(seconds, 1),
        "learned_tasks": tasks,
        "verdicts": verdicts,
        "attacks": len(card.outcomes),
        "caught": card.caught,
        "groups": {group: {"caught": caught, "attacks": all_} for group, (caught, all_) in card.by_group.items()},
        "caught_by_rung": {str(number): count for number, count in card.by_rung.items()},
        "began": sum(outcome.ran for outcome in card.outcomes if outcome.caught),
        "listed_misses": [{"attack": outcome.attack.key, "reason": outcome.attack.excuse} for outcome in card.listed],
        "misses": [missed(outcome) for outcome in card.missed],
        "benign": card.benign,
        "false_flags": [sentence(row) for row in card.false],
        "unseen": list[Json](card.unseen),
        "bytes_outside": {**card.outside},
    }
