"""What a new control plane needs before anybody can use it: an organisation, a person, keys. For entry points, not for requests."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from kaizen_security.contract.bundle import key_hash
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.runtime.clock import Clock, new_id, now
from kaizen_security.server import passwords
from kaizen_security.server.auth import LINK_SECONDS
from kaizen_security.store.base import Key, Organisation, Role, Scope, Store

ORGANISATION = "default"
USER = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStart:
    """``created`` is false when the store was set up before; then ``password`` is ``""``: it was shown once."""

    organisation: Organisation
    user: str
    password: str = field(repr=False)
    created: bool


def first_start(store: Store, clock: Clock = now) -> FirstStart:
    """Make the organisation and its administrator when there are none."""
    found = store.organisations()
    if found and store.users(found[0].id):
        return FirstStart(organisation=found[0], user=store.users(found[0].id)[0].name, password="", created=False)
    organisation = (
        found[0]
        if found
        else store.create_organisation(ORGANISATION, boundary_secret=secrets.token_bytes(32), at=clock())
    )
    password = passwords.new_password()
    record = passwords.hash_password(password)
    store.create_user(organisation.id, USER, role=Role.ADMIN, password=record, at=clock())
    return FirstStart(organisation=organisation, user=USER, password=password, created=True)


def mint_key(
    store: Store,
    *,
    name: str,
    scope: str | Scope = Scope.AGENT,
    agent: str | None = None,
    replace: bool = False,
    organisation: int | None = None,
    clock: Clock = now,
) -> str:
    """A new API key, shown this once. ``replace`` revokes the live ones of that name; ``agent`` binds it to one agent.

    ``organisation`` is the first one when not given. Raises Misconfigured when there is none.
    """
    if organisation is None:
        organisation = _first(store).id
    token, key = make_key(organisation, name=name, scope=Scope(scope), agent=agent or "", at=clock())
    store.create_key(key, replace=replace)
    return token


def make_key(organisation: int, *, name: str, scope: Scope, agent: str, at: float) -> tuple[str, Key]:
    """A new key and what is kept of it."""
    token = passwords.new_token(passwords.KEY_PREFIX)
    key = Key(
        id=new_id(),
        organisation=organisation,
        name=name,
        prefix=token[: len(passwords.KEY_PREFIX) + 4],
        hash=key_hash(token),
        scope=scope,
        agent=agent,
        created_at=at,
    )
    return token, key


def sign_in_link(store: Store, *, user: str = "", clock: Clock = now) -> str:
    """A token that signs ``user`` (the first administrator when not given) in once, within 10 minutes. Raises Misconfigured."""
    people = store.users(_first(store).id)
    chosen = [person for person in people if (person.name == user if user else person.role is Role.ADMIN)]
    if not chosen:
        raise Misconfigured("there is no such user to sign in")
    token = passwords.new_token(passwords.LINK_PREFIX)
    store.create_link(chosen[0].id, passwords.token_hash(token), expires_at=clock() + LINK_SECONDS)
    return token


def _first(store: Store) -> Organisation:
    found = store.organisations()
    if not found:
        raise Misconfigured("this data directory has no organisation yet: start the server once")
    return found[0]
