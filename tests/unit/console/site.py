"""A real control plane on loopback with a real store, for the console's tests."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import httpx
import uvicorn

from kaizen_security.contract.codec import Report, encode_report
from kaizen_security.runtime import clock
from kaizen_security.server import passwords
from kaizen_security.server.app import create_app
from kaizen_security.server.serve import Protocol, Server
from kaizen_security.server.setup import mint_key
from kaizen_security.store.base import NewVerdict, Origin, Role, Scope, Status
from kaizen_security.store.sqlite import SqliteStore

USER = "ana"
PASSWORD = "correct-horse-battery"


class Site:
    """``url`` is where it listens; ``organisation`` the one tenant, whose administrator is USER and whose reader is ``vera``."""

    def __init__(self, directory):
        self.store = SqliteStore(directory)
        now = clock.now()
        self.organisation = self.store.create_organisation("Example", boundary_secret=bytes(32), at=now).id
        record = passwords.hash_password(PASSWORD)
        self.user = self.store.create_user(self.organisation, USER, role=Role.ADMIN, password=record, at=now)
        self.reader = self.store.create_user(self.organisation, "vera", role=Role.VIEWER, password=record, at=now)
        self._key = mint_key(self.store, name="sidecar", scope=Scope.OBSERVER)
        self.url = ""

    def keep(self, action, verdict, *, origin=Origin.OBSERVER, status=Status.OPEN, at=None):
        """Store a verdict as an observer's report would; its id."""
        new = NewVerdict(
            action=action, verdict=verdict, origin=origin, status=status, created_at=clock.now() if at is None else at
        )
        return self.store.append(self.organisation, [new]).result(60).ids[0]

    def report(self, action, verdict):
        """The same by the API, as the sidecar does it; the row's id."""
        document = encode_report(Report(action=action, verdict=verdict))
        answer = httpx.post(
            f"{self.url}/v1/verdicts", json=document, headers={"Authorization": f"Bearer {self._key}"}, timeout=60
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def session(self, user=None):
        """A signed-in session's token, without the slow hashing."""
        token = passwords.new_token(passwords.SESSION_PREFIX)
        now = clock.now()
        who = (user or self.user).id
        self.store.create_session(who, passwords.token_hash(token), at=now, expires_at=now + 3600)
        return token

    def client(self, *, user=None, signed_in=True):
        """A client that behaves as our own pages do: it states its Origin."""
        cookies = {"kaizen_session": self.session(user)} if signed_in else {}
        return httpx.Client(
            base_url=self.url, cookies=cookies, headers={"Origin": self.url}, trust_env=False, timeout=60
        )


class _Server(Server):
    @contextmanager
    def capture_signals(self):
        """In a thread there are none."""
        yield


@contextmanager
def running(directory, settings=None):
    """A site that listens on a free port of loopback; ``settings`` of the server, if it has any."""
    site = Site(directory)
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(site.store, settings=settings)
    config = uvicorn.Config(app, log_level="warning", lifespan="on", http=Protocol, timeout_graceful_shutdown=2)
    server = _Server(config, app.state.context)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        assert thread.is_alive(), "the server ended while it started"
        time.sleep(0.01)
    try:
        yield site
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        site.store.close()
        assert not thread.is_alive(), "the server did not stop"
