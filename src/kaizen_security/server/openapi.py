"""The OpenAPI document, made from the routes that the application serves and the types that its handlers decode.

``spec/openapi.yaml`` is this document; ``tests/conformance/test_openapi.py`` fails when it is not. The server hands it out itself
at ``/openapi.json``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from kaizen_security.contract.action import Json
from kaizen_security.server.api.answers import Error
from kaizen_security.server.http import answer
from kaizen_security.server.operation import AGENTS, HEALTH, PEOPLE, Answer, ApiRoute, Nothing, Operation

_REF = "#/components/schemas/{name}"
_HEAD: dict[str, Json] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Kaizen control plane",
        "version": "1",
        "description": (
            'JSON over HTTP/1.1. Every error is `{"error": {"code", "message", "field"?}}`; no call is ever redirected.\n'
            "Bodies are JSON whatever their Content-Type says; 1 MiB for one document, 16 MiB for a batch or policies.\n"
            'In a request, an absent key, `null` and `""` are the same unless it says otherwise; unknown keys are ignored.\n'
        ),
    },
    "security": [{"key": []}],
    "tags": [
        {"name": AGENTS, "description": "what clients, proxies and sidecars call"},
        {"name": PEOPLE, "description": "what people call: a session's cookie, or its token as the bearer"},
        {"name": HEALTH, "description": "how the server is"},
    ],
}
_KEY = "an API key (kz_live_…) or a session's token (kz_sess_…)"
_ERRORS = (
    "400 no HTTP, or cut off; 401 bad or missing key; 403 may not; 404 no such thing; 405 method; 408 too slow; 409 limit "
    "reached, or settled before; 413 too large; 422 names the field; 429 with Retry-After; 503 with Retry-After; 507 disk full. "
    "Nothing of the call was kept."
)


DESCRIPTION = Operation(
    "GET /openapi.json",
    "openapi",
    "this description",
    Nothing,
    (Answer(dict[str, Any], description="an OpenAPI 3.1 document"),),
    tags=(HEALTH,),
    public=True,
)


def described(routes: Sequence[BaseRoute]) -> ApiRoute:
    """The route that hands out the description of ``routes``, and of itself."""

    async def openapi(request: Request) -> Response:
        return made

    route = DESCRIPTION.route(openapi)
    made = answer(describe([*routes, route]))
    return route


def describe(routes: Iterable[BaseRoute]) -> dict[str, Json]:
    """The document of every ``ApiRoute`` among ``routes``. Pure."""
    operations: list[Operation[Any]] = [route.operation for route in routes if isinstance(route, ApiRoute)]
    models: dict[int, Any] = {id(Error): Error}
    for one in operations:
        if one.body is not Nothing:
            models[id(one.body)] = one.body
        models |= {id(kind): kind for kind in one.named}
        for said in one.answers:
            if said.model is not None:
                models[id(said.model)] = said.model
    made, components = msgspec.json.schema_components(models.values(), ref_template=_REF)
    schemas = dict(zip(models, made, strict=True))
    paths: dict[str, Json] = {}
    for one in operations:
        item = paths.setdefault(one.path.replace(":path}", "}"), {})
        assert isinstance(item, dict)
        item[one.method.lower()] = _operation(one, schemas)
    error: dict[str, Json] = {"description": _ERRORS, "content": _json(schemas[id(Error)])}
    return {
        **_HEAD,
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": _KEY}},
            "responses": {"Error": error},
            "schemas": dict(sorted(components.items())),
        },
    }


def _operation(one: Operation[Any], schemas: dict[int, Any]) -> dict[str, Json]:
    found: dict[str, Json] = {"tags": [*one.tags], "operationId": one.name, "summary": one.summary}
    if one.description:
        found["description"] = one.description
    if one.public:
        found["security"] = []
    if one.parameters:
        found["parameters"] = [
            {
                "name": said.name,
                "in": said.place,
                **({"required": True} if said.required else {}),
                **({"description": said.description} if said.description else {}),
                "schema": said.schema(),
            }
            for said in one.parameters
        ]
    if one.body is not Nothing:
        found["requestBody"] = {"required": True, "content": _json(schemas[id(one.body)])}
    answers: dict[str, Json] = {str(said.status): _answer(said, schemas) for said in one.answers}
    problem: dict[str, Json] = {"$ref": "#/components/responses/Error"}
    found["responses"] = {**answers, "4XX": problem, "5XX": problem}
    return found


def _answer(said: Answer, schemas: dict[int, Any]) -> dict[str, Json]:
    found: dict[str, Json] = {"description": said.description or inspect.cleandoc(said.model.__doc__ or "")}
    if said.headers:
        found["headers"] = {name: {"schema": {"type": "string"}} for name in said.headers}
    if said.media:
        found["content"] = {said.media: {"schema": {"type": "string"}}}
    elif said.model is not None:
        found["content"] = _json(schemas[id(said.model)])
    return found


def _json(schema: Json) -> dict[str, Json]:
    return {"application/json": {"schema": schema}}
