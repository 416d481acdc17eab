"""Reporter: verdicts to the control plane or the sidecar, in batches, without holding up the agent and without losing any.

What is kept when: ``add`` puts a report into memory; ``WINDOW`` seconds later, as soon as the interpreter lets our thread run, it
is in the spool (``client.spool``), where it survives the end of the process. ``urgent`` (a block, a flag) returns when it is in the
spool, and with it up to ``SLICE`` of the reports that waited before it. At exit, ``close`` and ``flush`` everything goes to the
spool first and is then delivered for as long as the deadline allows. A fork leaves the parent's reports with the parent.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from json import JSONEncoder
from time import monotonic, sleep
from typing import TYPE_CHECKING

from kaizen_security.client import forks, own
from kaizen_security.client.delivery import Backoff, Fate, fate, rejected
from kaizen_security.client.fields import completed
from kaizen_security.client.http import Connection
from kaizen_security.client.spool import EXIT, Batch, Spool
from kaizen_security.client.waiting import Entry, packed, unpacked
from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import outward, outward_verdict
from kaizen_security.contract.codec import Report, encode_report
from kaizen_security.contract.errors import Unreachable
from kaizen_security.contract.verdict import Verdict

if TYPE_CHECKING:
    from kaizen_security.client.clock import Ids

WINDOW = 0.02
"""Seconds that a report may stay in memory only."""
SLICE = 16
"""Reports that are encoded at a stretch: 0.5 ms, after which the agent's threads get their turn."""
BATCH = 50
BATCH_BYTES = 512 << 10
MAX_QUEUE = 32768
"""Reports in memory; whoever adds one more first encodes a slice itself."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
LOOK_AROUND = 30.0
"""Seconds between looks for what dead processes left, when nothing else is to do."""
EXCHANGE = 10.0

REFUSED, BROKEN = "refused by the server", "could not be encoded"

_encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Reporter:
    """See the module. ``headers`` go with every request; ``key`` is the boundary's; ``lost`` counts by reason."""

    def __init__(
        self, connection: Connection, spool: Spool, *, agent: str, headers: Mapping[str, str], key: bytes, ids: Ids
    ) -> None:
        self.lost: dict[str, int] = {}
        self.problem = ""
        self._connection = connection
        self.spool = spool
        self._agent = agent
        self._headers = {"Content-Type": "application/json", **headers}
        self._key = key
        self._ids = ids
        self._closed = False
        self._reset()
        _LIVE.add(self)

    def _reset(self) -> None:
        self._queue: deque[Entry] = deque()
        self._draining = threading.Lock()
        self._delivering = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._awake = False
        self._retry_at = 0.0
        self._pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)

    # --- called by the agent's threads

    def add(self, action: Action, verdict: Verdict, at: float, run_id: str) -> None:
        """Report it soon. Microseconds; no input or output."""
        self._queue.append(packed(action, verdict, self._ids.new(), at, run_id))
        if not self._awake:
            self._rouse()
        elif len(self._queue) > MAX_QUEUE:
            self._drain(SLICE)

    def urgent(self, action: Action, verdict: Verdict, at: float, run_id: str) -> None:
        """Report it; when this returns it is in the spool."""
        record = self._record(packed(action, verdict, self._ids.new(), at, run_id))
        if record is not None:
            # What came before goes with it, as far as that takes half a millisecond: it is what the block or the flag came of.
            self._drain(SLICE)
            self.spool.append(record, urgent=True)
        self._rouse()

    def _rouse(self) -> None:
        if self._closed:
            return
        self._awake = True
        self._wake.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            # Set before it runs: a thread that ends at once takes it back.
            self._thread = made = own.thread(self._work, "kaizen-report")
            if not own.start(made):
                self._thread = None  # ``close`` delivers

    def flush(self, timeout: float) -> bool:
        """Bring everything into the spool and deliver it; false when some of it is still there after ``timeout`` seconds."""
        until = monotonic() + timeout
        self._drain()
        return self._deliver(until)

    def close(self, timeout: float) -> None:
        """``flush``, and no more after that."""
        self._closed = True
        self._wake.set()
        self.flush(timeout)
        before = self.spool.lost.get(EXIT, 0)
        self.spool.close()
        self._connection.close()
        lost = self.spool.lost.get(EXIT, 0) - before
        if lost:
            import logging

            logging.getLogger("kaizen_security").warning(
                "%d reports are lost: not delivered, and the disk takes nothing (%s)", lost, self.spool.problem
            )

    # --- the thread

    def _work(self) -> None:
        try:
            while not self._closed:
                self._turn()
        finally:
            # However this thread ended: the next report starts another one.
            self._awake = False
            self._thread = None

    def _turn(self) -> None:
        waiting = self._retry_at - monotonic() if self.spool.pending else LOOK_AROUND
        if not self._queue and waiting > 0:
            self._awake = False
            # A report that came in between has seen "awake" and not woken us: look again after saying that we sleep.
            if not self._queue:
                self._wake.wait(waiting)
            self._wake.clear()
            self._awake = True
        sleep(WINDOW)
        self._drain(polite=True)
        if monotonic() >= self._retry_at:
            self._deliver(monotonic() + EXCHANGE)

    def _drain(self, limit: int = 1 << 60, *, polite: bool = False) -> None:
        """From memory to the spool."""
        while self._queue and limit > 0:
            with self._draining:
                waiting = len(self._queue)
                if waiting > 1:
                    self.spool.promise(waiting)
                records = []
                for _ in range(min(SLICE, waiting)):
                    record = self._record(self._queue.popleft())
                    if record is not None:
                        records.append(record)
                self.spool.extend(records)
            limit -= SLICE
            if polite and self._queue:
                sleep(0.0003)

    def _record(self, entry: Entry) -> bytes | None:
        try:
            action, metadata, verdict, id_, at, run_id = unpacked(entry)
            full = completed(action, metadata, id_=id_, agent=self._agent, at=at, run_id=run_id)
            claim = outward_verdict(verdict, self._key) if verdict.evidence or verdict.score else verdict
            document = encode_report(Report(action=outward(full, self._key), verdict=claim))
            return _encode(document).encode("utf-8", "replace")
        except Exception as err:  # noqa: BLE001  # a listed boundary
            # Whatever an agent puts into an action, its reporter must live; what is lost by it is counted.
            self._lose(BROKEN, 1)
            self.problem = f"a report could not be encoded ({type(err).__name__})"
            return None

    def _lose(self, reason: str, n: int) -> None:
        if n > 0:
            self.lost[reason] = self.lost.get(reason, 0) + n

    # --- delivery

    def _deliver(self, until: float) -> bool:
        """From the spool to the server, until all is there, time is up or the server does not take it now."""
        if not self._delivering.acquire(timeout=max(until - monotonic(), 0.001)):
            return False
        try:
            n = BATCH
            while True:
                batch = self.spool.read(n, BATCH_BYTES)
                if not batch.records:
                    self._pauses.reset()
                    self._retry_at = 0.0
                    return True
                left = until - monotonic()
                if left <= 0:
                    return False
                n = self._send(batch, n, min(left, EXCHANGE))
                if n == 0:
                    return False
        finally:
            self._delivering.release()

    def _send(self, batch: Batch, n: int, deadline: float) -> int:
        """One batch; how large the next one may be, 0: not now."""
        body = b'{"reports":[' + b",".join(batch.records) + b"]}"
        try:
            status, headers, answer = self._connection.request(
                "POST", "/v1/verdicts:batch", body, self._headers, deadline, idempotent=True
            )
        except Unreachable as err:
            return self._later(str(err))
        match fate(status, len(batch.records)):
            case Fate.TAKEN:
                self._lose(REFUSED, rejected(answer, len(batch.records)))
            case Fate.SMALLER:
                return max(1, min(n, len(batch.records)) // 8)
            case Fate.REFUSED:
                self._lose(REFUSED, 1)
                self.problem = f"the server refused a report (status {status})"
            case Fate.LATER:
                return self._later(f"the server answers with status {status}", headers.get("retry-after", ""))
        self.spool.done(batch.position)
        self._pauses.reset()
        return BATCH if n == BATCH else min(BATCH, n * 2)

    def _later(self, problem: str, after: str = "") -> int:
        self.problem = problem
        asked = float(after) if after.isascii() and after.isdigit() and len(after) < 6 else 0.0
        self._retry_at = monotonic() + max(self._pauses.next(), min(asked, 10 * LONGEST_PAUSE))
        return 0

    def _after_fork(self) -> None:
        self.lost = {}
        self._reset()


_LIVE = forks.alive(Reporter)
