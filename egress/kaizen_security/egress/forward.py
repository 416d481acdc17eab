"""Exchange: one plain HTTP request through the proxy and its answer back, bodies streamed both ways at the same time.

Heads are written anew (origin-form, Host from the target, hop-by-hop fields gone); bodies are checked and passed on as they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaizen_security.egress import answer, http1, rewrite
from kaizen_security.egress.answering import Answering
from kaizen_security.egress.body import NOTHING, Body, body
from kaizen_security.egress.budgets import Metered, OverBudget
from kaizen_security.egress.dial import Dial, Failed, Origin, Reached
from kaizen_security.egress.fronting import disagreement
from kaizen_security.egress.kept import decided
from kaizen_security.egress.loop import READ, WRITE
from kaizen_security.egress.rules import Refusal

if TYPE_CHECKING:
    from kaizen_security.egress.session import Session


class Exchange:
    """One request. Ends in ``session.next_when_sent``, ``session.finish`` or ``session.close``."""

    __slots__ = tuple(
        "active agent answered answering client destination dial first head keep_client loop metered origin over record "
        "refused_upload reused session upgrade upload".split()
    )

    def __init__(self, session: Session, head: http1.Request, destination: http1.Destination, agent: str) -> None:
        self.session = session
        self.loop = session.loop
        self.client = session.wire
        self.origin: Origin | None = None
        self.head = head
        self.destination = destination
        self.agent = agent
        self.record = session.proxy.seen.record(agent, destination.name, "http")
        self.upload: Body = body(http1.request_body(head)) if head.fields.index else NOTHING
        self.answering = Answering(head)
        self.answered = False
        """Something of the final answer has been sent to the client."""
        usual = head.lines is not None
        self.keep_client = usual or (head.minor == 1 and http1.keeps_alive(head))
        self.reused = False
        self.dial: Dial | None = None
        self.upgrade = not usual and rewrite.wants_websocket(head)
        self.active = session.loop.now
        self.over = False
        self.refused_upload = False
        self.metered: tuple[Metered | None, Metered | None] = (None, None)
        extra = self.record.extra
        extra["method"] = head.method.decode("ascii")
        other = self._other_host()
        if other is not None:
            extra["host_differs"] = True
            self.record.findings = (disagreement(destination.name, other, "Host field"),)
        self.first = self._first()

    # --- the request --------------------------------------------------------------------------------------------------------

    def _other_host(self) -> str | None:
        return rewrite.other_host(self.head, self.destination)

    def _first(self) -> bytes:
        """The head for the origin."""
        return rewrite.request(self.head, self.destination, websocket=self.upgrade, via=self.session.proxy.config.via)

    def start(self) -> None:
        """Decide, then dial or use the kept connection."""
        session, proxy = self.session, self.session.proxy
        permitted, kept = decided(proxy, self.agent, self.destination, session.origin)
        if isinstance(permitted, Refusal):
            self._refused(permitted)
            return
        session.meters = permitted
        self.metered = proxy.metered(permitted)
        session.due = self.active + proxy.config.idle_timeout
        if kept is not None:
            session.origin = None
            self.reused = True
            proxy.seen.began(self.record, kept.address)
            self._with(kept)
            return
        session.leave_origin()
        self._dial()

    def _dial(self) -> None:
        self.client.wait(self.client.mask, self._early)
        self.session.due = float("inf")
        self.dial = Dial(self.session.proxy.means, self.agent, self._dialled, self._begun)
        self.dial.start(self.destination.host, self.destination.port)

    def _early(self, events: int) -> None:
        self.client.wait(0, self._early)

    def _begun(self, address: str) -> None:
        if not self.record.queued:
            self.session.proxy.seen.began(self.record, address)

    def _dialled(self, result: Reached | Failed | Refusal) -> None:
        self.dial = None
        self.active = self.loop.now
        self.session.due = self.active + self.session.proxy.config.idle_timeout
        if isinstance(result, Refusal):
            self._refused(result)
        elif isinstance(result, Failed):
            self._end(result.ended)
            self.session.finish(answer.failed(result.status, result.problem))
        else:
            where = self.destination
            self._with(Origin(result.wire, (self.agent, where.host, where.port), result.address))

    def _refused(self, refusal: Refusal) -> None:
        self.over = True
        self.session.proxy.seen.refused(self.record, refusal)
        self.session.finish(answer.refused(refusal, self.record.target))

    def _with(self, origin: Origin) -> None:
        """The origin is connected: send the head and what is there of the body."""
        self.origin = origin
        first = self.first
        if not self.upload.done:
            data = self.session.buffer
            try:
                taken = self.upload.take(data)
            except http1.Bad as bad:
                self._fail(bad.status, str(bad), "bad-request")
                return
            first, self.session.buffer = first + data[:taken], data[taken:]
        if not self._count(len(first), up=True):
            return
        try:
            origin.wire.send(first)
        except OSError:
            self._origin_broken()
            return
        self._rest(force=True)

    # --- events -------------------------------------------------------------------------------------------------------------

    def _client_ready(self, events: int) -> None:
        self.active = self.loop.now
        try:
            if events & WRITE and self.client.out:
                self.client.flush()
            data = self.client.recv() if events & READ and not self.session.ended else None
        except OSError:
            self._client_broken()
            return
        if data is not None:
            self._from_client(data)
        if not self.over:
            self._rest()

    def _from_client(self, data: bytes) -> None:
        session = self.session
        if not data:
            session.ended = True
            if not self.upload.done:
                self._client_broken()
            return
        if self.upload.done:
            session.buffer += data
            return
        try:
            taken = self.upload.take(data)
        except http1.Bad as bad:
            self._fail(bad.status, str(bad), "bad-request")
            return
        session.buffer += data[taken:]
        if not self._count(taken, up=True):
            return
        if self.origin is not None and not self.refused_upload:
            try:
                self.origin.wire.send(data[:taken])
            except OSError:
                self._upload_refused()

    def _count(self, n: int, *, up: bool) -> bool:
        """Count bytes that are about to move; False when that was too much, and this exchange is over."""
        if up:
            self.record.up += n
        else:
            self.record.down += n
        spend = self.metered[0 if up else 1]
        if spend is None:
            return True
        try:
            spend(n)
        except OverBudget as err:
            if self.answered:
                self._cut("over-budget")
                self.session.proxy.seen.went_over(self.record, err.budget)
            else:
                self._end("over-budget")
                refusal = self.session.proxy.seen.went_over(self.record, err.budget)
                self.session.finish(answer.refused(refusal, self.record.target))
            return False
        return True

    def _upload_refused(self) -> None:
        """The origin takes no more of the body; its answer may still be there to read."""
        assert self.origin is not None
        self.origin.wire.out = b""
        self.keep_client = self.answering.keep = False
        self.refused_upload = True

    def _origin_ready(self, events: int) -> None:
        self.active = self.loop.now
        assert self.origin is not None
        wire = self.origin.wire
        if events & WRITE and wire.out:
            try:
                wire.flush()
            except OSError:
                self._upload_refused()
        if events & READ and not self.client.out:
            try:
                data = wire.recv()
            except OSError:
                self._origin_broken()
                return
            if data is not None:
                self._from_origin(data)
        if not self.over:
            self._rest()

    def _from_origin(self, data: bytes) -> None:
        if not data:
            self._origin_ended()
            return
        if not self._count(len(data), up=False):
            return
        if self.answering.begun:
            self._pass_on(b"", data)
            return
        self.answering.arrive(data)
        try:
            self._heads()
        except http1.Bad as bad:
            self._fail(bad.status, str(bad), "bad-answer")

    # --- the answer ---------------------------------------------------------------------------------------------------------

    def _heads(self) -> None:
        """Take heads out of what has arrived: interim ones, then the final one."""
        while not self.over and not self.answering.begun:
            head = self.answering.head()
            if head is None:
                return
            if head.status == 101:
                self._switch(head)
            elif head.status >= 200:
                self._final(head)
            elif self.head.minor == 1:
                self._to_client(rewrite.interim(head))

    def _final(self, head: http1.Response) -> None:
        bounded = self.answering.begin(head)
        self.record.extra["status"] = head.status
        if not bounded or not self.upload.done or self.session.proxy.draining:
            self.keep_client = False
        self.answered = True
        self._pass_on(rewrite.answer(head, close=not self.keep_client), self.answering.rest())

    def _pass_on(self, lines: bytes, data: bytes) -> None:
        try:
            data = self.answering.take(data)
        except http1.Bad:
            self._cut()
            return
        if lines or data:
            self._to_client(lines + data)
        if self.answering.done and not self.over:
            self._complete()

    def _to_client(self, data: bytes) -> None:
        try:
            self.client.send(data)
        except OSError:
            self._client_broken()

    def _complete(self) -> None:
        origin, self.origin = self.origin, None
        assert origin is not None
        session = self.session
        self._end("closed")
        if self.upload.done and self.answering.keep and not origin.wire.out and not session.ended:
            session.keep(origin)
        else:
            origin.wire.close()
        if self.keep_client and self.upload.done and not session.ended:
            session.next_when_sent()
        else:
            session.finish(b"")

    def _origin_ended(self) -> None:
        if not self.answering.begun:
            self._origin_broken()
        elif self.answering.end():
            self._complete()
        else:
            self._cut()

    def _origin_broken(self) -> None:
        """Reset or ended before the answer was whole."""
        fresh = self.reused and not self.record.down and self.upload.done
        if fresh and self.head.method in http1.IDEMPOTENT and self.record.up == len(self.first):
            # The kept connection had just been closed (RFC 9110 section 9.2.2): once more on a new one.
            self.reused = False
            self._drop_origin()
            self.record.up = 0
            self._dial()
            return
        if self.answered:
            self._cut()
        else:
            self._fail(502, "the origin closed the connection without an answer", "reset")

    def _switch(self, head: http1.Response) -> None:
        """101: from here on it is a tunnel."""
        if not self.upgrade or head.tokens(b"upgrade") != [b"websocket"]:
            raise http1.Bad("the origin switches to a protocol that was not asked for", status=502)
        down = rewrite.switching(head) + self.answering.rest()
        origin, self.origin = self.origin, None
        assert origin is not None
        self.record.extra["status"] = 101
        session = self.session
        early, session.buffer = session.buffer, b""
        self.over = True
        session.exchange = None
        session.switch(self.record, origin.wire, up=early, down=down)

    # --- the end ------------------------------------------------------------------------------------------------------------

    def _rest(self, *, force: bool = False) -> None:
        """Wait for what can happen next."""
        if self.origin is None or self.over:
            return
        client, origin, session = self.client, self.origin.wire, self.session
        reads = not origin.out if not self.upload.done else not session.buffer
        mask = (READ if reads and not session.ended else 0) | (WRITE if client.out else 0)
        if force or mask != client.mask:
            client.wait(mask, self._client_ready)
        mask = (0 if client.out else READ) | (WRITE if origin.out else 0)
        if force or mask != origin.mask:
            origin.wait(mask, self._origin_ready)

    def _end(self, how: str) -> None:
        self.over = True
        self.session.proxy.seen.ended(self.record, how)
        self._drop_origin()

    def _drop_origin(self) -> None:
        origin, self.origin = self.origin, None
        if origin is not None:
            origin.wire.close()

    def _fail(self, status: int, problem: str, how: str) -> None:
        """Answer for the origin, or cut the answer short when it has begun."""
        if self.answered:
            self._cut()
            return
        self._end(how)
        self.session.finish(answer.failed(status, problem))

    def _cut(self, how: str = "cut") -> None:
        """The answer has begun and cannot be completed: the client must not take it for whole."""
        self._end(how)
        if self.client.out:
            self.keep_client = False
        self.session.close(reset=True)

    def _client_broken(self) -> None:
        self._end("client-left")
        self.session.close(reset=True)

    def expire(self, now: float) -> None:
        """Nothing has moved for too long."""
        limit = self.session.proxy.config.idle_timeout
        if self.active + limit > now:
            self.session.due = self.active + limit
        elif self.answered:
            self._cut()
        else:
            self._fail(504, "the origin does not answer", "idle")

    def abandon(self, how: str) -> None:
        """The session is closing."""
        if self.dial is not None:
            self.dial.cancel()
            self.dial = None
        if not self.over:
            self._end(how)
        self._drop_origin()
