"""What the proxy saw, told to the control plane (or the sidecar) without ever slowing traffic.

The loop only appends to a queue. One thread writes records to the spool on disk, another sends them from there in batches on a kept
connection. Every connection is reported when it begins, so that the verdict is early, and once more under the SAME action id when
it has ended, with bytes, duration and how it ended; one that ends before its first report is written is reported once, with all of
it. Whatever is lost is counted by reason.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from kaizen_security.client.delivery import Backoff, Fate, fate, rejected
from kaizen_security.client.http import Connection
from kaizen_security.client.spool import Spool
from kaizen_security.contract import reasons
from kaizen_security.contract.action import Json
from kaizen_security.contract.codec import encode_verdict
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.fields import rfc3339
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.egress.rules import Refusal

MAX_QUEUE = 100_000
"""Records between the loop and the spool; more are lost, and counted as ``queue full``."""
SLICE = 50
"""Records encoded without a pause: the interpreter is shared with the loop."""
GATHER = 0.1
"""Seconds that records may gather before they are written."""
BATCH = 100
DEADLINE = 10.0
FIRST_BACKOFF, LAST_BACKOFF = 0.5, 30.0

_JSON = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_TEXT = json.encoder.encode_basestring_ascii

log = logging.getLogger(__name__)


@lru_cache(maxsize=1024)
def _allowed(policy_version: str) -> tuple[str, str]:
    """The verdict on what was let pass, before and after the action's id: it is the same but for that, for every connection."""
    place = "\x7f"
    verdict = Verdict(
        decision=Decision.ALLOW, reason=reasons.OBSERVED_EGRESS, action_id=place, policy_version=policy_version
    )
    before, _, after = _JSON(encode_verdict(verdict)).partition(_JSON(place))
    return before, after


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return rfc3339(float(at)).partition(".")[0]


