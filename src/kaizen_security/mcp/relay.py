"""Relay: what crosses between one client and one server. No input or output, no clock: lines in, questions and lines out.

Both directions work in two steps. ``from_client(line)`` and ``from_server(line)`` read a line and say which actions have to be
judged; ``settle(crossing, verdicts)`` then says what goes where. A line of which everything is allowed goes on byte for byte. What
is not understood goes nowhere, in either mode: a peer that understands it differently could be made to do anything by it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from kaizen_security.contract.verdict import Verdict
from kaizen_security.mcp import answers
from kaizen_security.mcp.calls import FROM_SERVER, NotUnderstood, actions_of, one_folded
from kaizen_security.mcp.crossing import (
    Asked,
    Call,
    Crossing,
    Moves,
    Part,
    Side,
    made_call,
    made_came,
    made_crossing,
    made_part,
)
from kaizen_security.mcp.frames import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    LIMITS,
    METHOD_NOT_FOUND,
    Frame,
    Id,
    Limits,
    Message,
    Shape,
    Unreadable,
    read,
)
from kaizen_security.mcp.inbound import Arrival, Nothing, Report, Ward, said
from kaizen_security.mcp.pace import Pace
from kaizen_security.mcp.runs import told

UNREADABLE, TOO_LARGE, UNASKED, TOO_MANY, TOO_FAST, REUSED, STRANGE = (
    "not understood",
    "too large",
    "reply that nobody asked for",
    "too many requests at once",
    "too many requests a second",
    "id that is still in use",
    "request that this side may not send",
)
"""Why a message went nowhere: the keys of ``Relay.lost``."""
ONE_FOLDED = "arguments has a key that differs from another only in case, and the tool is not known to have both"
MOST_CANCELLED = 64
"""Cancelled requests, of both sides, whose late replies still go on."""


class Relay:
    """One connection. ``server``: the name of the server, which findings and policies call its publisher.

    ``run``   the run that the next action belongs to, looked up for each
    ``ids``   gives each action its id
    ``ward``  looks at what comes from the server; by default at nothing
    ``lined`` messages are told apart by their line ends (see ``frames.read``)
    ``lost``  messages that went nowhere, by reason
    """

    def __init__(
        self,
        *,
        server: str,
        run: Callable[[Message], str],
        ids: Callable[[], str],
        ward: Ward | None = None,
        limits: Limits = LIMITS,
        lined: bool = True,
    ) -> None:
        self.server = server
        self.lined = lined
        self.lost: dict[str, int] = {}
        self._run = run
        self._ids = ids
        self._limits = limits
        self._ward = ward or Nothing()
        self._pending: dict[Side, dict[Id, Call]] = {Side.CLIENT: {}, Side.SERVER: {}}
        self._cancelled: OrderedDict[tuple[Side, Id], Call] = OrderedDict()
        self._pace = {Side.CLIENT: Pace(limits), Side.SERVER: Pace(limits)}

    # --- reading ------------------------------------------------------------------------------------------------------

    def from_client(self, line: bytes, now: float) -> Crossing:
        """A line from the client. ``now``: seconds of a clock that never goes back."""
        return self._from(Side.CLIENT, line, now)

    def from_server(self, line: bytes, now: float) -> Crossing:
        """A line from the server."""
        return self._from(Side.SERVER, line, now)

    def _from(self, side: Side, line: bytes, now: float) -> Crossing:
        try:
            frame = read(line, self._limits, lined=self.lined)
        except Unreadable as err:
            self._lose(UNREADABLE)
            return Crossing(side, None, answer=answers.error(err.id, err.code, f"{answers.PREFIX}{err}"))
        if len(frame.messages) == 1:
            return made_crossing(side, frame, (self._part(side, frame.messages[0], now),), b"")
        return made_crossing(side, frame, tuple([self._part(side, message, now) for message in frame.messages]), b"")

    def cut_from_server(self, frame: Frame, beginning: str) -> Crossing:
        """A large reply from the server, of which ``frame`` is the skeleton and ``beginning`` the first part of its text."""
        [message] = frame.messages
        part = self._reply(Side.SERVER, message)
        if part.arrival is not None:
            part = replace(part, arrival=replace(part.arrival, content=beginning))
        return Crossing(Side.SERVER, frame, (part,))

    def too_large(self, frame: Frame | None) -> bytes:
        """The answer to a message of the client that is over its bound, of which ``frame`` is the skeleton if it could be read."""
        self._lose(TOO_LARGE)
        message = frame.messages[0] if frame else None
        if frame is not None and (message is None or message.id is None or message.shape is not Shape.REQUEST):
            return b""
        said = f"{answers.PREFIX}the message has more than {self._limits.request} bytes"
        return answers.error(message.id if message else None, INVALID_REQUEST, said)

    def forget(self, request: Message) -> None:
        """A request of the client that nobody will answer any more."""
        if request.id is not None:
            self._pending[Side.CLIENT].pop(request.id, None)

    def only_one_waiting(self) -> Message | None:
        """The request that waits for a reply, if there is exactly one; it waits no longer."""
        pending = self._pending[Side.CLIENT]
        return pending.popitem()[1].message if len(pending) == 1 else None

    def _part(self, side: Side, message: Message, now: float) -> Part:
        if message.shape is Shape.REPLY:
            return self._reply(side, message)
        if not self._pace[side].takes(now):
            return self._refuse(message, TOO_FAST, answers.REFUSED)
        if message.shape is Shape.REQUEST:
            pending = self._pending[side]
            if message.id in pending:
                return self._refuse(message, REUSED, INVALID_REQUEST)
            if len(pending) >= self._limits.pending:
                return self._refuse(message, TOO_MANY, answers.REFUSED)
        part = self._of_client(message) if side is Side.CLIENT else self._of_server(message)
        if part.call is not None and message.id is not None and not part.drop:
            # Taken at once, so that a second request of the same batch cannot carry the same id.
            self._pending[side][message.id] = part.call
        return part

    def _refuse(self, message: Message, reason: str, code: int, said: str = "") -> Part:
        self._lose(reason)
        reply = answers.error(message.id, code, answers.PREFIX + (said or reason)) if message.id is not None else b""
        return Part(message=message, drop=True, answer=reply)

    def _of_client(self, message: Message) -> Part:
        try:
            message, asked = told(message)
        except ValueError:
            return self._refuse(message, UNREADABLE, INVALID_PARAMS, "it holds a number that JSON cannot say")
        part = self._judged(message)
        return replace(part, asked=Asked(self._run(message), asked)) if asked and not part.drop else part

    def _judged(self, message: Message) -> Part:
        if message.method.startswith("notifications/") and message.shape is Shape.NOTIFICATION:
            if message.method == "notifications/cancelled":
                self._cancel(Side.CLIENT, message)
            return Part(message=message)
        folded = one_folded(message)
        if folded and not self._ward.takes(message, folded):
            return self._refuse(message, UNREADABLE, INVALID_PARAMS, ONE_FOLDED)
        try:
            found = actions_of(message, server=self.server, run_id=self._run(message), ids=self._ids)
        except NotUnderstood as err:
            return self._refuse(message, UNREADABLE, INVALID_PARAMS, str(err))
        asks = tuple(map(self._ward.marked, found))
        held = self._ward.held(asks[0]) if asks else None
        if held is not None:
            report = Report(asks[0], (held,), blocked=True)
            return Part(message=message, drop=True, answer=_refused(message, said((held,))), report=report)
        return made_part(message, asks, False, b"", None, made_call(message, asks[0] if asks else None), None, None)

    def _of_server(self, message: Message) -> Part:
        if message.shape is Shape.NOTIFICATION:
            if message.method == "notifications/cancelled":
                self._cancel(Side.SERVER, message)
        elif message.method not in FROM_SERVER:
            return self._refuse(message, STRANGE, METHOD_NOT_FOUND)
        arrival = self._ward.sent(message, self.server)
        # Of the run that is under way: which one that is, is the client's to say, never the server's.
        run_id = self._run(replace(message, body={})) if arrival.asks else ""
        asks = tuple(replace(action, id=self._ids(), run_id=run_id) for action in arrival.asks)
        return Part(message=message, asks=asks, arrival=arrival, call=Call(message))

    def _cancel(self, side: Side, message: Message) -> None:
        params = message.params
        id_ = params.get("requestId") if isinstance(params, dict) else None
        call = self._pending[side].pop(id_, None) if isinstance(id_, str | int) else None
        if call is not None and isinstance(id_, str | int):
            # Whoever is told may answer all the same, and some who cancelled wait for that.
            self._cancelled[side, id_] = call
            if len(self._cancelled) > MOST_CANCELLED:
                self._cancelled.popitem(last=False)

    def _reply(self, side: Side, message: Message) -> Part:
        """The reply to a request of the other side."""
        other = Side.SERVER if side is Side.CLIENT else Side.CLIENT
        id_ = message.id
        call = None if id_ is None else self._pending[other].pop(id_, None) or self._cancelled.pop((other, id_), None)
        if call is None:
            self._lose(UNASKED)
            return Part(message=message, drop=True)
        if side is Side.CLIENT:
            asks = self._ward.answered(call.message, message, self.server)
            return Part(
                message=message,
                asks=tuple(replace(one, id=self._ids(), run_id=self._run(message)) for one in asks),
                call=call,
            )
        arrival = self._ward.replied(call.message, message, self.server)
        asks = arrival.asks and tuple(
            replace(one, id=self._ids(), run_id=self._run(call.message)) for one in arrival.asks
        )
        return made_part(message, asks, False, b"", arrival, call, None, None)

    # --- settling -----------------------------------------------------------------------------------------------------

    def settle(self, crossing: Crossing, verdicts: Sequence[Verdict]) -> Moves:
        """What goes where, given a verdict for each of ``crossing.asks`` (fewer count as blocked)."""
        moves = Moves()
        back, on = (
            (moves.to_client, moves.to_server) if crossing.side is Side.CLIENT else (moves.to_server, moves.to_client)
        )
        if crossing.frame is None:
            if crossing.side is Side.CLIENT:
                back.append(crossing.answer)
            return moves
        passed: list[bytes] = []
        replies: list[bytes] = []
        at = 0
        for part in crossing.parts:
            judged = tuple(verdicts[at : at + len(part.asks)])
            at += len(part.asks)
            passed.append(self._settle(crossing.side, part, judged, replies, moves))
        _send(on, crossing.frame, passed)
        if replies:
            _send(back, Frame((), b"", batch=crossing.frame.batch and len(replies) > 1), replies)
        return moves

    def _settle(
        self, side: Side, part: Part, verdicts: tuple[Verdict, ...], replies: list[bytes], moves: Moves
    ) -> bytes:
        """The bytes of one message that go on; empty for none."""
        if part.drop:
            if part.report is not None:
                moves.reports.append(part.report)
            if part.answer:
                replies.append(part.answer)
            return b""
        if part.arrival is not None:
            return self._settle_arrival(part, part.arrival, verdicts, replies, moves)
        blocked = ""
        for verdict in verdicts:
            if verdict.blocked:
                blocked = _reason(verdict)
                break
        if not blocked and len(verdicts) == len(part.asks):
            return part.message.raw
        reason = blocked or "nobody judged it"
        if part.message.shape is Shape.REPLY and part.call is not None:
            # An answer that may not leave: the server is told that there is none.
            return answers.error(part.call.message.id, answers.REFUSED, answers.PREFIX + reason)
        if part.message.id is not None:
            self._pending[side].pop(part.message.id, None)
            replies.append(answers.refusal(part.message, reason))
        return b""

    def _settle_arrival(
        self, part: Part, arrival: Arrival, verdicts: tuple[Verdict, ...], replies: list[bytes], moves: Moves
    ) -> bytes:
        ruled = arrival
        if part.asks:
            blocked = {
                action.id: _reason(verdict)
                for action, verdict in zip(part.asks, verdicts, strict=False)
                if verdict.blocked
            }
            ruled = self._ward.ruled(arrival, part.asks, blocked)
        moves.reports += ruled.reports
        call = part.call
        reply = part.message.shape is Shape.REPLY
        if reply and call is not None and call.action is not None:
            moves.came.append(made_came(call.action, ruled.content, ruled.failed))
        if not ruled.reason:
            return ruled.instead or part.message.raw
        if reply and call is not None:
            return answers.refusal(call.message, ruled.reason)
        if part.message.id is not None:
            self._pending[Side.SERVER].pop(part.message.id, None)
            replies.append(answers.error(part.message.id, answers.REFUSED, answers.PREFIX + ruled.reason))
        return b""

    def _lose(self, reason: str) -> None:
        self.lost[reason] = self.lost.get(reason, 0) + 1

    @property
    def waiting(self) -> int:
        """Requests of the client that wait for their reply."""
        return len(self._pending[Side.CLIENT])


def _reason(verdict: Verdict) -> str:
    """Why it is blocked; never empty, since an empty reason is none."""
    return verdict.reason or "blocked, without a reason"


def _refused(message: Message, reason: str) -> bytes:
    return answers.refusal(message, reason) if message.id is not None else b""


def _send(to: list[bytes], frame: Frame, parts: list[bytes]) -> None:
    """The parts that go on, as one line; the frame's own bytes when all of it goes on unchanged."""
    if not frame.batch:
        to.extend(filter(None, parts))
        return
    going = [part for part in parts if part]
    if not going:
        return
    if going == [message.raw for message in frame.messages]:
        to.append(frame.raw)
    else:
        to.append(b"[" + b",".join(going) + b"]")
