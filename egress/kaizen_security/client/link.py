"""Link: questions and steps to the sidecar.

Steps (what the user asked, what a tool returned) must be there before the next question is asked, or the sidecar would judge an
action without knowing where its values came from; so a question first sends what waits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice
from time import monotonic
from typing import TypeVar

from kaizen_security.client import forks
from kaizen_security.client.delivery import Backoff, Fate, fate
from kaizen_security.client.http import Pool
from kaizen_security.client.sole import Sole
from kaizen_security.client.talk import Exchange, Talk, Turn, carried, left
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.boundary import outward
from kaizen_security.contract.codec import decode_verdict, encode_action, encode_step
from kaizen_security.contract.errors import InvalidInput, Refused, Unreachable
from kaizen_security.contract.step import End, Message, Request, Result, Step
from kaizen_security.contract.verdict import Verdict

T = TypeVar("T")

MAX_STEPS = 4000
"""Steps in memory while the sidecar does not take them. They hold the run's text, so they never go to disk."""
AT_ONCE = 50
TEXT_AT_ONCE = 512 << 10
"""Characters of results and messages in one request, of which the sidecar takes two megabytes; one step may have more."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEPS_LOST, STEPS_REFUSED = "steps: sidecar unreachable", "steps: refused by the sidecar"
STEPS_BROKEN = "steps: could not be encoded"


class Link:
    """``in_tenant``: arguments, requests and results may go there as they are; else only boundary fields do.

    ``lost`` counts steps by reason; ``unheard`` is told of every action among them.
    """

    unheard: Callable[[Action], None] | None = None

    def __init__(self, url: str, *, agent: str, headers: Mapping[str, str], in_tenant: bool, key: bytes) -> None:
        self.lost: dict[str, int] = {}
        self.in_tenant = in_tenant
        self.url = url
        self._pool = Pool(url)
        self._agent = agent
        self.headers = dict(headers)
        self._key = key
        self._reset()
        _LIVE.add(self)

    def _reset(self) -> None:
        self._steps: deque[Step] = deque()
        self._sending = Sole()
        self._removing = threading.Lock()
        self._ask_after = 0.0
        self._pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)

    def ask(self, action: Action, deadline: float, *, patient: bool) -> Verdict:
        """``asking``, carried in the calling thread."""
        return self.carry(self.asking(action, deadline, patient=patient))

    def carry(self, talk: Talk[T]) -> T:
        """What a talk with the sidecar comes to. Blocks; ``client.streams`` carries the same one for an event loop."""
        return carried(talk, self._pool, self.headers)

    def asking(self, action: Action, deadline: float, *, patient: bool) -> Talk[Verdict]:
        """The sidecar's verdict on ``action``, which has an id, within ``deadline`` seconds.

        A sidecar that hangs must not cost an agent its deadline at every action: unless ``patient``, one that was too slow is not
        asked again for a while (0.5 s, doubling to 30 s).
        Raises Unreachable, Refused.
        """
        if not patient and monotonic() < self._ask_after:
            raise Unreachable("the sidecar was too slow a moment ago, and is not waited for again yet")
        try:
            verdict = yield from self._asking(action, monotonic() + deadline)
        except Unreachable as err:
            self._too_slow(err)
            raise
        self._pauses.reset()
        self._ask_after = 0.0
        return verdict

    def _asking(self, action: Action, at: float) -> Talk[Verdict]:
        if self._steps:
            yield from self.sending(left(at))
        sent = action if self.in_tenant else outward(action, self._key)
        document: Json = {"agent": self._agent, "action": encode_action(sent)}
        answer = yield Exchange(method="POST", path="/v1/inspect", document=document, within=left(at))
        try:
            return decode_verdict(answer)
        except InvalidInput as err:
            raise Unreachable(f"the sidecar answered with something else than a verdict: {err}") from err

    def look(self, hold_id: str, wait: int, *, within: float) -> Talk[None]:
        """Wait until a hold has been answered or is over, at most ``wait`` seconds. Raises Unreachable, Refused (404)."""
        from urllib.parse import quote

        yield Exchange(method="GET", path=f"/v1/holds/{quote(hold_id, safe='')}?wait={wait}", within=within)

    def note(self, step: Step) -> None:
        """Keep a step for the next question; what is in it must not change any more. What may not leave the process is left out.

        It is written out by whoever sends it: the agent's own threads do not wait for that.
        """
        if not self.in_tenant and not isinstance(step, Action | Result | End):
            return
        self._steps.append(step)
        if len(self._steps) > MAX_STEPS:
            with self._removing:
                self._lose([self._steps.popleft() for _ in range(len(self._steps) - MAX_STEPS)], STEPS_LOST)

    def _document(self, step: Step) -> Json:
        """The step as it is sent; None for one that cannot be written."""
        try:
            if not self.in_tenant:
                if isinstance(step, Result):
                    step = replace(step, content=None)
                elif isinstance(step, Action):
                    step = outward(step, self._key)
            return encode_step(step)
        except (ValueError, OverflowError, OSError):  # an instant that no calendar has
            return None

    @property
    def waiting(self) -> int:
        """Steps that the sidecar has not taken yet."""
        return len(self._steps)

    def send_steps(self, deadline: float) -> None:
        """``sending``, carried in the calling thread."""
        self.carry(self.sending(deadline))

    def hand_over(self, deadline: float) -> bool:
        """Send what waits before anybody asks; false when the sidecar does not take it now: then it goes with the next question.

        One that was too slow a moment ago is not waited for, as in ``asking``.
        """
        if monotonic() < self._ask_after:
            return False
        try:
            self.send_steps(deadline)
        except Unreachable as err:
            self._too_slow(err)
            return False
        return True

    def _too_slow(self, err: Unreachable) -> None:
        if isinstance(err.__cause__, TimeoutError):
            self._ask_after = monotonic() + self._pauses.next()

    def sending(self, deadline: float) -> Talk[None]:
        """Send what waits, in order. Raises Unreachable; what the sidecar refuses is counted.

        A step waits until it is taken, so that a question that is asked while another thread sends waits for that too.
        """
        at, at_once = monotonic() + deadline, AT_ONCE
        yield Turn(self._sending, deadline)
        try:
            while self._steps:
                some = _first(self._steps, at_once)
                written = [self._document(step) for step in some]
                document: Json = {"agent": self._agent, "steps": [made for made in written if made is not None]}
                try:
                    yield Exchange(
                        method="POST", path="/v1/steps", document=document, within=left(at), idempotent=False
                    )
                except Refused as err:
                    if err.status >= 500 or err.status == 429:
                        raise Unreachable(f"the sidecar takes no steps just now: {err}") from err
                    if fate(err.status, len(some)) is Fate.SMALLER:
                        # Long ones are too long only together, and one that is refused must not take the others with it: what
                        # a run has read is what its next action is judged by.
                        at_once = len(some) // 2
                        continue
                    self._lose([step for step, made in zip(some, written, strict=True) if made], STEPS_REFUSED)
                self._lose([step for step, made in zip(some, written, strict=True) if not made], STEPS_BROKEN)
                self._taken(some)
        finally:
            self._sending.release()

    def _taken(self, some: list[Step]) -> None:
        """They wait no longer. The first of them are gone already where later ones needed their room."""
        with self._removing:
            for step in some:
                if self._steps and self._steps[0] is step:
                    self._steps.popleft()

    def _lose(self, steps: Iterable[Step], reason: str) -> None:
        for step in steps:
            self.lost[reason] = self.lost.get(reason, 0) + 1
            if self.unheard is not None and isinstance(step, Action):
                self.unheard(step)

    def close(self) -> None:
        """Steps that the sidecar never took are lost, and counted."""
        left_over = list(self._steps)
        self._steps.clear()
        self._lose(left_over, STEPS_LOST)
        self._pool.close()

    def _after_fork(self) -> None:
        self.lost = {}
        self._reset()


def _first(steps: Iterable[Step], most: int) -> list[Step]:
    found: list[Step] = []
    room = TEXT_AT_ONCE
    for step in islice(steps, most):
        said = step.content if isinstance(step, Result) else step.text if isinstance(step, Message | Request) else ""
        room -= len(said) if isinstance(said, str) else 0
        if found and room < 0:
            break
        found.append(step)
    return found


_LIVE = forks.alive(Link)
