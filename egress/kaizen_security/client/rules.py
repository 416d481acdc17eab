"""Rules: what the client can judge by itself, and what holds when nobody else can answer."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kaizen_security.contract import canonical, reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.compiled import Compiled, compile_policies
from kaizen_security.contract.compiled_correlation import Correlation
from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.contract.declared import CompiledDeclaration, compile_declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.suppression import NOTHING_SUPPRESSED, Suppressions
from kaizen_security.contract.verdict import ENFORCED, Decision, Mode, Verdict, restated

if TYPE_CHECKING:
    from kaizen_security.contract.bundle import Bundle

FOREVER = float("inf")
REMEMBERED = 4096
"""Actions that are remembered with what policy and declaration say of them, when none of their fields is over SHORT characters."""
SHORT = 256
UNPROTECTED = "unprotected"
"""The kind of the finding on what nobody judged."""


class Sequence:
    """The correlation policy's memory, for several threads; it outlives a change of policy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._correlation = Correlation()

    def see(self, action: Action) -> Finding | None:
        """See ``Correlation.see``."""
        with self._lock:
            return self._correlation.see(action)

    def end(self, agent: str, run_id: str) -> None:
        """The run is over."""
        with self._lock:
            self._correlation.end("", agent, run_id)

    def after_fork(self) -> None:
        """In the child: whoever held the lock is not there."""
        self._lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One state of policy and declaration. Replaced whole, so a reader never sees half of a change.

    ``expires_at``  Unix seconds; after that the policy still blocks, but an allow is nobody's word any more
    ``missing``     why there is no policy of the organisation though there should be; empty when all is well
    ``suppressed``  flags that a person called false positives
    ``origin``      ``local``, ``bundle``, ``cache`` or ``policy`` (the unsigned list of the wire contract)
    """

    compiled: Compiled
    declaration: CompiledDeclaration | None = None
    declared: Declaration = NOTHING_DECLARED
    policies: tuple[Policy, ...] = ()
    mode: Mode = Mode.OBSERVE
    paused: bool = False
    version: int = 0
    expires_at: float = FOREVER
    missing: str = ""
    origin: str = "local"
    suppressed: Suppressions = NOTHING_SUPPRESSED
    remembered: dict[tuple[Finding, ...], Verdict] = field(default_factory=dict, compare=False)
    seen: dict[tuple[str, str, str, str, str], tuple[Verdict, tuple[Finding, ...]]] = field(
        default_factory=dict, compare=False
    )

    def known_bad(self, action: Action, sequence: Sequence) -> Verdict:
        """What policy says: a block, or allow because ``no policy matched``."""
        return self.settled(self.look(action)[0], action, sequence)

    def settled(self, said: Verdict, action: Action, sequence: Sequence) -> Verdict:
        """What policy ``said``, as the verdict on that very action, after what came before it."""
        verdict = restated(said, action_id=action.id) if action.id else said
        if self.compiled.correlates:
            finding = sequence.see(action)
            if finding is not None and verdict.allowed:
                return Verdict(
                    decision=Decision.BLOCK,
                    reason=reasons.CORRELATION,
                    evidence=(finding,),
                    policy_version=self.compiled.version,
                )
        return verdict

    def unanswered(self, now: float) -> str:
        """Why an allow of ours would be nobody's word; empty when policy is there and in force."""
        if self.missing:
            return self.missing
        return "the organisation's policy has expired and cannot be renewed" if self.expires_at <= now else ""

    def undeclared(self, action: Action) -> Verdict | None:
        """What the declaration says: flagged in observe, blocked in enforce; None when all is declared."""
        _, found = self.look(action)
        return self.beyond(action, found) if found and not self.paused else None

    def beyond(self, action: Action, found: tuple[Finding, ...]) -> Verdict:
        """The verdict on what was ``found`` to be undeclared."""
        said = self._said(found)
        return self.suppressed.settle(action, said) if self.suppressed else said

    def look(self, action: Action) -> tuple[Verdict, tuple[Finding, ...]]:
        """What policy and declaration say; remembered together, so that a new action is looked up and kept once."""
        key = kind, tool, publisher, target, hash_ = (
            action.kind,
            action.tool,
            action.publisher,
            action.target,
            action.hash,
        )
        known = self.seen.get(key)
        if known is None:
            place = canonical.read(target)
            verdict = self.compiled.look(tool, publisher, target, hash_, place)
            known = verdict, self.declaration.look(kind, tool, target, place) if self.declaration is not None else ()
            if len(target) <= SHORT and len(tool) <= SHORT and len(publisher) <= SHORT and len(hash_) <= SHORT:
                if len(self.seen) >= REMEMBERED:
                    self.seen.clear()
                self.seen[key] = known
        return known

    def _said(self, found: tuple[Finding, ...]) -> Verdict:
        known = self.remembered.get(found)
        if known is None:
            if len(self.remembered) > 1000:
                self.remembered.clear()
            known = self.remembered[found] = self._undeclared(found)
        return known

    def _undeclared(self, found: tuple[Finding, ...]) -> Verdict:
        values = {finding.field: finding.value for finding in found}
        return Verdict(
            decision=Decision.BLOCK if self.mode is Mode.ENFORCE else Decision.ALLOW,
            reason=reasons.undeclared(tool=values.get("tool", ""), destination=values.get("target", "")),
            evidence=found,
            policy_version=self.compiled.version,
        )


