"""A shim or its server that is killed (SIGKILL) while calls pass: no answer for a call that never ran, none run twice, nobody left.

Each life has one shim before one server that writes down every line that reaches it before it answers. Some kills hit the start,
most a stretch of calls in flight; chance (with a seed) says when, and whether the shim, the server or both are killed. What a
client was answered must stand in the server's book, once; what was never sent must not; the shim says that its server was killed;
after a killed shim the server ends by itself. The pins are the same file in all lives, which a kill must not spoil.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from tests.e2e.mcp.shimmed import PEER, Shim

FULL = 2000
SHORT = 4
SEED = 20261127
SUBREAPER = 36
"""``PR_SET_CHILD_SUBREAPER``: processes whose parent was killed become our children, so that we see them end."""
PATIENCE = 30.0
"""Seconds in which everything of a life must have ended."""
AHEAD = 6
"""Calls in flight at the most."""


class Life:
    """One shim with its server, until they are killed."""

    def __init__(self, directory, number, chance):
        self.sent, self.answered = set(), []
        self.listed = False
        self._number = number
        self._ahead = chance.randint(1, AHEAD)
        self._first = threading.Event()
        self._before = children()
        self.shim = Shim(directory, command=[sys.executable, "-I", "-u", str(PEER), str(directory / "book.jsonl")])
        early = chance.random() < 0.25
        self.whom = chance.choice(("shim", "shim", "shim", "server", "server", "server", "both"))
        moment = chance.random() * (0.25 if early else 0.03)
        self._killer = threading.Thread(target=self._kill, args=(early, moment))
        self._killer.start()

    def _kill(self, early, moment):
        if not early:
            self._first.wait(PATIENCE)
        time.sleep(moment)
        pid = self.shim.process.pid
        server = children(pid)
        if self.whom == "server" and not server:
            self.whom = "shim"
        for one in (*(server if self.whom != "shim" else ()), *((pid,) if self.whom != "server" else ())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)

    def talk(self):
        """Opens, lists the tools, and calls until nobody answers."""
        opening = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "soak", "version": "1"}}
        with contextlib.suppress(OSError, ValueError):
            self.shim.ask("open", "initialize", **opening)
            tools = self.shim.ask("list", "tools/list")["result"]["tools"]
            assert len(tools) == 5, f"tools are held back after a kill: {tools}"
            self.listed = True
            waiting = 0
            for n in range(100_000):
                name = f"{self._number}-{n}"
                self.sent.add(name)
                params = {"name": "look", "arguments": {"n": name}}
                self.shim.send({"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": params})
                waiting += 1
                while waiting >= self._ahead:
                    self._hear()
                    waiting -= 1
        with contextlib.suppress(OSError, ValueError):
            while True:
                self._hear()

    def _hear(self):
        answer = self.shim.read()
        self._first.set()
        if "result" in answer:
            assert answer["result"]["content"][0]["text"] == "did look", answer
            self.answered.append(answer["id"])

    def end(self):
        """Waits until all of it has ended, by itself; how the shim ended."""
        self._first.set()
        self._killer.join(PATIENCE)
        assert not self._killer.is_alive()
        status = self.shim.process.wait(PATIENCE)
        for pipe in (self.shim.process.stdin, self.shim.process.stdout, self.shim.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()
        for pid in children() - self._before - {self.shim.process.pid}:
            ended(pid)
        return status


def children(pid=None):
    """The processes that a process has started, or that became its own."""
    found = set()
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
            found |= set(map(int, (task / "children").read_text().split()))
    return found


def ended(pid):
    """Reap a child that ends by itself; raise when it does not."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return
        assert time.monotonic() < until, f"process {pid} is still there {PATIENCE} s after its shim was killed"
        time.sleep(0.005)


def soak(amount, directory):
    """``amount`` lives, each of which ends with a kill."""
    chance = random.Random(SEED)
    libc = ctypes.CDLL(None)
    libc.prctl(SUBREAPER, 1, 0, 0, 0)
    counts, answered, sent = Counter(), [], set()
    try:
        for number in range(amount):
            life = Life(directory, number, chance)
            life.talk()
            status = life.end()
            assert status == (128 + signal.SIGKILL if life.whom == "server" else -signal.SIGKILL) or (
                life.whom == "both" and status == 128 + signal.SIGKILL
            ), f"killed was the {life.whom}, and the shim ended with {status}"
            counts[life.whom] += 1
            counts["in_mid_calls"] += bool(life.sent)
            answered += life.answered
            sent |= life.sent
            counts["in_flight"] += len(life.sent) - len(life.answered)
    finally:
        libc.prctl(SUBREAPER, 0, 0, 0, 0)
    ran = book(directory / "book.jsonl")
    assert (most := max(ran.values(), default=0)) <= 1, f"a call ran {most} times"
    assert max(Counter(answered).values(), default=0) <= 1, "a call was answered twice"
    missing = set(answered) - ran.keys()
    assert not missing, f"{len(missing)} calls were answered and never ran"
    assert ran.keys() <= sent, "calls ran that nobody sent"
    return {"kills": amount, **counts, "answered": len(answered), "ran": len(ran), "twice": 0, "left_over": 0}


def book(file):
    """How often each call reached a server."""
    lines = file.read_bytes().splitlines() if file.exists() else []
    came = [json.loads(line) for line in lines]
    return Counter(one["params"]["arguments"]["n"] for one in came if one.get("method") == "tools/call")
