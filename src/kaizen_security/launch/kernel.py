"""The kernel rung of a run: the collector around the agent's processes, its policy in force there, and what was seen reported."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from time import monotonic

from kaizen_security.collectors.kernel.actions import Translator
from kaizen_security.collectors.kernel.collector import Collector, NotHere, root_cgroup
from kaizen_security.collectors.kernel.files import FileEvent, FileWatch
from kaizen_security.collectors.kernel.policy import Table, compile_rules
from kaizen_security.collectors.kernel.programs import ProgramWatch
from kaizen_security.collectors.kernel.reporting import Reporting, stand_back
from kaizen_security.collectors.kernel.seal import Seal, undone
from kaizen_security.collectors.kernel.shapes import Agent
from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import NOTHING_DECLARED
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.verdict import Mode, Verdict
from kaizen_security.launch.clock import new_id, now
from kaizen_security.launch.plan import Plan
from kaizen_security.launch.policies import Policies
from kaizen_security.launch.space import NAMES, PROXY, TRANSPARENT

log = logging.getLogger(__name__)

SEAL = 1.0
"""Seconds between two looks whether all that holds the agent is as it was put."""
MOST_UNDONE = 20
"""Reports of one such look at the most; the number is counted."""
NUMBER = 0
"""The agent's number: a run has programs and tables of its own."""


class KernelRung:
    """``report`` gets every action with its verdict, from the rung's own thread; ``sidecar`` is its unix socket's path, if any.

    Raises NotHere where eBPF is not to be had.
    """

    def __init__(
        self,
        plan: Plan,
        run_id: str,
        *,
        proxy: tuple[str, int] | None,
        local: tuple[int, ...],
        sidecar: str,
        report: Callable[[Action, Verdict], None],
    ) -> None:
        self._plan = plan
        self._collector = Collector.start()
        self._table = Table(self._collector, NUMBER)
        self._permitted = tuple(_permitted(plan, proxy, local))
        self._stopping = threading.Event()
        translator = Translator(
            agent=plan.agent,
            run_id=run_id,
            ids=new_id,
            name_of=lambda address: self._collector.name_of(address, NUMBER),
            services={sidecar},
            own={*([proxy] if proxy else []), *(("127.0.0.1", port) for port in (*local, PROXY, TRANSPARENT))},
        )
        self._reporting = Reporting(translator, self._collector.event, report)
        self._seal, self._sealed = Seal(self._collector, NUMBER), 0.0
        self._report, self._run_id, self._undoings = report, run_id, 0
        self._cgroup: Path | None = None
        self._thread = threading.Thread(target=self._work, name="kernel-rung", daemon=True)
        self._policies: Policies | None = None
        self._changed: SimpleQueue[FileEvent] = SimpleQueue()
        self._files = self._watch()
        if self._files is not None and plan.enforce and self._collector.refuses_files:
            self._collector.shut(self._files.shut, NUMBER)
        self._programs: ProgramWatch | None = None
        self._hashes: frozenset[str] = frozenset()
        self.trouble = ""
        """What of policy and declaration is not in force here, and why; empty when all is."""
        self.in_force(None)
        if plan.enforce:
            try:
                self._collector.pin(pin_name(plan.agent, run_id))
            except NotHere:
                self.close()
                raise
        # Last, so that nothing of it stays behind when there is to be no run.
        self._cgroup = _own_cgroup(plan.agent, run_id) if plan.command else None

    def _watch(self) -> FileWatch | None:
        plan = self._plan
        if not plan.watch and not plan.refuse:
            return None
        try:
            return FileWatch(
                plan.watch,
                plan.refuse,
                agent=lambda pid, ended: self._collector.agent_of(pid, ended=ended) == NUMBER,
                report=self._changed.put,
                enforce=plan.enforce,
            )
        except (OSError, Misconfigured) as err:
            self._collector.close()
            raise Misconfigured(f"files cannot be watched: {err}") from err

    def begin_with(self, policies: Policies) -> None:
        """Put in force what ``policies`` says now, and from ``start`` on whatever it says later; ``trouble`` says where it says
        nothing.
        """
        bundle = policies.first()
        if bundle is not None:
            self.in_force(bundle)
        elif policies.trouble:
            self.trouble = f"policy and declaration have not arrived ({policies.trouble}); they are asked for again"
        self._policies = policies

    def in_force(self, bundle: Bundle | None) -> None:
        """Put a policy in force, whole, or keep the one before and say why in ``trouble``."""
        plan = self._plan
        enforce = plan.enforce or (bundle is not None and bundle.mode is Mode.ENFORCE and not bundle.paused)
        flags = Agent.LIVE | (Agent.WATCHED if self._files is not None else Agent(0))
        if enforce:
            flags |= Agent.ENFORCE | Agent.QUIC_SHUT | (Agent.CLOSED if plan.fail_closed else Agent(0))
        try:
            rules = compile_rules(
                bundle.declaration if bundle is not None else NOTHING_DECLARED,
                bundle.policies if bundle is not None else (),
                also=self._permitted,
                limited=enforce,
            )
            self._table.put(rules, flags)
            self._hashes = frozenset(rules.hashes)
            if self._programs is not None:
                self._programs.deny(self._hashes)
            self.trouble = ""
        except Misconfigured as err:
            self.trouble = f"the newest policy is NOT in force in the kernel: {err}"
            log.error("%s", self.trouble)

    def mark(self, pid: int) -> None:
        """That process, and all that it starts, is the agent."""
        self._collector.mark(pid, NUMBER)
        if self._cgroup is not None:
            with suppress(OSError):
                (self._cgroup / "cgroup.procs").write_text(str(pid))

    def unmark(self, pid: int) -> None:
        """It has ended before it was marked."""
        self._collector.unmark(pid)

    def confined(self, pid: int) -> list[str]:
        """The agent's first process has the mounts that it will have: what is lacking to stop programs by their hash, in words."""
        if os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt"):
            return []  # in observe mode it has the host's, and nobody but the agent is to wait for us
        try:
            self._programs = ProgramWatch(pid, self._changed.put)
        except OSError as err:
            return [f"programs with a known-bad hash are reported, not stopped: {err}"]
        self._programs.deny(self._hashes)
        return []

    def marked(self) -> list[int]:
        """The agent's processes."""
        return self._collector.marked(NUMBER)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()
        if self._policies is not None:
            self._policies.start()

    def _work(self) -> None:
        stand_back()
        while not self._stopping.is_set():
            self._look(0.25)
        self._look(0.0)

    def _look(self, seconds: float) -> None:
        if monotonic() - self._sealed >= SEAL and not self._stopping.is_set():
            self._sealed = monotonic()
            found = self._seal.look()
            self._undoings += len(found)
            for what in found[:MOST_UNDONE]:
                log.error("%s", what)
                self._report(*undone(what, agent=self._plan.agent, run_id=self._run_id, id_=new_id(), at=now()))
        for record in self._collector.records(seconds=seconds):
            self._reporting.take(record, monotonic())
        while not self._changed.empty():
            self._reporting.file(self._changed.get(), now(), monotonic())

    def counts(self) -> Mapping[str, int]:
        """By what it is called; losses under ``lost: <reason>``."""
        counted = self._collector.counters()
        found = {"events": counted["told"], "refused in the kernel": counted["refused"]}
        found |= {f"lost: {name.removeprefix('lost_')} full": counted[name] for name in ("lost_ring", "lost_mark")}
        found["names that could not be read"] = counted["lost_name"]
        found["what holds the agent undone, and put back"] = self._undoings
        if self._files is not None:
            counts = self._files.counts
            found |= {"watched files": counts["seen"], "files refused": counts["refused"]}
            found["lost: file queue full"] = counts["overflow"]
            found["lost: file not to be looked at"] = counts["unreadable"] + counts["undecided"]
        if self._programs is not None:
            found["programs refused by their hash"] = self._programs.counts["refused"]
            found["lost: program not to be hashed"] = (
                self._programs.counts["too large"] + self._programs.counts["unreadable"]
            )
        return {**found, **self._reporting.counts}

    def stop(self) -> None:
        """Watch files and programs no longer, and read what is left."""
        if not self._stopping.is_set():
            # Whatever they answered is told before they end, and so before the last look.
            for watch in (self._files, self._programs):
                if watch is not None:
                    watch.close()
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def close(self) -> None:
        """Nothing of the rung stays behind."""
        self.stop()
        self._collector.close()
        if self._cgroup is not None:
            with suppress(OSError):
                self._cgroup.rmdir()


