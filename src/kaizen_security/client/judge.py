"""Judge: the way of one action to its verdict. Own policy first, then the sidecar or the declaration, then the report.

Two opinions never loosen each other: what either side blocks is blocked, and the stricter mode holds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kaizen_security.client import rules as rules_of
from kaizen_security.client.arguments import Plain, plain
from kaizen_security.client.attach import Attachment
from kaizen_security.client.fields import completed, is_complete
from kaizen_security.client.hold import answered
from kaizen_security.contract.action import Action
from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.contract.errors import Refused, Unreachable
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.step import Result
from kaizen_security.contract.verdict import Decision, Mode, Verdict

if TYPE_CHECKING:
    from kaizen_security.client.clock import Ids
    from kaizen_security.client.config import Settings
    from kaizen_security.client.link import Link
    from kaizen_security.client.streams import Streams
    from kaizen_security.client.talk import Talk
    from kaizen_security.contract.bundle import Bundle


class Judge:
    """One agent's rules, and whom to ask. ``rules`` is replaced whole, so threads need no lock to read it."""

    def __init__(self, settings: Settings, attached: Attachment, ids: Ids, policies: tuple[Policy, ...]) -> None:
        self.sequence = rules_of.Sequence()
        self._settings = settings
        self._attached = attached
        self._link = attached.link
        self._reporter = attached.reporter
        self._ids = ids
        self._local = rules_of.local_rules(policies, NOTHING_DECLARED, settings.mode)
        self._bundle: tuple[Bundle, str] | None = None
        self._fail_open = settings.fail_open
        self.rules = self._local
        if self._link is not None:
            self._link.unheard = self.unheard

    # --- one action

    def judge(self, action: Action, at: float, run_id: str) -> Verdict:
        """The verdict, reported. ``at`` in Unix seconds."""
        rules = self.rules
        verdict = self._alone(rules, action, at, run_id)
        if verdict is not None:
            return verdict
        assert self._link is not None
        return self._link.carry(self._together(self._link, rules, action, at, run_id))

    async def ajudge(self, action: Action, at: float, run_id: str, streams: Streams) -> Verdict:
        """The same from an event loop, which goes on while the sidecar is asked."""
        rules = self.rules
        verdict = self._alone(rules, action, at, run_id)
        if verdict is not None:
            return verdict
        assert self._link is not None
        return await streams.carry(self._together(self._link, rules, action, at, run_id))

    def _alone(self, rules: rules_of.Rules, action: Action, at: float, run_id: str) -> Verdict | None:
        """What needs nobody else, reported; None when the sidecar is to be asked."""
        if rules.compiled.correlates and run_id != action.run_id:
            action = replace(action, run_id=run_id)
        verdict, beyond = rules.look(action)
        if action.id or rules.compiled.correlates:
            verdict = rules.settled(verdict, action, self.sequence)
        if verdict.decision is Decision.ALLOW:
            if self._link is not None:
                return None
            why = rules.unanswered(at)
            if why:
                verdict = rules_of.nobody_answered(rules, why, fail_open=self._fail_open)
            elif beyond and not rules.paused:
                verdict = rules.beyond(action, beyond)
        if self._reporter is not None:
            self.report(action, verdict, at, run_id)
        return verdict

    @property
    def observes(self) -> bool:
        """The organisation's policy is here and says observe: nobody stricter may be asked. See ``Noting.observe``."""
        rules = self.rules
        return rules.mode is Mode.OBSERVE and rules.origin != "local" and not rules.missing

    def observe(self, action: Action, at: float, run_id: str) -> tuple[Verdict, Action | None]:
        """What policy says; and the action as the sidecar is to have it afterwards, None when it was blocked and reported.

        A verdict that allows may be one for all such actions: it names none.
        """
        rules = self.rules
        full = self._full(action, at, run_id)
        verdict = rules.look(full)[0]
        if rules.compiled.correlates:
            verdict = rules.settled(verdict, full, self.sequence)
        if verdict.decision is Decision.ALLOW:
            return verdict, full
        verdict = replace(verdict, action_id=full.id)
        self.report(full, verdict, at, run_id)
        return verdict, None

    def unheard(self, action: Action) -> None:
        """An observed action that the sidecar never took: nobody judged it, and that is said."""
        verdict = rules_of.nobody_answered(self.rules, "the sidecar never took this action", fail_open=True)
        self.report(action, replace(verdict, action_id=action.id), action.at, action.run_id)

    def _full(self, action: Action, at: float, run_id: str) -> Action:
        metadata = action.metadata
        known = metadata if type(metadata) is Plain else plain(dict(metadata))
        if known is metadata and is_complete(action, self._settings.agent, run_id):
            return action
        return completed(
            action,
            known if isinstance(known, dict) else {},
            id_=self._ids.new(),
            agent=self._settings.agent,
            at=at,
            run_id=run_id,
        )

    def failed(self, err: Exception, action: Action, at: float, run_id: str) -> Verdict:
        """The verdict when our own code failed, reported."""
        verdict = rules_of.engine_error(type(err).__name__, fail_open=self._fail_open)
        self.report(action, verdict, at, run_id)
        return verdict

    def _together(self, link: Link, rules: rules_of.Rules, action: Action, at: float, run_id: str) -> Talk[Verdict]:
        """The sidecar's word, by our mode. It reports what it judged, so we report only what it could not know."""
        full = self._full(action, at, run_id)
        heard = False
        try:
            deadline = self._settings.deadline
            said = yield from link.asking(full, deadline, patient=rules.mode is Mode.ENFORCE)
            if said.pending is not None:
                patience = self._settings.hold_seconds
                said = yield from answered(link, full, said, patience=patience, deadline=deadline)
            heard = True
        except (Unreachable, Refused) as err:
            heard = True
            verdict = rules_of.nobody_answered(rules, str(err), fail_open=self._fail_open)
            verdict = replace(verdict, action_id=full.id)
            self.report(full, verdict, at, run_id)
            return verdict
        finally:
            if not heard:
                # A cancelled task, or Ctrl-C: the action will not happen, so it must not be learned from.
                link.note(Result(run_id=run_id, action_id=full.id, failed=True, agent=full.agent, at=at))
        verdict = said
        if rules.declaration is not None and (self._attached.manifest.waiting or rules_of.without_policy(said)):
            verdict = rules_of.joined(said, rules.undeclared(action))
        verdict = rules_of.tightened(rules, verdict, fail_open=self._fail_open)
        if verdict is not said:
            # The same id: for the sidecar this says that the action did not happen, so it is not learned from.
            self.report(full, replace(verdict, action_id=full.id), at, run_id)
        return verdict

    def report(self, action: Action, verdict: Verdict, at: float, run_id: str) -> None:
        """Send it to where reports go, if they go anywhere; what was blocked or flagged is on disk when this returns."""
        reporter = self._reporter
        if reporter is None:
            return
        if verdict.evidence and (verdict.blocked or verdict.evidence[0].kind != rules_of.UNPROTECTED):
            reporter.urgent(action, verdict, at, run_id)
        else:
            reporter.add(action, verdict, at, run_id)

    # --- what is in force

    def apply(self, bundle: Bundle, origin: str) -> None:
        """Put the organisation's policy into force beside our own. Raises Misconfigured; then nothing has changed."""
        rules = rules_of.with_organisation(
            self._local, bundle, mode=self._settings.mode, origin=origin, boundary=self._attached.key
        )
        self._bundle = bundle, origin
        self.rules = rules

    def missing(self, why: str) -> None:
        """The organisation's policy could not be had."""
        self.rules = replace(self.rules, missing=why)

    def declare(self, declared: Declaration) -> None:
        """Put our own declaration into force. Raises Misconfigured; then nothing has changed."""
        self._local = rules_of.redeclared(self._local, declared)
        if self._bundle is None:
            self.rules = rules_of.redeclared(self.rules, declared)
        else:
            self.apply(*self._bundle)
