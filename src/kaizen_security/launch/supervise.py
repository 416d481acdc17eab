"""The supervisor of one run: the way that holds the agent, the agent's process, and what is left of it at the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from kaizen_security.collectors.kernel import linux
from kaizen_security.collectors.kernel.collector import PINS, NotHere
from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.launch.child import Order, become
from kaizen_security.launch.clock import new_id, now
from kaizen_security.launch.hidden import service_sockets
from kaizen_security.launch.kernel import KernelRung
from kaizen_security.launch.names import Names
from kaizen_security.launch.notify import Notices
from kaizen_security.launch.outlet import Outlet, outlet_of, upstream_of
from kaizen_security.launch.plan import COLLECTOR_KEY, Outcome, Plan, Reached, Way
from kaizen_security.launch.policies import Policies
from kaizen_security.launch.proxy import OwnProxy, ProxyAt, client_variables, trusting
from kaizen_security.launch.seccomp import name_of, number_of, socket_kind
from kaizen_security.launch.space import PROXY
from kaizen_security.launch.wayout import WayOut

_PR_SET_CHILD_SUBREAPER = 36
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_LAST_SECONDS = 2.0
"""Seconds that what the agent left running gets after SIGTERM."""


class NotStarted(KaizenError):
    """The agent could not be started; ``status`` is what a shell would say (126, 127), or 125 when it was our own set-up."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Run:
    """One run. ``run`` does all of it; ``say`` gets lines for people, ``heard`` every action that we saw."""

    def __init__(
        self,
        plan: Plan,
        say: Callable[[str], None],
        heard: Callable[[Action, Verdict], None] = lambda action, verdict: None,
    ) -> None:
        self.plan = plan
        self.id = new_id()
        self._say = say
        self._heard = heard
        self._environ = {name: value for name, value in plan.environ.items() if name != COLLECTOR_KEY}
        self._settings = plan.settings()
        self._names = Names()
        self._outlet: Outlet | None = None
        self._sockets: list[tuple[str, socket.socket]] = []
        self._own: OwnProxy | None = None
        self._rung: KernelRung | None = None
        self._served: WayOut | None = None
        self._notices: Notices | None = None
        self._pid = 0

    def run(self) -> Outcome:
        """Start, wait, end, count. Raises NotStarted, Misconfigured."""
        began = time.monotonic()
        with ExitStack() as after:
            folder = Path(after.enter_context(TemporaryDirectory(prefix="kaizen-run-")))
            folder.chmod(0o755)  # what is in it is read by the agent, which may be another user
            self._open_outlet(after)
            proxy = self._proxy(after)
            why = self._kernel(after, proxy)
            reached, talk = self._begin(Way.KERNEL if self._rung else Way.NAMESPACE, why, proxy, folder)
            after.callback(talk.close)
            after.callback(self._end_leftovers)
            self._serve(after, proxy)
            self._say(describe(reached, self.plan))
            talk.send(b"go")
            _heard(talk, started=True)
            status = self._wait()
            self._end_leftovers()
            counts = self._counts()
        return Outcome(
            status=status,
            seconds=time.monotonic() - began,
            reached=reached,
            counts={name: n for name, n in counts.items() if n and not name.startswith("lost: ")},
            lost={name.removeprefix("lost: "): n for name, n in counts.items() if n and name.startswith("lost: ")},
        )

    def _kernel(self, after: ExitStack, proxy: ProxyAt) -> str:
        """The kernel rung, where it was not declined: why there is none, empty when there is."""
        plan = self.plan
        if plan.want not in (None, Way.KERNEL):
            return "asked for"
        try:
            unix = self._settings.sidecar.removeprefix("unix://")
            rung = KernelRung(plan, self.id, proxy=proxy.place, local=self._local(), sidecar=unix, report=self._report)
        except NotHere as err:
            if plan.want is Way.KERNEL:
                raise
            return str(err)
        after.callback(rung.close)
        self._rung = rung
        url = upstream_of(self._settings)
        if url:
            policies = Policies(url, self._settings.api_key, plan.agent, rung.in_force)
            rung.begin_with(policies)
            after.callback(policies.stop)
        return ""

    def _counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        if self._rung is not None:
            self._rung.stop()
            found |= self._rung.counts()
        if self._served is not None:
            found |= self._served.counts
        if self._notices is not None:
            self._notices.join()
            found |= self._notices.counts
        if self._own is not None:
            found |= {f"proxy: {name}": n for name, n in self._own.counts().items()}
        return found | self._lost()

    # --- the parts around the agent -----------------------------------------------------------------------------------------

    def _open_outlet(self, after: ExitStack) -> None:
        self._outlet = outlet_of(self._settings, self.plan.data / "spool")
        if self._outlet is not None:
            after.callback(self._outlet.stop, 5.0)

    def _proxy(self, after: ExitStack) -> ProxyAt:
        if self.plan.proxy:
            return ProxyAt.of(self.plan.proxy)
        self._own = OwnProxy(
            agent=self.plan.agent,
            mode=self.plan.mode.value,
            data=self.plan.data / "egress",
            environ={**self._environ, "KAIZEN_API_KEY": self._settings.api_key},
        )
        after.callback(self._own.stop)
        host, port = self._own.place
        return ProxyAt(host=host, port=port)

    def _serve(self, after: ExitStack, proxy: ProxyAt) -> None:
        """Start what needs threads. Not before the fork: a child goes on with whatever locks the others held then, for ever."""
        if self._outlet is not None:
            self._outlet.start()
        if self._own is not None:
            self._own.listen()
        if self._sockets:
            self._served = WayOut(self._sockets, proxy=proxy, names=self._names, seen=self._seen)
            self._served.start()
            after.callback(self._served.stop)
        if self._rung is not None:
            self._rung.start()

    def _refused_call(self, pid: int, number: int, arguments: tuple[int, ...]) -> None:
        """A call that the seccomp filter refuses."""
        name = name_of(number)
        target = socket_kind(arguments[0], arguments[1]) if name == "socket" else name
        self._seen("connect", target, {"transport": target, "method": name, "pid": str(pid)})

    def _report(self, action: Action, verdict: Verdict) -> None:
        self._heard(action, verdict)
        if self._outlet is not None:
            self._outlet.report(action, verdict)

    def _seen(self, kind: str, target: str, facts: Mapping[str, str]) -> None:
        """The namespace's own sightings: names asked for, and packets that had no way out."""
        refused = kind == "connect"
        action = Action(
            kind=kind,
            target=target,
            metadata={"source": "egress", **facts},
            id=new_id(),
            run_id=self.id,
            agent=self.plan.agent,
            at=now(),
        )
        verdict = Verdict(
            Decision.BLOCK if refused else Decision.ALLOW,
            reasons.undeclared(destination=target) if refused else reasons.OBSERVED_EGRESS,
            action_id=action.id,
        )
        self._report(action, verdict)

    def _lost(self) -> dict[str, int]:
        return {} if self._outlet is None else {k: n for k, n in self._outlet.counts.items() if k.startswith("lost: ")}

    # --- the agent ----------------------------------------------------------------------------------------------------------

    def _begin(self, way: Way, why: str, proxy: ProxyAt, folder: Path) -> tuple[Reached, socket.socket]:
        """The child, held the way that was chosen; the next weaker one where that turns out not to be had."""
        if self.plan.want is Way.PROXY:
            way = Way.PROXY
        while True:
            order = self._order(way, proxy, folder)
            try:
                talk, lacks = self._fork(order)
            except NotStarted as err:
                if err.status != 125 or way is not Way.NAMESPACE or self.plan.want is not None:
                    raise
                way, why = Way.PROXY, f"{why}; no namespace: {err}"
                continue
            lacks += [self._rung.trouble] if self._rung is not None and self._rung.trouble else []
            return Reached(way=way, why=why, lacks=tuple(lacks)), talk

    def _order(self, way: Way, proxy: ProxyAt, folder: Path) -> Order:
        plan = self.plan
        inside = way is Way.NAMESPACE or (way is Way.KERNEL and plan.namespace)
        confined = way is Way.NAMESPACE or plan.enforce
        resolver = folder / "resolv.conf"
        resolver.write_text("nameserver 127.0.0.1\noptions attempts:1 timeout:5\n")
        trusted = trusting(Path(plan.authority), folder, plan.environ) if plan.authority else {}
        url = proxy.url(("127.0.0.1", PROXY) if inside else None)
        local = self._local()
        return Order(
            command=plan.command,
            env={
                **self._environ,
                **client_variables(url),
                **trusted,
                "KAIZEN_AGENT": plan.agent,
                "KAIZEN_RUN": plan.environ.get("KAIZEN_RUN") or self.id,
            },
            space=inside,
            users=os.geteuid() != 0,
            local=local,
            hidden=self._hidden(way) if confined and (inside or os.geteuid() == 0) else (),
            resolver=str(resolver) if inside else "",
            confined=confined,
            unix=plan.unix,
            user=plan.user,
            output=plan.output,
            io_uring=plan.io_uring and way is Way.KERNEL,
            ports=(proxy.port, *local) if way is Way.PROXY and plan.enforce else None,
            moves=not plan.refuse,
        )

    def _local(self) -> tuple[int, ...]:
        ours = (self._settings.base_url, self._settings.sidecar, self.plan.environ.get("KZ_SANDBOX_URL", ""))
        parts = _loopback_ports(*ours)
        return tuple(dict.fromkeys((*self.plan.local, *parts)))

    def _hidden(self, way: Way) -> tuple[str, ...]:
        """Every service's socket but the sidecar's; and the pins of the kernel programs, which whoever is root could remove."""
        found = service_sockets(self._settings.sidecar.removeprefix("unix://"))
        return (*found, str(PINS)) if way is Way.KERNEL else found

    def _fork(self, order: Order) -> tuple[socket.socket, list[str]]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        linux.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        pid = os.fork()
        if pid == 0:
            ours.close()
            become(order, theirs)
        theirs.close()
        self._pid = pid
        try:
            said, fds = _heard(ours)
            roles = said.get("roles")
            sockets = [socket.socket(fileno=fd) for fd in fds]
            self._sockets = list(zip(roles if isinstance(roles, list) else [], sockets, strict=False))
            lacks = _texts(said.get("lacks"))
            if self._rung is not None:
                self._rung.mark(pid)  # from here on it is the agent; what its namespace needed was ours
            ours.send(b"go")
            said, fds = _heard(ours)
            lacks += _texts(said.get("lacks"))
            if self._rung is not None:
                lacks += self._rung.confined(pid)
            if fds:
                self._notices = Notices(fds[0], self._refused_call, limits=number_of("prlimit64"))
        except NotStarted:
            os.waitpid(pid, 0)
            self._pid = 0
            ours.close()
            raise
        return ours, lacks

    def _wait(self) -> int:
        """Until the agent's first process ends: its status."""
        previous = {number: signal.signal(number, self._forward) for number in _FORWARDED}
        # A terminal sends these to the agent as well, and it is the agent's to decide.
        previous |= {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
        try:
            while True:
                status = self._reap()
                if status is not None:
                    return status
        finally:
            for number, how in previous.items():
                signal.signal(number, how)

    def _reap(self) -> int | None:
        """Wait for the next child to end: the agent's status when it was the agent."""
        gone = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        if gone is None:
            return None
        if self._own is not None and gone.si_pid == self._own.pid:
            self._own.alive()  # its own reaper
            self._say("the egress proxy has ended: nothing leaves any more")
            return None
        _, status = os.waitpid(gone.si_pid, 0)
        if gone.si_pid != self._pid:
            return None
        code = os.waitstatus_to_exitcode(status)
        return 128 - code if code < 0 else code

    def _forward(self, number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)

    def _end_leftovers(self) -> None:
        """What the agent left running is a child of ours now (PR_SET_CHILD_SUBREAPER): it ends with the run."""
        until = time.monotonic() + _LAST_SECONDS
        number = signal.SIGTERM
        own = {self._own.pid} if self._own is not None else set()
        while children := _children() - own:
            if time.monotonic() > until:
                number = signal.SIGKILL
            for pid in children:
                with suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, number)
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)


