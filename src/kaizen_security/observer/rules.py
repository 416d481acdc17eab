"""Rules: an agent's bundle, compiled once: what the organisation permits, what the agent declared, and the mode."""

from __future__ import annotations

from dataclasses import dataclass

from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.compiled import Compiled, compile_policies
from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.contract.declared import CompiledDeclaration, compile_declaration
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.suppression import NOTHING_SUPPRESSED, Suppressions
from kaizen_security.contract.verdict import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """``received`` is false before the first bundle: then ``mode`` is what the owner configured for that time.

    ``judge_enabled``  whether a model may be asked about the agent
    ``correlating``  who forbids a sensitive read followed by egress, as a finding's source
    ``suppressed``   what a person called false positives
    """

    policy: Compiled
    declared: CompiledDeclaration
    declaration: Declaration = NOTHING_DECLARED
    mode: Mode = Mode.OBSERVE
    paused: bool = False
    received: bool = True
    judge_enabled: bool = True
    correlating: str = "policy:correlation"
    suppressed: Suppressions = NOTHING_SUPPRESSED

    @property
    def version(self) -> str:
        """Of the policies in force, ``""`` before the first bundle."""
        return self.policy.version if self.received else ""


def no_rules(mode: Mode = Mode.OBSERVE) -> Rules:
    """What holds before the first bundle: no policy, nothing declared."""
    return Rules(policy=compile_policies(()), declared=compile_declaration(NOTHING_DECLARED), mode=mode, received=False)


class RulesMaker:
    """Compiles bundles and remembers the last few sets of policies, which an organisation's agents share.

    ``boundary``: the tenant's key (``contract.boundary``), under which flags have their signatures.
    """

    __slots__ = ("_boundary", "_known")

    def __init__(self, boundary: bytes = b"") -> None:
        self._boundary = boundary
        self._known: list[tuple[tuple[Policy, ...], Compiled]] = []

    def make(self, bundle: Bundle) -> Rules:
        """The bundle, compiled. Raises Misconfigured naming policy and rule."""
        return Rules(
            policy=self._policy(bundle.policies),
            declared=compile_declaration(bundle.declaration),
            declaration=bundle.declaration,
            mode=bundle.mode,
            paused=bundle.paused,
            judge_enabled=bundle.judge_enabled,
            suppressed=Suppressions(frozenset(bundle.suppressed), self._boundary),
            correlating=next(
                (
                    f"policy:{one.name or one.mode}"
                    for one in bundle.policies
                    if one.enabled and one.mode == "correlation"
                ),
                "policy:correlation",
            ),
        )

    def _policy(self, policies: tuple[Policy, ...]) -> Compiled:
        for known, compiled in self._known:
            if known is policies or known == policies:
                return compiled
        compiled = compile_policies(policies)
        self._known = [(policies, compiled), *self._known[:7]]
        return compiled
