"""Who is asking: an API key, or a person who is signed in. Nothing in a header or body ever says so by itself.

A key's scope and agent come from the store; a person's role does too, and a role that is missing or unknown is no role at all.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import HTTPConnection
from starlette.responses import Response

from kaizen_security.contract.action import Action, told
from kaizen_security.contract.bundle import key_hash
from kaizen_security.contract.depth import Rung, rung_of
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.shares import peer
from kaizen_security.runtime.clock import Clock
from kaizen_security.server import passwords
from kaizen_security.server.http import forbidden, too_many, unauthorized
from kaizen_security.server.limits import Limits
from kaizen_security.store.base import Key, Role, Scope, Session, Store, User

COOKIE = "kaizen_session"
SESSION_SECONDS = 12 * 3600.0
LINK_SECONDS = 600.0
KEY_CACHE_SECONDS = 2.0
"""A key that another process revoked is refused after at most this long; one revoked here, at once."""
_CACHED = 4096
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is asking. Exactly one of ``key`` and ``user`` is set. ``cookie``: a browser sent it by itself."""

    organisation: int
    key: Key | None = None
    user: User | None = None
    cookie: bool = False

    @property
    def scope(self) -> str:
        """A key's scope, or ``user``."""
        return self.key.scope.value if self.key is not None else "user"

    @property
    def bound_agent(self) -> str:
        """The one agent that it may speak for, ``""`` for any."""
        return self.key.agent if self.key is not None else ""

    @property
    def is_observer(self) -> bool:
        """Its reports are verdicts, not claims."""
        return self.key is not None and self.key.scope is Scope.OBSERVER

    def heard(self, action: Action) -> Action:
        """The action, by what its caller may say of who saw it."""
        return told(action) if self.key is not None and self.key.scope is Scope.SDK else action

    def vouched(self, action: Action) -> bool:
        """Whether a claim that network or kernel saw it, as its source or beside it, comes from somebody who is no agent."""
        if self.key is None or self.key.scope is not Scope.AGENT:
            return True
        return action.rung < Rung.EGRESS and all(rung_of(name) < Rung.EGRESS for name in action.seen_by)

    def agent(self, said: str, *, field: str = "agent") -> str:
        """The agent that it speaks for, when it says ``said``. Raises ApiError (403) when that is another one than its own."""
        bound = self.bound_agent
        if bound and said and said != bound:
            raise forbidden("this API key is bound to another agent", field=field)
        return bound or said

    def require_user(self) -> User:
        """The person. Raises ApiError (403) for an API key."""
        if self.user is None:
            raise forbidden("an API key may not do this; sign in")
        return self.user

    def require_key(self) -> Key:
        """The API key. Raises ApiError (403) for a person."""
        if self.key is None:
            raise forbidden("this needs an API key")
        return self.key

    def require_admin(self) -> User:
        """The person, if they may change things. Raises ApiError (403)."""
        user = self.require_user()
        if user.role is not Role.ADMIN:
            raise forbidden("your role may only read")
        return user

    def require_observer(self) -> None:
        """Raises ApiError (403) unless it is a sidecar's key."""
        if not self.is_observer:
            raise forbidden("this needs an API key of scope observer")

    def require_declaring(self) -> None:
        """Raises ApiError (403) unless it may say what agents are for: an administrator, or a key that agents use."""
        if self.key is None:
            self.require_admin()
        elif self.key.scope is Scope.COLLECTOR:
            raise forbidden("a key of scope collector declares nothing")


