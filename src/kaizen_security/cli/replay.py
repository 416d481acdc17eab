"""``kaizen replay``: recorded actions or runs once more through the Observer, and what it says of them."""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import IO, cast

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.bundle import Bundle, decode_policy
from kaizen_security.contract.codec import decode_declaration, encode_verdict
from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import parse
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode, Verdict
from kaizen_security.runtime.replay import Judged, RecordedRun, Replayer

MAX_LINE = 32 << 20
"""Bytes of one line: a recorded run with all its results."""

MAX_DISTINCT = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="JSON lines, also .gz; - is standard input")
    parser.add_argument("--agent", default="", help="only this agent; lines that name none count as its")
    parser.add_argument("--policy", metavar="FILE", help='policies: {"policies": [...]} as JSON or TOML')
    parser.add_argument("--declaration", metavar="FILE", help="the declaration of every agent, as JSON or TOML")
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], default=Mode.OBSERVE.value)
    parser.add_argument("--json", action="store_true", help="one JSON line a verdict, the summary last")
    parser.add_argument("--all", action="store_true", help="recorded runs: print every call, not only the flagged ones")
    parser.add_argument(
        "--learn", action=argparse.BooleanOptionalAction, default=True, help="learn baselines on the way (default)"
    )
    parser.epilog = (
        "A line is an action about to run, a report (with its verdict), a step of a run, or a whole recorded run. "
        "Exit status: 0, or 1 when a line could not be read."
    )


def run(args: argparse.Namespace) -> int:
    """Replay, print, sum up."""
    bundle = Bundle(
        agent="",
        version=1,
        policies=_policies(args.policy),
        declaration=_declaration(args.declaration),
        mode=Mode(args.mode),
    )
    replayer = Replayer(bundle, only=args.agent, learn=args.learn)
    shown = _Shown(as_json=args.json, everything=args.all)
    started = perf_counter()
    for name in args.files:
        for number, line in enumerate(_lines(name), 1):
            try:
                for found in replayer.take(parse(line, limit=MAX_LINE)):
                    shown.take(found)
            except InvalidInput as err:
                shown.unread(f"{name}:{number}: {err}")
            shown.progress(started)
    shown.summary(perf_counter() - started)
    return 1 if shown.bad else 0


def _lines(name: str) -> Iterator[bytes]:
    try:
        with _opened(name) as file:
            while line := file.readline(MAX_LINE + 2):
                if line.strip():
                    yield line
    except (OSError, EOFError) as err:
        raise Misconfigured(f"{name} cannot be read: {getattr(err, 'strerror', None) or err}") from err


def _opened(name: str) -> IO[bytes]:
    if name == "-":
        return sys.stdin.buffer
    path = Path(name)
    return cast("IO[bytes]", gzip.open(path)) if name.endswith(".gz") else path.open("rb")


