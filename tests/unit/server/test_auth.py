"""Passwords, tokens, limits, roles."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.requests import HTTPConnection

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.server import passwords, setup
from kaizen_security.server.auth import COOKIE, Auth, Limiter, Principal
from kaizen_security.server.http import ApiError
from kaizen_security.store.base import Key, Role, Scope, User
from kaizen_security.store.sqlite import SqliteStore


class Clock:
    def __init__(self):
        self.now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path):
    opened = SqliteStore(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def auth(store, clock):
    with ThreadPoolExecutor(2) as executor:
        yield Auth(store, clock, executor)


def asking(method="GET", **headers):
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "method": method, "headers": pairs, "path": "/", "query_string": b""})


def test_a_password_is_known_by_its_record_and_only_by_it():
    record = passwords.hash_password("correct horse")
    assert record.startswith("scrypt$")
    assert "correct horse" not in record
    assert record != passwords.hash_password("correct horse")
    assert passwords.check_password("correct horse", record)
    assert not passwords.check_password("correct horse ", record)
    for broken in ("", "scrypt$1", "plain$32768$8$1$AA==$AA==", "scrypt$x$8$1$AA==$AA==", "scrypt$3$8$1$AA==$AA=="):
        assert not passwords.check_password("correct horse", broken)
        assert not passwords.check_password("", broken)


def test_tokens_have_the_form_that_clients_know():
    token = passwords.new_token(passwords.KEY_PREFIX)
    assert len(token) == len("kz_live_") + 43
    assert token != passwords.new_token(passwords.KEY_PREFIX)


def test_a_first_start_happens_once(store, clock):
    first = setup.first_start(store, clock)
    again = setup.first_start(store, clock)
    assert (first.created, again.created, again.password) == (True, False, "")
    assert first.organisation == again.organisation
    assert passwords.check_password(first.password, store.user(first.user).password)
    assert first.password not in repr(first)


def test_keys_are_minted_for_an_organisation_that_there_is(store, clock):
    with pytest.raises(Misconfigured, match="start the server once"):
        setup.mint_key(store, name="x")
    setup.first_start(store, clock)
    first = setup.mint_key(store, name="demo", scope="observer", agent="a", clock=clock)
    setup.mint_key(store, name="demo", scope="observer", replace=True, clock=clock)
    kept = {key.prefix: key for key in store.keys(1)}
    assert kept[first[:12]].revoked_at
    assert kept[first[:12]].agent == "a"
    with pytest.raises(ValueError, match="admin"):
        setup.mint_key(store, name="x", scope="admin")


def test_a_sign_in_link_signs_in_once_and_for_ten_minutes(store, clock, auth):
    setup.first_start(store, clock)
    link = setup.sign_in_link(store, clock=clock)

    async def use(token):
        return await auth.use_link(token, address="::1")

    session = asyncio.run(use(link))
    assert asyncio.run(auth.session(session)).user.name == "admin"
    assert asyncio.run(use(link)) is None
    late = setup.sign_in_link(store, clock=clock)
    clock.now += 600
    assert asyncio.run(use(late)) is None
    assert asyncio.run(auth.session(late)) is None
    with pytest.raises(Misconfigured):
        setup.sign_in_link(store, user="nobody", clock=clock)


def test_a_key_that_is_revoked_while_it_is_looked_up_is_refused_from_then_on(store, clock):
    organisation = setup.first_start(store, clock).organisation.id
    token = setup.mint_key(store, name="k", clock=clock)
    [key] = store.keys(organisation)

    class Late(SqliteStore):
        """Answers with what was there when it was asked, after the key has been revoked."""

        def __init__(self):
            pass

        def key_by_hash(self, hash_):
            found = store.key_by_hash(hash_)
            store.revoke_key(organisation, key.id, at=clock())
            auth.forget_keys()
            return found

        def key_used(self, key_id, *, at):
            pass

    with ThreadPoolExecutor(2) as executor:
        auth = Auth(Late(), clock, executor)
        caller = asking(authorization=f"Bearer {token}")

        async def twice():
            await auth.principal(caller)
            with pytest.raises(ApiError, match="revoked"):
                await auth.principal(caller)

        asyncio.run(twice())


def test_failed_links_are_slowed(store, clock, auth):
    async def try_many():
        for _ in range(40):
            await auth.use_link("kz_link_x", address="10.0.0.1")

    with pytest.raises(ApiError) as raised:
        asyncio.run(try_many())
    assert raised.value.status == 429


def test_failures_are_counted_forgotten_and_bounded(clock):
    limiter = Limiter(burst=3, seconds=10.0, size=5)
    for _ in range(3):
        assert limiter.wait("a", 0.0) == 0.0
        limiter.failed("a", 0.0)
    assert limiter.wait("a", 0.0) == pytest.approx(10.0)
    assert limiter.wait("a", 4.0) == pytest.approx(6.0)
    assert limiter.wait("a", 10.0) == 0.0
    assert limiter.wait("b", 0.0) == 0.0
    limiter.forgive("a", 0.0)
    assert limiter.wait("a", 0.0) == 0.0
    for i in range(20):
        limiter.failed(str(i), 0.0)
    assert limiter.evicted == 16
    assert limiter.wait("a", -50.0) == 0.0, "a clock that is set back locks nobody out"


def test_a_correct_password_is_not_counted_against_anybody(store, clock, auth):
    first = setup.first_start(store, clock)

    async def often():
        for _ in range(10):
            await auth.sign_in(first.user, first.password, address="::1")

    asyncio.run(often())


@pytest.mark.parametrize(
    ("role", "allowed"), [(Role.ADMIN, True), (Role.VIEWER, False)], ids=["administrator", "viewer"]
)
def test_only_an_administrator_changes_things(role, allowed):
    person = Principal(
        organisation=1, user=User(id=1, organisation=1, name="x", role=role, password="", created_at=1.0)
    )
    assert person.scope == "user"
    if allowed:
        assert person.require_admin().name == "x"
    else:
        with pytest.raises(ApiError, match="only read"):
            person.require_admin()
    with pytest.raises(ApiError):
        person.require_key()


def test_a_key_is_never_a_person():
    key = Key(id="1", organisation=1, name="k", prefix="p", hash="h", scope=Scope.OBSERVER, agent="", created_at=1.0)
    for ask in (Principal(organisation=1, key=key).require_admin, Principal(organisation=1, key=key).require_user):
        with pytest.raises(ApiError) as raised:
            ask()
        assert raised.value.status == 403


def test_a_session_ends(store, clock, auth):
    first = setup.first_start(store, clock)
    token = asyncio.run(auth.sign_in(first.user, first.password, address="::1"))
    assert asyncio.run(auth.user(asking(cookie=f"{COOKIE}={token}"))).name == "admin"
    clock.now += 12 * 3600
    assert asyncio.run(auth.user(asking(cookie=f"{COOKIE}={token}"))) is None


def test_keys_that_nobody_has_do_not_fill_the_memory(store, clock, auth):
    async def ask():
        for i in range(4200):
            with pytest.raises(ApiError):
                await auth.principal(asking(authorization=f"Bearer kz_live_{i}"))

    asyncio.run(ask())
    assert len(auth._keys) <= 4096


def test_who_has_one_network_of_ipv6_has_one_address_for_guessing_passwords(auth, store, clock):
    acme = store.create_organisation("acme", boundary_secret=b"o" * 32, at=1.0)
    store.create_user(acme.id, "admin", role=Role.ADMIN, password=passwords.hash_password("right"), at=1.0)

    async def tried():
        statuses = []
        for i in range(10):
            try:
                await auth.sign_in("admin", "wrong", address=f"2001:db8::{i:x}")
            except ApiError as err:
                statuses.append(err.status)
        return statuses

    assert asyncio.run(tried()) == [401] * 8 + [429] * 2
