"""The trace receiver's HTTP: ``POST /v1/traces`` and what was found, for whoever has the token or a key of the organisation."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.collectors.traces.account import steps_of
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.errors import InvalidInput, KaizenError, TooLarge
from kaizen_security.contract.fields import parse
from kaizen_security.contract.step import Claim, Effect, Step
from kaizen_security.sandbox.gaps import KEPT, Gaps
from kaizen_security.sidecar.app import Sidecar
from kaizen_security.sidecar.http import HEAVY, Problem, answer, bearer, check_values, on_error, read_body

MAX_TRACE = 4 << 20
"""Bytes of one document: a batch of an OTLP exporter is about half a megabyte."""


class Receiver:
    """The endpoints. ``token`` is asked for always; a key that the control plane vouches for does as well."""

    def __init__(
        self, agent: str, sidecar: Sidecar, gaps: Gaps, token: str, health: Callable[[], dict[str, Json]]
    ) -> None:
        self._agent = agent
        self._sidecar = sidecar
        self._gaps = gaps
        self._token = token.encode()
        self._health = health
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="traces")
        self.documents = 0
        self.steps = 0

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/traces", self._guard(self.traces), methods=["POST"]),
                Route("/v1/gaps", self._guard(self.gaps), methods=["GET"]),
                Route("/healthz", self.health, methods=["GET"]),
            ],
            exception_handlers={HTTPException: on_error, KaizenError: on_error, Exception: on_error},
        )

    def _guard(self, endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            key = bearer(request)
            if not key:
                raise Problem(401, "unauthorized", "Authorization: Bearer <token> is missing")
            if not hmac.compare_digest(key.encode(), self._token):
                await self._key(request)
            return await endpoint(request)

        return guarded

    async def _key(self, request: Request) -> None:
        if not bearer(request).startswith("kz_"):
            raise Problem(401, "unauthorized", "this is not the sandbox's token")
        identity = await self._sidecar.who(request)
        if identity is None or (identity.agent and identity.agent != self._agent):
            raise Problem(403, "forbidden", "this API key is bound to another agent")

    async def traces(self, request: Request) -> Response:
        """``POST /v1/traces``: a document of the agent's account. OTLP's answer where it is OTLP (``partialSuccess``)."""
        data = await read_body(request, MAX_TRACE)

        def work() -> tuple[bool, list[Step]]:
            _bounded(data)
            document = parse(data, limit=MAX_TRACE)
            otlp = isinstance(document, dict) and "resourceSpans" in document
            steps = steps_of(document, self._agent)
            for i, step in enumerate(steps):
                if _claims_to_see(step):
                    # The agent has this port's token too: what it says of itself is never ground truth.
                    raise InvalidInput(
                        f"steps[{i}]", "ground truth is not reported here: proxy and kernel report by themselves"
                    )
            return otlp, steps

        if request.headers.get("content-type", "").startswith("application/x-protobuf"):
            raise Problem(415, "unsupported", "OTLP is taken as JSON: set OTEL_EXPORTER_OTLP_PROTOCOL=http/json")
        heavy = len(data) >= HEAVY
        otlp, steps = await asyncio.get_running_loop().run_in_executor(self._aside, work) if heavy else work()
        await self._sidecar.take(steps, teller="trace")
        self.documents += 1
        self.steps += len(steps)
        self._gaps.wake()
        return answer({"partialSuccess": {}} if otlp else {"noted": len(steps)})

    async def gaps(self, request: Request) -> Response:
        """``GET /v1/gaps?limit=``: gaps and what a model raised, newest first; of this process's life."""
        said = request.query_params.get("limit", "100")
        if not said.isascii() or not said.isdigit() or not 1 <= int(said[:6]) <= KEPT:
            raise InvalidInput("limit", f"must be a whole number from 1 to {KEPT}")
        return answer({"gaps": list(self._gaps.recent)[::-1][: int(said)]})

    async def health(self, request: Request) -> Response:
        """``GET /healthz``: counts, no names."""
        return answer({"status": "ok", "documents": self.documents, "steps": self.steps, **self._health()})


def _claims_to_see(step: Step) -> bool:
    action = step if isinstance(step, Action) else step.action if isinstance(step, Claim | Effect) else None
    return action is not None and action.rung >= Rung.EGRESS


def _bounded(data: bytes) -> None:
    try:
        check_values(data)
    except TooLarge as err:
        raise TooLarge("trace", "holds more values than are taken at a time: send it in pieces") from err
