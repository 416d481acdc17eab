"""The way to the control plane: verdicts up through a durable spool, bundles down by long-poll.

It runs in threads: nothing here delays a verdict. A control plane that is down for long costs nothing but space: the spool is
bounded, and what it cannot take is counted by reason.
"""

from __future__ import annotations

import heapq
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from urllib.parse import quote

from kaizen_security.client.delivery import Backoff, Fate, fate
from kaizen_security.client.http import Connection, understood
from kaizen_security.client.spool import Spool
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.boundary import boundary_key, outward, outward_verdict
from kaizen_security.contract.bundle import MAX_BUNDLE, Bundle, key_hash, signing_key, unseal
from kaizen_security.contract.codec import Report, encode_declaration, encode_report
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import InvalidInput, KaizenError, Misconfigured, Refused, Unreachable
from kaizen_security.contract.fields import array, obj, text
from kaizen_security.contract.verdict import Verdict
from kaizen_security.runtime.clock import Clock
from kaizen_security.sidecar.lasting import Lasting
from kaizen_security.sidecar.shelf import DiskShelf

log = logging.getLogger(__name__)

FOREIGN = (
    "the data directory holds what agents of another organisation than this API key's did: give this organisation a directory "
    "of its own, or use a key of the other one"
)
BATCH = 100
LANES = 5
"""Threads that fetch bundles. Fewer agents than this are long-polled, so that one thread is always free for an agent that is new;
more are asked in turns."""
LONG_POLL = 20
"""Seconds that the control plane may take to say that nothing has changed."""
TURN = 3.0
"""Seconds between two looks for an agent that is not long-polled."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
WINDOW = 0.02
"""Seconds in which further reports may join the first. A thread that began to send at once would take the interpreter from the one
that has reported a verdict and not yet answered with it.
"""


class Foreign(Unreachable):
    """What lies in the data directory is another organisation's than the API key's: nothing is sent, nothing is fetched."""


class Uplink:
    """``on_bundle(agent, bundle)`` puts a bundle in force (raises Misconfigured); called from a thread of the uplink.

    ``state``     ``unknown``, ``ok``, ``unreachable``, ``refused`` when the control plane does not take our key, or ``foreign``
                  when the data directory holds another organisation's work
    ``rejected``  reports that the control plane refused one by one, by its message; they are not sent again
    """

    def __init__(
        self,
        *,
        api_url: str,
        api_key: str,
        shelf: DiskShelf,
        spool: Spool,
        clock: Clock,
        on_bundle: Callable[[str, Bundle], None],
        lasting: Lasting,
        most_agents: int = 256,
    ) -> None:
        self.api_url = api_url
        self.enabled = bool(api_key)
        self.state = "unknown"
        self.rejected: dict[str, int] = {}
        self.bundles_refused = 0
        self.sent = 0
        self.spool = spool
        self.shelf = shelf
        self._clock = clock
        self._on_bundle = on_bundle
        self._lasting = lasting
        self._most = most_agents
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._signing = signing_key(key_hash(api_key))
        self._admitted = False
        self._boundary = boundary_key(shelf.boundary_secret)
        self.outgoing: Callable[[Action, Verdict], Report] = self._outward
        """What of a verdict leaves the tenant; a sandbox has a stricter one."""
        self._stopping = threading.Event()
        self._work = threading.Event()
        self._due = threading.Condition()
        self._heap: list[tuple[float, str]] = []
        self._watched: OrderedDict[str, _Watched] = OrderedDict()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start sending and fetching."""
        if not self.enabled:
            return
        names = [("reports", self._send_forever), *((f"bundles-{n}", self._fetch_forever) for n in range(LANES))]
        for name, target in names:
            self._threads.append(self._lasting.thread(f"uplink-{name}", target))

    def stop(self, patience: float = 2.0) -> None:
        """Send what can be sent within ``patience`` seconds; the rest stays in the spool for the next start."""
        self._lasting.ending()
        self._stopping.set()
        self._work.set()
        with self._due:
            self._due.notify_all()
        if self._threads:
            self._threads[0].join(patience)
        self.spool.close()

    def _outward(self, action: Action, verdict: Verdict) -> Report:
        return Report(action=outward(action, self._boundary), verdict=outward_verdict(verdict, self._boundary))

    # --- up ---------------------------------------------------------------------------------------------------------------

    def report(self, action: Action, verdict: Verdict) -> bool:
        """Put a verdict on its way, in boundary form. False: the spool is full, and the loss is counted."""
        if not self.enabled:
            return True
        report = self.outgoing(action, verdict)
        record = json.dumps(encode_report(report), ensure_ascii=False, separators=(",", ":")).encode()
        kept = self.spool.append(record, urgent=verdict.blocked or verdict.flagged)
        self._work.set()
        return kept

    def _send_forever(self) -> None:
        connection = Connection(self.api_url)
        pauses, size = Backoff(FIRST_PAUSE, LONGEST_PAUSE), BATCH
        while True:
            batch = self.spool.read(size)
            if not batch.records:
                if self._stopping.is_set():
                    return
                self._work.wait(0.5)
                self._work.clear()
                self._stopping.wait(WINDOW)
                continue
            try:
                self.admit(connection)
                self._send(connection, batch.records)
            except Refused as err:
                if err.status == 413 and size > 1:
                    size = max(1, size // 4)
                    continue
                self._state("refused" if err.status in (401, 403) else "unreachable", err)
                what = fate(err.status, len(batch.records))
                if what is Fate.REFUSED:
                    self._reject(str(err))
                    self.spool.done(batch.position)
                    continue
                size = 1 if what is Fate.SMALLER else size
            except KaizenError as err:
                self._unreachable(err)
            else:
                self.spool.done(batch.position)
                self.sent += len(batch.records)
                self._state("ok")
                pauses.reset()
                size = BATCH
                continue
            if self._stopping.is_set():
                return
            self._stopping.wait(pauses.next())

    def admit(self, connection: Connection) -> None:
        """Ask once whose agents our key speaks for. Raises Foreign, Refused, Unreachable."""
        if self._admitted:
            return
        try:
            said = connection.json("GET", "/v1/whoami", headers=self._headers, deadline=3.0)
        except Refused as err:
            if err.status in (401, 403):
                raise
            raise Unreachable(str(err)) from err
        # An older control plane says no id; then there is nothing to compare.
        organisation_id = text(obj(said, "whoami"), "organisation_id", "whoami.", limit=64)
        try:
            if organisation_id and not self.shelf.belongs(organisation_id):
                raise Foreign(FOREIGN)
        except OSError as err:
            log.warning("the data directory does not say whose it is: %s", err.strerror)
        self._admitted = True

    def _send(self, connection: Connection, records: tuple[bytes, ...]) -> None:
        body = b'{"reports":[' + b",".join(records) + b"]}"
        headers = {**self._headers, "Content-Type": "application/json"}
        status, _, answer = connection.request("POST", "/v1/verdicts:batch", body, headers, 15.0, idempotent=True)
        document = understood(status, answer)
        for entry in array(obj(document, "answer"), "rejected", "answer."):
            said = entry.get("message") if isinstance(entry, dict) else None
            self._reject(said if isinstance(said, str) else "no reason given")

    def _reject(self, message: str) -> None:
        # By a peer's words, so bounded.
        name = message[:120] if len(self.rejected) < 32 or message[:120] in self.rejected else "other"
        self.rejected[name] = self.rejected.get(name, 0) + 1
        log.warning("the control plane rejected a report: %s", name)

    def _state(self, state: str, err: KaizenError | None = None) -> None:
        if state != self.state and (self.state, state) != ("unknown", "ok"):
            log.warning("control plane %s%s", state, f": {err}" if err else "")
        self.state = state

    def _unreachable(self, err: KaizenError) -> None:
        self._state("foreign" if isinstance(err, Foreign) else "unreachable", err)

    # --- down -------------------------------------------------------------------------------------------------------------

    def watch(self, agent: str, known: int = 0) -> None:
        """Keep the agent's bundle fresh from now on; ``known`` is the version that is in force.

        Cheap when it is watched already.
        """
        if self.enabled:
            self._watching(agent, known)

    def _watching(self, agent: str, known: int = 0) -> _Watched:
        with self._due:
            watched = self._watched.get(agent)
            if watched is not None:
                self._watched.move_to_end(agent)
                return watched
            watched = self._watched[agent] = _Watched(known, pending=self.shelf.manifest(agent) is not None)
            if len(self._watched) > self._most:
                self._watched.popitem(last=False)
            heapq.heappush(self._heap, (monotonic(), agent))
            self._due.notify()
            return watched

    def refresh(self, agent: str) -> None:
        """Look for the agent's bundle now: its declaration has just changed."""
        with self._due:
            heapq.heappush(self._heap, (0.0, agent))
            self._due.notify()

    def _fetch_forever(self) -> None:
        connection = Connection(self.api_url, max_bytes=MAX_BUNDLE)
        while not self._stopping.is_set():
            agent = self._next()
            if agent is None:
                continue
            watched = self._watched.get(agent)
            if watched is None:
                continue
            # Taken back when all goes well. Whatever else may end this thread, the agent has its next turn.
            watched.failures += 1
            pause = min(LONGEST_PAUSE, 0.5 * 2 ** min(watched.failures, 8))
            try:
                self.admit(connection)
                if watched.pending:
                    self._hand_on(agent, watched)
                self._fetch(connection, agent, watched)
                watched.failures = 0
                pause = 0.05 if len(self._watched) < LANES else TURN
            except KaizenError as err:
                self._bundle_failed(err)
            finally:
                with self._due:
                    heapq.heappush(self._heap, (monotonic() + pause, agent))
                    self._due.notify()

    def _next(self) -> str | None:
        with self._due:
            if not self._heap:
                self._due.wait(1.0)
            elif (left := self._heap[0][0] - monotonic()) > 0:
                self._due.wait(min(left, 1.0))
            if self._stopping.is_set() or not self._heap or self._heap[0][0] > monotonic():
                return None
            agent = heapq.heappop(self._heap)[1]
            # One entry an agent: what was pushed by ``refresh`` beside it goes with it.
            self._heap = [entry for entry in self._heap if entry[1] != agent]
            heapq.heapify(self._heap)
            return agent

    def _fetch(self, connection: Connection, agent: str, watched: _Watched) -> None:
        # The first look is never a long one: an agent waits for it. Nor is it when somebody else would wait behind it.
        wait = LONG_POLL if watched.etag and len(self._watched) < LANES else 0
        headers = {**self._headers, **({"If-None-Match": watched.etag} if watched.etag else {})}
        path = f"/v1/bundle?agent={quote(agent, safe='')}&wait={wait}"
        status, answered, body = connection.request("GET", path, None, headers, wait + 10.0)
        if status == 304 and watched.etag:
            self._state("ok")
            return
        if status != 200:
            understood(status, body)
            raise Unreachable(f"the control plane answered a question for a bundle with status {status}")
        bundle = unseal(body, self._signing, agent=agent, now=self._clock(), newest=watched.version)
        self._on_bundle(agent, bundle)
        self.shelf.keep_bundle(agent, body)
        watched.version = bundle.version
        watched.etag = answered.get("etag", "")
        self._state("ok")

    def _bundle_failed(self, err: KaizenError) -> None:
        if isinstance(err, InvalidInput | Misconfigured):
            self.bundles_refused += 1
            log.error("a bundle cannot be used, the last good one stays in force: %s", err)
        elif isinstance(err, Refused) and err.status in (401, 403):
            self._state("refused", err)
        else:
            self._unreachable(err)

    # --- questions --------------------------------------------------------------------------------------------------------

    def whoami(self, key: str) -> Json:
        """What the control plane says of a key. Blocks up to 3 s. Raises Refused, Unreachable."""
        if not self.enabled:
            raise Unreachable("this sidecar has no API key, so it cannot ask about others")
        connection = Connection(self.api_url)
        try:
            return connection.json("GET", "/v1/whoami", headers={"Authorization": f"Bearer {key}"}, deadline=3.0)
        finally:
            connection.close()

    def manifest(self, agent: str, declaration: Declaration) -> bool:
        """Keep an agent's declaration and hand it on. Blocks up to 5 s.

        False: the control plane cannot be reached; it is on disk and handed on later. Raises Refused when it does not want it.
        """
        self.shelf.keep_manifest(agent, encode_declaration(declaration))
        if not self.enabled:
            return False  # nobody to hand it to: it is in force here, from disk after a restart
        watched = self._watching(agent)
        watched.pending = True
        try:
            self._hand_on(agent, watched)
        except Unreachable as err:
            self._unreachable(err)
            return False
        self.refresh(agent)
        return True

    def _hand_on(self, agent: str, watched: _Watched) -> None:
        document = self.shelf.manifest(agent)
        if document is None:
            watched.pending = False
            return
        connection = Connection(self.api_url)
        try:
            self.admit(connection)
            path = f"/v1/agents/{quote(agent, safe='')}/manifest"
            connection.json("POST", path, document, self._headers, 5.0, idempotent=True)
        except Refused as err:
            if err.status >= 500 or err.status == 429:
                raise Unreachable(str(err)) from err
            self.shelf.drop_manifest(agent, document)
            watched.pending = False
            raise
        finally:
            connection.close()
        self.shelf.drop_manifest(agent, document)
        watched.pending = False


class _Watched:
    """What is known of one agent's bundle upstream. ``pending``: a declaration of it has not been handed on yet."""

    __slots__ = ("etag", "failures", "pending", "version")

    def __init__(self, version: int, *, pending: bool) -> None:
        self.etag = ""
        self.version = version
        self.failures = 0
        self.pending = pending
