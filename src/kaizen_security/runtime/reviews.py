"""Reviews: questions that nobody waits for, asked one after the other beside the work.

What was allowed has happened by the time that a model answers, so what it raises is told as a further verdict. A queue of fixed
room, of which one agent gets half: a question that finds none is dropped, counted, and its floor stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

from kaizen_security.contract.verdict import Verdict
from kaizen_security.observer.question import Answer, Question
from kaizen_security.observer.raising import RAISING, raised
from kaizen_security.runtime.clock import Clock

log = logging.getLogger(__name__)

ROOM = 256
WORKERS = 2

Ask = Callable[[Question], Awaitable[Answer | None]]
Answered = Callable[[Question, Answer, Verdict | None], Awaitable[None]]


class Reviews:
    """``ask`` gives the answer or None; ``answered`` is awaited with every answer, and with the verdict it raises (None: nothing).

    ``dropped``  questions that found no room
    """

    def __init__(self, ask: Ask, answered: Answered, *, clock: Clock, room: int = ROOM, workers: int = WORKERS) -> None:
        self._ask = ask
        self._answered = answered
        self._clock = clock
        self._workers = workers
        self._queue: asyncio.Queue[Question] = asyncio.Queue(room)
        self._most = max(1, room // 2)
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.dropped = 0
        self.failures = 0

    def start(self) -> None:
        """Begin; in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]

    async def close(self) -> None:
        """Ask nothing more; what waits is dropped and counted."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._loop = None
        self.dropped += self._queue.qsize()

    async def settled(self) -> None:
        """Wait until everything that was put has been dealt with."""
        await self._queue.join()

    def put(self, question: Question) -> None:
        """Ask it when its turn comes. From any thread; never waits."""
        loop = self._loop
        if loop is None or loop.is_closed():
            self.dropped += 1
            return
        loop.call_soon_threadsafe(self._put, question)

    def _put(self, question: Question) -> None:
        who = _who(question)
        # Else one agent that asks about everything keeps everybody else's questions out.
        if self._queue.full() or self._waiting[who] >= self._most:
            self.dropped += 1
            return
        self._waiting[who] += 1
        self._queue.put_nowait(question)

    async def _work(self) -> None:
        while True:
            question = await self._queue.get()
            self._waiting -= Counter((_who(question),))
            try:
                await self._review(question)
            except Exception as err:  # noqa: BLE001 - a listed boundary
                # The worker must live: the floor of this question stands, and the next one has its turn.
                self.failures += 1
                log.warning("a question was not reviewed (%s)", type(err).__name__)
            finally:
                self._queue.task_done()

    async def _review(self, question: Question) -> None:
        answer = await self._ask(question)
        if answer is None:
            return
        verdict = replace(raised(question, answer), at=self._clock()) if answer.word in RAISING else None
        await self._answered(question, answer, verdict)


def _who(question: Question) -> tuple[str, str]:
    return question.action.organisation, question.action.agent