def local_rules(policies: tuple[Policy, ...], declared: Declaration, mode: Mode | None) -> Rules:
    """What the caller gave. Raises Misconfigured naming the policy and the rule."""
    return Rules(
        compiled=compile_policies(policies),
        declaration=_compiled(declared),
        declared=declared,
        policies=policies,
        mode=mode or Mode.OBSERVE,
    )


def with_organisation(local: Rules, bundle: Bundle, *, mode: Mode | None, origin: str, boundary: bytes) -> Rules:
    """The caller's own rules and the organisation's together: both may block, the stricter mode holds.

    ``boundary``: the tenant's key (``contract.boundary``). Raises Misconfigured.
    """
    strict = Mode.ENFORCE in (bundle.mode, mode)
    declared = local.declared if local.declared != NOTHING_DECLARED else bundle.declaration
    return Rules(
        compiled=compile_policies((*local.policies, *bundle.policies)),
        declaration=_compiled(declared),
        declared=local.declared,
        policies=local.policies,
        mode=Mode.ENFORCE if strict else Mode.OBSERVE,
        paused=bundle.paused,
        version=bundle.version,
        expires_at=bundle.expires_at or FOREVER,
        origin=origin,
        suppressed=Suppressions(frozenset(bundle.suppressed), boundary),
    )


def redeclared(rules: Rules, declared: Declaration) -> Rules:
    """The same with another declaration of the caller's own. Raises Misconfigured."""
    return replace(rules, declaration=_compiled(declared), declared=declared, remembered={}, seen={})


def _compiled(declared: Declaration) -> CompiledDeclaration | None:
    return compile_declaration(declared) if declared.tools or declared.destinations or declared.data else None


def nobody_answered(rules: Rules, why: str, *, fail_open: bool) -> Verdict:
    """The verdict when nobody can answer: the mode's default, with the finding ``unprotected``."""
    block = rules.mode is Mode.ENFORCE and not fail_open
    return Verdict(
        decision=Decision.BLOCK if block else Decision.ALLOW,
        reason=reasons.FAILED_CLOSED if block else reasons.NO_POLICY_MATCHED,
        evidence=(unprotected(why),),
        policy_version=rules.compiled.version,
    )


def without_policy(verdict: Verdict) -> bool:
    """A sidecar judged this without the organisation's policy and declaration."""
    return reasons.NO_POLICY_YET in verdict.notes


def joined(said: Verdict, own: Verdict | None) -> Verdict:
    """A sidecar's verdict and what our own declaration says, which it does not know yet."""
    if own is None or any(finding.detection == "declaration" for finding in said.evidence):
        return said
    if said.blocked or said.flagged:
        return replace(said, evidence=(*said.evidence, *own.evidence))
    return replace(said, decision=own.decision, reason=own.reason, evidence=own.evidence)


def tightened(rules: Rules, said: Verdict, *, fail_open: bool) -> Verdict:
    """A sidecar's verdict by our own mode, where that is stricter than the sidecar's.

    In enforce an allow becomes a block when one of its findings would block there (``contract.verdict.ENFORCED``), and, unless
    ``fail_open``, when it says that nobody could judge: a finding ``unprotected``, or the note that no policy has arrived.
    What was blocked stays blocked, and so does its reason; what a person was asked about and released stays released.
    """
    if said.blocked or rules.mode is not Mode.ENFORCE:
        return said
    if not reasons.RELEASING.isdisjoint(said.notes):
        return said
    if any(finding.detection in ENFORCED for finding in said.evidence):
        return replace(said, decision=Decision.BLOCK)
    if fail_open:
        return said
    if without_policy(said):
        evidence = (*said.evidence, unprotected("the sidecar has no policy of the organisation yet"))
        return replace(said, decision=Decision.BLOCK, reason=reasons.FAILED_CLOSED, evidence=evidence)
    if any(finding.kind == UNPROTECTED for finding in said.evidence):
        return replace(said, decision=Decision.BLOCK, reason=reasons.FAILED_CLOSED)
    return said


def engine_error(kind: str, *, fail_open: bool) -> Verdict:
    """The verdict when our own code failed: closed, unless the caller chose otherwise."""
    return Verdict(
        decision=Decision.ALLOW if fail_open else Decision.BLOCK,
        reason=reasons.NO_POLICY_MATCHED if fail_open else reasons.FAILED_CLOSED,
        evidence=(unprotected(f"our own code failed ({kind})"),),
    )


def unprotected(why: str) -> Finding:
    """The finding of an action that nobody judged."""
    return Finding(
        kind=UNPROTECTED,
        value=why[:512],
        source="client",
        detection=UNPROTECTED,
        expected="a verdict on this action before it runs",
        observed=why[:512],
        advice="Start what should have answered, or see the table of fail modes in the client's reference.",
    )
