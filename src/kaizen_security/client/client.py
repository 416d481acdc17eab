"""Kaizen: what an agent attaches. Judges an action before it runs, and reports what was judged (``docs/reference/client.md``).

It never breaks its host: besides ``KaizenBlocked`` (``enforce``, ``guard``) nothing of ours is raised after construction, nothing
is waited for longer than the stated deadline (a person: ``hold_seconds``), and what is lost is counted in ``lost``.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from kaizen_security.client import forks
from kaizen_security.client.clock import Ids, now
from kaizen_security.client.config import Settings, load
from kaizen_security.client.fields import action_of, declaration_of, policies_of
from kaizen_security.client.later import Later
from kaizen_security.client.named import Named
from kaizen_security.client.noting import RUN, Noting
from kaizen_security.client.worker import close_with_worker
from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import KaizenBlocked, Unreachable
from kaizen_security.contract.verdict import Mode, Verdict

if TYPE_CHECKING:
    from kaizen_security.client.audit import Audit
    from kaizen_security.client.beat import Beat
    from kaizen_security.client.rules import Rules
    from kaizen_security.client.run import Run

    F = TypeVar("F", bound=Callable[..., object])

EXIT_SECONDS = 3.0
"""How long a process that ends waits for the delivery of its reports; what is left is in the spool."""


class Kaizen(Noting):
    """Attach one agent. Arguments that are None are taken from the environment, the settings file or the default
    (``client.config``).

    ``policies``    policies of your own, in force beside the organisation's
    ``sync``        fetch the organisation's policy at construction, and keep it up to date
    ``report``      send what was judged to the control plane (needs an API key) or the sidecar
    ``on_verdict``  called with ``(verdict, action)`` after every verdict; what it raises is swallowed and counted in ``lost``
    ``sidecar``     ask this sidecar before an action runs: ``unix:///path/kaizen.sock`` or ``http://127.0.0.1:8001``
    ``mode``        ``"observe"`` or ``"enforce"``; can only tighten what the organisation set for the agent

    ``audit``       hear what this process opens for writing, looks up, connects to and starts; once on, the hook stays

    Raises Misconfigured naming the argument, the variable or the policy that cannot be used; never because something is
    unreachable. Safe for threads and forks.
    """

    def __init__(
        self,
        api_key: str = "",
        base_url: str | None = None,
        policies: Iterable[object] | None = None,
        agent: str = "default",
        fail_open: bool | None = None,
        report: bool | None = None,
        sync: bool | None = None,
        on_verdict: Callable[[Verdict, Action], object] | None = None,
        *,
        sidecar: str | None = None,
        mode: str | Mode | None = None,
        in_tenant: bool | None = None,
        deadline: float | None = None,
        hold_seconds: float | None = None,
        data: str | os.PathLike[str] | None = None,
        spool_bytes: int | None = None,
        audit: bool | None = None,
    ) -> None:
        self.settings: Settings = load(
            {
                "api_key": api_key or None,
                "base_url": base_url or None,
                "agent": None if agent == "default" else agent,
                "fail_open": fail_open,
                "report": report,
                "sync": sync,
                "sidecar": sidecar,
                "mode": mode,
                "in_tenant": in_tenant,
                "deadline": deadline,
                "hold_seconds": hold_seconds,
                "data": None if data is None else os.fspath(data),
                "spool_bytes": spool_bytes,
                "audit": audit,
            }
        )
        self.on_verdict = on_verdict
        self.ids = Ids()
        self._lost: dict[str, int] = {}
        self._closed = False
        from kaizen_security.client.attach import Attachment
        from kaizen_security.client.judge import Judge

        self._attached = Attachment(self.settings, self.ids)
        self._judging = Judge(self.settings, self._attached, self.ids, policies_of(policies))
        self._judge = self._judging.judge
        self._link = self._attached.link
        self._later = Later(self._link) if self._link is not None else None
        self._named = Named(self)
        self._beat: Beat | None = None
        self._reporter = self._attached.reporter
        self._renewal = self._attached.renewal(self._judging.apply, self._judging.missing)
        self._first_look()
        self._audit: Audit | None = None
        if self.settings.audit:
            from kaizen_security.client.audit import Audit

            self._audit = Audit(self, self._judging, self._attached.upstream, self.settings.data)
            self._audit.wake()
        # After a fork threads are gone; the first verdict of the child starts them again.
        self._asleep = True
        self._rousing = threading.Lock()
        _LIVE.add(self)

    # --- verdicts

    def inspect(self, action: Action | Mapping[str, object] | None = None, /, **fields: object) -> Verdict:
        """The verdict on an action, before it runs: ``inspect(action)`` or ``inspect(tool="send", target="api.example:443")``.

        Fields are those of ``Action``, and ``arguments``, ``sensitive`` and ``source``, which go into its metadata. Absent and None
        are the same. Raises nothing but TypeError for a field that there is not.
        """
        if fields or type(action) is not Action:
            action = action_of(action, fields)
        at = now()
        run_id = action.run_id or RUN.get()
        if self._asleep:
            self._rouse()
        try:
            verdict = self._judge(action, at, run_id)
        except Exception as err:  # noqa: BLE001  # a listed boundary
            # Our own mistake must neither break the agent nor silently let everything pass: the caller chose what holds.
            self._lose("engine errors")
            verdict = self._judging.failed(err, action, at, run_id)
        if self.on_verdict is not None:
            self._show(verdict, action)
        return verdict

    def enforce(self, action: Action | Mapping[str, object] | None = None, /, **fields: object) -> Verdict:
        """``inspect``, and raise KaizenBlocked when the action is not allowed."""
        verdict = self.inspect(action, **fields)
        if verdict.blocked:
            raise KaizenBlocked(verdict)
        return verdict

    async def ainspect(self, action: Action | Mapping[str, object] | None = None, /, **fields: object) -> Verdict:
        """``inspect`` for coroutines: the event loop goes on while the sidecar is asked. See ``AsyncKaizen``."""
        streams = self._attached.streams
        if streams is None:
            return self.inspect(action, **fields)
        if fields or type(action) is not Action:
            action = action_of(action, fields)
        at = now()
        run_id = action.run_id or RUN.get()
        if self._asleep:
            self._rouse()
        try:
            verdict = await self._judging.ajudge(action, at, run_id, streams)
        except Exception as err:  # noqa: BLE001  # a listed boundary
            # As in ``inspect``. A cancelled task is none of our mistakes: that goes on to the caller.
            self._lose("engine errors")
            verdict = self._judging.failed(err, action, at, run_id)
        if self.on_verdict is not None:
            self._show(verdict, action)
        return verdict

    async def aenforce(self, action: Action | Mapping[str, object] | None = None, /, **fields: object) -> Verdict:
        """``enforce`` for coroutines."""
        verdict = await self.ainspect(action, **fields)
        if verdict.blocked:
            raise KaizenBlocked(verdict)
        return verdict

    def _show(self, verdict: Verdict, action: Action) -> None:
        try:
            if self.on_verdict is not None:
                self.on_verdict(verdict, action)
        except Exception:  # noqa: BLE001  # a listed boundary
            # The caller's own code, called in the middle of the agent's work: counted, not raised.
            self._lose("on_verdict errors")

    # --- attaching

    def guard(
        self,
        fn: F | None = None,
        *,
        tool: str | None = None,
        kind: str = "tool_call",
        target: str | None = None,
        sensitive: bool = False,
    ) -> F | Callable[[F], F]:
        """Decorate a tool: its calls are judged first, and raise KaizenBlocked instead of running when they are not allowed.

        With or without arguments, for functions, coroutines, generators, async generators and methods; signature, docstring,
        results and exceptions stay as they are. ``tool`` is its name (default: the function's), ``target`` the name of the argument
        that says what it is done to, ``sensitive`` that it reads sensitive data.
        Raises Misconfigured for a ``target`` that is no argument of the function.
        """
        from kaizen_security.client.guard import guarded

        def decorate(fn: F) -> F:
            return guarded(self, fn, tool=tool, kind=kind, target=target, sensitive=sensitive)

        return decorate if fn is None else decorate(fn)

    def declare(
        self,
        tools: Iterable[str] | None = None,
        destinations: Iterable[str] | None = None,
        purpose: str | None = None,
        data: Iterable[str] | None = None,
    ) -> bool:
        """Say what the agent is for; it holds here at once. True when the sidecar or the control plane has taken it.

        ``data`` are classes of data that it may read and send (``contract.declaration.DataClass``); what a run reads is heard by
        the sidecar only, so that it is the sidecar which tells when another one is met.

        False: nobody is attached, nobody takes it just now (then it is sent again in the background, 0.5 s later, doubling to
        60 s, until it is taken, replaced or refused), or it was refused (counted in ``lost``). Raises Misconfigured naming an
        entry that would mean nothing.
        """
        declared = declaration_of(tools, destinations, purpose, data)
        self._judging.declare(declared)
        return self._attached.manifest.declare(declared)

    def run(self, request: str | None = None, *, run_id: str | None = None) -> Run:
        """One execution of the agent: ``with kaizen.run("what the user asked") as run:``. Verdicts inside carry ``run.id``.

        The request goes to an in-tenant sidecar or nowhere.
        """
        from kaizen_security.client.run import Run

        return Run(self, request or "", run_id or self.ids.new())

    def attached(self, source: str) -> None:
        """There is an attach point for that feed (``langchain`` …) here: the sidecar is told every 30 seconds, and at the end.

        One that falls silent without a goodbye is a *dark agent*, which the sidecar reports.
        """
        if self._link is None or self._closed:
            return
        if self._beat is None:
            from kaizen_security.client.beat import Beat

            self._beat = Beat(self._link, self.settings.agent, self.ids.new())
        self._beat.attached(source)

    def named(self, name: str) -> Kaizen:
        """The client of a sub-agent, ``AGENT/name``: this one's settings and policies, an identity and a baseline of its own.

        The same client for the same name; at most 32 names, after those it is this one. It is flushed and closed with this one.
        """
        return self._named.get(name)

    # --- what is in force

    @property
    def rules(self) -> Rules:
        """What is in force just now: policy, declaration, mode, version, and whether the organisation's policy is missing."""
        return self._judging.rules

    @property
    def current_run(self) -> str:
        """The ``run_id`` of the current context; empty outside of a run."""
        return RUN.get()

    def mcp_meta(self, act_id: str = "") -> dict[str, str]:
        """``_meta`` for an MCP request: shim and gateway then judge it as part of the current run, and as the deed ``act_id``.

        ``session.call_tool(name, arguments, meta=kaizen.mcp_meta())``; empty outside of a run.
        """
        named = {"kaizen-security/run": self.current_run, "kaizen-security/act": act_id}
        return {key: value for key, value in named.items() if value}

    @property
    def problem(self) -> str:
        """Why policy is not renewed or reports are not delivered just now; empty when all is well."""
        renewal = self._renewal.problem if self._renewal else ""
        return renewal or (self._reporter.problem if self._reporter else "")

    @property
    def lost(self) -> dict[str, int]:
        """What was lost since this process began, by reason; empty when nothing was."""
        lost = dict(self._lost)
        heard = list(self._audit.lost.items()) if self._audit else []
        for reason, n in (*self._attached.lost(), *heard, *self._named.lost()):
            lost[reason] = lost.get(reason, 0) + n
        return lost

    def _first_look(self) -> None:
        """Ask for the organisation's policy; waits for it for up to 3 seconds."""
        if self._renewal is not None:
            self._renewal.first()

    def _lose(self, reason: str) -> None:
        self._lost[reason] = self._lost.get(reason, 0) + 1

    # --- life

    def _rouse(self) -> None:
        with self._rousing:
            if not self._asleep:
                return  # another thread was first
            self._asleep = False
        if self._renewal is not None and not self._closed:
            self._renewal.start()
        self._attached.manifest.wake()
        if self._beat is not None:
            self._beat.wake()
        if self._audit is not None:
            self._audit.wake()

    def wake(self) -> None:
        """Renew policy and deliver in the background from now on. The first verdict does it by itself."""
        if self._asleep:
            self._rouse()

    def flush(self, timeout: float = 5.0) -> bool:
        """Deliver every report and step; false when some are still waiting after ``timeout`` seconds (they are in the spool)."""
        until = monotonic() + timeout
        if self._audit is not None:
            self._audit.drain()
        sent = self._attached.manifest.deliver() & self._named.flush(until)
        if self._link is not None:
            try:
                self._link.send_steps(timeout)
            except Unreachable:
                sent = False
        if self._reporter is not None:
            return self._reporter.flush(max(until - monotonic(), 0.0)) and sent
        return sent

    def close(self, timeout: float = EXIT_SECONDS) -> None:
        """Flush and let go. A process that ends does this by itself; a verdict after it is still given, but not reported."""
        if self._closed:
            return
        self._closed = True
        until = monotonic() + timeout
        if self._renewal is not None:
            self._renewal.stop()
        self._attached.manifest.stop()
        if self._audit is not None:
            self._audit.stop()
        if self._later is not None:
            self._later.stop()
        if self._beat is not None:
            self._beat.stop()
        self._named.close(until)
        if self._link is not None:
            with suppress(Unreachable):  # what it did not take is counted by close
                self._link.send_steps(max(until - monotonic(), 0.1))
        self._attached.close()
        if self._reporter is not None:
            self._reporter.close(max(until - monotonic(), 0.1))

    def __enter__(self) -> Kaizen:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _after_fork(self) -> None:
        self._rousing = threading.Lock()
        self.ids.renew()
        self._judging.sequence.after_fork()
        self._attached.manifest.after_fork()
        self._named.reset()
        if self._later is not None:
            self._later.after_fork()
        if self._beat is not None:
            self._beat.after_fork(self.ids.new())
        if self._audit is not None:
            self._audit.after_fork()
            self._audit.wake()
        self._lost = {}
        self._asleep = True
        close_with_worker(self)


_LIVE = forks.alive(Kaizen)


@atexit.register
def _close() -> None:
    # One for all: what is registered stays registered, and an agent may make clients without end. They share the time as well.
    until = monotonic() + EXIT_SECONDS
    with ExitStack() as closing:  # whatever one of them raises, the others are closed too
        for kaizen in list(_LIVE):
            closing.callback(lambda one: one.close(max(until - monotonic(), 0.1)), kaizen)
