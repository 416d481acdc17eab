"""Statements about organisations, people and keys. Each takes a connection; the store decides in which thread and transaction."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.store import schema
from kaizen_security.store.base import Key, LastAdministrator, Organisation, Role, Scope, Session, User


def _organisation(row: Row[Any]) -> Organisation:
    return Organisation(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        boundary_secret=row.boundary_secret,
        revision=row.revision,
        public_id=row.public_id,
    )


def organisations(connection: Connection) -> tuple[Organisation, ...]:
    """All, oldest first."""
    found = connection.execute(select(schema.organisations).order_by(schema.organisations.c.id))
    return tuple(_organisation(row) for row in found)


def organisation(connection: Connection, number: int) -> Organisation | None:
    """The one of that number."""
    row = connection.execute(select(schema.organisations).where(schema.organisations.c.id == number)).first()
    return None if row is None else _organisation(row)


def create_organisation(connection: Connection, name: str, boundary_secret: bytes, at: float) -> Organisation:
    """A new one, with no policy."""
    fields: dict[str, Any] = {"name": name, "created_at": at, "boundary_secret": boundary_secret, "revision": 1}
    fields["public_id"] = secrets.token_hex(16)
    made = connection.execute(insert(schema.organisations).values(org_policy="{}", **fields)).inserted_primary_key
    assert made is not None
    return Organisation(id=made[0], **fields)


def _role(said: str) -> Role:
    # An unknown role is the least one: a missing word never makes an administrator.
    return Role.ADMIN if said == Role.ADMIN.value else Role.VIEWER


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        organisation=row.organisation_id,
        name=row.name,
        role=_role(row.role),
        password=row.password,
        created_at=row.created_at,
    )


def users(connection: Connection, number: int) -> tuple[User, ...]:
    """An organisation's people, oldest first."""
    table = schema.users
    return tuple(
        _user(row)
        for row in connection.execute(select(table).where(table.c.organisation_id == number).order_by(table.c.id))
    )


def user(connection: Connection, name: str) -> User | None:
    """The person of that name."""
    row = connection.execute(select(schema.users).where(schema.users.c.name == name)).first()
    return None if row is None else _user(row)


def create_user(connection: Connection, number: int, name: str, role: Role, password: str, at: float) -> User:
    """A new person. Raises InvalidInput when the name is taken."""
    if user(connection, name) is not None:
        raise InvalidInput("name", "is taken")
    values = {"organisation_id": number, "name": name, "role": role.value, "password": password, "created_at": at}
    made = connection.execute(insert(schema.users).values(**values)).inserted_primary_key
    assert made is not None
    return User(id=made[0], organisation=number, name=name, role=role, password=password, created_at=at)


def set_password(connection: Connection, user_id: int, password: str) -> None:
    """A new password ends every session that the old one opened, and every sign-in link."""
    connection.execute(update(schema.users).where(schema.users.c.id == user_id).values(password=password))
    for table in (schema.sessions, schema.links):
        connection.execute(delete(table).where(table.c.user_id == user_id))


def set_role(connection: Connection, number: int, name: str, role: Role) -> User | None:
    """Change what a person may do; None when the organisation has nobody of that name. Raises LastAdministrator."""
    found = _member(connection, number, name)
    if found is None:
        return None
    if role is not Role.ADMIN:
        _leave_one(connection, found)
    connection.execute(update(schema.users).where(schema.users.c.id == found.id).values(role=role.value))
    return replace(found, role=role)


def delete_user(connection: Connection, number: int, name: str) -> bool:
    """Whether there was somebody of that name; their sessions and links are over. Raises LastAdministrator."""
    found = _member(connection, number, name)
    if found is None:
        return False
    _leave_one(connection, found)
    for table in (schema.sessions, schema.links):
        connection.execute(delete(table).where(table.c.user_id == found.id))
    connection.execute(delete(schema.users).where(schema.users.c.id == found.id))
    return True


def _member(connection: Connection, number: int, name: str) -> User | None:
    found = user(connection, name)
    return found if found is not None and found.organisation == number else None


def _leave_one(connection: Connection, going: User) -> None:
    if not any(one.role is Role.ADMIN for one in users(connection, going.organisation) if one.id != going.id):
        raise LastAdministrator(f"{going.name!r} is the only administrator: make another one first")