def _instant(at: float) -> str:
    """As ``rfc3339``, without its Z; connections of one second share its first nineteen characters."""
    micros = int(at * 1_000_000 + 0.5)
    return "%s.%06d" % (_second(micros // 1_000_000), micros % 1_000_000)  # noqa: UP031 - half the time of a format


@lru_cache(maxsize=4096)
def _words(
    kind: str, agent: str, target: str, policy_version: str | None, metadata: tuple[tuple[str, Json], ...]
) -> tuple[str, str, str, str]:
    """What connections of one kind to one place have in common: what stands before phase, time and verdict, and the end.

    For what was let pass under ``policy_version`` the verdict is written out but for the action's id.
    """
    about = "".join([f",{_TEXT(name)}:{_JSON(value)}" for name, value in metadata])
    before, after = ("", "") if policy_version is None else _allowed(policy_version)
    return (
        f'{{"schema_version":"1","agent":{_TEXT(agent)},"action":{{"kind":{_TEXT(kind)},"tool":null,"publisher":null,'
        f'"target":{_TEXT(target)},"hash":null,"metadata":{{"source":"egress"{about}',
        f',"agent":{_TEXT(agent)},"at":"',
        f'Z"}},"verdict":{before}',
        f"{after}}}",
    )


@dataclass(slots=True, eq=False)
class Record:
    """One connection as far as it is known by now. The loop writes it, the spooling thread reads it.

    ``at`` Unix seconds; ``duration`` seconds; ``up`` bytes from the agent, ``down`` to it; ``ended`` how, ``""`` while it lasts.
    ``extra`` holds further metadata: sni, alpn, address, method, status. ``findings`` are those on what was let pass.
    """

    id: str
    agent: str
    target: str
    at: float
    kind: str = "connect"
    policy_version: str = ""
    act_id: str = ""
    refusal: Refusal | None = None
    extra: dict[str, Json] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    up: int = 0
    down: int = 0
    duration: float = 0.0
    ended: str = ""
    queued: bool = False
    taken: bool = False

    def encode(self) -> bytes:
        """The report, in the first shape of the wire contract."""
        # What ``codec.encode_report`` writes (a test compares them), around what connections to one place have in common.
        plain = self.refusal is None and not self.findings
        begins, then, verdict, ends = _words(
            self.kind, self.agent, self.target, self.policy_version if plain else None, tuple(self.extra.items())
        )
        if self.ended:
            # Tenths of a millisecond: the shortest text of a float costs as much as all the rest.
            tenths = int(self.duration * 10_000 + 0.5)
            phase = (
                f',"phase":"end","ended":"{self.ended}","bytes_up":{self.up},"bytes_down":{self.down}'
                f',"duration_ms":{tenths // 10}.{tenths % 10}'
            )
        else:
            phase = ',"phase":"start"'
        id_ = _TEXT(self.id)
        act = _TEXT(self.act_id) if self.act_id else id_
        claim = id_ if plain else _JSON(encode_verdict(self.verdict()))
        return f'{begins}{phase}}},"id":{id_},"act_id":{act}{then}{_instant(self.at)}{verdict}{claim}{ends}'.encode()

    def verdict(self) -> Verdict:
        """The verdict that the proxy claims: it allowed and observed, or it blocked."""
        refusal = self.refusal
        if refusal is None:
            return Verdict(
                decision=Decision.ALLOW,
                reason=reasons.OBSERVED_EGRESS,
                evidence=self.findings,
                action_id=self.id,
                policy_version=self.policy_version,
            )
        return Verdict(
            decision=Decision.BLOCK,
            reason=refusal.reason,
            evidence=refusal.evidence,
            action_id=self.id,
            policy_version=refusal.policy_version,
        )


class Sink(Protocol):
    """Where encoded reports go."""

    def deliver(self, reports: list[bytes]) -> Counter[str]:
        """Deliver all; what was refused for good, counted by reason. Raises KaizenError when trying again later may help."""


class Upstream:
    """``POST /v1/verdicts:batch`` on a kept connection; one by one where the other side knows no batches."""

    def __init__(self, url: str, key: str) -> None:
        self._connection = Connection(url)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} if key else {}
        self._batches = True

    def deliver(self, reports: list[bytes]) -> Counter[str]:
        """See Sink."""
        if self._batches:
            status, _, body = self._post("/v1/verdicts:batch", b'{"reports":[' + b",".join(reports) + b"]}")
            if status in (404, 405):
                self._batches = False
            else:
                return self._fate(status, reports, body)
        lost: Counter[str] = Counter()
        for report in reports:
            status, _, _ = self._post("/v1/verdicts", report)
            lost += self._fate(status, [report], b"")
        return lost

    def _fate(self, status: int, reports: list[bytes], body: bytes) -> Counter[str]:
        match fate(status, len(reports)):
            case Fate.TAKEN:
                return +Counter({"rejected": rejected(body, len(reports))})
            case Fate.SMALLER:
                middle = len(reports) // 2
                return self.deliver(reports[:middle]) + self.deliver(reports[middle:])
            case Fate.REFUSED:
                return Counter({f"refused with {status}": 1})
            case Fate.LATER:
                raise KaizenError(f"the control plane answers {status}")

    def _post(self, path: str, body: bytes) -> tuple[int, object, bytes]:
        return self._connection.request("POST", path, body=body, headers=self._headers, deadline=DEADLINE)


class Reporter:
    """Takes records from the loop; never blocks it."""

    def __init__(self, spool: Spool, sink: Callable[[], Sink], *, saw: Callable[[Record], None] | None = None) -> None:
        self._spool = spool
        self._sink = sink
        self._saw = saw
        self._queue: deque[Record] = deque()
        self._some = threading.Event()
        self._awake = False
        """Whether the keeper has been told that there is something; an Event is slower to ask."""
        self._kept = threading.Event()
        self._stopping = threading.Event()
        self._abandon = threading.Event()
        self._counts: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self.trouble = ""
        self._keeper = threading.Thread(target=self._keep, name="egress-keep", daemon=True)
        self._sender = threading.Thread(target=self._send, name="egress-send", daemon=True)

    def start(self) -> None:
        """Start the two threads."""
        self._keeper.start()
        self._sender.start()

    # --- the loop's side ----------------------------------------------------------------------------------------------------

    def put(self, record: Record) -> None:
        """Report ``record``: when it begins, and again when it has ended."""
        record.queued = True
        if len(self._queue) >= MAX_QUEUE:
            self._lost["queue full"] += 1
            return
        self._queue.append(record)
        if not self._awake:
            self._awake = True
            self._some.set()

    def end(self, record: Record) -> None:
        """``record.ended`` has been set. No second report when the first has not been written yet: it will hold everything."""
        if record.taken or not record.queued:
            self.put(record)

    def counts(self) -> dict[str, Json]:
        """What happened to reports so far: kept, delivered, waiting, and lost by reason."""
        lost = Counter(self._lost)
        lost.update(self._spool.lost)
        return {
            "kept": self._counts["kept"],
            "delivered": self._counts["delivered"],
            "queued": len(self._queue),
            "waiting": self._spool.pending,
            "lost": dict(lost),
            "trouble": self.trouble,
        }

    # --- the threads' side --------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        while True:
            self._some.wait()
            self._stopping.wait(GATHER)
            self._some.clear()
            # After the event: a record that comes in between wakes this thread once for nothing, rather than not at all.
            self._awake = False
            while self._queue:
                self._keep_slice([self._queue.popleft() for _ in range(min(SLICE, len(self._queue)))])
                if self._spool.pending >= BATCH:
                    self._kept.set()
                # Lets the loop have the interpreter between slices.
                self._abandon.wait(0.001)
            self._kept.set()
            if self._stopping.is_set():
                return

    def _keep_slice(self, records: list[Record]) -> None:
        for record in records:
            # Set before the fields are read: a record that ends right now is then reported twice rather than not at all.
            record.taken = True
        urgent = [record.refusal is not None or bool(record.findings) for record in records]
        refused = [record.encode() for record, first in zip(records, urgent, strict=True) if first]
        passed = [record.encode() for record, first in zip(records, urgent, strict=True) if not first]
        # The spool counts what it does not take; refusals still fit when it is full of the rest.
        self._counts["kept"] += self._spool.extend(refused, urgent=True) + self._spool.extend(passed)
        if self._saw is not None:
            for record in records:
                self._show(self._saw, record)

    def _show(self, saw: Callable[[Record], None], record: Record) -> None:
        try:
            saw(record)
        except Exception as err:
            self._lost["listener failed"] += 1
            log.error("what looks on has failed", exc_info=err)

    def _send(self) -> None:
        sink = self._sink()
        backoff = Backoff(FIRST_BACKOFF, LAST_BACKOFF)
        while not self._abandon.is_set():
            # Looked at before reading: what the keeper writes last must not be taken for what is not there.
            last = self._stopping.is_set() and not self._keeper.is_alive()
            batch = self._spool.read(BATCH)
            if not batch.records:
                if last:
                    return
                self._kept.wait(1.0)
                self._kept.clear()
                continue
            try:
                self._lost.update(sink.deliver(list(batch.records)))
            except (KaizenError, OSError) as err:
                if not self.trouble:
                    log.warning("reports wait on disk: %s", err)
                self.trouble = str(err)
                pause = backoff.next()
                if self._abandon.wait(min(pause, 0.5 if self._stopping.is_set() else pause)):
                    return
                continue
            if self.trouble:
                log.warning("reports are delivered again")
            self.trouble = ""
            backoff.reset()
            self._spool.done(batch.position)
            self._counts["delivered"] += len(batch.records)

    def stop(self, timeout: float) -> None:
        """Spool everything and try for ``timeout`` seconds to deliver it; what is left is delivered after the next start."""
        self._stopping.set()
        self._some.set()
        self._kept.set()
        self._keeper.join(timeout)
        self._sender.join(timeout)
        self._abandon.set()
        self._kept.set()
        self._sender.join(1.0)
        self._spool.close()