def _permitted(plan: Plan, proxy: tuple[str, int] | None, local: tuple[int, ...]) -> list[str]:
    """Where the agent may go besides what it declared: Kaizen's own parts, resolvers, what the command line says."""
    found = [*(f"{host}:{port}" for host, port in ([proxy] if proxy else [])), *plan.allow]
    found += [f"127.0.0.1:{port}" for port in local]
    if plan.namespace:
        return [*found, *(f"127.0.0.1:{port}" for port in (NAMES, PROXY, TRANSPARENT))]
    with suppress(OSError), open("/etc/resolv.conf") as file:
        for line in file:
            words = line.split()
            if len(words) >= 2 and words[0] == "nameserver":
                host = words[1].partition("%")[0]
                found.append(f"[{host}]:53" if ":" in host else f"{host}:53")
    return found


def pin_name(agent: str, run_id: str) -> str:
    """What pins and control group of a run are called, behind ``kaizen-``."""
    name = "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "-" for char in agent)[:40]
    return f"{name}-{run_id[:8]}"


def _own_cgroup(agent: str, run_id: str) -> Path | None:
    """A control group of the agent's own, None where that cannot be had: what is held does not depend on it."""
    folder = Path(root_cgroup()) / f"kaizen-{pin_name(agent, run_id)}"
    try:
        folder.mkdir()
    except OSError:
        return None
    return folder
