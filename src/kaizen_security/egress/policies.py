"""The rules of each agent that uses the proxy, fetched in the background and compiled once.

What was fetched is kept on disk, so that a proxy that starts while the control plane is down still blocks what was blocked.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from kaizen_security.client.files import write_whole
from kaizen_security.contract import reasons
from kaizen_security.contract.errors import KaizenError
from kaizen_security.egress.rules import Refusal, Rules
from kaizen_security.egress.supply import Fetched, Source

MAX_AGENTS = 1000
LANES = 4
"""Threads that fetch. Up to this many agents are asked for by long-poll, so that a change is in force at once."""
LONG_POLL = 20
"""Seconds that the other side may take to say that nothing has changed."""
TURN = 3.0
"""Seconds between two looks for an agent that has a bundle and is not asked for by long-poll."""
RETRY = 1.0
"""Seconds after a failure, unless looks are more frequent anyway: the control plane may be starting beside us."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is in force, and when that was last confirmed (``clock``'s seconds; None: it was only read from disk)."""

    fetched: Fetched
    confirmed: float | None


class Policies:
    """``of(agent)`` is asked by the loop and never waits.

    ``settled(agent)`` says whether it has been asked for at least once; ``told`` is called, from another thread, when that is so.
    """

    def __init__(
        self,
        source: Callable[[], Source],
        *,
        clock: Callable[[], float],
        folder: Path | None,
        fail_closed: bool,
        refresh: float,
        max_age: float,
        told: Callable[[str], None] = lambda agent: None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._folder = folder
        self._fail_closed = fail_closed
        self._refresh = refresh
        self._max_age = max_age
        self._told = told
        self._held: dict[str, Held] = {}
        self._rules: dict[str, Rules] = {}
        self._own = ""
        self._common: Rules | None = None
        """The organisation's policies alone, as the proxy's own agent has them: for agents without rules of their own."""
        self._agents: dict[str, None] = {}
        self._settled: set[str] = set()
        self._heap: list[tuple[float, str]] = []
        self._due = threading.Condition()
        self._stopping = threading.Event()
        self._troubles: dict[str, str] = {}
        self.left_out = 0
        """Agents that found no place."""
        self._threads = [
            threading.Thread(target=self._run, name=f"egress-policy-{n}", daemon=True) for n in range(LANES)
        ]

    def start(self, *agents: str) -> None:
        """Read what is on disk for these agents and begin to fetch."""
        source = self._source()
        self._own = next(iter(agents), "")
        for agent in agents:
            if len(self._agents) < MAX_AGENTS:
                self._load(source, agent)
                self._add(agent)
        for thread in self._threads:
            thread.start()

    def _add(self, agent: str) -> None:
        self._agents[agent] = None
        with self._due:
            heapq.heappush(self._heap, (monotonic(), agent))
            self._due.notify()

    # --- the loop's side ----------------------------------------------------------------------------------------------------

    def of(self, agent: str) -> Rules | Refusal | None:
        """The rules in force; None when there are none and the proxy fails open; a Refusal when it fails closed."""
        if self._fail_closed and not self._fresh(self._held.get(agent)):
            return UNPROTECTED
        # One that finds no place, or whose name the control plane refuses, is not free of what is blocked for all: whoever has a
        # key may call himself as he likes.
        return self._rules.get(agent, self._common)

    def settled(self, agent: str) -> bool:
        """Whether its rules are there or cannot be had for now. Where they are not, they are asked for from now on."""
        if agent in self._settled:
            return True
        if agent not in self._agents:
            if len(self._agents) >= MAX_AGENTS:
                self.left_out += 1
                return True
            self._add(agent)
        return False

    def tune(self, *, fail_closed: bool, max_age: float) -> None:
        """Other settings from now on."""
        self._fail_closed = fail_closed
        self._max_age = max_age

    def settle(self, agent: str) -> None:
        """It has been waited for long enough."""
        self._settled.add(agent)

    def _fresh(self, held: Held | None) -> bool:
        return held is not None and held.confirmed is not None and self._clock() - held.confirmed <= self._max_age

    @property
    def trouble(self) -> str:
        """Why the newest look for some agent failed; empty when none did."""
        return next(iter(list(self._troubles.values())), "")

    def state(self) -> dict[str, str | int]:
        """For /healthz: how many agents have rules, how many of them signed, and what is wrong."""
        held = list(self._held.values())
        return {
            "agents": len(self._agents),
            "with_policy": len(held),
            "signed": sum(one.fetched.signed for one in held),
            "left_out": self.left_out,
            "trouble": self.trouble,
        }

    # --- the threads' side --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        source = self._source()
        while True:
            agent = self._next()
            if agent is None:
                return
            pause = self._look(source, agent)
            if agent not in self._settled:
                self._settled.add(agent)
                self._told(agent)
            with self._due:
                heapq.heappush(self._heap, (monotonic() + pause, agent))
                self._due.notify()

    def _next(self) -> str | None:
        """The agent whose turn it is, once it is; None: stop."""
        with self._due:
            while not self._stopping.is_set():
                left = self._heap[0][0] - monotonic() if self._heap else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._heap)[1]
                self._due.wait(left)
        return None

    def _look(self, source: Source, agent: str) -> float:
        """Ask once: seconds until the next time."""
        if agent not in self._settled and agent not in self._held:
            self._load(source, agent)
        held = self._held.get(agent)
        wait = LONG_POLL if len(self._agents) <= LANES else 0
        began = monotonic()
        try:
            fetched = source.fetch(agent, held.fetched if held is not None else None, wait)
        except (KaizenError, OSError) as err:
            if not self._troubles:
                log.warning("no fresh policy: %s", err)
            self._troubles[agent] = str(err)
            return min(RETRY, self._refresh)
        self._troubles.pop(agent, None)
        now = self._clock()
        if fetched is None and held is not None:
            self._held[agent] = Held(fetched=held.fetched, confirmed=now)
        elif fetched is not None:
            self._in_force(agent, Held(fetched=fetched, confirmed=now))
            self._save(source, agent, fetched)
            log.info("policy %s is in force for %r", fetched.rules.compiled.version, agent)
        return self._pause(
            self._held.get(agent), changed=fetched is not None, waited=wait > 0 and monotonic() - began >= 1.0
        )

    def _pause(self, held: Held | None, *, changed: bool, waited: bool) -> float:
        """At once where the other side has just kept us waiting, or told us of a change that it would do so after."""
        if held is None or not held.fetched.signed:
            return self._refresh
        if waited or (changed and held.fetched.etag and len(self._agents) <= LANES):
            return 0.0
        return min(TURN, self._refresh)

    def _in_force(self, agent: str, held: Held) -> None:
        self._held[agent] = held
        self._rules[agent] = held.fetched.rules
        if agent == self._own:
            self._common = Rules(compiled=held.fetched.rules.compiled)

    # --- on disk ------------------------------------------------------------------------------------------------------------

    def _file(self, agent: str) -> Path | None:
        name = hashlib.sha256(agent.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self._folder / f"policy-{name}.json" if self._folder is not None else None

    def _save(self, source: Source, agent: str, fetched: Fetched) -> None:
        path = self._file(agent)
        if path is None:
            return
        about: dict[str, str | bool] = {"agent": agent, "signed": fetched.signed}
        if not fetched.signed:
            about["mark"] = source.mark(agent, fetched.document)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(path, json.dumps(about).encode() + b"\n" + fetched.document)
        except OSError as err:
            log.warning("the policy could not be kept on disk: %s", err.strerror)

    def _load(self, source: Source, agent: str) -> None:
        path = self._file(agent)
        if path is None:
            return
        try:
            first, _, document = path.read_bytes().partition(b"\n")
            fetched = source.read(agent, document, signed=_signed(source, agent, json.loads(first), document))
        except FileNotFoundError:
            return
        except (KaizenError, OSError, ValueError) as err:
            log.warning("the policy kept on disk cannot be used: %s", err)
            return
        self._in_force(agent, Held(fetched=fetched, confirmed=None))

    def stop(self) -> None:
        """End the threads soon; they are daemons."""
        self._stopping.set()
        with self._due:
            self._due.notify_all()


def _signed(source: Source, agent: str, about: object, document: bytes) -> bool:
    """Whether a document on disk is a signed one. Raises ValueError for one that says that it is not, and is not as we left it."""
    said = about if isinstance(about, dict) else {}
    if said.get("signed") is True:
        return True
    if not hmac.compare_digest(str(said.get("mark")).encode(), source.mark(agent, document).encode()):
        raise ValueError("it was changed")
    return False


UNPROTECTED = Refusal(
    code="no-policy",
    reason=reasons.FAILED_CLOSED,
    advice="The proxy fails closed and has no fresh policy: check that the control plane is up and KAIZEN_API_KEY is right.",
)
