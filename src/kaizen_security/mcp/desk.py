"""Desk: between a relay and the client library. Asks for verdicts, notes results, reports what a ward found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from kaizen_security.client.clock import now
from kaizen_security.contract.step import Request
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.mcp import answers, frames
from kaizen_security.mcp.crossing import Crossing, Moves, Side
from kaizen_security.mcp.frames import Message, Unreadable
from kaizen_security.mcp.inbound import Report, said
from kaizen_security.mcp.relay import UNREADABLE, Relay

if TYPE_CHECKING:
    from kaizen_security.client.client import Kaizen
    from kaizen_security.mcp.large import Large


class Desk:
    """One connection's. Its methods may be called from the threads of both directions; no lock is held while a verdict is
    waited for. ``named``: the run of its session, once the server has named one. ``asked``: what the user asked, where
    the transport says it and not the message.
    """

    def __init__(self, kaizen: Kaizen, relay: Relay, *, asked: Callable[[], str] = str) -> None:
        self.kaizen = kaizen
        self.relay = relay
        self.named = [""]
        self._asked = asked
        self._heard = "", ""
        self._lock = threading.Lock()

    @property
    def waits(self) -> bool:
        """Whether a verdict may take longer than it takes to compute: then it is the sidecar's."""
        return bool(self.kaizen.settings.sidecar)

    def client(self, line: bytes) -> Moves:
        """A line from the client: what goes where."""
        with self._lock:
            crossing = self.relay.from_client(line, monotonic())
        return self._settled(crossing)

    def server(self, line: bytes) -> Moves:
        """A line from the server: what goes where."""
        with self._lock:
            crossing = self.relay.from_server(line, monotonic())
        return self._settled(crossing)

    def forget(self, request: Message) -> None:
        """A request of the client that nobody will answer any more."""
        with self._lock:
            self.relay.forget(request)

    def too_large(self, large: Large) -> bytes:
        """The answer to a message of the client that is over its bound; empty when it gets none."""
        try:
            frame = frames.read(large.skeleton())
        except Unreadable:
            frame = None
        with self._lock:
            return self.relay.too_large(frame)

    def large(self, large: Large) -> tuple[bool, bytes]:
        """A large reply from the server: whether it passes as it came, else what the client gets instead (empty: nothing)."""
        try:
            skeleton = large.skeleton()
            frame = frames.read_cut(skeleton, lined=self.relay.lined, words=large.words())
        except Unreadable as err:
            self.relay.lost[UNREADABLE] = self.relay.lost.get(UNREADABLE, 0) + 1
            return False, self._dropped(err)
        with self._lock:
            crossing = self.relay.cut_from_server(frame, large.first.decode("utf-8", "replace"))
        moves = self._settled(crossing)
        if moves.to_client == [frame.raw]:
            return True, b""
        return False, moves.to_client[0] if moves.to_client else b""

    def _hear(self, run_id: str, text: str) -> None:
        """Note what the user asked, once for all calls that say the same."""
        if text and (run_id, text) != self._heard:
            self._heard = run_id, text
            self.kaizen.note(Request(run_id=run_id, text=text, agent=self.kaizen.settings.agent, at=now()))

    def _dropped(self, err: Unreadable) -> bytes:
        """A reply that cannot be read must not leave its caller waiting for ever, where it is known who that is."""
        with self._lock:
            call = self.relay.only_one_waiting()
        return b"" if call is None else answers.refusal(call, f"the server's reply was not understood: {err}")

    def _settled(self, crossing: Crossing) -> Moves:
        asks = crossing.asks
        if asks and crossing.side is Side.CLIENT:
            self._hear(asks[0].run_id, self._asked())
        for asked in crossing.asked:
            self._hear(asked.run_id, asked.text)
        verdicts = [*map(self.kaizen.inspect, asks)]
        with self._lock:
            moves = self.relay.settle(crossing, verdicts)
        for came in moves.came:
            self.kaizen.note_result(came.action, came.content, failed=came.failed)
        if moves.came:
            # Before the client sees the result: it may call another server with it, whose shim asks the same sidecar.
            self.kaizen.hand_over()
        for report in moves.reports:
            self.kaizen.report(report.action, verdict_of(report))
        return moves


def verdict_of(report: Report) -> Verdict:
    """What a ward found, as a verdict on the action that it is about."""
    return Verdict(
        decision=Decision.BLOCK if report.blocked else Decision.ALLOW,
        reason=said(report.findings),
        evidence=report.findings,
        action_id=report.action.id,
    )
