"""The sidecar's held actions over HTTP: who may see them, who may answer, and who waits for an answer.

An agent asks and waits; it never answers. Whoever answers here presents the operator's secret, which lies in the data directory and
which only the sidecar's own user can read: neither an API key nor the socket alone is enough.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.fields import MAX_NAME, obj, parse, plain, text
from kaizen_security.contract.hold import Hold, HoldAnswer, HoldState, decode_answer, decode_state, encode_hold
from kaizen_security.observer.question import Word
from kaizen_security.runtime.hold_table import AlreadySettled, NoRun, NoSuchHold
from kaizen_security.runtime.holds import Holds
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.sidecar.hold_file import HoldFile, boundary_form
from kaizen_security.sidecar.http import Problem, answer, bearer, read_body, seconds
from kaizen_security.sidecar.identity import Identity
from kaizen_security.sidecar.shelf import DiskShelf

MAX_ANSWER = 8192
"""Bytes of an answer."""
SHOWN = 200
"""Holds of one answer."""

Who = Callable[[Request], Awaitable[Identity | None]]


class Holding:
    """``learned(hold)`` is awaited when somebody here said that an act is normal; ``relay(hold)`` is called when one changed, and
    ``relayed`` says for people how that goes.
    """

    def __init__(self, inspector: Inspector, holds: Holds, shelf: DiskShelf, boundary: bytes) -> None:
        self.holds = holds
        self.learned: Callable[[Hold], Awaitable[None]] | None = None
        self.relay: Callable[[Hold], None] = lambda hold: None
        self.relayed: Callable[[], dict[str, Json]] = dict
        self.file = HoldFile(shelf.data / "holds.jsonl", holds, boundary)
        self._inspector = inspector
        self._operator = shelf.operator_secret
        self._boundary = boundary
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        holds.on_change = self._changed
        self.file.load()

    # --- answering ----------------------------------------------------------------------------------------------------

    def settle(self, hold_id: str, said: HoldAnswer, by: str) -> Hold:
        """A person of that name answers. From any thread. Raises NoSuchHold, AlreadySettled, NoRun."""
        hold = self._inspector.answer(hold_id, Word(said.value), by)
        if said is HoldAnswer.LEARN:
            # A person's word is not said twice: it is on disk before anybody is told that it was taken.
            self._inspector.agents.save()
        return hold

    def _changed(self, hold: Hold) -> None:
        self.file.keep(hold.id)
        self.relay(hold)
        loop = self._loop
        if not hold.waiting and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake, hold.id)

    def _wake(self, hold_id: str) -> None:
        for waiter in self._waiters.pop(hold_id, set()):
            if not waiter.done():
                waiter.set_result(None)

    def release(self) -> None:
        """The process ends: whoever waits for a person is told that there was no answer yet."""
        for hold_id in list(self._waiters):
            self._wake(hold_id)

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def routes(self, who: Who) -> list[Route]:
        """``/v1/holds``. ``who`` says whose key it is, or raises."""

        async def listing(request: Request) -> Response:
            identity, operator = await self._asking(request, who)
            state = decode_state(request.query_params.get("state", "waiting"))
            said = plain(request.query_params.get("agent", ""), "agent", limit=MAX_NAME)
            agent = identity.agent if identity is not None and identity.agent else said
            if said and said != agent:
                raise Problem(403, "forbidden", "this API key is bound to another agent", field="agent")
            found = self.holds.listing(state, agent, SHOWN)
            return answer({"holds": [self._shown(hold, operator=operator) for hold in found]})

        async def one(request: Request) -> Response:
            identity, operator = await self._asking(request, who)
            hold = self._found(request, identity)
            await self._settled(hold, seconds(request))
            return answer(self._shown(self._found(request, identity), operator=operator))

        async def say(request: Request) -> Response:
            _, operator = await self._asking(request, who)
            if not operator:
                raise Problem(
                    403,
                    "forbidden",
                    "an agent does not answer what is asked about it: use the console, or kaizen holds as the sidecar's user",
                )
            document = obj(parse(await read_body(request, MAX_ANSWER)), "body")
            said = decode_answer(text(document, "answer", limit=16))
            by = text(document, "by", limit=MAX_NAME).strip() or "operator"
            try:
                hold = await asyncio.to_thread(self.settle, request.path_params["id"], said, by)
            except KaizenError as err:
                raise problem_of(err) from err
            if said is HoldAnswer.LEARN and self.learned is not None:
                await self.learned(hold)
            return answer(self._shown(hold, operator=True))

        return [
            Route("/v1/holds", listing, methods=["GET"]),
            Route("/v1/holds/{id}", one, methods=["GET"]),
            Route("/v1/holds/{id}", say, methods=["POST"]),
        ]

    async def _asking(self, request: Request, who: Who) -> tuple[Identity | None, bool]:
        """Who asks, and whether it is the operator, who sees what leaves the tenant for nobody else."""
        self._loop = self._loop or asyncio.get_running_loop()
        if hmac.compare_digest(bearer(request).encode(), self._operator.encode()):
            return None, True
        return await who(request), False

    def _found(self, request: Request, identity: Identity | None) -> Hold:
        hold = self.holds.get(plain(request.path_params["id"], "id", limit=MAX_NAME))
        if hold is None or (identity is not None and identity.agent not in ("", hold.agent)):
            raise Problem(404, "not_found", "there is no hold of that id, or not any more")
        return hold

    async def _settled(self, hold: Hold, seconds: float) -> None:
        """Wait until the hold is settled, at most so long."""
        if not seconds or not hold.waiting:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(hold.id, set())
        waiters.add(waiter)
        try:
            # It may have been settled between the look at it and now, by another thread.
            found = self.holds.get(hold.id)
            if found is not None and found.waiting:
                await asyncio.wait((waiter,), timeout=seconds)
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop(hold.id, None)

    def _shown(self, hold: Hold, *, operator: bool) -> dict[str, Json]:
        return encode_hold(hold if operator else boundary_form(hold, self._boundary))

    def wake(self) -> None:
        """Let what nobody answered expire."""
        self.holds.wake()

    def look_again(self, agent: str) -> None:
        """Rules have come: who waits for an answer asks again, since they may need none any more. On the event loop."""
        for hold in self.holds.listing(HoldState.WAITING, agent, SHOWN):
            self._wake(hold.id)

    def figures(self) -> dict[str, Json]:
        """For ``GET /healthz``: how many wait, what came of the others, and the share of inspected calls that were held."""
        found = self.holds.figures()
        asked = found.get("placed", 0) + found.get("joined", 0)
        inspected = self._inspector.inspected
        return {
            **found,
            "inspected": inspected,
            "share_held": round(asked / inspected, 6) if inspected else 0.0,
            "not_kept": self.file.lost,
            **self.relayed(),
        }


def problem_of(err: KaizenError) -> KaizenError:
    """What a refused answer is over HTTP."""
    match err:
        case NoSuchHold():
            return Problem(404, "not_found", str(err))
        case AlreadySettled():
            return Problem(409, "conflict", str(err))
        case NoRun():
            return Problem(422, "invalid", str(err), field="answer")
    return err
