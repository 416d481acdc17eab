"""What an operation of the API takes and gives: handlers read requests through it, and ``server.openapi`` describes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, TooLarge
from kaizen_security.contract.fields import MAX_NAME, check_json, obj, plain
from kaizen_security.server.http import MAX_BODY, not_found, number, parse_json, read_body

AGENTS = "agents"
"""What clients, proxies and sidecars call."""
PEOPLE = "management"
"""What people call."""
HEALTH = "health"
"""What supervisors call."""

Handler = Callable[[Request], Awaitable[Response]]


class Body(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The base of every body that is decoded by its type. Absent and null are the same; unknown keys are ignored."""

    def document(self) -> dict[str, Json]:
        """What was stated, as a document again, for what is checked further on."""
        stated: dict[str, Json] = msgspec.to_builtins(self)
        return stated


class Nothing(Body):
    """An operation that takes no body; whatever is sent is not looked at."""


B = TypeVar("B", bound=Body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text of the query, at most ``limit`` characters; one of ``values`` if there are any."""

    name: str
    description: str = ""
    limit: int = MAX_NAME
    values: tuple[str, ...] = ()
    default: str = ""
    required: bool = False
    place: str = "query"

    def of(self, request: Request) -> str:
        """What the request says; ``default`` when nothing. Raises InvalidInput, TooLarge."""
        said = plain(request.query_params.get(self.name, ""), self.name, limit=self.limit)
        if self.required and not said.strip():
            raise InvalidInput(self.name, "must be stated")
        if said and self.values and said not in self.values:
            raise InvalidInput(self.name, f"must be one of {', '.join(self.values)}")
        return said or self.default

    def schema(self) -> dict[str, Json]:
        """As JSON Schema."""
        found: dict[str, Json] = {"type": "string"}
        found |= {"enum": [str(value) for value in self.values]} if self.values else {"maxLength": self.limit}
        if self.required and not self.values:
            found["minLength"] = 1
        return found | ({"default": self.default} if self.default else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header, which the handler reads itself."""

    name: str
    description: str
    required: bool = False
    place: str = "header"

    def schema(self) -> dict[str, Json]:
        """As JSON Schema."""
        return {"type": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of the path, from 1 to ``limit`` characters. ``missing``: what is said, with a 404, of one that nothing can have."""

    name: str
    missing: str = ""
    description: str = ""
    limit: int = 64
    required: bool = True
    place: str = "path"

    def of(self, request: Request) -> str:
        """What the request says. Raises InvalidInput, TooLarge; ApiError (404) where ``missing`` is said."""
        try:
            said = plain(request.path_params[self.name], self.name, limit=self.limit)
            if not said.strip():
                raise InvalidInput(self.name, "must say something")
        except InvalidInput:
            if self.missing:
                raise not_found(self.missing) from None
            raise
        return said

    def schema(self) -> dict[str, Json]:
        """As JSON Schema."""
        return {"type": "string", "minLength": 1, "maxLength": self.limit}


N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Generic[N]):
    """A number of the query, from ``low`` to ``high``; whole when ``default`` is."""

    name: str
    default: N
    low: N
    high: N
    description: str = ""
    required: bool = False
    place: str = "query"

    def of(self, request: Request) -> N:
        """What the request says; ``default`` when nothing. Raises InvalidInput."""
        return number(request, self.name, default=self.default, low=self.low, high=self.high)

    def schema(self) -> dict[str, Json]:
        """As JSON Schema."""
        kind = "integer" if type(self.default) is int else "number"
        return {"type": kind, "minimum": self.low, "maximum": self.high, "default": self.default}


Parameter = Text | Header | Segment | Number[int] | Number[float]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no error. Without a ``description`` the model's own is taken.

    ``model`` is None when there is no body, or one that is not JSON (``media`` says which).
    """

    model: object = None
    status: int = 200
    description: str = ""
    media: str = ""
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation(Generic[B]):
    """One method of one path.

    ``place``   both, as in ``GET /healthz``
    ``name``    names it for programs that are made from the description
    ``body``    what its handler decodes the body into; ``limit`` is in bytes
    ``public``  needs no key
    ``named``   further types that the body names by reference: entries that its handler takes one by one
    """

    place: str
    name: str
    summary: str
    body: type[B]
    answers: tuple[Answer, ...]
    tags: tuple[str, ...] = (PEOPLE,)
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    limit: int = MAX_BODY
    public: bool = False
    named: tuple[object, ...] = ()

    @property
    def method(self) -> str:
        """As HTTP says it."""
        return self.place.split()[0]

    @property
    def path(self) -> str:
        """As Starlette says it."""
        return self.place.split()[1]

    async def read(self, request: Request) -> B:
        """The body. Raises InvalidInput naming the field, TooLarge, ApiError."""
        document = obj(parse_json(await read_body(request, limit=self.limit)), "body")
        return decoded(document, self.body, most=self.limit)

    def route(self, handler: Handler) -> ApiRoute:
        """Where the application serves it."""
        return ApiRoute(self, handler)


class ApiRoute(Route):
    """A route that knows what it takes and gives."""

    def __init__(self, operation: Operation[B], handler: Handler) -> None:
        super().__init__(operation.path, handler, methods=[operation.method])
        self.operation = operation


def decoded(document: dict[str, Json], kind: type[B], *, most: int) -> B:
    """``document`` as a value of ``kind``. Raises InvalidInput, TooLarge; neither repeats what was sent."""
    try:
        check_json(document, "", most=most)
    except InvalidInput as err:
        raise InvalidInput(err.field.removeprefix(".") or "body", err.problem) from None
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as err:
        raise _named(str(err), kind) from None


def _named(said: str, kind: type[Body]) -> InvalidInput:
    # What msgspec says of a value that is none of a set repeats the value; the path stands after it.
    problem, _, path = said.rpartition(" - at `$")
    if not problem:
        problem, path = said, "`"
    field = path[:-1].removeprefix(".")
    if problem.startswith("Invalid enum value"):
        return InvalidInput(field, f"must be one of {', '.join(_values(kind, field))}")
    if problem.startswith("Object missing required field"):
        missing = problem.split("`")[1]
        return InvalidInput(f"{field}.{missing}" if field else missing, "is missing")
    if "of length <=" in problem:
        return TooLarge(field, f"is longer than the {problem.rpartition(' ')[2]} that are taken")
    return InvalidInput(field, _PLAIN.get(problem.split(", got")[0], problem[:1].lower() + problem[1:]))


_PLAIN = {
    "Expected `str`": "must be text",
    "Expected `str | null`": "must be text",
    "Expected `bool`": "must be true or false",
    "Expected `bool | null`": "must be true or false",
    "Expected `array | null`": "must be a list",
    "Expected `array`": "must be a list",
    "Expected `object | null`": "must be an object",
    "Expected `object`": "must be an object",
    "Expected `str` of length >= 1": "must say something",
}


def _values(kind: type[Body], field: str) -> list[str]:
    found: msgspec.inspect.Type = msgspec.inspect.type_info(kind)
    for name in field.replace("[", ".[").split("."):
        found = _below(found, name)
    values = [one.values for one in _choices(found) if isinstance(one, msgspec.inspect.LiteralType)]
    return [str(value) for listed in values for value in listed if value]


def _choices(found: msgspec.inspect.Type) -> list[msgspec.inspect.Type]:
    if isinstance(found, msgspec.inspect.Metadata):
        return _choices(found.type)
    if isinstance(found, msgspec.inspect.UnionType):
        return [choice for one in found.types for choice in _choices(one)]
    return [found]


def _below(found: msgspec.inspect.Type, name: str) -> msgspec.inspect.Type:
    for one in _choices(found):
        if isinstance(one, msgspec.inspect.StructType):
            return next(field.type for field in one.fields if field.encode_name == name)
        if isinstance(one, msgspec.inspect.ListType):
            return one.item_type
    return found