class Limiter:
    """Failures by key, each forgotten after a while: ``burst`` of them at once, then one every ``seconds``. Bounded."""

    def __init__(self, *, burst: int, seconds: float, size: int = 4096) -> None:
        self._burst = burst
        self._seconds = seconds
        self._size = size
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self.evicted = 0

    def wait(self, key: str, now: float) -> float:
        """Seconds until another try is allowed; 0.0 for now."""
        level = self._level(key, now)
        return 0.0 if level <= self._burst - 1 else (level - self._burst + 1) * self._seconds

    def failed(self, key: str, now: float) -> None:
        """Count a failure."""
        self._levels[key] = (self._level(key, now) + 1, now)
        self._levels.move_to_end(key)
        if len(self._levels) > self._size:
            self._levels.popitem(last=False)
            self.evicted += 1

    def forgive(self, key: str, now: float) -> None:
        """Take one back that was none."""
        if key in self._levels:
            self._levels[key] = (max(0.0, self._level(key, now) - 1), now)

    def _level(self, key: str, now: float) -> float:
        level, at = self._levels.get(key, (0.0, now))
        return max(0.0, level - max(0.0, now - at) / self._seconds)


class Auth:
    """Keys, sessions, signing in and out. ``secure``: the server is reached over HTTPS, so cookies say ``Secure``.

    ``ended`` is called with the hash of every session that is signed out here.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        executor: Executor,
        *,
        secure: bool = False,
        limits: Limits | None = None,
        ended: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._limits = limits
        self._ended = ended
        self.sign_in_failures = 0
        self._clock = clock
        self._executor = executor
        self.secure = secure
        self._keys: OrderedDict[str, tuple[Key | None, float]] = OrderedDict()
        self._forgotten = 0
        self._used: dict[str, float] = {}
        # From one address, whoever it says to be; and for one name from one address, so that nobody else is locked out.
        self._by_address = Limiter(burst=30, seconds=10.0)
        self._by_name = Limiter(burst=8, seconds=30.0)
        self._hashing = asyncio.Semaphore(2)

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    async def principal(self, connection: HTTPConnection) -> Principal:
        """Who is asking. Raises ApiError: 401 for nobody that we know, 403 for another site's page with our reader's cookie."""
        kind, _, token = connection.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if token:
            if kind.lower() != "bearer" or len(token) > 256:
                raise unauthorized("send the key as Authorization: Bearer <key>")
            if token.startswith(passwords.SESSION_PREFIX):
                session = await self.session(token)
                if session is None:
                    raise unauthorized("this session is over or was never one; sign in again")
                return Principal(organisation=session.user.organisation, user=session.user)
            return await self._by_key(token)
        session = await self.session(connection.cookies.get(COOKIE, ""))
        if session is None:
            raise unauthorized("an API key or a session is needed")
        self.check_origin(connection)
        return Principal(organisation=session.user.organisation, user=session.user, cookie=True)

    async def _by_key(self, token: str) -> Principal:
        hash_ = key_hash(token)
        now = self._clock()
        cached = self._keys.get(hash_)
        if cached is None or now - cached[1] > KEY_CACHE_SECONDS or now < cached[1]:
            before = self._forgotten
            key = await self._call(lambda: self._store.key_by_hash(hash_))
            if before == self._forgotten:  # else it may have been read before it was revoked
                self._keys[hash_] = (key, now)
                self._keys.move_to_end(hash_)
                if len(self._keys) > _CACHED:
                    self._keys.popitem(last=False)
        else:
            key = cached[0]
        if key is None or key.revoked_at:
            raise unauthorized("this API key is unknown or was revoked")
        if self._limits is not None:
            self._limits.key(key.id)
        await self._note_use(key, now)
        return Principal(organisation=key.organisation, key=key)

    async def _note_use(self, key: Key, now: float) -> None:
        # Known to the minute is enough, and a write for each request would be too much.
        if now - self._used.get(key.id, key.last_used_at) < 60:
            return
        if len(self._used) > _CACHED:
            self._used.clear()
        self._used[key.id] = now
        await self._call(lambda: self._store.key_used(key.id, at=now))

    def forget_keys(self) -> None:
        """A key was made or revoked: ask the store again."""
        self._forgotten += 1
        self._keys.clear()

    # --- people ---

    async def session(self, token: str) -> Session | None:
        """The session of a token that is still good."""
        if not token.startswith(passwords.SESSION_PREFIX) or len(token) > 256:
            return None
        hash_ = passwords.token_hash(token)
        now = self._clock()
        return await self._call(lambda: self._store.session(hash_, now=now))

    async def user(self, connection: HTTPConnection) -> User | None:
        """The person whose browser asks, by its cookie; None when nobody is signed in."""
        session = await self.session(connection.cookies.get(COOKIE, ""))
        return None if session is None else session.user

    @staticmethod
    def session_hash(connection: HTTPConnection) -> str:
        """Names the session that a browser's cookie stands for, without being it; ``""`` for a browser without one."""
        token = connection.cookies.get(COOKIE, "")
        return passwords.token_hash(token) if token else ""

    def check_origin(self, connection: HTTPConnection) -> None:
        """Refuse a call that changes something and comes from another site's page.

        Browsers state the Origin of every such call (RFC 6454); none at all is refused as well, since only browsers
        send our cookie. Raises ApiError (403).
        """
        if str(connection.scope.get("method", "GET")) in _SAFE_METHODS:
            return
        origin = connection.headers.get("origin", "")
        host = connection.headers.get("host", "")
        if not host or origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            raise forbidden("this call must come from a page of this server (Origin)")

    async def sign_in(self, name: str, password: str, *, address: str) -> str:
        """A new session's token. Raises ApiError: 401 (without saying what was wrong), 429; InvalidInput."""
        if len(password) > passwords.MAX_PASSWORD:
            raise InvalidInput("password", f"is longer than {passwords.MAX_PASSWORD} characters")
        now = self._clock()
        address = peer(address)
        both = f"{address} {name[:256]}"
        wait = max(self._by_address.wait(address, now), self._by_name.wait(both, now))
        if wait:
            raise too_many("too many failed attempts; wait", wait)
        # Counted before the slow hashing, so that a burst sent at once is counted as well; a success takes only itself back.
        self._by_address.failed(address, now)
        self._by_name.failed(both, now)
        user = await self._call(lambda: self._store.user(name))
        async with self._hashing:
            good = await self._call(lambda: passwords.check_password(password, "" if user is None else user.password))
        if not good or user is None:
            self.sign_in_failures += 1
            raise unauthorized("user or password is wrong")
        self._by_address.forgive(address, now)
        self._by_name.forgive(both, now)
        return await self._new_session(user)

    async def use_link(self, token: str, *, address: str) -> str | None:
        """A new session's token for a one-time sign-in link; None for one that is used, late or never was.

        Raises ApiError (429).
        """
        now, address = self._clock(), peer(address)
        wait = self._by_address.wait(address, now)
        if wait:
            raise too_many("too many failed attempts; wait", wait)
        user = None
        if token.startswith(passwords.LINK_PREFIX) and len(token) <= 256:
            hash_ = passwords.token_hash(token)
            user = await self._call(lambda: self._store.use_link(hash_, now=now))
        if user is None:
            self.sign_in_failures += 1
            self._by_address.failed(address, now)
            return None
        return await self._new_session(user)

    async def _new_session(self, user: User) -> str:
        token = passwords.new_token(passwords.SESSION_PREFIX)
        hash_ = passwords.token_hash(token)
        now = self._clock()
        await self._call(lambda: self._store.create_session(user.id, hash_, at=now, expires_at=now + SESSION_SECONDS))
        return token

    async def sign_out(self, token: str) -> None:
        """End the session of a token."""
        hash_ = passwords.token_hash(token)
        await self._call(lambda: self._store.delete_session(hash_))
        if self._ended is not None:
            self._ended(hash_)

    def set_cookie(self, response: Response, token: str) -> None:
        """Give a browser its session."""
        response.set_cookie(
            COOKIE, token, max_age=int(SESSION_SECONDS), path="/", secure=self.secure, httponly=True, samesite="strict"
        )

    def clear_cookie(self, response: Response) -> None:
        """Take a browser's session away."""
        response.delete_cookie(COOKIE, path="/", secure=self.secure, httponly=True, samesite="strict")
