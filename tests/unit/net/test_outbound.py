"""Outbound HTTP that cannot be pointed inwards: against real servers on loopback, which is the most inward place there is."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading

import pytest
import trustme

from kaizen_security.contract.errors import Misconfigured, Unreachable
from kaizen_security.net.outbound import MAX_ANSWER, Exchange, check, public, send


class Recorder(http.server.BaseHTTPRequestHandler):
    """Answers by path and keeps what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.seen.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
        status = {"/redirect": 302, "/busy": 429, "/odd": 429}.get(self.path, 200)
        body = b"x" * (MAX_ANSWER * 3) if self.path == "/long" else b"fine"
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://169.254.169.254/")
        if status == 429:
            self.send_header("Retry-After", "\xb2" if self.path == "/odd" else "7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *words):
        pass


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        server.seen = []
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def url(server, path="/", scheme="http", host="127.0.0.1"):
    return f"{scheme}://{host}:{server.server_address[1]}{path}"


def test_an_internal_address_is_refused_and_the_way_to_permit_it_is_named():
    with serving() as server:
        with pytest.raises(Misconfigured, match=r"not a public address.*permit 127\.0\.0\.1:"):
            send(Exchange(url=url(server), body=b""))
        assert server.seen == []


def test_a_permitted_destination_gets_body_and_headers():
    with serving() as server:
        exchange = Exchange(url=url(server, "/hook?a=1"), body=b"{}", headers={"X-Mine": "yes"})
        answer = send(exchange, permitted=["127.0.0.1"])
        assert (answer.status, answer.body) == (200, b"fine")
        path, headers, body = server.seen[0]
        assert (path, headers["X-Mine"], body) == ("/hook?a=1", "yes", b"{}")


def test_a_redirect_is_an_answer_and_is_not_followed():
    with serving() as server:
        assert send(Exchange(url=url(server, "/redirect"), body=b""), permitted=["127.0.0.1"]).status == 302
        assert len(server.seen) == 1


def test_retry_after_is_read_in_seconds():
    with serving() as server:
        assert send(Exchange(url=url(server, "/busy"), body=b""), permitted=["127.0.0.1"]).retry_after == 7
        odd = send(Exchange(url=url(server, "/odd"), body=b""), permitted=["127.0.0.1"])
        assert odd.retry_after == 0, "a digit that is no number of seconds (superscript two)"


def test_a_long_answer_is_cut_at_its_bound():
    with serving() as server:
        assert len(send(Exchange(url=url(server, "/long"), body=b""), permitted=["127.0.0.1"]).body) == MAX_ANSWER


def test_a_permit_for_one_port_is_no_permit_for_another():
    with serving() as server, pytest.raises(Misconfigured):
        send(Exchange(url=url(server), body=b""), permitted=["127.0.0.1:1"])


@pytest.mark.parametrize(
    "target",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http://user:pw@example.com/",
        "http://example.com/#frag",
        "http://example.com/a b",
        "http://example.com/\r\nX: y",
        "http://[::1",
        "http://example.com:99999/",
    ],
)
def test_what_is_no_plain_web_address_is_refused(target):
    with pytest.raises(Misconfigured):
        check(target)


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "http://10.0.0.1/",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://localhost/",
    ],
)
def test_every_spelling_of_an_inward_address_is_refused(target):
    with pytest.raises((Misconfigured, Unreachable)) as said:
        check(target)
    assert "public" in str(said.value) or "resolve" in str(said.value)


def test_public_addresses_are_public():
    assert public("93.184.216.34")
    assert public("2606:4700::1111")
    assert not public("fd00:ec2::254")


@pytest.mark.parametrize(
    "address", ["168.63.129.16", "::ffff:168.63.129.16", "::127.0.0.1", "::a9fe:a9fe", "fec0::1", "2002:7f00:1::"]
)
def test_addresses_that_are_public_by_their_number_alone_are_not(address):
    assert not public(address)


def test_a_silent_server_costs_the_deadline_and_no_more():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(Unreachable, match="no answer"):
            send(Exchange(url=target, body=b""), permitted=["127.0.0.1"], deadline=0.3)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    ],
)
def test_a_dripping_server_costs_the_deadline_and_no_more(first, then):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop, ended = threading.Event(), threading.Event()

        def drip():
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                peer.sendall(first)
                for _ in range(60):  # a deadline that does not hold would end here, 3 s later
                    if stop.wait(0.05):
                        return
                    peer.sendall(then)
            ended.set()

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with pytest.raises(Unreachable):
                send(
                    Exchange(url=f"http://127.0.0.1:{listener.getsockname()[1]}/", body=b""),
                    permitted=["127.0.0.1"],
                    deadline=0.5,
                )
            assert not ended.is_set()
        finally:
            stop.set()
            thread.join()


def test_a_certificate_that_nobody_trusts_is_named_and_one_that_is_trusted_works(tmp_path, monkeypatch):
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    with serving(context) as server:
        target = Exchange(url=url(server, scheme="https", host="localhost"), body=b"")
        with pytest.raises(Unreachable, match="certificate"):
            send(target, permitted=["localhost"])
        ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert send(target, permitted=["localhost"]).status == 200
