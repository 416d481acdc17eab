"""Counterfactual: what would have been said of recorded actions under other rules.

Over retained facts only the part that changes is judged again; every other finding stands as it was recorded. A fact that a
judgement needs and that was not kept is named, and the outcome is then "cannot tell", never a guess. Lines that hold no verdict
(actions about to run, whole runs with their text) are replayed twice instead, under what holds now and under the alternative.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.compiled_correlation import KIND, Correlation
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.score import Score
from kaizen_security.contract.verdict import ENFORCED, Decision, Mode, Verdict
from kaizen_security.detections import novelty
from kaizen_security.observer.baseline import Baseline
from kaizen_security.observer.detection import Context
from kaizen_security.observer.lookup import look_up
from kaizen_security.observer.rules import RulesMaker
from kaizen_security.observer.weigh import TABLE, TOLERANCE, UNKNOWN, Blocks, reason_of
from kaizen_security.runtime.replay import RecordedRun, Replayer
from kaizen_security.runtime.retained import EVERYBODY, Joining, Retained, Share, cause, is_retained, retained, rows_of

_HASH = re.compile(r"~[0-9a-f]{16}")
_UNPLACED = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]{0,15}://)?[^/\\]*~[0-9a-f]{16}(?!@)")
"""A target whose very place was replaced by a hash (``contract.boundary``)."""
_LOOKS_AT = {
    "ips": "target",
    "ip": "target",
    "domains": "target",
    "hashes": "hash",
    "skill_patterns": "tool",
    "tools": "tool",
    "publishers": "publisher",
}
_CHANGED_PARTS = {
    "policy": "policies",
    "correlation": "policies",
    "declaration": "declaration",
    "novelty": "baseline",
    "provenance": "point",
    "alignment": "point",
}
_OF_VALUES = frozenset({"provenance", "alignment"})


class Change(StrEnum):
    """What becomes of a verdict, the most important first."""

    NEWLY_BLOCKED = "newly blocked"
    NEWLY_ALLOWED = "newly allowed"
    NEWLY_FLAGGED = "newly flagged"
    NO_LONGER_FLAGGED = "no longer flagged"
    CANNOT_TELL = "cannot tell"
    SAME = "unchanged"


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point: from which score on a call is flagged, in log odds. ``relative``: so much above each agent's own."""

    value: float
    relative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """What would hold instead. None: what was recorded stands.

    ``destinations``  with ``policies``: the only ones that the organisation allows, which no policy can say; empty for any
    ``baseline``  of every agent; the findings that rest on values, not on names, cannot be judged again without those values
    """

    policies: tuple[Policy, ...] | None = None
    destinations: tuple[str, ...] = ()
    declaration: Declaration | None = None
    mode: Mode | None = None
    baseline: Baseline | None = None
    point: Point | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One action, what was said of it and what would be. ``missing`` names the facts for want of which nobody can tell."""

    action: Action
    before: Verdict
    after: Verdict
    change: Change
    missing: tuple[str, ...] = ()
    row: str = ""
    at: float = 0.0


def change_of(before: Verdict, after: Verdict) -> Change:
    """What the difference between two verdicts is called."""
    if before.blocked != after.blocked:
        return Change.NEWLY_BLOCKED if after.blocked else Change.NEWLY_ALLOWED
    if before.flagged == after.flagged:
        return Change.SAME
    return Change.NEWLY_FLAGGED if after.flagged else Change.NO_LONGER_FLAGGED


class FactsJudge:
    """Judges retained actions, in order, under an alternative. Raises Misconfigured when its rules cannot be used.

    ``assumed``  agents whose mode no row told, so that observe was taken for it
    """

    def __init__(self, alternative: Alternative) -> None:
        self.alternative = alternative
        self.assumed: set[str] = set()
        policies = alternative.policies
        self._policy = None if policies is None else compile_policies(policies)
        self._looks_at = frozenset(
            _LOOKS_AT[key] for one in policies or () if one.enabled for key in one.rules if key in _LOOKS_AT
        )
        if alternative.destinations:
            self._looks_at |= {"target"}
        self._allowed = compile_declaration(Declaration(destinations=alternative.destinations))
        self._sequence = Correlation()
        self._declared = None if alternative.declaration is None else compile_declaration(alternative.declaration)
        self._rules = RulesMaker().make(
            Bundle(agent="", version=1, declaration=alternative.declaration or Declaration(), policies=policies or ())
        )
        self._modes: dict[str, Mode] = {}

    def judge(self, kept: Retained) -> Compared:
        """What would have been said of it."""
        action, before = kept.action, kept.verdict
        found = list(cause(before))
        if found:
            self._learn_mode(action.agent, before, found)
        missing: list[str] = []
        after = [one for one in found if not self._replaced(one)]
        if self._policy is not None:
            after += self._by_policy(action, found, missing)
        if self._declared is not None:
            after += _told(action, self._declared.undeclared(action), {"tool", "target"}, missing)
        if self.alternative.baseline is not None:
            after += self._by_baseline(action, found, missing)
        if self.alternative.point is not None:
            after += _by_score(action, before.score, found, self.alternative.point, missing)
        if not kept.complete and any(part_of(one) == "unknown" for one in found):
            missing.append("findings")
        if self.alternative.mode is Mode.OBSERVE and before.reason == reasons.FAILED_CLOSED:
            missing.append("what the Observer would have said")
        verdict = before if after == found == [] else self._verdict(action, before, found, after)
        change = Change.SAME if verdict is before else change_of(before, verdict)
        if missing and not self._certain(change, after):
            change = Change.CANNOT_TELL
        return Compared(
            action=action,
            before=before,
            after=verdict,
            change=change,
            missing=tuple(dict.fromkeys(missing)) if change is Change.CANNOT_TELL else (),
            row=kept.row,
            at=kept.at,
        )

    @staticmethod
    def _certain(change: Change, after: list[Finding]) -> bool:
        # More facts could only add findings: a block for what is known stays one.
        return change is Change.NEWLY_BLOCKED or (change is Change.SAME and any(map(_always, after)))

    def _replaced(self, finding: Finding) -> bool:
        name = _CHANGED_PARTS.get(part_of(finding), "")
        return bool(name) and getattr(self.alternative, name) is not None

    def _by_policy(self, action: Action, found: list[Finding], missing: list[str]) -> list[Finding]:
        assert self._policy is not None
        beyond = [_not_listed(one) for one in self._allowed.undeclared(action)]
        told = _told(action, (*self._policy.findings(action), *beyond), self._looks_at, missing)
        sequence = self._sequence.see(action)
        if not self._policy.correlates:
            return told
        kept = [one for one in found if part_of(one) == "correlation"]
        if kept:
            # Seen live, perhaps after a read that lies before the first row that is here.
            return [*told, *kept]
        return told if sequence is None else [*told, replace(sequence, detection="correlation")]

    def _by_baseline(self, action: Action, found: list[Finding], missing: list[str]) -> list[Finding]:
        baseline = self.alternative.baseline
        assert baseline is not None
        if any(part_of(one) in _OF_VALUES for one in found) or (action.run_id and action.metadata.get("facts")):
            missing.append("values of the call")
        looked = look_up(self._rules, baseline, action)
        said = novelty.detect(action, Context(rules=self._rules, baseline=baseline, looked=looked, tolerance=TOLERANCE))
        fields = {"kind", "tool", "target"}
        return _told(action, tuple(one for one in said if isinstance(one, Finding)), fields, missing)

    # --- the verdict over what is then known --------------------------------------------------------------------------------

    def _learn_mode(self, agent: str, before: Verdict, found: list[Finding]) -> None:
        if any(part_of(one) in ENFORCED for one in found):
            if not reasons.RELEASING.isdisjoint(before.notes):
                self._modes[agent] = Mode.ENFORCE  # only there is a person asked
            elif not before.blocked:
                self._modes[agent] = Mode.OBSERVE
            elif not any(map(_always, found)):
                self._modes[agent] = Mode.ENFORCE

    def _mode(self, agent: str) -> Mode:
        known = self.alternative.mode or self._modes.get(agent)
        if known is None:
            self.assumed.add(agent)
        return known or Mode.OBSERVE

    def _verdict(self, action: Action, before: Verdict, found: list[Finding], after: list[Finding]) -> Verdict:
        if after == found and self.alternative.mode is None:
            return before
        blocked = any(map(_always, after))
        if not blocked and any(part_of(one) in ENFORCED for one in after):
            blocked = self._mode(action.agent) is Mode.ENFORCE
        released = not reasons.RELEASING.isdisjoint(before.notes)
        if released and not any(map(_always, after)):
            blocked = False  # a person said so, whatever holds now
        if not blocked and before.blocked:
            # Blocked for what is no detection's (nobody could answer, a reasoning check): no other rules change that.
            blocked = not any(_always(one) or part_of(one) in ENFORCED for one in found)
        evidence = tuple(one for one in after if one not in found or one in before.evidence)
        same = evidence == before.evidence and blocked == before.blocked
        reason = before.reason if same else reason_of(action, evidence)
        return replace(
            before,
            decision=Decision.BLOCK if blocked else Decision.ALLOW,
            reason=reason,
            evidence=evidence,
            policy_version=before.policy_version if self._policy is None else self._policy.version,
        )


def part_of(finding: Finding) -> str:
    """The detection that a finding is of, also where a deployed client did not say it."""
    if finding.kind == KIND or finding.kind == reasons.CORRELATION:
        return "correlation"
    if finding.detection:
        return finding.detection
    return "policy" if finding.source.partition(":")[0] == "policy" else finding.source


def _not_listed(finding: Finding) -> Finding:
    kind, source = "destination not on the allowlist", "policy:organisation policy"
    return replace(finding, kind=kind, source=source, detection="policy")


def _always(finding: Finding) -> bool:
    return TABLE.get(part_of(finding), UNKNOWN).blocks is Blocks.ALWAYS


def _by_score(
    action: Action, score: Score | None, found: list[Finding], point: Point, missing: list[str]
) -> list[Finding]:
    """What the score of the call's values says at another operating point."""
    said = [one for one in found if part_of(one) in _OF_VALUES]
    if score is None:
        # A call in a run may have been scored by a program that did not say how; anything else never is.
        if said or (action.run_id and action.metadata.get("facts")):
            missing.append("score")
        return said
    if score.threshold is None:
        return said
    bound = score.threshold + point.value if point.relative else point.value
    if score.value <= bound:
        return []
    return said or [_nearly(score, bound)]


