"""What is in force for one agent: the organisation's policies, and, where undeclared destinations are refused, its declaration."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import MAX_BUNDLE, Bundle, decode_policy
from kaizen_security.contract.compiled import Compiled, compile_policies
from kaizen_security.contract.declared import CompiledDeclaration, compile_declaration
from kaizen_security.contract.fields import array, obj, parse
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.suppression import NOTHING_SUPPRESSED, Suppressions
from kaizen_security.contract.verdict import Decision, Mode, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why something is not dialled. ``code`` is for machines, ``reason`` a form of the contract, ``advice`` says what to do."""

    code: str
    reason: str
    advice: str
    evidence: tuple[Finding, ...] = ()
    policy_version: str = ""


_ABOUT_DESTINATIONS = frozenset(("malicious domain", "known-bad address"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rules:
    """Compiled and replaced whole. ``declared`` is None where an undeclared destination is not refused, ``said`` what the agent
    declares in any case (None: no destinations), ``suppressed`` what people called false positives.
    """

    compiled: Compiled
    declared: CompiledDeclaration | None = None
    said: CompiledDeclaration | None = None
    suppressed: Suppressions = NOTHING_SUPPRESSED

    def denied(self, target: str) -> Refusal | None:
        """What policy says of a connection to ``target`` (``host:port``)."""
        # Lists of tools and publishers say nothing about a connection, which has neither.
        findings = tuple(
            finding for finding in self.compiled.findings(_action(target)) if finding.kind in _ABOUT_DESTINATIONS
        )
        if not findings:
            return None
        return Refusal(
            code="policy",
            reason=reasons.blocked_by_policy(finding.kind for finding in findings),
            advice=findings[0].advice or "Use a permitted destination, or ask who owns the policy to change it.",
            evidence=findings,
            policy_version=self.compiled.version,
        )

    def declares(self, target: str) -> bool:
        """Whether the agent's declaration names ``target``."""
        return self.said is not None and self.said.destination(target)

    def undeclared(self, target: str) -> Refusal | None:
        """What the declaration says of it."""
        if self.declared is None:
            return None
        action = _action(target)
        findings = tuple(replace(finding, detection="declaration") for finding in self.declared.undeclared(action))
        if not findings or self.suppressed.cover(action, Verdict(Decision.BLOCK, "", findings)):
            return None
        return Refusal(
            code="undeclared",
            reason=reasons.undeclared(destination=findings[0].value),
            advice=findings[0].advice,
            evidence=findings,
            policy_version=self.compiled.version,
        )


def _action(target: str) -> Action:
    return Action(kind="connect", target=target, metadata={"source": "egress"})


def of_bundle(bundle: Bundle, *, strict: bool) -> Rules:
    """The rules in a bundle; ``strict``: enforce its declaration whatever its mode is. Raises Misconfigured."""
    enforced = (strict or bundle.mode is Mode.ENFORCE) and not bundle.paused
    # Compiled in any case: a declaration that means nothing has to be said, not to wait until somebody enforces it.
    declared = compile_declaration(bundle.declaration)
    policies = tuple(policy for policy in bundle.policies if policy.enabled)
    return Rules(
        compiled=compile_policies(policies),
        declared=declared if enforced and bundle.declaration.destinations else None,
        said=declared if bundle.declaration.destinations else None,
        # Hosts and ports leave the tenant as they are, so their signatures are the same under any key.
        suppressed=Suppressions(frozenset(bundle.suppressed)),
    )


def of_list(document: bytes) -> Rules:
    """The rules in an answer of ``GET /v1/policy``, which holds no declaration. Raises KaizenError."""
    doc = obj(parse(document, limit=MAX_BUNDLE), "document")
    entries = array(doc, "policies", limit=100_000)
    policies = tuple(decode_policy(entry, field=f"policies[{i}]") for i, entry in enumerate(entries))
    return Rules(compiled=compile_policies(policy for policy in policies if policy.enabled))
