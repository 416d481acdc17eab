"""The console's routes, which ``server.app`` mounts at the root of the site."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from kaizen_security.server.console import exports, gate, held, keys, model, policies, profiles, team, upkeep, verdicts
from kaizen_security.server.console.desk import Desk
from kaizen_security.server.console.render import HEADERS, STATIC, static_file
from kaizen_security.server.context import Context
from kaizen_security.server.http import not_found


def routes(context: Context) -> list[BaseRoute]:
    """Every page of the console. All but the sign-in and the static files are for people who are signed in."""
    desk = Desk(context)
    return [
        Route("/", desk.shown(_home), methods=["GET"]),
        Route("/static/{name}", desk.shown(_static), methods=["GET"]),
        *gate.routes(desk),
        *verdicts.routes(desk),
        *held.routes(desk),
        *profiles.routes(desk),
        *upkeep.routes(desk),
        *policies.routes(desk),
        *keys.routes(desk),
        *exports.routes(desk),
        *model.routes(desk),
        *team.routes(desk),
    ]


async def _home(request: Request) -> Response:
    return RedirectResponse("/verdicts", 303, HEADERS)


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        raise not_found("there is no such file")
    keep = {"Cache-Control": "public, max-age=31536000, immutable"} if "v" in request.query_params else {}
    return Response(static_file(name), headers=HEADERS | keep, media_type=STATIC[name])
