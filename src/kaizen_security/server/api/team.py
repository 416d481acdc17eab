"""The people of an organisation, for people."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.fields import MAX_NAME
from kaizen_security.server import team
from kaizen_security.server.api import bodies, documents, people_answers
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer
from kaizen_security.server.operation import Answer, Nothing, Operation, Segment

NAME = Segment(name="name", limit=MAX_NAME, missing="there is nobody of that name")
LIST = Operation(
    "GET /v1/users", "listUsers", "who may sign in, oldest first", Nothing, (Answer(people_answers.People),)
)
ADD = Operation(
    "POST /v1/users",
    "addUser",
    "let somebody else sign in; the password is shown this once",
    bodies.NewPerson,
    (Answer(people_answers.Welcome, 201),),
)
CHANGE = Operation(
    "POST /v1/users/{name:path}",
    "changeRole",
    "change what somebody may do, at once; 409 when no administrator would be left",
    bodies.NewRole,
    (Answer(people_answers.Person),),
    parameters=(NAME,),
)
PASSWORD = Operation(
    "POST /v1/users/{name:path}/password",
    "renewPassword",
    "a new password, shown this once; whoever was signed in with the old one no longer is",
    Nothing,
    (Answer(people_answers.Welcome),),
    parameters=(NAME,),
)
REMOVE = Operation(
    "DELETE /v1/users/{name:path}",
    "removeUser",
    "somebody may sign in no more and is signed out; 409 when no administrator would be left",
    Nothing,
    (Answer(people_answers.Removed),),
    parameters=(NAME,),
)


def routes(context: Context) -> list[Route]:
    """Who may sign in, and as what. Everybody sees it; administrators change it."""

    async def listing(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_user()
        found = await context.call(context.store.users, principal.organisation)
        return answer({"users": [documents.person(one) for one in found]})

    async def add(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        said = await ADD.read(request)
        name = team.name_of(said.name)
        role = team.role_of(said.role or "viewer")
        made = await team.add(context, principal.organisation, name, role)
        return answer({**documents.person(made.user), "password": made.password}, 201)

    async def change(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        role = team.role_of((await CHANGE.read(request)).role)
        changed = await team.change_role(context, principal.organisation, NAME.of(request), role)
        return answer(documents.person(changed))

    async def password(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        made = await team.renew(context, principal.organisation, NAME.of(request))
        return answer({**documents.person(made.user), "password": made.password})

    async def remove(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        name = NAME.of(request)
        await team.remove(context, principal.organisation, name)
        return answer({"name": name, "removed": True})

    return [
        LIST.route(listing),
        ADD.route(add),
        PASSWORD.route(password),
        CHANGE.route(change),
        REMOVE.route(remove),
    ]