def describe(reached: Reached, plan: Plan) -> str:
    """The rung in words, for people."""
    said = {
        Way.KERNEL: "kernel (eBPF): its processes are seen and held whatever they do",
        Way.NAMESPACE: "network namespace: the egress proxy is the only way out",
        Way.PROXY: "proxy variables only: what ignores them is "
        + ("refused by Landlock and seccomp" if plan.enforce and not reached.lacks else "NOT seen"),
    }[reached.way]
    lines = [f"rung: {said}"]
    if reached.why:
        lines.append(f"  no stronger one: {reached.why}")
    return "\n".join(lines + [f"  lacks: {one}" for one in reached.lacks])


def _heard(talk: socket.socket, *, started: bool = False) -> tuple[dict[str, object], list[int]]:
    """What the child says, and the descriptors that it sends. ``started``: silence means that it became the agent.

    Raises NotStarted when it gave up or died.
    """
    data, fds, _, _ = socket.recv_fds(talk, 1 << 16, 64)
    silence: dict[str, object] = {} if started else {"error": "the child ended before it could start", "status": 125}
    said: dict[str, object] = json.loads(data) if data else silence
    if "error" in said:
        status = said.get("status")
        raise NotStarted(str(said["error"]), status if isinstance(status, int) else 125)
    return said, fds


def _texts(found: object) -> list[str]:
    return [str(one) for one in found] if isinstance(found, list) else []


def _children() -> set[int]:
    """Processes whose parent we are, zombies too."""
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with suppress(OSError), open(f"/proc/self/task/{task}/children") as file:
            found |= {int(pid) for pid in file.read().split()}
    return found


def _loopback_ports(*urls: str) -> tuple[int, ...]:
    """Ports of the host's loopback that Kaizen's own parts are at: the agent's client must reach them from the namespace."""
    found = []
    for url in urls:
        host, _, port = url.partition("://")[2].partition("/")[0].rpartition(":")
        if host in ("127.0.0.1", "localhost") and port.isdecimal():
            found.append(int(port))
    return tuple(found)
