"""Held actions to the control plane, and people's answers back: two threads, so that neither waits for the other.

Nothing depends on it: an action is held and expires here, and can be answered here, while the control plane is away. What leaves is
in boundary form.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from urllib.parse import quote

from kaizen_security.client.delivery import Backoff
from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, KaizenError, Refused
from kaizen_security.contract.fields import MAX_NAME, array, obj, text
from kaizen_security.contract.hold import Hold, HoldAnswer, decode_answer, encode_hold
from kaizen_security.runtime.hold_table import AlreadySettled, NoRun, NoSuchHold
from kaizen_security.runtime.holds import Holds
from kaizen_security.sidecar.hold_file import boundary_form
from kaizen_security.sidecar.holding import Holding
from kaizen_security.sidecar.lasting import Lasting

log = logging.getLogger(__name__)

BATCH = 100
LONG_POLL = 20
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
"""Seconds between two tries: what waits is waited for by somebody."""
MOST = 8192
"""Changes that wait for a control plane that is away; of more, the oldest are left out, and those holds expire there."""


class Relay:
    """``admit(connection)`` raises when nothing may be sent (``Uplink.admit``). ``sidecar`` names this one among others.

    ``lost``     changes that were left out while the control plane was away
    ``problem``  why the last exchange failed, empty when it did not
    """

    def __init__(
        self,
        *,
        api_url: str,
        api_key: str,
        sidecar: str,
        boundary: bytes,
        holding: Holding,
        lasting: Lasting,
        admit: Callable[[Connection], None],
    ) -> None:
        self.enabled = bool(api_key)
        self.lost = 0
        self.problem = ""
        self._api_url = api_url
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._sidecar = sidecar
        self._boundary = boundary
        self._holding = holding
        self._holds: Holds = holding.holds
        self._lasting = lasting
        self._admit = admit
        self._changed: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._waiting = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start both ways; what was held before a restart is said again."""
        if not self.enabled:
            return
        self._holding.relay = self._put
        self._holding.relayed = lambda: {"relay": self.problem or "ok", "relay_lost": self.lost}
        for hold in reversed(self._holds.listing(limit=MOST)):
            self._put(hold)
        for name, target in (("up", self._up), ("down", self._down)):
            self._threads.append(self._lasting.thread(f"holds-{name}", target))

    def stop(self, patience: float = 1.0) -> None:
        """Say what can be said within ``patience`` seconds."""
        self._lasting.ending()
        self._stopping.set()
        self._work.set()
        self._waiting.set()
        if self._threads:
            self._threads[0].join(patience)

    def _put(self, hold: Hold) -> None:
        with self._lock:
            self._changed[hold.id] = None
            self._changed.move_to_end(hold.id)
            if len(self._changed) > MOST:
                self._changed.popitem(last=False)
                self.lost += 1
        self._work.set()
        if hold.waiting:
            self._waiting.set()

    # --- up -----------------------------------------------------------------------------------------------------------

    def _up(self) -> None:
        connection = Connection(self._api_url)
        pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            ids = self._next()
            if not ids:
                if self._stopping.is_set():
                    return
                self._work.wait()
                self._work.clear()
                continue
            try:
                self._admit(connection)
                self._say(connection, ids)
            except KaizenError as err:
                self._failed("said", err)
                if self._stopping.is_set():
                    return
                self._stopping.wait(pauses.next())
            else:
                pauses.reset()

    def _next(self) -> list[str]:
        with self._lock:
            return list(self._changed)[:BATCH]

    def _say(self, connection: Connection, ids: list[str]) -> None:
        # What changes from here on is put again, and said again.
        with self._lock:
            for hold_id in ids:
                self._changed.pop(hold_id, None)
        dealt_with = False
        try:
            known = [hold for hold in map(self._holds.get, ids) if hold is not None]
            holds: list[Json] = [encode_hold(boundary_form(hold, self._boundary)) for hold in known]
            document: Json = {"sidecar": self._sidecar, "holds": holds}
            answer = connection.json("POST", "/v1/holds:relay", document, self._headers, 10.0, idempotent=True)
            dealt_with = True
        except Refused as err:
            dealt_with = err.status not in (401, 403, 429) and err.status < 500
            raise
        finally:
            if not dealt_with:
                with self._lock:
                    for hold_id in reversed(ids):
                        self._changed.setdefault(hold_id)
                        self._changed.move_to_end(hold_id, last=False)
        self.problem = ""
        for entry in array(obj(answer, "answer"), "rejected", "answer."):
            log.warning("the control plane did not take a held action: %s", entry)

    def _failed(self, what: str, err: KaizenError) -> None:
        if str(err) != self.problem:
            self.problem = str(err)
            log.warning("held actions are not %s: %s", what, err)

    # --- down ---------------------------------------------------------------------------------------------------------

    def _down(self) -> None:
        connection = Connection(self._api_url)
        pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while not self._stopping.is_set():
            if not self._holds.figures()["waiting"]:
                # One may be held between the look and the wait: the event then says so.
                self._waiting.wait()
                self._waiting.clear()
                continue
            began, pause = monotonic(), 0.0
            try:
                self._admit(connection)
                self._hear(connection)
                pauses.reset()
            except KaizenError as err:
                self._failed("answered", err)
                pause = pauses.next()
            # An answer that cannot be put into effect comes again at once: never in a circle.
            self._stopping.wait(max(pause, 0.1 - (monotonic() - began)))

    def _hear(self, connection: Connection) -> None:
        path = f"/v1/holds:answers?sidecar={quote(self._sidecar, safe='')}&wait={LONG_POLL}"
        answer = connection.json("GET", path, headers=self._headers, deadline=LONG_POLL + 10.0)
        for i, entry in enumerate(array(obj(answer, "answer"), "answers", "answer.")):
            try:
                doc = obj(entry, f"answers[{i}]")
                said = decode_answer(text(doc, "answer", limit=16), f"answers[{i}].answer")
                self._settle(text(doc, "id", limit=MAX_NAME), said, text(doc, "by", limit=MAX_NAME))
            except InvalidInput as err:
                log.warning("an answer of the control plane is not understood: %s", err)

    def _settle(self, hold_id: str, said: HoldAnswer, by: str) -> None:
        try:
            self._holding.settle(hold_id, said, by)
        except (AlreadySettled, NoRun, NoSuchHold) as err:
            hold = self._holds.get(hold_id)
            if hold is None or hold.answer is not said:
                log.warning("an answer came too late: %s", err)
            if hold is not None:
                self._put(hold)