def _document(name: str) -> Json:
    try:
        data = Path(name).read_bytes()
        document: Json = tomllib.loads(data.decode()) if name.endswith(".toml") else parse(data, limit=64 << 20)
    except OSError as err:
        raise Misconfigured(f"{name} cannot be read: {err.strerror}") from err
    except (InvalidInput, tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise Misconfigured(f"{name}: {err}") from err
    return document


def _policies(name: str | None) -> tuple[Policy, ...]:
    if not name:
        return ()
    document = _document(name)
    found = document.get("policies", document) if isinstance(document, dict) else document
    found = found if isinstance(found, list) else [found]
    try:
        return tuple(decode_policy(item, field=f"policies[{i}]") for i, item in enumerate(found))
    except InvalidInput as err:
        raise Misconfigured(f"{name}: {err}") from err


def _declaration(name: str | None) -> Declaration:
    if not name:
        return NOTHING_DECLARED
    try:
        return decode_declaration(_document(name), field="declaration")
    except InvalidInput as err:
        raise Misconfigured(f"{name}: {err}") from err


class _Shown:
    """What is printed, and what is counted for the end."""

    def __init__(self, *, as_json: bool, everything: bool) -> None:
        self._json = as_json
        self._everything = everything
        self._colour = sys.stdout.isatty() and not as_json
        self._actions = 0
        self._decisions: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._runs: dict[str, Counter[str]] = {}
        self._distinct: set[tuple[str, str, str]] = set()
        self._told = 0.0
        self.bad = 0

    def take(self, found: Judged | RecordedRun) -> None:
        """Print and count."""
        if isinstance(found, RecordedRun):
            self._run(found)
            return
        self._count(found.action.agent, found.verdict)
        self._print(found.action, found.verdict)

    def _run(self, run: RecordedRun) -> None:
        tally = self._runs.setdefault(run.agent, Counter())
        flagged = [one for one in run.judged if one.verdict.flagged]
        tally["runs"] += 1
        tally["calls"] += len(run.judged)
        tally["calls flagged"] += len(flagged)
        tally[f"{run.outcome}: runs"] += 1
        tally[f"{run.outcome}: flagged"] += bool(flagged)
        tally[f"{run.outcome}: calls"] += len(run.judged)
        tally[f"{run.outcome}: calls flagged"] += len(flagged)
        tally[f"{run.outcome}: attacking call flagged"] += any(one.key for one in flagged)
        for one in run.judged:
            self._count(run.agent, one.verdict)
            if one.verdict.flagged or self._everything:
                self._print(one.action, one.verdict)

    def _count(self, agent: str, verdict: Verdict) -> None:
        self._actions += 1
        self._decisions["blocked" if verdict.blocked else "flagged" if verdict.flagged else "allowed"] += 1
        for finding in verdict.evidence:
            self._kinds[finding.kind] += 1
            if len(self._distinct) < MAX_DISTINCT:
                self._distinct.add((agent, finding.kind, finding.value))

    def _print(self, action: Action, verdict: Verdict) -> None:
        if self._json:
            head: dict[str, Json] = {"agent": action.agent, "run_id": action.run_id, "tool": action.tool}
            document = {**head, "target": action.target, "source": action.source, "rung": int(action.rung)}
            print(json.dumps({**document, **encode_verdict(verdict)}, ensure_ascii=False))
            return
        word = "block" if verdict.blocked else "flag " if verdict.flagged else "allow"
        if self._colour:
            word = {"block": "\x1b[1;31m", "flag ": "\x1b[33m", "allow": "\x1b[32m"}[word] + word + "\x1b[0m"
        what = " ".join(_plain(part) for part in (action.kind, action.tool, action.target) if part)
        print(f"{word}  {_plain(action.agent)}  {what}  {_plain(verdict.reason)}")

    def unread(self, message: str) -> None:
        """A line that could not be read: said at once, counted, and the rest goes on."""
        self.bad += 1
        print(f"kaizen replay: {_plain(message)}", file=sys.stderr)

    def progress(self, started: float) -> None:
        """On a terminal, twice a second: how far we are."""
        elapsed = perf_counter() - started
        if sys.stderr.isatty() and elapsed - self._told > 0.5:
            self._told = elapsed
            print(f"\r{self._actions} actions, {elapsed:.0f} s ", end="", file=sys.stderr, flush=True)

    def summary(self, seconds: float) -> None:
        """The end: counts, recorded runs by what the answer key says, and how fast it went."""
        rate = self._actions / seconds * 60 if seconds else 0.0
        if self._json:
            runs: dict[str, Json] = {agent: dict(tally.items()) for agent, tally in self._runs.items()}
            summary: dict[str, Json] = {
                "actions": self._actions,
                "decisions": dict(self._decisions.items()),
                "findings": dict(self._kinds.items()),
                "distinct_findings": len(self._distinct),
                "recorded_runs": runs,
                "unread_lines": self.bad,
                "seconds": round(seconds, 3),
                "actions_per_minute": round(rate),
            }
            print(json.dumps({"summary": summary}, ensure_ascii=False))
            return
        if self._told:
            print("\r", end="", file=sys.stderr)
        counts = ", ".join(f"{self._decisions[word]} {word}" for word in ("allowed", "flagged", "blocked"))
        print(f"\n{self._actions} actions: {counts}; {seconds:.1f} s, {rate:,.0f} actions a minute")
        for kind, n in self._kinds.most_common():
            distinct = sum(1 for entry in self._distinct if entry[1] == kind)
            print(f"  {n:7}  {kind} ({distinct} distinct)")
        for agent, tally in sorted(self._runs.items()):
            print(f"\n{agent}: {tally['runs']} runs, {tally['calls']} calls, {tally['calls flagged']} flagged")
            for outcome in sorted({key.partition(":")[0] for key in tally if ":" in key}):
                print("  " + _row(outcome, tally))
        if self.bad:
            print(f"\n{self.bad} lines could not be read (named above)")


def _row(outcome: str, tally: Counter[str]) -> str:
    runs, flagged = tally[f"{outcome}: runs"], tally[f"{outcome}: flagged"]
    calls = f"{tally[f'{outcome}: calls flagged']} of {tally[f'{outcome}: calls']} calls"
    row = f"{outcome:17} {flagged:5} of {runs:5} runs flagged ({flagged / runs:6.1%}), {calls}"
    if outcome == "attack succeeded":
        hit = tally[f"{outcome}: attacking call flagged"]
        row += f"; the attack's own call flagged in {hit} ({hit / runs:.1%})"
    return row


def _plain(text: str) -> str:
    """Without what could drive a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
