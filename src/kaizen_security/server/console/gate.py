"""Signing in, by password or by a one-time link, and out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kaizen_security.contract.errors import KaizenError
from kaizen_security.server.auth import COOKIE, Auth
from kaizen_security.server.console.desk import Desk, form, local
from kaizen_security.server.console.render import HEADERS, page
from kaizen_security.server.http import as_api_error


def routes(desk: Desk) -> list[Route]:
    """``/sign-in`` (also ``/sign-in?token=``, the one-time link) and ``/sign-out``."""
    auth = desk.context.auth

    async def show(request: Request) -> Response:
        token = request.query_params.get("token", "")
        asked = _next(request.query_params.get("next", ""))
        if await auth.user(request) is not None:
            return RedirectResponse(asked, 303, HEADERS)
        return _gate(token=token[:256], asked=asked)

    async def password(request: Request) -> Response:
        auth.check_origin(request)
        said = await form(request)
        asked = _next(said.get("next", ""))
        name = said.get("name", "").strip()
        try:
            token = await auth.sign_in(name, said.get("password", ""), address=_address(request))
        except KaizenError as err:
            error = as_api_error(err)
            words = "This user and password do not belong together." if error.status == 401 else error.message
            answer = _gate(problem=words, asked=asked, name=name[:256], status=error.status)
            # A browser would answer a WWW-Authenticate with a window of its own.
            answer.headers.update({key: value for key, value in error.headers.items() if key == "Retry-After"})
            return answer
        return _welcome(auth, token, asked)

    async def link(request: Request) -> Response:
        auth.check_origin(request)
        said = await form(request)
        asked = _next(said.get("next", ""))
        token = await auth.use_link(said.get("token", ""), address=_address(request))
        if token is None:
            return _gate(problem="This link was used already, or is older than ten minutes.", asked=asked, status=401)
        return _welcome(auth, token, asked)

    async def out(request: Request) -> Response:
        auth.check_origin(request)
        await auth.sign_out(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("/sign-in", 303, HEADERS)
        auth.clear_cookie(answer)
        return answer

    return [
        Route("/sign-in", desk.shown(show), methods=["GET"]),
        Route("/sign-in", desk.shown(password), methods=["POST"]),
        Route("/sign-in/link", desk.shown(link), methods=["POST"]),
        Route("/sign-out", desk.shown(out), methods=["POST"]),
    ]


def _welcome(auth: Auth, token: str, asked: str) -> Response:
    answer = RedirectResponse(asked, 303, HEADERS)
    auth.set_cookie(answer, token)
    return answer


def _gate(*, token: str = "", problem: str = "", asked: str = "", name: str = "", status: int = 200) -> Response:
    answer = page("gate.html", token=token, problem=problem, next=asked, name=name)
    answer.status_code = status
    return answer


def _next(said: str) -> str:
    path, _, query = said[:2048].partition("?")
    return local(path, query if query.isprintable() else "") or "/verdicts"


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""
