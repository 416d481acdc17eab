"""What every page of the console does first and last: who is asking, errors as pages, forms read, addresses checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kaizen_security.contract.errors import InvalidInput, KaizenError
from kaizen_security.server.console.render import HEADERS, page, wants_json
from kaizen_security.server.context import Context
from kaizen_security.server.http import ApiError, as_api_error, error_answer, forbidden, read_body
from kaizen_security.store.base import Role, User

MAX_FORM: Final = 16 << 10
"""Bytes of a form."""
MAX_FIELDS: Final = 20

Handler = Callable[[Request], Awaitable[Response]]
Signed = Callable[[Request, User], Awaitable[Response]]

_TITLES: Final = {
    401: "Sign in first",
    403: "This is not allowed",
    404: "There is no such thing here",
    413: "Too large",
    422: "This address cannot be used",
    429: "Too many tries",
    503: "The store does not answer",
    507: "The disk is full",
}


@dataclass(frozen=True, slots=True)
class Desk:
    """Wraps the handlers of pages. ``context`` is the server's."""

    context: Context

    def signed_in(self, handler: Signed) -> Handler:
        """Only for people who are signed in; what changes something only for a page of ours (Origin) and for administrators."""

        async def guarded(request: Request) -> Response:
            user = await self.context.auth.user(request)
            if user is None:
                return self._unknown(request)
            request.state.who = user.name
            if request.method not in ("GET", "HEAD"):
                self.context.auth.check_origin(request)
                if user.role is not Role.ADMIN:
                    raise forbidden("your role may only read")
            return await handler(request, user)

        return self.shown(guarded)

    def shown(self, handler: Handler) -> Handler:
        """Errors that have an answer become a page, or JSON for whoever asked for that."""

        async def wrapped(request: Request) -> Response:
            try:
                return await handler(request)
            except (KaizenError, HTTPException) as err:
                return problem(request, as_api_error(err))

        return wrapped

    def _unknown(self, request: Request) -> Response:
        if wants_json(request):
            return error_answer(ApiError(401, "unauthorized", "sign in first"))
        if request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
            # Our cookie does not travel with a link from another site (SameSite=Strict). One step on our own site, and it does.
            return page("step.html", here="", who="", again=local(request.url.path, request.url.query))
        asked = local(request.url.path, request.url.query) if request.method == "GET" else ""
        return RedirectResponse(f"/sign-in?{urlencode({'next': asked})}" if asked else "/sign-in", 303, HEADERS)


def address(request: Request, *, secure: bool) -> str:
    """This server as the reader's browser knows it. ``secure``: it is reached over HTTPS, whatever a proxy makes of it."""
    return f"{'https' if secure else request.url.scheme}://{request.url.netloc}"


def problem(request: Request, error: ApiError) -> Response:
    """An error as whoever asked wants to read it."""
    if wants_json(request):
        return error_answer(error)
    title = _TITLES.get(error.status, "Something went wrong")
    template = "problem-part.html" if is_part(request) else "problem.html"
    answer = page(template, here="", who=getattr(request.state, "who", ""), title=title, text=error.message)
    answer.status_code = error.status
    answer.headers.update(error.headers)
    return answer


def is_part(request: Request) -> bool:
    """The console's script asks for the drawer alone."""
    return request.headers.get("x-kaizen-part") == "drawer"


def local(path: str, query: str = "") -> str:
    """``path`` as an address on this server, ``""`` when it would lead elsewhere (``//host``, a backslash, a scheme)."""
    if not path.startswith("/") or path.startswith(("//", "/\\")) or not path.isprintable() or "\\" in path:
        return ""
    return f"{path}?{query}" if query else path


async def form(request: Request, *, limit: int = MAX_FORM) -> dict[str, str]:
    """The fields of a form of at most ``limit`` bytes. Raises InvalidInput, TooLarge, ApiError."""
    body = await read_body(request, limit=limit)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"))
    except ValueError as err:
        raise InvalidInput("form", "cannot be read") from err