def _nearly(score: Score, bound: float) -> Finding:
    name, kind = ("provenance", "value of untrusted origin")
    if not score.steered:
        name, kind = ("alignment", "does not follow from the request")
    return Finding(
        kind,
        "",
        "baseline",
        detection=name,
        expected=f"a score of at most {bound:.2f}",
        observed=f"a score of {score.value:.2f}",
        attack="injection",
    )


def _told(
    action: Action, said: tuple[Finding, ...], looks_at: frozenset[str] | set[str], missing: list[str]
) -> list[Finding]:
    """What was found, without what only stands on a hash; the fields that were looked at and are one are missing."""
    hidden = [name for name in looks_at if "~" in getattr(action, name) and _is_hidden(name, getattr(action, name))]
    missing += sorted(hidden)
    return [one for one in said if one.field not in hidden] if hidden else list(said)


def _is_hidden(name: str, value: str) -> bool:
    return bool(_UNPLACED.match(value) if name == "target" else _HASH.fullmatch(value))


# --- lines of every kind ------------------------------------------------------------------------------------------------------


class Counterfactual:
    """Takes documents in order and says of each action what would change.

    ``now``   the bundle that lines without a recorded verdict are judged by to begin with (for every agent)
    ``only``  this agent's documents
    ``share``  only the agents of that share: so several processes work on the same lines, each on agents of its own
    """

    def __init__(
        self, alternative: Alternative, now: Bundle, *, only: str = "", learn: bool = True, share: Share = EVERYBODY
    ) -> None:
        self.facts = FactsJudge(alternative)
        self._only = only
        self._share = share
        self._joining = Joining()
        then = replace(
            now,
            policies=now.policies if alternative.policies is None else alternative.policies,
            declaration=now.declaration if alternative.declaration is None else alternative.declaration,
            mode=alternative.mode or now.mode,
        )
        self._point = None if alternative.point is None else FactsJudge(Alternative(point=alternative.point))
        self._now = Replayer(now, only=only, learn=learn)
        self._then = Replayer(then, only=only, learn=learn, baseline=alternative.baseline)

    def take(self, document: Json) -> Iterator[Compared]:
        """What one document settles. Raises InvalidInput."""
        if not is_retained(document):
            yield from self._twice(document)
            return
        for row in rows_of(document):
            if not self._share.has(row):
                continue
            kept = retained(row)
            if self._only in ("", kept.action.agent):
                ready = self._joining.add(kept)
                if ready is not None:
                    yield self.facts.judge(ready)

    def rest(self) -> Iterator[Compared]:
        """What still waited for further rows."""
        for kept in self._joining.rest():
            yield self.facts.judge(kept)

    def _twice(self, document: Json) -> Iterator[Compared]:
        if isinstance(document, dict) and not self._share.has(document):
            return
        for now, then in zip(self._now.take(document), self._then.take(document), strict=True):
            if isinstance(now, RecordedRun) and isinstance(then, RecordedRun):
                pairs = zip(now.judged, then.judged, strict=True)
            else:
                assert not isinstance(now, RecordedRun)
                assert not isinstance(then, RecordedRun)
                pairs = zip((now,), (then,), strict=True)
            for one, other in pairs:
                after = other.verdict
                if self._point is not None:
                    after = self._point.judge(Retained(action=other.action, verdict=after)).after
                yield Compared(
                    action=one.action,
                    before=one.verdict,
                    after=after,
                    change=change_of(one.verdict, after),
                    row=one.verdict.action_id,
                    at=one.action.at,
                )
