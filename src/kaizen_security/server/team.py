"""The people of an organisation: what the API and the console do with them alike."""

from __future__ import annotations

from dataclasses import dataclass, field

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, plain
from kaizen_security.server import passwords
from kaizen_security.server.context import Context
from kaizen_security.server.http import not_found
from kaizen_security.store.base import LimitReached, Role, User

MOST = 1000
"""People of one organisation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """A person with a new password, to be shown once."""

    user: User
    password: str = field(repr=False)


def name_of(said: str) -> str:
    """A person's name. Raises InvalidInput."""
    name = plain(said, "name", limit=MAX_NAME).strip()
    if not name or not name.isprintable():
        raise InvalidInput("name", "must be a name that can be read")
    return name


def role_of(said: str) -> Role:
    """A role. Raises InvalidInput."""
    if said not in tuple(Role):
        raise InvalidInput("role", f"must be one of {', '.join(Role)}")
    return Role(said)


async def add(context: Context, organisation: int, name: str, role: Role) -> Welcome:
    """Let somebody else sign in. Raises InvalidInput when the name is taken, LimitReached."""
    if len(await context.call(context.store.users, organisation)) >= MOST:
        raise LimitReached(f"the organisation has {MOST} people, as many as it may have")
    password = passwords.new_password()
    record = await context.call(passwords.hash_password, password)
    at = context.clock()
    made = await context.call(context.store.create_user, organisation, name, role=role, password=record, at=at)
    return Welcome(user=made, password=password)


async def find(context: Context, organisation: int, name: str) -> User:
    """The organisation's person of that name. Raises ApiError (404)."""
    found = await context.call(context.store.user, name)
    if found is None or found.organisation != organisation:
        raise not_found("there is nobody of that name")
    return found


async def renew(context: Context, organisation: int, name: str) -> Welcome:
    """Give somebody a new password; whoever was signed in with the old one no longer is. Raises ApiError (404)."""
    found = await find(context, organisation, name)
    password = passwords.new_password()
    record = await context.call(passwords.hash_password, password)
    await context.call(context.store.set_password, found.id, record)
    return Welcome(user=found, password=password)


async def change_role(context: Context, organisation: int, name: str, role: Role) -> User:
    """Change what somebody may do, at once. Raises ApiError (404), LastAdministrator."""
    changed = await context.call(context.store.set_role, organisation, name, role)
    if changed is None:
        raise not_found("there is nobody of that name")
    return changed


async def remove(context: Context, organisation: int, name: str) -> None:
    """Somebody may sign in no more, and is signed out. Raises ApiError (404), LastAdministrator."""
    if not await context.call(context.store.delete_user, organisation, name):
        raise not_found("there is nobody of that name")
