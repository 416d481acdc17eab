"""One kept connection, with everything that can go wrong on the other side."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import threading
import time

import pytest

from kaizen_security import Kaizen
from kaizen_security.client.dial import place
from kaizen_security.client.http import Connection, Pool
from kaizen_security.contract.errors import Misconfigured, Refused, Unreachable
from tests.unit.client.upstream import Upstream, free_port, reply, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Raw:
    """A server that runs a script of one function for each connection it accepts."""

    def __init__(self, *scripts):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.accepted = 0
        self.requests = []
        self._scripts = scripts
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        for script in self._scripts:
            try:
                held, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            with held:
                script(self, held)

    def read(self, held):
        """One request, as bytes."""
        data = b""
        while b"\r\n\r\n" not in data:
            got = held.recv(65536)
            if not got:
                return data
            data += got
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        while len(body) < length:
            body += held.recv(65536)
        self.requests.append(head)
        return data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Closing alone does not wake who waits for the next connection.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(60)


def answer_once(server, held):
    server.read(held)
    held.sendall(OK)


def close_after_reading(server, held):
    server.read(held)


@pytest.fixture
def upstream():
    with Upstream() as upstream:
        yield upstream


def test_one_connection_carries_many_requests(upstream):
    sockets = set()
    connection = Connection(upstream.url)
    for i in range(5):
        assert connection.json("POST", "/v1/verdicts:batch", {"reports": []})["accepted"] == 0
        sockets.add(connection._socket)
        assert len(upstream.seen) == i + 1
    assert len(sockets) == 1
    connection.close()


def test_a_kept_connection_that_was_closed_is_opened_again():
    with Raw(answer_once, answer_once) as server:
        connection = Connection(server.url)
        for _ in range(2):
            assert connection.request("POST", "/", b"{}")[0] == 200
            until(lambda: not connection._kept())
        assert server.accepted == 2


def test_a_request_that_may_have_been_acted_on_is_not_sent_twice():
    def answer_then_close(server, held):
        answer_once(server, held)
        server.read(held)

    with Raw(answer_then_close, answer_once) as server:
        connection = Connection(server.url)
        connection.request("POST", "/", b"{}")
        with pytest.raises(Unreachable, match="may have been acted on"):
            connection.request("POST", "/", b"{}")
        assert server.accepted == 1


@pytest.mark.parametrize("how", [{"method": "GET", "path": "/"}, {"method": "POST", "path": "/", "idempotent": True}])
def test_an_idempotent_request_is_sent_again_once(how):
    def answer_then_close(server, held):
        answer_once(server, held)
        server.read(held)

    with Raw(answer_then_close, answer_once) as server:
        connection = Connection(server.url)
        connection.request("GET", "/")
        assert connection.request(**how)[0] == 200
        assert server.accepted == 2


def test_a_fresh_connection_without_an_answer_is_not_tried_again():
    with Raw(close_after_reading, answer_once) as server:
        with pytest.raises(Unreachable, match="closed without an answer"):
            Connection(server.url).request("GET", "/")
        assert server.accepted == 1


def test_an_answer_given_before_the_body_was_read_is_understood():
    def too_large(server, held):
        held.recv(1000)
        held.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        while held.recv(65536):
            pass

    with Raw(too_large) as server:
        assert Connection(server.url).request("POST", "/", b"x" * (8 << 20))[0] == 413


def test_the_deadline_holds_for_the_whole_exchange_however_slowly_bytes_drip():
    def drip(server, held):
        server.read(held)
        held.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(6000):
                held.sendall(b"x")
                time.sleep(0.02)
        except OSError:
            pass

    with Raw(drip) as server:
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"within 0\.3 s"):
            Connection(server.url).request("GET", "/", deadline=0.3)
        assert 0.25 < time.monotonic() - began < 60, "the whole answer takes 120"


def test_a_connection_that_nobody_accepts_ends_with_the_deadline():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        held = [socket.socket() for _ in range(4)]
        for each in held:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        with pytest.raises(Unreachable):
            Connection(url).request("GET", "/", deadline=0.3)
        for each in held:
            each.close()


def test_the_rest_of_a_late_answer_is_not_taken_for_the_next_one():
    def late(server, held):
        server.read(held)
        time.sleep(0.4)
        with contextlib.suppress(OSError):
            held.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")

    with Raw(late, answer_once) as server:
        connection = Connection(server.url)
        with pytest.raises(Unreachable):
            connection.request("GET", "/", deadline=0.1)
        assert connection.request("GET", "/")[2] == b"{}"


def test_a_redirect_is_an_answer_and_not_an_order(upstream):
    upstream.faults = lambda method, path: (302, {"Location": upstream.url + "/elsewhere"}, b"")
    connection = Connection(upstream.url)
    assert connection.request("POST", "/v1/x", b"{}")[0] == 302
    with pytest.raises(Refused) as refused:
        connection.json("POST", "/v1/x", {})
    assert refused.value.status == 302
    assert len(upstream.seen) == 2


def test_an_error_document_becomes_an_error_with_its_field(upstream):
    upstream.faults = lambda *_: reply({"error": {"code": "x", "message": "must be text", "field": "action.tool"}}, 422)
    with pytest.raises(Refused, match="must be text") as refused:
        Connection(upstream.url).json("POST", "/v1/x", {})
    assert (refused.value.status, refused.value.field) == (422, "action.tool")


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"error": 3}', b'{"error": {"message": []}}'])
def test_an_error_without_a_document_still_says_its_status(upstream, body):
    upstream.faults = lambda *_: (503, {}, body)
    with pytest.raises(Refused, match="503"):
        Connection(upstream.url).json("GET", "/v1/x")


def test_an_answer_that_is_no_json_or_too_large_is_unreachable(upstream):
    upstream.faults = lambda *_: (200, {}, b"<html>" + b"x" * 200)
    with pytest.raises(Unreachable, match="not JSON"):
        Connection(upstream.url).json("GET", "/v1/x")
    with pytest.raises(Unreachable, match="more than 100 bytes"):
        Connection(upstream.url, max_bytes=100).json("GET", "/v1/x")


def test_the_proxy_of_the_environment_never_sees_our_traffic(upstream, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert Connection(upstream.url).request("GET", "/v1/policy?agent=a")[0] == 200


def test_nobody_listening_is_said_with_the_address():
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable, match=url):
        Connection(url).request("GET", "/")


def test_a_unix_socket_works_like_any_other_address(tmp_path):
    with Upstream(unix=str(tmp_path / "s")) as upstream:
        connection = Connection(upstream.url)
        assert connection.request("GET", "/v1/policy?agent=a")[0] == 200
        assert upstream.seen[0][2]["Host"] == "localhost"
    with pytest.raises(Unreachable, match="unix://"):
        Connection(f"unix://{tmp_path}/nobody").request("GET", "/")


def test_a_forked_child_opens_a_connection_of_its_own(upstream):
    connection = Connection(upstream.url)
    connection.request("GET", "/v1/policy?agent=parent")
    kept = connection._socket
    pid = os.fork()
    if pid == 0:
        good = False
        try:
            good = connection._socket is None and connection.request("GET", "/v1/policy?agent=child")[0] == 200
        finally:
            os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert connection.request("GET", "/v1/policy?agent=parent")[0] == 200
    assert connection._socket is kept


def test_a_fork_while_another_thread_holds_the_connection_leaves_the_child_free(upstream):
    upstream.delay = 0.5
    connection = Connection(upstream.url)
    thread = threading.Thread(target=connection.request, args=("GET", "/v1/policy?agent=a"))
    thread.start()
    until(lambda: upstream.seen)
    pid = os.fork()
    if pid == 0:
        good = False
        try:
            good = connection.request("GET", "/v1/policy?agent=child", deadline=60)[0] == 200
        finally:
            os._exit(0 if good else 1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_pool_serves_threads_at_the_same_time(upstream):
    together = threading.Barrier(2)
    upstream.faults = lambda *_: (together.wait(60), None)[1]
    pool = Pool(upstream.url, size=2)
    threads = [threading.Thread(target=pool.json, args=("GET", "/v1/policy?agent=a")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken, "two were served at once, twice"
    assert len(pool._idle) == 2
    pool.close()


@pytest.fixture(scope="module")
def authority():
    return pytest.importorskip("trustme").CA()


def tls_server(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)

    def serve(server, held):
        try:
            with context.wrap_socket(held, server_side=True) as secure:
                while server.read(secure):
                    secure.sendall(OK)
        except OSError:
            pass

    return serve


def test_tls_is_verified_and_the_connection_is_kept(authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with Raw(tls_server(authority, "localhost")) as server:
        connection = Connection(server.url.replace("http://127.0.0.1", "https://localhost"))
        for _ in range(3):
            assert connection.request("GET", "/")[0] == 200
        assert server.accepted == 1
        connection.close()


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_wrong_certificate_is_refused_and_said(authority, wrong, tmp_path, monkeypatch):
    if wrong == "name":
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    name = "localhost" if wrong == "authority" else "other.example"
    with Raw(tls_server(authority, name)) as server:
        connection = Connection(server.url.replace("http://127.0.0.1", "https://localhost"))
        with pytest.raises(Unreachable, match=r"certificate|[Hh]ostname"):
            connection.request("GET", "/", headers={"Authorization": "Bearer kz_live_secret"})
        assert server.requests == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://localhost", "http://localhost"),
        ("HTTP://localhost:80/", "http://localhost"),
        ("https://api.example:8443/kaizen/", "https://api.example:8443/kaizen"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("unix:///run/kaizen.sock", "unix:///run/kaizen.sock"),
    ],
)
def test_addresses_are_understood(url, shown):
    assert str(place(url)) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://x",
        "http://",
        "http://:80",
        "http://x:0",
        "http://x:99999",
        "http://x:y",
        "unix://rel",
        "http://u:secret@x",
        "http://x?token=secret",
        "http://x#secret",
        "http://ä",
        "http://x y",
        "http://[::1",
        "http://x:",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_a_secret(url):
    with pytest.raises(Misconfigured) as refused:
        place(url)
    assert "secret" not in str(refused.value)


def test_json_goes_both_ways(upstream):
    upstream.faults = lambda *_: (200, {}, json.dumps({"ü": [1, None]}).encode())
    assert Connection(upstream.url).json("POST", "/v1/x", {"ä": "\U0001f600"}) == {"ü": [1, None]}
    assert json.loads(upstream.seen[0][3]) == {"ä": "\U0001f600"}


def test_reports_wait_behind_a_wrong_certificate_and_none_is_lost(authority, tmp_path, monkeypatch):
    key = "kz_live_" + "k" * 43
    with Raw(*[tls_server(authority, "localhost")] * 50) as server:
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        kaizen = Kaizen(key, url, data=tmp_path / "data", sync=False)
        for i in range(100):
            assert kaizen.inspect(tool=f"t{i}").allowed
        assert not kaizen.flush(1)
        assert "certificate" in kaizen.problem
        kaizen.close(0.2)
        assert (kaizen.lost, server.requests) == ({}, [])
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        with Kaizen(key, url, data=tmp_path / "data", sync=False) as kaizen:
            until(lambda: kaizen.flush(5) and len(server.requests) >= 2)  # 50 a request
            assert kaizen.lost == {}
        assert list((tmp_path / "data").rglob("*.seg")) == []
