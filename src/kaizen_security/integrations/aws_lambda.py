"""A Lambda layer for the action groups of Bedrock agents: the function's real connections, beside what the agent tells of it.

Two things happen. The function's HTTP clients go out through the sandbox's egress proxy (ground truth). And a hook of the
interpreter (PEP 578) notes every connection that this process opens past it; these are told after each invocation, before the
runtime freezes the process, as what the function itself saw: they may raise a gap, and never explain one away.

Without a change of code: set the function's handler to ``kaizen_security.integrations.aws_lambda.handler`` and
``KAIZEN_LAMBDA_HANDLER`` to the one that it had. In code: ``@observed`` on the handler.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import KaizenError, Misconfigured
from kaizen_security.contract.fields import rfc3339
from kaizen_security.integrations.sandbox import Sandbox, from_environment

SOURCE = "aws-lambda"
MOST = 1000
"""Connections of one invocation that are told; more are counted."""
MOST_NAMES = 1024

Handler = Callable[[Any, Any], Any]

log = logging.getLogger(__name__)


class Watch:
    """Notes what this process connects to. ``install`` is for good; ``own`` are places that are ours."""

    def __init__(self, own: frozenset[tuple[str, int]], clock: Callable[[], float]) -> None:
        self._own = own
        self._clock = clock
        # A hook runs wherever a connection is made, be it in a finalizer within another hook.
        self._lock = threading.RLock()
        self._seen: list[dict[str, Json]] = []
        self._names: OrderedDict[str, str] = OrderedDict()
        self.omitted = 0

    def install(self) -> None:
        """Begin to note."""
        resolve = socket.getaddrinfo

        @functools.wraps(resolve)
        def noting(host: Any, *args: Any, **more: Any) -> Any:
            found = resolve(host, *args, **more)
            if isinstance(host, str):
                for entry in found:
                    self.named(str(entry[4][0]), host)
            return found

        socket.getaddrinfo = noting
        sys.addaudithook(self.hook)

    def named(self, address: str, host: str) -> None:
        """A name was resolved to that address."""
        with self._lock:
            self._names[address] = host
            self._names.move_to_end(address)
            if len(self._names) > MOST_NAMES:
                self._names.popitem(last=False)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        """The audit hook: it only looks."""
        if event not in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            return
        address = args[-1]
        if not isinstance(address, tuple) or len(address) < 2:
            return
        host, port = str(address[0]), address[1]
        named = self._names.get(host, host)
        if (named, port) in self._own or (host, port) in self._own:
            return
        with self._lock:
            if len(self._seen) >= MOST:
                self.omitted += 1
                return
            shown = f"[{named}]" if ":" in named else named
            self._seen.append({"target": f"{shown}:{port}", "address": host, "at": rfc3339(self._clock())})

    def taken(self) -> tuple[list[dict[str, Json]], int]:
        """What was noted since the last time, and how many more there were."""
        with self._lock:
            found, self._seen = self._seen, []
            omitted, self.omitted = self.omitted, 0
        return found, omitted


class Layer:
    """The layer in one process. ``environ`` gets the proxy's variables, so that clients made from now on use it."""

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float]) -> None:
        self.sandbox: Sandbox = from_environment(environ)
        parts = [urlsplit(url) for url in (self.sandbox.traces, self.sandbox.egress)]
        runtime = environ.get("AWS_LAMBDA_RUNTIME_API", "")
        host, _, port = runtime.partition(":")
        own = {(part.hostname or "", part.port or (443 if part.scheme == "https" else 80)) for part in parts}
        if host:
            own.add((host, int(port) if port.isdigit() else 80))
        self.watch = Watch(frozenset(own), clock)
        self.unreported = 0
        self._direct = (host,) if host else ()

    def start(self, environ: Any) -> None:
        """Watch, and send clients through the proxy. ``environ`` is the process's own."""
        environ.update(self.sandbox.environment(direct=self._direct))
        self.watch.install()

    def invoked(self, handler: Handler, event: Any, context: Any) -> Any:
        """One invocation, told of whatever comes of it; the handler's own result or error is what the caller gets."""
        run = _run(event)
        try:
            return handler(event, context)
        finally:
            self._report(run, _function(event))

    def _report(self, run: str, tool: str) -> None:
        steps: list[Json] = []
        noted, omitted = self.watch.taken()
        if omitted:
            log.warning("kaizen: %d more connections of this invocation are not told one by one", omitted)
        for seen in noted:
            metadata: dict[str, Json] = {"source": SOURCE, "address": seen["address"]}
            action: dict[str, Json] = {"kind": "connect", "target": seen["target"], "tool": tool, "metadata": metadata}
            steps.append({"step": "effect", "run_id": run, "at": seen["at"], "action": action})
        if not steps:
            return
        try:
            self.sandbox.report({"steps": steps})
        except (KaizenError, OSError) as err:
            # The function's answer does not wait for us, nor fail with us: what was not told is counted and said.
            self.unreported += len(steps)
            log.warning("kaizen: %d connections of this function could not be reported: %s", self.unreported, err)


def observed(handler: Handler) -> Handler:
    """``handler``, with what it connects to told to the sandbox. Raises Misconfigured when no sandbox is named."""
    layer = _layer()

    @functools.wraps(handler)
    def observing(event: Any, context: Any) -> Any:
        return layer.invoked(handler, event, context)

    return observing


@functools.cache
def _layer() -> Layer:
    layer = Layer(os.environ, time.time)  # noqa: TID251 - an entry point: the runtime starts us, not a program of ours
    layer.start(os.environ)  # noqa: TID251 - the same
    return layer


@functools.cache
def _wrapped() -> Handler:
    named = os.environ.get("KAIZEN_LAMBDA_HANDLER", "")  # noqa: TID251 - the same
    module, dot, function = named.rpartition(".")
    if not dot:
        raise Misconfigured("KAIZEN_LAMBDA_HANDLER must name the function's own handler, as in lambda_function.handler")
    _layer()
    found: Handler = getattr(importlib.import_module(module.replace("/", ".")), function)
    return observed(found)


def handler(event: Any, context: Any) -> Any:
    """The handler of a function whose code stays as it is."""
    return _wrapped()(event, context)


def _run(event: Any) -> str:
    """The session of the agent that invoked the function (Bedrock's event for action groups)."""
    said = event.get("sessionId") if isinstance(event, dict) else None
    return said[:256] if isinstance(said, str) else ""


def _function(event: Any) -> str:
    if not isinstance(event, dict):
        return ""
    said = event.get("function") or event.get("apiPath") or event.get("actionGroup")
    return said[:256] if isinstance(said, str) else ""
