"""Waiting for a person's word on a held action: as long as the caller said, and no answer is a block."""

from __future__ import annotations

from math import ceil
from time import monotonic
from typing import TYPE_CHECKING

from kaizen_security.client.talk import Pause, Talk, left
from kaizen_security.contract.errors import Refused, Unreachable

if TYPE_CHECKING:
    from kaizen_security.client.link import Link
    from kaizen_security.contract.action import Action
    from kaizen_security.contract.verdict import Verdict

ONE_LOOK = 20.0
"""Seconds of one long-poll."""
BREATH = 0.25
"""Seconds before a sidecar that did not answer, or forgot the hold, is asked again."""


def answered(link: Link, action: Action, said: Verdict, *, patience: float, deadline: float) -> Talk[Verdict]:
    """The verdict on a held action once somebody has answered, by the sidecar's rules as they are then.

    ``said`` holds it. After ``patience`` seconds, or when the sidecar is gone, it is a block that is still pending: the same call,
    made again later, joins the same hold. ``deadline`` bounds one question that does not wait.
    """
    until = monotonic() + patience
    while said.pending is not None and (rest := left(until)) > 0:
        look = min(rest, ONE_LOOK)
        try:
            yield from link.look(said.pending.id, ceil(look), within=min(rest, look + deadline))
            # Also when nobody has answered: rules that came meanwhile may deny it, or ask nobody any more.
            said = yield from link.asking(action, deadline, patient=True)
        except Refused as err:
            if err.status != 404:
                return said
            # A sidecar that knows the hold no longer knows better what holds now.
            yield Pause(min(rest, BREATH))
            said = yield from link.asking(action, deadline, patient=True)
        except Unreachable:
            yield Pause(min(rest, BREATH))
    return said
