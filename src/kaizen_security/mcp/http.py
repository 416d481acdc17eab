"""The gateway: Streamable HTTP in front of one or many servers, each under ``/NAME/mcp``, for agents with keys of their own.

Both eras of the protocol: with sessions (2025-03-26 to 2025-11-25: POST, GET, DELETE, resumption by the server's own event ids) and
without (2026-07-28). Sessions and ids of events are the server's; nothing is initialised twice. What crosses is decided by the same
relay as over standard input and output, one for each session, or for each request where there is no session.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from urllib.parse import unquote, urlsplit

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from kaizen_security.client.client import Kaizen
from kaizen_security.client.clock import now
from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import InvalidInput, Unreachable
from kaizen_security.contract.step import End
from kaizen_security.contract.verdict import Mode
from kaizen_security.mcp import answers, config
from kaizen_security.mcp.book import Book
from kaizen_security.mcp.crossing import Moves
from kaizen_security.mcp.desk import Desk
from kaizen_security.mcp.events import Events, LargeEvent, TooLong
from kaizen_security.mcp.exchange import (
    HEADER_MISMATCH,
    Door,
    Incoming,
    aside,
    back,
    body_of,
    chunks,
    foreign,
    is_here,
    joined,
    mismatch,
    onward,
    passed,
    problem,
    read_all,
    refused,
    settled,
    unreachable,
)
from kaizen_security.mcp.frames import LIMITS, Message
from kaizen_security.mcp.hosted import Hosted
from kaizen_security.mcp.large import Large
from kaizen_security.mcp.reach import Pool, Returned
from kaizen_security.mcp.relay import Relay
from kaizen_security.mcp.runs import MAX_REQUEST, META_RUN, said
from kaizen_security.mcp.shelf import Shelf
from kaizen_security.mcp.upstreams import Setup, Upstream
from kaizen_security.mcp.warden import Warden
from kaizen_security.mcp.whose import keep_apart
from kaizen_security.net.inbound import turned_away

SESSION = "mcp-session-id"
MAX_SESSIONS = 10_000
"""Sessions that are remembered; the one used longest ago is forgotten, and its client starts anew."""
IDLE = 300.0
"""Seconds after which an agent's next call begins another run, where no session and nobody else names one."""
RUN: ContextVar[str] = ContextVar("kaizen_mcp_run", default="")
"""The run that the current request names."""
ASKED: ContextVar[str] = ContextVar("kaizen_mcp_asked", default="")
"""What the user asked, as the current request says it."""


@dataclass(slots=True)
class _Agent:
    """One agent's client library, and the run that its calls without a session belong to."""

    kaizen: Kaizen
    run: str = ""
    used: float = 0.0


