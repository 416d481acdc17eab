"""The control plane as an ASGI application: the API of ``spec/openapi.yaml`` and the console's pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import KaizenError
from kaizen_security.runtime import clock as clocks
from kaizen_security.runtime.clock import Clock
from kaizen_security.server.api import (
    agents,
    exports,
    health,
    holds,
    identity,
    insight,
    metrics,
    policy,
    reasoning,
    team,
    verdicts,
)
from kaizen_security.server.auth import Auth
from kaizen_security.server.changes import Changes
from kaizen_security.server.console import routes as console
from kaizen_security.server.context import Context
from kaizen_security.server.evaluate import Evaluator
from kaizen_security.server.exports import ServerExports
from kaizen_security.server.forwarded import Forwarded, Trusted
from kaizen_security.server.http import ApiError, as_api_error, error_answer
from kaizen_security.server.limits import Limits
from kaizen_security.server.live import Live
from kaizen_security.server.metrics import Metrics
from kaizen_security.server.openapi import describe, described
from kaizen_security.server.reasoning import ServerReasoning
from kaizen_security.server.reports import Reports
from kaizen_security.server.settings import Settings
from kaizen_security.store.base import Store
from kaizen_security.store.sqlite import SqliteStore

READERS = 4
"""Threads that wait for the store."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""What every answer carries unless it says otherwise itself (the console's pages bring their own policy)."""


class SecurityHeaders:
    """ASGI middleware: the headers of every answer."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, adding what is missing when the answer starts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class Door:
    """ASGI middleware: every request is counted, and refused when its address sends too many."""

    def __init__(self, app: ASGIApp, metrics: Metrics, limits: Limits) -> None:
        self._app = app
        self._metrics = metrics
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, counting by the route that answered: what is in a path is the caller's, and no label."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if scope["path"] != "/healthz":  # or a supervisor would restart a server that is merely busy
                self._limits.address(scope["client"][0] if scope.get("client") else "")
            await self._app(scope, receive, counted)
        except ApiError as err:
            await error_answer(err)(scope, receive, counted)
        finally:
            self._metrics.answered(self._route(scope), scope["method"], status)

    def _route(self, scope: Scope) -> str:
        routes = scope["app"].state.route_names
        return str(routes.get(scope.get("endpoint"), "unmatched"))


def description() -> dict[str, Json]:
    """The OpenAPI document of the application."""
    # Routes are made over a store; this one is empty and goes away.
    with TemporaryDirectory() as folder, closing(SqliteStore(Path(folder))) as store:
        return describe(create_app(store).routes)


async def _failed(request: Request, error: Exception) -> Response:
    return error_answer(as_api_error(error))


def create_app(
    store: Store, *, clock: Clock = clocks.now, secure: bool = False, settings: Settings | None = None
) -> Starlette:
    """The application over ``store``, which stays the caller's to close. ``secure``: it is reached over HTTPS."""
    chosen = settings or Settings()
    limits = Limits(clock, by_key=chosen.rate_key, by_address=chosen.rate_address)
    counted = Metrics()
    live = Live()
    executor = ThreadPoolExecutor(READERS, thread_name_prefix="store")
    one_aside = ThreadPoolExecutor(1, thread_name_prefix="aside")
    evaluator = Evaluator(store, clock, executor)
    context = Context(
        store=store,
        clock=clock,
        live=live,
        auth=Auth(store, clock, executor, secure=secure, limits=limits, ended=live.end),
        evaluator=evaluator,
        changes=Changes(),
        holds=Changes(),
        exports=ServerExports(store, clock, executor, chosen),
        reasoning=ServerReasoning(store, clock, executor, chosen, evaluator.inspector),
        metrics=counted,
        limits=limits,
        settings=chosen,
        executor=executor,
        one_aside=one_aside,
    )
    reports = Reports(context)
    context.reasoning.further, context.reasoning.dismissed = reports.further, reports.dismissed

    headers = dict(_HEADERS)
    if secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    handlers: dict[Any, Callable[..., Any]] = {KaizenError: _failed, HTTPException: _failed, Exception: _failed}
    app = Starlette(
        routes=_routes(context),
        middleware=_middleware(headers, counted, limits, chosen),
        exception_handlers=handlers,
        lifespan=lambda _: _running(context),
    )
    app.state.context = context
    app.state.route_names = {route.endpoint: route.path for route in app.routes if isinstance(route, Route)}
    # A redirect would make deployed clients turn their POST into a GET.
    app.router.redirect_slashes = False
    return app


@asynccontextmanager
async def _running(context: Context) -> AsyncIterator[Mapping[str, Any]]:
    """What works beside the requests, from the start of the server to its end."""
    saving = asyncio.create_task(context.evaluator.keep_saving())
    await context.exports.start()
    await context.reasoning.start()
    try:
        yield {}
    finally:
        context.live.close()
        context.changes.close()
        context.holds.close()
        saving.cancel()
        await context.reasoning.close()
        await context.exports.close()
        await context.evaluator.save_last()
        context.executor.shutdown()
        context.one_aside.shutdown()


def _middleware(headers: Mapping[str, str], counted: Metrics, limits: Limits, chosen: Settings) -> list[Middleware]:
    found = [Middleware(SecurityHeaders, headers)]
    if chosen.behind_proxy:
        # Before the limits, which are by address.
        found.append(Middleware(Forwarded, Trusted(chosen.trusted_proxies)))
    return [*found, Middleware(Door, counted, limits)]


def _routes(context: Context) -> list[BaseRoute]:
    found: list[BaseRoute] = []
    for resource in (health, identity, verdicts, policy, agents, insight, exports, holds, reasoning, metrics, team):
        found += resource.routes(context)
    return [*found, described(found), *console.routes(context)]
