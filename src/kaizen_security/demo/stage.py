"""Plays a demonstration: asks the agent for one job after the other, and shows what the line says of it.

The stage decides nothing about actions. It sends requests to the agent's process, as users would, and reads verdicts from the
control plane; ``demo.account`` counts them.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import KaizenError
from kaizen_security.demo.account import GROUND_TRUTH, NO_VERDICT, Row, Run, Scorecard, score
from kaizen_security.demo.feed import Feed, Servers
from kaizen_security.demo.jobs import Attach, Done, ask, told
from kaizen_security.demo.processes import Child
from kaizen_security.demo.programme import Entry, Programme
from kaizen_security.demo.view import View, summarise

JOB = 60.0
"""Seconds that one job may take."""

SETTLE = 20.0
"""Seconds that verdicts on what was done may take to arrive."""

POLL = 0.25
"""Seconds between two looks at the control plane."""


class Stuck(KaizenError):
    """The agent does not answer."""


class AgentLine:
    """The agent's process, asked and heard line by line."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._buffer = b""

    def send(self, line: str) -> None:
        """One job. Raises Stuck when the agent is gone."""
        assert self._child.process.stdin is not None
        try:
            self._child.process.stdin.write(line + "\n")
            self._child.process.stdin.flush()
        except OSError as err:
            raise Stuck(self._child.obituary()) from err

    def hear(self, seconds: float) -> Done | None:
        """An account, if one comes within that time. Raises Stuck when the agent is gone."""
        assert self._child.process.stdout is not None
        if b"\n" not in self._buffer:
            ready, _, _ = select.select([self._child.process.stdout], [], [], seconds)
            if not ready:
                return None
            data = os.read(self._child.process.stdout.fileno(), 1 << 20)
            if not data:
                self._child.wait(1.0)
                raise Stuck(self._child.obituary())
            self._buffer += data
        line, found, rest = self._buffer.partition(b"\n")
        if not found:
            return None
        self._buffer = rest
        return told(line.decode())


@dataclass(slots=True)
class Stage:
    """One demonstration. ``check`` raises when a part of the line has died; ``proxy_of`` gives an agent's URL of the proxy."""

    programme: Programme
    agent: AgentLine
    feed: Feed
    servers: Servers
    view: View
    check: Callable[[], None]
    proxy_of: Callable[[str], str]
    runs: list[Run] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    _polled: float = 0.0
    _phase: tuple[str, int, int] = ("", 0, 0)

    def play(self) -> tuple[Scorecard, dict[str, Json]]:
        """Attach, learn, meet, settle, count."""
        began = time.monotonic()
        self._attach()
        self._work("learning", self.programme.learning)
        self._settled()
        learned = len(self.runs)
        attacks = self.programme.attacks
        self.view.say(f"{learned} tasks learned from. Now {attacks} attacks, with benign work between and after them.")
        self._work("injected runs", self.programme.meeting)
        self._settled()
        card = score(self.runs, self.rows)
        received = self.servers.received()
        card.outside = {host: received.get(host, 0) for host in sorted(self.programme.outside)}
        summary = summarise(
            card,
            seed=self.programme.seed,
            seconds=time.monotonic() - began,
            tasks=learned,
            verdicts=len(self.rows),
        )
        self.view.scorecard(card, summary)
        return card, summary

    def _attach(self) -> None:
        members = self.programme.members
        for number, member in enumerate(members):
            job = Attach(
                job=f"attach-{number}",
                agent=member.name,
                proxy=self.proxy_of(member.name),
                declaration=member.declaration,
                policies=member.policies,
            )
            self._phase = ("attaching", number, len(members))
            self._ask(ask(job))

    def _work(self, phase: str, entries: Iterable[Entry]) -> None:
        entries = list(entries)
        for number, entry in enumerate(entries):
            self._phase = (phase, number, len(entries))
            if entry.pages:
                self.servers.place(entry.pages)
            done = self._ask(ask(entry.job))
            self.runs.append(Run(done=done, agent=entry.agent, attacks=entry.attacks))
        self._phase = (phase, len(entries), len(entries))
        self._look(now=True)

    def _ask(self, line: str) -> Done:
        self.agent.send(line)
        until = time.monotonic() + JOB
        while time.monotonic() < until:
            done = self.agent.hear(POLL)
            self._look()
            if done is not None:
                return done
        raise Stuck(f"the demonstration agent did not finish a job within {JOB:.0f} s")

    def _look(self, *, now: bool = False) -> None:
        """Take what has arrived, show it, and make sure that everybody lives."""
        if not now and time.monotonic() - self._polled < POLL:
            return
        self.check()
        for entry in self.feed.new():
            self.rows.append(entry)
            self.view.verdict(entry, _note(entry))
        self._polled = time.monotonic()
        self.view.progress(*self._phase, len(self.rows))

    def _settled(self) -> None:
        """Wait until the line has a verdict on everything that was done."""
        began = time.monotonic()
        while time.monotonic() < began + SETTLE:
            self._look(now=True)
            card = score(self.runs, self.rows)
            if not card.unseen and not any(outcome.reason == NO_VERDICT for outcome in card.outcomes):
                return
            if time.monotonic() > began + SETTLE / 8:
                self.feed.rewind()
            time.sleep(POLL)


def _note(entry: Row) -> str:
    if entry.source == GROUND_TRUTH and not entry.silent and not entry.stopped:
        return "nobody had reported it; the proxy saw it begin"
    return ""
