"""The kernel rung around processes that run already, until they end or we are told to stop. Then nothing of it is left."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from kaizen_security.collectors.kernel.collector import PINS, left_behind, root_cgroup, unpin
from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.verdict import Verdict
from kaizen_security.launch.clock import new_id
from kaizen_security.launch.kernel import KernelRung
from kaizen_security.launch.outlet import Outlet, outlet_of, upstream_of
from kaizen_security.launch.plan import Plan
from kaizen_security.launch.policies import Policies

LOOK = 0.5
"""Seconds between two looks whether there is anybody left."""
LOOKS = 50
"""How often it is looked at most who is to be attached, until a look finds nobody new."""


def tree(pid: int) -> Iterator[int]:
    """A process and all that descend from it, parents first: a child that is made meanwhile inherits its parent's mark."""
    left = [pid]
    while left:
        parent = left.pop()
        yield parent
        with suppress(OSError):
            for task in os.listdir(f"/proc/{parent}/task"):
                with suppress(OSError), open(f"/proc/{parent}/task/{task}/children") as file:
                    left += map(int, file.read().split())


def members(cgroup: str) -> Iterator[int]:
    """The processes of a version 2 control group and of those below it. ``cgroup``: a path, absolute or below the root's.

    Raises Misconfigured.
    """
    root = Path(root_cgroup())
    folder = Path(cgroup) if Path(cgroup).is_relative_to(root) else root / cgroup.lstrip("/")
    if not (folder / "cgroup.procs").is_file():
        raise Misconfigured(f"{folder} is no control group of version 2")
    for procs in (folder / "cgroup.procs", *folder.rglob("cgroup.procs")):
        with suppress(OSError):
            yield from map(int, procs.read_text().split())


class Attached:
    """``processes`` gives who is to be attached, and is asked until it names nobody new: some were being made at the last time.

    ``heard`` gets every action besides being reported. Raises NotHere, Misconfigured.
    """

    def __init__(
        self, plan: Plan, processes: Callable[[], Iterator[int]], heard: Callable[[Action, Verdict], None]
    ) -> None:
        self._plan = plan
        self._processes = processes
        self._heard = heard
        self._stopping = threading.Event()
        self._outlet: Outlet | None = None

    def stop(self) -> None:
        """Let go. From a signal handler too."""
        self._stopping.set()

    def run(self, began: Callable[[int, str], None]) -> Mapping[str, int]:
        """Attach, ``began`` with how many processes and what is not in force, wait, let go; what was counted."""
        plan = self._plan
        settings = plan.settings()
        with ExitStack() as after:
            self._outlet = outlet_of(settings, plan.data / "spool")
            if self._outlet is not None:
                self._outlet.start()
                after.callback(self._outlet.stop, 5.0)
            sidecar = settings.sidecar.removeprefix("unix://")
            rung = KernelRung(plan, new_id(), proxy=None, local=plan.local, sidecar=sidecar, report=self._report)
            after.callback(rung.close)
            if self._outlet is not None:
                policies = Policies(upstream_of(settings), settings.api_key, plan.agent, rung.in_force)
                rung.begin_with(policies)
                after.callback(policies.stop)
            self._mark(rung)
            rung.start()
            began(len(rung.marked()), rung.trouble)
            while rung.marked() and not self._stopping.wait(LOOK):
                pass
            rung.stop()
            return rung.counts()

    def _mark(self, rung: KernelRung) -> None:
        known: set[int] = set()
        for _ in range(LOOKS):
            new = [pid for pid in self._processes() if pid not in known and mark(rung, pid)]
            if not new:
                return
            known.update(new)

    def _report(self, action: Action, verdict: Verdict) -> None:
        self._heard(action, verdict)
        if self._outlet is not None:
            self._outlet.report(action, verdict)


def mark(rung: KernelRung, pid: int) -> bool:
    """Mark a process that is there; False when it has ended.

    A mark of one that has ended would stay, keep the attachment from ending, and hold whoever gets the number next.
    """
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        rung.mark(pid)
        ended, _, _ = select.select([process], [], [], 0)
        if ended:
            rung.unmark(pid)
        return not ended
    finally:
        os.close(process)


def detach(name: str) -> None:
    """Take away what a run or an attachment left behind, by its name in ``kaizen doctor``. Raises Misconfigured."""
    folder = PINS / (name if name.startswith("kaizen-") else f"kaizen-{name}")
    if folder.parent != PINS or folder not in left_behind():
        there = ", ".join(path.name for path in left_behind()) or "nothing"
        raise Misconfigured(f"there are no pins of {name}; there is {there}")
    unpin(folder)