def create_session(connection: Connection, user_id: int, token_hash: str, at: float, expires_at: float) -> None:
    """A session; those that are over are cleared away."""
    connection.execute(delete(schema.sessions).where(schema.sessions.c.expires_at <= at))
    values = {"token_hash": token_hash, "user_id": user_id, "created_at": at, "expires_at": expires_at}
    connection.execute(insert(schema.sessions).values(**values))


def session(connection: Connection, token_hash: str, now: float) -> Session | None:
    """The session of that token, if it is not over."""
    joined = select(schema.sessions.c.created_at, schema.sessions.c.expires_at, schema.sessions.c.user_id).where(
        schema.sessions.c.token_hash == token_hash, schema.sessions.c.expires_at > now
    )
    row = connection.execute(joined).first()
    if row is None:
        return None
    person = connection.execute(select(schema.users).where(schema.users.c.id == row.user_id)).one()
    return Session(token_hash=token_hash, user=_user(person), created_at=row.created_at, expires_at=row.expires_at)


def delete_session(connection: Connection, token_hash: str) -> None:
    """Sign out."""
    connection.execute(delete(schema.sessions).where(schema.sessions.c.token_hash == token_hash))


def create_link(connection: Connection, user_id: int, token_hash: str, expires_at: float) -> None:
    """A sign-in link."""
    connection.execute(insert(schema.links).values(token_hash=token_hash, user_id=user_id, expires_at=expires_at))


def use_link(connection: Connection, token_hash: str, now: float) -> User | None:
    """The person whom a link signs in, once: the link is gone afterwards, as are all that have expired."""
    row = connection.execute(select(schema.links).where(schema.links.c.token_hash == token_hash)).first()
    connection.execute(
        delete(schema.links).where((schema.links.c.token_hash == token_hash) | (schema.links.c.expires_at <= now))
    )
    if row is None or row.expires_at <= now:
        return None
    return _user(connection.execute(select(schema.users).where(schema.users.c.id == row.user_id)).one())


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        organisation=row.organisation_id,
        name=row.name,
        prefix=row.prefix,
        hash=row.hash,
        scope=Scope(row.scope),
        agent=row.agent,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


def keys(connection: Connection, number: int) -> tuple[Key, ...]:
    """An organisation's keys, newest first, with those that were revoked."""
    table = schema.keys
    statement = select(table).where(table.c.organisation_id == number).order_by(table.c.created_at.desc(), table.c.id)
    return tuple(_key(row) for row in connection.execute(statement))


def key_by_hash(connection: Connection, hash_: str) -> Key | None:
    """The key of that hash, of any organisation: who holds it is how we know whose it is."""
    row = connection.execute(select(schema.keys).where(schema.keys.c.hash == hash_)).first()
    return None if row is None else _key(row)


def create_key(connection: Connection, key: Key, replace: bool) -> None:
    """A new key; with ``replace`` the organisation's live keys of that name are revoked by it."""
    if replace:
        connection.execute(
            update(schema.keys)
            .where(
                schema.keys.c.organisation_id == key.organisation,
                schema.keys.c.name == key.name,
                schema.keys.c.revoked_at == 0,
            )
            .values(revoked_at=key.created_at)
        )
    connection.execute(
        insert(schema.keys).values(
            id=key.id,
            organisation_id=key.organisation,
            name=key.name,
            prefix=key.prefix,
            hash=key.hash,
            scope=key.scope.value,
            agent=key.agent,
            created_at=key.created_at,
            last_used_at=0.0,
            revoked_at=0.0,
        )
    )


def revoke_key(connection: Connection, number: int, key_id: str, at: float) -> bool:
    """Whether there was such a key to revoke."""
    table = schema.keys
    done = connection.execute(
        update(table)
        .where(table.c.organisation_id == number, table.c.id == key_id, table.c.revoked_at == 0)
        .values(revoked_at=at)
    )
    return done.rowcount > 0


def key_used(connection: Connection, key_id: str, at: float) -> None:
    """Note when a key was last seen."""
    connection.execute(update(schema.keys).where(schema.keys.c.id == key_id).values(last_used_at=at))


def touch(connection: Connection) -> None:
    """Write a page that says what it said before: whether this commits is whether the store can be written."""
    table = schema.organisations
    first = select(func.min(table.c.id)).scalar_subquery()
    connection.execute(update(table).where(table.c.id == first).values(revision=table.c.revision))
