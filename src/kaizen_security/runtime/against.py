"""Against: the verdict diff of two versions over the same lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kaizen_security.contract.action import Json
from kaizen_security.contract.verdict import Verdict
from kaizen_security.runtime.counterfactual import Change, Compared, change_of
from kaizen_security.runtime.replay import RecordedRun, Replayer


class Against:
    """Today's verdicts beside those that another version, or another configuration, gave on the same lines.

    ``printed``  by agent, run and action
    """

    def __init__(self, printed: Mapping[tuple[str, str, str], Verdict], replayer: Replayer) -> None:
        self._printed = printed
        self._replayer = replayer

    def take(self, document: Json) -> Iterator[Compared]:
        """What one document gives. Raises InvalidInput."""
        for found in self._replayer.take(document):
            for one in found.judged if isinstance(found, RecordedRun) else (found,):
                after, action = one.verdict, one.action
                before = self._printed.get((action.agent, action.run_id, after.action_id))
                yield Compared(
                    action=action,
                    before=before or after,
                    after=after,
                    change=Change.CANNOT_TELL if before is None else change_of(before, after),
                    missing=("the other verdict",) if before is None else (),
                    row=after.action_id,
                    at=action.at,
                )
