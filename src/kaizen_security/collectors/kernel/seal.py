"""Whether what holds an agent is still as it was put; what is not is put back, and said.

An agent that is root and has every capability, as one may that ran before it was attached to, can undo what holds it: detach a
program or put another in its place, change the flags or marks of the tables, remove the pins. What it does between two looks is not
held and not seen; that it undid something is. It can also kill this process, and of that nothing here can tell.
"""

from __future__ import annotations

import os
import time

from kaizen_security.collectors.kernel.actions import OBSERVED
from kaizen_security.collectors.kernel.collector import Collector, NotHere
from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict

RUNG = "kaizen:kernel-rung"
"""What was undone, as an action's target."""
_EXITING = 4
"""PF_EXITING (linux/sched.h): such a process has no mark any more, or is about to lose it."""


class Seal:
    """``look`` once a second or so."""

    def __init__(self, collector: Collector, number: int) -> None:
        self._collector = collector
        self._number = number
        self._marked: set[int] = set()
        self._looked = 0
        self._lost: list[str] = []

    def look(self) -> list[str]:
        """What was undone since the last look, in words; all of it is in force again, but for what is said to be lost.

        What stays lost for the same reason is said once.
        """
        try:
            back, lost = self._collector.put_back()
        except (OSError, NotHere) as err:
            back, lost = [], [f"what holds the agent cannot be put back: {err}"]
        new = [what for what in lost if what not in self._lost]
        self._lost = lost
        return [*new, *back, *self._marks()]

    def _marks(self) -> list[str]:
        now = _ticks(time.clock_gettime(time.CLOCK_BOOTTIME))
        marked = set(self._collector.marked(self._number))
        # Marked at the last look, and begun before it, so it is no other process of the same number.
        lost = [pid for pid in self._marked - marked if 0 <= _begun(pid) < self._looked]
        for pid in lost:
            self._collector.mark(pid, self._number)
        self._marked, self._looked = marked | set(lost), now
        return [f"the mark of process {pid} was taken away" for pid in lost]


def undone(what: str, *, agent: str, run_id: str, id_: str, at: float) -> tuple[Action, Verdict]:
    """Somebody undid what holds the agent: it was put back, and what was done meanwhile is not known. ``at`` in Unix seconds."""
    facts = {"source": "ebpf", "method": "undo", "what": what}
    action = Action(kind="exec", target=RUNG, metadata=facts, id=id_, act_id=id_, run_id=run_id, agent=agent, at=at)
    finding = Finding(
        "unprotected",
        what,
        "kernel",
        detection="unprotected",
        field="target",
        observed=what,
        expected="what holds the agent stays as it was put",
        advice="Only root can do this: start the agent with kaizen run, which takes that from it.",
    )
    return action, Verdict(Decision.ALLOW, f"{OBSERVED}: what holds the agent was undone", (finding,), action_id=id_)


def _ticks(seconds: float) -> int:
    return int(seconds * os.sysconf("SC_CLK_TCK"))


def _begun(pid: int) -> int:
    """When a process began, in clock ticks after the machine did (proc(5)); -1 when it is gone or about to be."""
    fields = _stat(f"/proc/{pid}/stat")
    if _ending(fields):
        # Its first thread may have ended and the others go on.
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return -1
        if all(_ending(_stat(f"/proc/{pid}/task/{thread}/stat")) for thread in threads):
            return -1
    return int(fields[19]) if fields else -1


def _ending(fields: list[bytes]) -> bool:
    return not fields or fields[0] in b"ZX" or bool(int(fields[6]) & _EXITING)


def _stat(path: str) -> list[bytes]:
    """What proc(5) says of a process or thread, behind its name; nothing when it is gone."""
    try:
        with open(path, "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []
