"""Heartbeats: which attach points of which agents are alive, and which fell silent without a word: a dark agent.

An agent whose guard was never loaded, was taken out or died goes on working unseen. Each attach point says every 30 seconds that it
is there, and says goodbye when its process ends; one that does neither for ``SILENCE`` seconds is reported once, as a verdict with
the finding ``dark agent``. What was heard lives in memory: a sidecar that starts anew knows who reports next.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, MAX_TEXT, array, boolean, obj, text
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Verdict
from kaizen_security.sidecar.http import Problem, answer, on_socket, read
from kaizen_security.sidecar.identity import Identity

SILENCE = 95.0
"""Seconds without a sign of life, three of which are due meanwhile, after which an attach point is dark."""
FORGOTTEN = 86_400.0
"""Seconds after which one that is dark, or said goodbye, is not listed any more."""
MOST = 4096
"""Attach points that are remembered; a further one is not taken while all of these are alive."""
MOST_OF_ONE = 256
"""Attach points of one agent; a further one is not taken while all of these are alive."""
MOST_AT_ONCE = 64


@dataclass(slots=True)
class _Point:
    """``heard`` in Unix seconds; ``state``: ``alive``, ``dark`` or ``left``; ``why``: what is not in order, if that is known."""

    agent: str
    process: str
    source: str
    heard: float
    state: str = "alive"
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a coding assistant's hook says of its session; ``transcript``: the file that the assistant writes it to."""

    agent: str
    id: str
    source: str
    transcript: str
    over: bool


class Heartbeats:
    """``report`` puts a verdict on its way to the control plane; ``who`` says who asks."""

    def __init__(
        self,
        clock: Callable[[], float],
        ids: Callable[[], str],
        report: Callable[[Action, Verdict], bool],
        who: Callable[[Request], Awaitable[Identity | None]],
        agent: Callable[[Identity | None, str], str],
    ) -> None:
        self.refused = 0
        self.session: Callable[[Session], None] = lambda said: None  # told of the sessions of coding assistants
        self._clock = clock
        self._ids = ids
        self._report = report
        self._who = who
        self._agent = agent
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="heavy")
        self._points: OrderedDict[tuple[str, str, str], _Point] = OrderedDict()
        self._of = Counter[str]()  # how many of them each agent has

    def routes(self) -> list[Route]:
        """``POST /v1/heartbeats`` for attach points; ``GET`` lists them, on the Unix socket."""
        return [
            Route("/v1/heartbeats", self._beat, methods=["POST"]),
            Route("/v1/heartbeats", self._listed, methods=["GET"]),
        ]

    def beat(self, agent: str, process: str, sources: tuple[str, ...], *, leaving: bool) -> None:
        """A sign of life of a process's attach points, or its goodbye."""
        now = self._clock()
        for source in sources:
            key = (agent, process, source)
            if key not in self._points and not self._room(agent):
                self.refused += 1
                continue
            if key not in self._points:
                self._points[key] = _Point(agent, process, source, now)
                self._of[agent] += 1
            point = self._points[key]
            point.heard, point.state, point.why = now, "left" if leaving else "alive", ""
            self._points.move_to_end(key)

    def doubt(self, agent: str, process: str, source: str, why: str) -> None:
        """Something is not in order there: it is dark ``SILENCE`` seconds after its last sign of life, or after this."""
        point = self._points.get((agent, process, source))
        if point is None or point.state == "left":
            self.beat(agent, process, (source,), leaving=False)
            point = self._points.get((agent, process, source))
        if point is not None:
            point.why = why

    def _room(self, agent: str) -> bool:
        # Else somebody could push out, with made-up ones, a point that is about to fall silent. What is over makes room.
        if self._of[agent] >= MOST_OF_ONE and not self._is_cleared(agent):
            return False
        return len(self._points) < MOST or self._is_cleared()

    def _is_cleared(self, agent: str | None = None) -> bool:
        """Whether one that is over was there, of that agent or of any; it is gone now."""
        for key, point in self._points.items():
            if point.state != "alive" and agent in (None, point.agent):
                self._drop(key)
                return True
        return False

    def _drop(self, key: tuple[str, str, str]) -> None:
        del self._points[key]
        self._of[key[0]] -= 1
        if not self._of[key[0]]:
            del self._of[key[0]]

    def settle(self) -> int:
        """Report those that fell silent since; how many these were."""
        now, found = self._clock(), 0
        for key, point in list(self._points.items()):
            silent = now - point.heard
            if silent > FORGOTTEN:
                self._drop(key)
            elif point.state == "alive" and silent > SILENCE:
                point.state = "dark"
                found += 1
                self._report(*_dark(point, self._ids(), silent, now))
        return found

    def woke(self) -> None:
        """The machine slept, or we did: nobody could speak meanwhile, so silence is counted from now on."""
        for point in self._points.values():
            if point.state == "alive":
                point.heard = self._clock()

    def shown(self) -> list[dict[str, Json]]:
        """All of them, heard last first. From any thread: the list is taken at once, and beats go on meanwhile."""
        return [
            {"agent": one.agent, "process": one.process, "source": one.source, "heard": one.heard, "state": one.state}
            for one in reversed(list(self._points.values()))
        ]

    async def _beat(self, request: Request) -> Response:
        identity = await self._who(request)

        def decoded(document: dict[str, Json]) -> tuple[str, str, tuple[str, ...], bool, str | None]:
            agent = self._agent(identity, text(document, "agent", limit=MAX_NAME))
            process = text(document, "process", limit=MAX_NAME)
            points = array(document, "points", limit=MOST_AT_ONCE)
            sources = tuple(
                text(obj(one, f"points[{i}]"), "source", f"points[{i}].", limit=MAX_NAME)
                for i, one in enumerate(points)
            )
            if not process or not all(sources):
                raise InvalidInput("process" if not process else "points", "must say which")
            transcript = text(document, "transcript", limit=MAX_TEXT) if "transcript" in document else None
            return agent, process, sources, boolean(document, "leaving", ""), transcript

        agent, process, sources, leaving, transcript = await read(request, decoded, aside=self._aside)
        if transcript is None:
            self.beat(agent, process, sources, leaving=leaving)
        for source in () if transcript is None else sources:
            said = Session(agent=agent, id=process, source=source, transcript=transcript or "", over=leaving)
            self.session(said)
        return answer({"heard": len(sources)})

    async def _listed(self, request: Request) -> Response:
        await self._who(request)
        if not on_socket(request):
            raise Problem(403, "forbidden", "who is attached is said on the Unix socket only")
        return answer({"points": list(self.shown())})


def _dark(point: _Point, id_: str, silent: float, now: float) -> tuple[Action, Verdict]:
    action = Action(kind="attach_point", metadata={"source": point.source}, id=id_, agent=point.agent, at=now)
    said = f"the attach point {point.source} has been silent for {silent:.0f} seconds and said no goodbye"
    expected = "a sign of life every 30 seconds, or a goodbye when the process ends"
    advice = "See whether the process is still there: if it is, what it does is not seen at this rung any more."
    if point.why:
        said = f"the attach point {point.source} is not asked any more: {point.why}"
        expected = "the hook command before each tool, as kaizen attach entered it"
        advice = "Enter it again with kaizen attach, or say with --undo --write that it is not wanted any more."
    finding = Finding(
        kind="dark agent",
        value=point.source,
        source="sidecar",
        detection="heartbeat",
        field="source",
        expected=expected,
        observed=said,
        advice=advice,
    )
    return action, Verdict(reason=f"dark agent: {said}.", evidence=(finding,), action_id=id_, at=now)
