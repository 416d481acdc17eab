"""What is answered at once: a question, or a few steps of a run, over the Unix socket, when nothing has to be waited for.

An agent waits for each of these answers. A task of the event loop and the layers of a web framework, through which every other
request goes, cost as much as the verdict does, and after a pause, when nothing of the program is in the processor's caches any
more, twice as much.
"""

from __future__ import annotations

import logging

import msgspec

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.codec import encode_verdict
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.fields import obj, parse
from kaizen_security.sidecar.app import Sidecar
from kaizen_security.sidecar.connections import Answers
from kaizen_security.sidecar.http import HEAVY, MAX_BATCH_BODY, bearer_in, check_values, refusal
from kaizen_security.sidecar.identity import STRANGER, Identity

log = logging.getLogger(__name__)

FEW = 8
"""Steps in one request, at the most: more of them let others have their turn in between (``sidecar.turns``)."""
INSPECT, STEPS = b"/v1/inspect", b"/v1/steps"
_ENCODER = msgspec.json.Encoder()


class AtOnce(Answers):
    """For one sidecar."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar

    def answer(self, path: bytes, body: bytes, authorization: str, *, stranger: bool) -> tuple[int, bytes] | None:
        """None for what has to wait for something, and for what is wrong, which is told by the way of all others.

        A defect of ours is status 500, as it is there, with a traceback in the output.
        """
        if len(body) >= HEAVY or path not in (INSPECT, STEPS):
            return None
        identity = STRANGER if stranger else None
        key = bearer_in(authorization)
        if key:
            identity = self._sidecar.identities.remembered(key)
            if identity is None:
                return None
        try:
            said = self._answer(path, body, identity)
        except KaizenError:
            return None  # from reading it: once anything has been done, nothing of ours raises one
        except Exception as err:
            # Not left to the other way: what has been done before it broke would be done twice.
            log.exception("no answer to %s", path.decode())
            return 500, bytes(refusal(err).body)
        return None if said is None else (200, said)

    def _answer(self, path: bytes, body: bytes, identity: Identity | None) -> bytes | None:
        check_values(body)
        document = obj(parse(body, limit=MAX_BATCH_BODY), "body")
        if path == STEPS:
            steps = self._sidecar.decoded_steps(document, identity)
            actions = any(isinstance(step, Action) for step in steps)  # their verdicts may have to wait
            if actions or len(steps) > FEW or len({step.agent for step in steps}) > 1:
                return None
            for step in steps:
                self._sidecar.take_in(step)
            return _written({"noted": len(steps)})
        action = self._sidecar.decoded_actions(document, identity)
        if isinstance(action, list) or self._sidecar.in_force.is_awaited(self._sidecar.in_force.of(action.agent)):
            return None
        return _written(encode_verdict(self._sidecar.judged(action)))


def _written(document: Json) -> bytes:
    return _ENCODER.encode(document)
