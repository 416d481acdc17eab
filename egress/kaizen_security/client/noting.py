"""What an attach point tells without waiting for an answer: steps of a run, results, and actions that are only observed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING

from kaizen_security.client.arguments import Plain, plain
from kaizen_security.client.clock import Ids, now
from kaizen_security.client.later import Later
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.step import Claim, Effect, End, Result
from kaizen_security.contract.verdict import Verdict, restated

if TYPE_CHECKING:
    from kaizen_security.client.config import Settings
    from kaizen_security.client.judge import Judge
    from kaizen_security.client.link import Link
    from kaizen_security.contract.step import Step

RUN: ContextVar[str] = ContextVar("kaizen_run", default="")
"""The run that the current context belongs to."""
_result = builder(Result)


class Noting:
    """The part of ``Kaizen`` that waits for nobody."""

    settings: Settings
    ids: Ids
    _judging: Judge
    _link: Link | None
    _later: Later | None
    on_verdict: Callable[[Verdict, Action], object] | None

    def _show(self, verdict: Verdict, action: Action) -> None:
        """See ``Kaizen._show``."""
        raise NotImplementedError

    def inspect(self, action: Action | Mapping[str, object] | None = None, /, **fields: object) -> Verdict:
        """See ``Kaizen.inspect``."""
        raise NotImplementedError

    @property
    def observes(self) -> bool:
        """Whether an action need not be asked about before it runs: the organisation's policy is here, and says observe."""
        return self._judging.observes

    def observe(self, action: Action) -> Verdict:
        """What policy in this process says of ``action``, at once; a sidecar judges it soon after, among the steps as noted.

        For an attach point of an agent that is in observe mode (``observes``); in any other case, and where there is no sidecar,
        the same as ``inspect``. What the sidecar finds is in its own verdict, at the control plane; it holds nothing up.
        """
        if not self._judging.observes:
            return self.inspect(action)
        return self.report(action)

    def report(self, action: Action, verdict: Verdict | None = None) -> Verdict:
        """Report an action that has happened already: what policy in this process says of it, at once, and a sidecar soon after.

        Nobody waits for a verdict, in any mode, and none can undo it. Where there is no sidecar, the same as ``inspect``.
        With ``verdict``: report what an attach point decided by itself (it looked at something that no rule of ours can see).
        """
        if verdict is not None:
            action = replace(action, id=action.id or self.ids.new())
            self._judging.report(action, verdict, now(), action.run_id or RUN.get())
            return verdict
        said = self._passed(action)
        return said if said.action_id or not action.id else restated(said, action_id=action.id)

    def _passed(self, action: Action) -> Verdict:
        """``report`` for one who only wants to know whether it is allowed: such a verdict may be shared by all actions like it."""
        later = self._later
        if later is None:
            return self.inspect(action)
        verdict, full = self._judging.observe(action, action.at or now(), action.run_id or RUN.get())
        if full is not None and self._link is not None:
            self._link.note(full)
            if not later.is_awake():
                later.wake()
        if self.on_verdict is not None:
            done = full or action
            self._show(restated(verdict, action_id=done.id), done)
        return verdict

    def note(self, step: Step) -> None:
        """Keep a step of a run for the sidecar, if there is one. A request, a message or a result goes to an in-tenant one only."""
        if isinstance(step, End):
            self._judging.sequence.end(self.settings.agent, step.run_id)
        if self._link is not None:
            self._keep(self._link, _settled(step))

    def _keep(self, link: Link, step: Step) -> None:
        link.note(step)
        if self._later is not None and not self._later.is_awake():
            # In enforce mode too: by the time the model has thought of its next call, the question goes alone.
            self._later.wake()

    def note_result(self, action: Action, content: object, *, failed: bool = False) -> None:
        """Tell the sidecar what the action brought back, so that it knows where later values come from. Needs no answer."""
        link = self._link
        if link is None:
            return
        self.note_brought(action, plain(content) if link.in_tenant else None, failed=failed)

    def note_brought(self, action: Action, document: Json, *, failed: bool) -> None:
        """``note_result`` of what ``plain`` has made already."""
        if self._link is not None:
            self._link.note(
                _result(action.run_id or RUN.get(), action.id, document, failed, self.settings.agent, now())
            )
            if self._later is not None and not self._later.is_awake():
                self._later.wake()

    def hand_over(self, timeout: float = 1.0) -> bool:
        """Give the sidecar now what was noted, for those of the same run who ask it elsewhere; false when it does not take it."""
        return self._link is None or self._link.hand_over(timeout)


def _settled(step: Step) -> Step:
    """The step with what its caller may change meanwhile copied: it is written out later, in another thread."""
    if isinstance(step, Result):
        return replace(step, content=plain(step.content))
    if isinstance(step, Action):
        return _copied(step)
    return replace(step, action=_copied(step.action)) if isinstance(step, Claim | Effect) else step


def _copied(action: Action) -> Action:
    if type(action.metadata) is Plain:
        return action
    metadata = plain(dict(action.metadata))
    return replace(action, metadata=metadata if isinstance(metadata, dict) else {})