class Gateway:
    """The endpoints. ``attach`` gives the client library of an agent; ``pool`` reaches the servers; ``book`` knows old sessions."""

    def __init__(
        self,
        setup: Setup,
        *,
        attach: Callable[[str], Kaizen],
        shelf: Shelf,
        pool: Pool,
        locked: bool = False,
        book: Book | None = None,
    ) -> None:
        self._setup = setup
        self._attach = attach
        self._shelf = shelf
        self._pool = pool
        self._book = book or Book("")
        self._locked = locked
        environment = config.environment()
        self._apart = keep_apart(environment.get(config.APART, ""))
        inherited = config.for_server(environment)
        self._hosted = {
            one.name: Hosted(one.command, {**inherited, **one.env}) for one in setup.upstreams.values() if one.command
        }
        self._agents: dict[str, _Agent] = {}
        self._attaching = asyncio.Lock()
        self._wardens: dict[tuple[str, str], Warden] = {}
        self._sessions: OrderedDict[tuple[str, str, str], Desk] = OrderedDict()
        self.lost: dict[str, int] = {}

    def app(self) -> ASGIApp:
        """The ASGI application."""
        return Door(self.endpoint, Starlette(routes=[Route("/healthz", self.healthz, methods=["GET"])]))

    async def healthz(self, request: Request) -> Response:
        """``GET /healthz``: that it lives, and what went nowhere and who was turned away, by reason."""
        lost = dict(self.lost)
        for desk in self._sessions.values():
            for why, n in desk.relay.lost.items():
                lost[why] = lost.get(why, 0) + n
        said = {"status": "ok", "sessions": len(self._sessions), "lost": lost, "turned_away": {**turned_away}}
        return JSONResponse(said)

    async def endpoint(self, request: Incoming) -> Response:
        """``/NAME/mcp``."""
        upstream = self._setup.upstreams.get(request.server)
        if upstream is None:
            return problem(404, "there is no server of this name")
        try:
            if not self._from_here(request):
                return problem(403, "this origin or host may not call")
        except ValueError:
            return problem(400, "Host or Origin cannot be read")
        scheme, _, key = request.fields.get("authorization", "").partition(" ")
        agent = self._setup.agent(key.strip() if scheme.lower() == "bearer" else "", config.AGENT)
        if not agent:
            return problem(401, "Authorization: Bearer <the agent's key> is missing or wrong")
        await self._known(agent)
        RUN.set(request.fields.get("kaizen-run", "")[:128])
        ASKED.set(unquote(request.fields.get("kaizen-request", ""))[:MAX_REQUEST])
        ways = {"POST": self._post, "GET": self._get, "DELETE": self._end}
        if request.method not in ways:
            return problem(405, "POST, GET and DELETE are what the protocol has")
        try:
            return await ways[request.method](request, upstream, agent)
        except InvalidInput as err:
            return problem(400, f"a header cannot be passed on: {err}")

    def _from_here(self, request: Incoming) -> bool:
        """A page of another site must not reach a server on this machine through its visitor's browser.

        Its origin gives it away; where its name was made to lead here (DNS rebinding), ``Host`` does. With keys the host is left
        alone: such a page has none, and the gateway may be reached under any name.
        """
        host, origin = request.fields.get("host", ""), request.fields.get("origin")
        if not self._setup.agents and not is_here(host):
            return False
        return origin is None or origin in self._setup.origins or urlsplit(origin).netloc == host

    # --- POST ---------------------------------------------------------------------------------------------------------

    async def _post(self, request: Incoming, upstream: Upstream, agent: str) -> Response:
        try:
            body = await body_of(request)
        except ClientDisconnect:
            return problem(400, "the message broke off")
        except TimeoutError:
            return problem(408, "the message did not arrive in time")
        if body is None:
            return problem(413, f"the message has more than {LIMITS.request} bytes")
        wrong = mismatch(request, body)
        if wrong:
            return Response(answers.error(None, HEADER_MISMATCH, wrong), 400, media_type="application/json")
        desk = self._desk(agent, upstream, request.fields.get(SESSION, ""))
        if desk is None:
            return problem(404, "this session is not known here")
        moves = await settled(desk, desk.client, body)
        if not moves.to_server:
            return refused(moves)
        try:
            reply = await self._send(request, upstream, moves.to_server[0])
        except Unreachable as err:
            return unreachable(desk, moves.to_server[0], err)
        session = reply.headers.get(SESSION, "")
        if session and not request.fields.get(SESSION):
            self._remember(agent, upstream, session, desk)
            self._book.opened(agent, upstream.name, session)
        return await self._answer(request, upstream, reply, desk, moves, sent=moves.to_server[0])

    async def _send(self, request: Incoming, upstream: Upstream, body: bytes | None) -> Returned:
        headers = onward(request)
        if not self._setup.agents and "authorization" in request.fields:
            headers["authorization"] = request.fields["authorization"]
        return await self._reach(upstream, request.method, headers | upstream.fields, body)

    async def _reach(self, upstream: Upstream, method: str, headers: Mapping[str, str], body: bytes | None) -> Returned:
        """The server's answer, whether it is reached over the network or started here. Raises Unreachable."""
        hosted = self._hosted.get(upstream.name)
        if hosted is not None:
            return await hosted.send(method, headers, body)
        return await self._pool.send(method, upstream.url, headers, body)

    async def _answer(
        self, request: Incoming, upstream: Upstream, reply: Returned, desk: Desk, moves: Moves, *, sent: bytes
    ) -> Response:
        """The server's answer, by its kind."""
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/event-stream" and reply.status == 200:
            return StreamingResponse(self._stream(request, upstream, reply, desk, moves.to_client), 200, back(reply))
        body = await read_all(reply)
        if isinstance(body, Large):
            return await self._large(reply, desk, body, moves, sent=sent, json=kind == "application/json")
        if kind != "application/json" or not body.strip():
            if reply.status >= 400 or body.strip():
                return foreign(reply, desk, sent, too_large=False)
            if moves.to_client:
                return Response(joined(moves.to_client), 200, media_type="application/json")
            return Response(b"", reply.status, back(reply))
        moves_back = await settled(desk, desk.server, body)
        lines = [*moves_back.to_client, *moves.to_client]
        if not lines:
            return foreign(reply, desk, sent, too_large=False)
        return Response(joined(lines), reply.status, back(reply), media_type="application/json")

    async def _large(
        self, reply: Returned, desk: Desk, body: Large, moves: Moves, *, sent: bytes, json: bool
    ) -> Response:
        """A large body, passed on from the disk, so that memory stays flat."""
        whole, instead = await aside(desk, lambda: desk.large(body)) if json and not moves.to_client else (False, b"")
        if whole:
            headers = back(reply) | {"content-length": str(body.size)}
            return StreamingResponse(chunks(body), reply.status, headers)
        body.close()
        if not instead:
            return foreign(reply, desk, sent, too_large=True)
        return Response(joined([instead, *moves.to_client]), 200, media_type="application/json")

    async def _stream(
        self, request: Incoming, upstream: Upstream, reply: Returned, desk: Desk, first: list[bytes]
    ) -> AsyncIterator[bytes]:
        """A server's events, each looked at; what is allowed passes byte for byte."""
        for line in first:
            yield b"event: message\ndata: " + line + b"\n\n"
        events = Events(LIMITS)
        try:
            async for chunk in reply.pieces():
                for event in events.feed(chunk):
                    if isinstance(event, LargeEvent):
                        async for piece in passed(desk, event):
                            yield piece
                        continue
                    if not event.data:
                        yield event.raw
                        continue
                    moves = await settled(desk, desk.server, event.data)
                    for answer in moves.to_server:
                        await self._tell(request, upstream, answer)
                    data = moves.to_client[0] if moves.to_client else b""
                    yield event.raw if data == event.data.rstrip(b"\r\n") else event.carrying(data)
        except (Unreachable, TooLong) as err:
            self._count(f"stream cut off ({type(err).__name__})")
        finally:
            events.close()
            reply.close()

    async def _tell(self, request: Incoming, upstream: Upstream, answer: bytes) -> None:
        """The answer to a request of the server that is not passed on: it gets it as the client's own."""
        headers = {**onward(request), "content-type": "application/json", **upstream.fields}
        try:
            told = await read_all(await self._reach(upstream, "POST", headers, answer))
            if isinstance(told, Large):
                told.close()
        except Unreachable as err:
            self._count(f"answer to the server lost ({type(err).__name__})")

    def _count(self, why: str) -> None:
        self.lost[why] = self.lost.get(why, 0) + 1

    # --- GET and DELETE -----------------------------------------------------------------------------------------------

    async def _get(self, request: Incoming, upstream: Upstream, agent: str) -> Response:
        """The stream of what the server sends by itself, also one that is taken up again (``Last-Event-ID``)."""
        desk = self._desk(agent, upstream, request.fields.get(SESSION, ""))
        if desk is None:
            return problem(404, "this session is not known here")
        try:
            reply = await self._send(request, upstream, None)
        except Unreachable as err:
            return unreachable(desk, b"", err)
        return await self._answer(request, upstream, reply, desk, Moves(), sent=b"")

    async def _end(self, request: Incoming, upstream: Upstream, agent: str) -> Response:
        session = request.fields.get(SESSION, "")
        desk = self._desk(agent, upstream, session)
        if desk is None or not session:
            return problem(404, "this session is not known here")
        try:
            reply = await self._send(request, upstream, None)
        except Unreachable as err:
            return unreachable(desk, b"", err)
        reply.close()
        if reply.status < 400:
            self._sessions.pop((agent, upstream.name, session), None)
            self._book.ended(agent, upstream.name, session)
            desk.kaizen.note(End(run_id=_run_of(session), agent=agent, at=now()))
        return Response(b"", reply.status, back(reply))

    # --- who and where ------------------------------------------------------------------------------------------------

    def _desk(self, agent: str, upstream: Upstream, session: str) -> Desk | None:
        """Where the lines of a session are settled; a fresh one without a session; None for one that is not this agent's."""
        if not session:
            return self._fresh(agent, upstream)
        desk = self._sessions.get((agent, upstream.name, session))
        if desk is None and self._book.knows(agent, upstream.name, session):
            # From before this gateway was started: the server decides whether it still goes on.
            desk = self._fresh(agent, upstream)
            self._remember(agent, upstream, session, desk)
        if desk is not None:
            self._sessions.move_to_end((agent, upstream.name, session))
        return desk

    async def _known(self, agent: str) -> None:
        """Attach the agent at its first request: that asks for its policy, so it is done aside, and once."""
        if agent in self._agents:
            return
        async with self._attaching:
            if agent not in self._agents:
                self._agents[agent] = _Agent(await asyncio.to_thread(self._attach, agent))

    def _fresh(self, agent: str, upstream: Upstream) -> Desk:
        known = self._agents[agent]
        kaizen = known.kaizen

        def accepts(load: Action) -> bool:
            # Asked of the rules in force: they are replaced as a whole when a bundle comes.
            return kaizen.rules.suppressed.accepts(load)

        ward = self._wardens.get((agent, upstream.name))
        if ward is None:
            ward = self._wardens[agent, upstream.name] = Warden(
                self._shelf,
                upstream.name,
                enforcing=lambda: kaizen.rules.mode is Mode.ENFORCE,
                now=now,
                locked=self._locked,
                accepts=accepts,
                apart=self._apart,
            )
        named = [""]

        def run(message: Message) -> str:
            return RUN.get() or said(message, META_RUN) or named[0] or _rolling(known)

        relay = Relay(server=upstream.name, run=run, ids=kaizen.ids.new, ward=ward, lined=False)
        desk = Desk(kaizen, relay, asked=ASKED.get)
        desk.named = named
        return desk

    def _remember(self, agent: str, upstream: Upstream, session: str, desk: Desk) -> None:
        desk.named[0] = _run_of(session)
        self._sessions[agent, upstream.name, session] = desk
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
            self._count("session forgotten, too many of them")

    async def stop(self) -> None:
        """End the servers that were started here."""
        for hosted in self._hosted.values():
            await hosted.close()

    def close(self) -> None:
        """Deliver what every agent still has to report."""
        for agent in self._agents.values():
            agent.kaizen.close()


def _run_of(session: str) -> str:
    # A session's id lets whoever knows it speak as its client, so it must not stand in verdicts.
    return "mcp-" + hashlib.sha256(session.encode()).hexdigest()[:24]


def _rolling(agent: _Agent) -> str:
    at = monotonic()
    if not agent.run or at - agent.used > IDLE:
        agent.run = "mcp-" + agent.kaizen.ids.new()
    agent.used = at
    return agent.run
