"""Verdicts as replay prints them, one a line, and the summary at the end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from kaizen_security.cli.terminal.paint import GREEN, RED, YELLOW, json_text, painted, plain
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.boundary import outward_verdict
from kaizen_security.contract.boundary_target import outward_target
from kaizen_security.contract.codec import encode_verdict
from kaizen_security.contract.verdict import Verdict
from kaizen_security.runtime.replay import Judged, RecordedRun

MAX_DISTINCT = 100_000
_HASH = re.compile(r"~[0-9a-f]{16}")


def _unnamed(text: str) -> str:
    # A hash under no key of the tenant's would tell a short value to whoever tries all of them.
    return _HASH.sub("~", text)


def as_printed(verdict: Verdict) -> Verdict:
    """A verdict without values and names that are nobody else's business; only that they were there."""
    said = outward_verdict(verdict, b"")
    findings = [replace(one, value=_unnamed(one.value), observed=_unnamed(one.observed)) for one in said.evidence]
    score = None if said.score is None else said.score.renamed(_unnamed)
    return replace(verdict, evidence=tuple(findings), score=score)


class Shown:
    """Prints verdicts through ``out`` (None: nowhere), and counts for the end.

    ``everything``  also the calls of recorded runs that are not flagged
    """

    def __init__(self, out: Callable[[str], None], *, as_json: bool, everything: bool, colour: bool) -> None:
        self.out: Callable[[str], None] | None = out
        self._json = as_json
        self._everything = everything
        self._colour = colour and not as_json
        self.actions = 0
        self._decisions: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._runs: dict[str, Counter[str]] = {}
        self._distinct: set[tuple[str, str, str]] = set()

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
        self.actions += 1
        self._decisions["blocked" if verdict.blocked else "flagged" if verdict.flagged else "allowed"] += 1
        for finding in verdict.evidence:
            self._kinds[finding.kind] += 1
            if len(self._distinct) < MAX_DISTINCT:
                self._distinct.add((agent, finding.kind, finding.value))

    def _print(self, action: Action, verdict: Verdict) -> None:
        # What is printed is copied into tickets: of values that are nobody else's business only that they were there.
        target, verdict = _unnamed(outward_target(action.target, b"")), as_printed(verdict)
        if self._json:
            head: dict[str, Json] = {"agent": action.agent, "run_id": action.run_id, "tool": action.tool}
            document = {**head, "target": target, "source": action.source, "rung": int(action.rung)}
            self._say(json_text({**document, **encode_verdict(verdict)}))
            return
        word, paint = ("block", RED) if verdict.blocked else ("flag ", YELLOW) if verdict.flagged else ("allow", GREEN)
        what = " ".join(plain(part) for part in (action.kind, action.tool, target) if part)
        said = painted(word, paint, self._colour)
        self._say(f"{said}  {plain(action.agent)}  {what}  {plain(verdict.reason)}")

    def _say(self, text: str) -> None:
        if self.out is not None:
            self.out(text)

    def merge(self, other: Shown) -> None:
        """Take in what was counted apart, of other agents."""
        self.actions += other.actions
        self._decisions += other._decisions
        self._kinds += other._kinds
        self._distinct |= other._distinct
        for agent, tally in other._runs.items():
            self._runs.setdefault(agent, Counter()).update(tally)

    def summary(self, seconds: float, bad: int) -> str:
        """The end: counts, recorded runs by what the answer key says, how fast it went, and ``bad`` lines that were not read."""
        rate = self.actions / seconds * 60 if seconds else 0.0
        return self._machine(seconds, rate, bad) if self._json else "\n".join(self._people(seconds, rate, bad))

    def _machine(self, seconds: float, rate: float, bad: int) -> str:
        runs: dict[str, Json] = {agent: dict(tally.items()) for agent, tally in sorted(self._runs.items())}
        summary: dict[str, Json] = {
            "actions": self.actions,
            "decisions": dict(sorted(self._decisions.items())),
            "findings": dict(sorted(self._kinds.items())),
            "distinct_findings": len(self._distinct),
            "recorded_runs": runs,
            "unread_lines": bad,
            "seconds": round(seconds, 3),
            "actions_per_minute": round(rate),
        }
        return json_text({"summary": summary})

    def _people(self, seconds: float, rate: float, bad: int) -> list[str]:
        counts = ", ".join(f"{self._decisions[word]} {word}" for word in ("allowed", "flagged", "blocked"))
        said = [f"\n{self.actions} actions: {counts}; {seconds:.1f} s, {rate:,.0f} actions a minute"]
        for kind, n in sorted(self._kinds.items(), key=lambda item: (-item[1], item[0])):
            distinct = sum(1 for entry in self._distinct if entry[1] == kind)
            said.append(f"  {n:7}  {kind} ({distinct} distinct)")
        for agent, tally in sorted(self._runs.items()):
            said.append(f"\n{agent}: {tally['runs']} runs, {tally['calls']} calls, {tally['calls flagged']} flagged")
            outcomes = sorted({key.partition(":")[0] for key in tally if ":" in key})
            said += ["  " + _row(outcome, tally) for outcome in outcomes]
        if bad:
            said.append(f"\n{bad} lines could not be read (named above)")
        return said


def _row(outcome: str, tally: Counter[str]) -> str:
    runs, flagged = tally[f"{outcome}: runs"], tally[f"{outcome}: flagged"]
    calls = f"{tally[f'{outcome}: calls flagged']} of {tally[f'{outcome}: calls']} calls"
    row = f"{outcome:17} {flagged:5} of {runs:5} runs flagged ({flagged / runs:6.1%}), {calls}"
    if outcome == "attack succeeded":
        hit = tally[f"{outcome}: attacking call flagged"]
        row += f"; the attack's own call flagged in {hit} ({hit / runs:.1%})"
    return row
