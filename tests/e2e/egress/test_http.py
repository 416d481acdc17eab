"""Plain HTTP through the proxy, with curl and with raw sockets."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path

import pytest

from tests.e2e.egress.peers import DEADLINE, ControlPlane, Origin, Running, Script, curl, read_head, running, until
from tests.ports import free_port


def said(answer: bytes) -> dict[str, object]:
    return json.loads(answer)  # type: ignore[no-any-return]


def test_curl_gets_a_page_and_the_request_is_written_anew(proxy: Running):
    answer = curl(proxy, "-H", "X-Kept: 1", "-H", "Connection: X-Gone", "-H", "X-Gone: 1", "http://web.internal/a?b=c")
    document = said(answer.stdout)
    assert document["path"] == "/a?b=c"
    fields = document["fields"]
    assert fields["host"] == "web.internal"
    assert fields["x-kept"] == "1"
    assert not {"x-gone", "proxy-connection", "connection", "via", "proxy-authorization"} & set(fields)


def test_both_sides_keep_their_connection(proxy: Running):
    answer = curl(proxy, *[f"http://web.internal/{n}" for n in range(5)], "-w", "\n%{num_connects}\n")
    lines = answer.stdout.decode().split("\n")
    assert [line for line in lines if line.isdigit()] == ["1", "0", "0", "0", "0"]
    assert len({said(line.encode())["connection"] for line in lines if line.startswith("{")}) == 1


def test_a_body_of_known_length_arrives_whole(proxy: Running, tmp_path: Path):
    body = bytes(range(256)) * 8192
    (tmp_path / "body").write_bytes(body)
    answer = said(curl(proxy, "--data-binary", f"@{tmp_path / 'body'}", "http://web.internal/").stdout)
    assert (answer["size"], answer["digest"]) == (len(body), hashlib.sha256(body).hexdigest())


def test_a_chunked_upload_arrives_whole(proxy: Running, tmp_path: Path):
    body = bytes(range(256)) * 8192
    (tmp_path / "body").write_bytes(body)
    words = ("-H", "Transfer-Encoding: chunked", "-T", str(tmp_path / "body"), "http://web.internal/up")
    answer = said(curl(proxy, *words).stdout)
    assert (answer["size"], answer["digest"], answer["method"]) == (len(body), hashlib.sha256(body).hexdigest(), "PUT")


def test_the_origin_is_asked_whether_it_wants_the_body(proxy: Running, tmp_path: Path):
    (tmp_path / "body").write_bytes(b"x" * 100_000)
    answer = curl(proxy, "-H", "Expect: 100-continue", "-T", str(tmp_path / "body"), "-v", "http://web.internal/up")
    assert b"100 Continue" in answer.stderr
    assert said(answer.stdout)["size"] == 100_000


def test_a_chunked_answer_keeps_its_trailer(proxy: Running):
    data = b"GET http://web.internal/chunked HTTP/1.1\r\nHost: web.internal\r\nConnection: close\r\n\r\n"
    assert proxy.raw(data).endswith(b"\r\n0\r\nX-Digest: done\r\n\r\n")


def test_an_answer_that_ends_with_the_connection_arrives_whole(proxy: Running):
    answer = curl(proxy, "http://web.internal/close")
    assert said(answer.stdout)["path"] == "/close"


@pytest.mark.parametrize("words", [("-I", "/bytes/500"), ("-i", "/204")])
def test_answers_without_a_body_do_not_stop_the_connection(proxy: Running, words: tuple[str, str]):
    flag, path = words
    url = f"http://web.internal{path}"
    answer = curl(proxy, flag, url, url, "-w", "%{num_connects}", timeout=5)
    assert answer.returncode == 0
    assert answer.stdout.endswith(b"0")


def test_a_large_answer_to_a_slow_reader_arrives_whole(proxy: Running):
    answer = curl(proxy, "--limit-rate", "20M", "http://web.internal/bytes/15000000", "-o", "-")
    assert len(answer.stdout) == 15_000_000


def test_pipelined_requests_are_answered_in_order(proxy: Running):
    request = b"GET http://web.internal/%d HTTP/1.1\r\nHost: web.internal\r\n\r\n"
    last = b"GET http://web.internal/9 HTTP/1.1\r\nHost: web.internal\r\nConnection: close\r\n\r\n"
    answer = proxy.raw(b"".join(request % n for n in range(9)) + last)
    places = [answer.index(b'"path": "/%d"' % n) for n in range(10)]
    assert places == sorted(places)


def test_requests_for_several_origins_share_a_client_connection(tmp_path: Path, plane: ControlPlane, origin: Origin):
    other = Origin()
    hosts = {"a.internal": f"127.0.0.1:{origin.port}", "b.internal": f"127.0.0.1:{other.port}"}
    with running(tmp_path, plane, hosts=hosts) as proxy:
        answer = curl(proxy, *["http://a.internal/", "http://b.internal/"] * 3, "-w", "\n%{num_connects}\n").stdout
    other.stop()
    assert [line for line in answer.decode().split("\n") if line.isdigit()] == ["1", "0", "0", "0", "0", "0"]
    assert (len(origin.seen), len(other.seen)) == (3, 3)


def test_ipv6_origins_are_reached_by_address_and_by_name(tmp_path: Path, plane: ControlPlane):
    origin = Origin(v6=True)
    hosts = {"six.internal": f"[::1]:{origin.port}"}
    with running(tmp_path, plane, hosts=hosts, allow=["::1/128"]) as proxy:
        by_name = curl(proxy, "http://six.internal/")
        by_address = curl(proxy, f"http://[::1]:{origin.port}/")
    origin.stop()
    assert said(by_name.stdout)["fields"]["host"] == "six.internal"
    assert said(by_address.stdout)["fields"]["host"] == f"[::1]:{origin.port}"


def test_a_host_field_that_disagrees_is_replaced_and_noted(proxy: Running, plane: ControlPlane):
    answer = proxy.raw(b"GET http://web.internal/ HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n")
    assert b'"host": "web.internal"' in answer
    until(lambda: [a for a in plane.actions("web.internal:80") if a["metadata"].get("host_differs")])


SMUGGLING = {
    "length and chunks": b"Host: web.internal\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Host: web.internal\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "a folded field": b"Host: web.internal\r\nX: a\r\n b\r\n\r\n",
    "space before the colon": b"Host : web.internal\r\n\r\n",
    "a bare LF": b"Host: web.internal\nX: y\r\n\r\n",
    "bare LFs only": b"Host: web.internal\n\n",
    "a coding that is not chunked": b"Host: web.internal\r\nTransfer-Encoding: gzip\r\n\r\n",
    "a disguised coding": b"Host: web.internal\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
    "two hosts": b"Host: web.internal\r\nHost: evil.example\r\n\r\n",
    "no host": b"Accept: */*\r\n\r\n",
    "Connection: Content-Length": b"Host: web.internal\r\nConnection: Content-Length\r\nContent-Length: 0\r\n\r\n",
    "a coding with a comma behind it": b"Host: web.internal\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
    "a chunk's quote that does not end": b'Host: web.internal\r\nTransfer-Encoding: chunked\r\n\r\n1;a="\r\nX\r\n0\r\n\r\n',
    "a bad chunk size": b"Host: web.internal\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than its size": b"Host: web.internal\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("shape", SMUGGLING)
def test_a_request_that_two_readers_could_read_differently_is_refused(proxy: Running, shape: str):
    answer = proxy.raw(b"POST http://web.internal/ HTTP/1.1\r\n" + SMUGGLING[shape])
    assert answer.split(b" ")[1] in (b"400", b"501")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert proxy.health()["status"] == "ok"


def test_a_head_that_is_too_long_is_refused(proxy: Running):
    answer = proxy.raw(b"GET http://web.internal/ HTTP/1.1\r\nX: " + b"a" * 70_000)
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
    ],
)
def test_an_origin_that_answers_nonsense_is_a_bad_gateway(tmp_path: Path, plane: ControlPlane, answer: bytes):
    def act(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(answer)

    script = Script(act)
    with running(tmp_path, plane, hosts={"raw.internal": f"127.0.0.1:{script.port}"}) as proxy:
        got = proxy.raw(b"GET http://raw.internal/ HTTP/1.1\r\nHost: raw.internal\r\n\r\n")
    script.stop()
    assert got.startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ],
)
def test_an_answer_that_is_cut_is_not_passed_on_as_whole(tmp_path: Path, plane: ControlPlane, answer: bytes):
    def act(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(answer)

    script = Script(act)
    with running(tmp_path, plane, hosts={"raw.internal": f"127.0.0.1:{script.port}"}) as proxy:
        result = curl(proxy, "http://raw.internal/")
    script.stop()
    assert result.returncode in (18, 56)  # partial file, failure in receiving


def test_bytes_after_an_answer_never_become_the_next_answer(tmp_path: Path, plane: ControlPlane):
    def act(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        )
        read_head(connection)

    script = Script(act)
    with running(tmp_path, plane, hosts={"raw.internal": f"127.0.0.1:{script.port}"}) as proxy:
        result = curl(proxy, "http://raw.internal/1", "http://raw.internal/2")
    script.stop()
    assert (result.stdout, script.accepted) == (b"okok", 2)


def test_an_early_refusal_of_a_large_upload_reaches_the_client(tmp_path: Path, plane: ControlPlane):
    def act(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")

    script = Script(act)
    (tmp_path / "body").write_bytes(b"x" * 3_000_000)
    with running(tmp_path, plane, hosts={"raw.internal": f"127.0.0.1:{script.port}"}) as proxy:
        words = ("-T", str(tmp_path / "body"), "-H", "Expect:", "-o", "-", "-w", "%{http_code}", "http://raw.internal/")
        results = [curl(proxy, *words) for _ in range(5)]
    script.stop()
    assert [result.stdout for result in results] == [b"big413"] * 5


def test_a_websocket_is_passed_on_both_ways(tmp_path: Path, plane: ControlPlane):
    heads = []

    def act(connection: socket.socket) -> None:
        heads.append(read_head(connection))
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nfirst"
        )
        while data := connection.recv(1000):
            connection.sendall(data[::-1])

    script = Script(act)
    with (
        running(tmp_path, plane, hosts={"ws.internal": f"127.0.0.1:{script.port}"}) as proxy,
        proxy.connect() as client,
    ):
        client.sendall(
            b"GET http://ws.internal/ HTTP/1.1\r\nHost: ws.internal\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: x\r\n\r\n"
        )
        assert b"sec-websocket-accept: x" in read_head(client).lower()
        assert client.recv(5, socket.MSG_WAITALL) == b"first"
        client.sendall(b"abc")
        assert client.recv(3, socket.MSG_WAITALL) == b"cba"
    script.stop()
    assert b"upgrade: websocket" in heads[0].lower()


def test_an_upgrade_to_something_else_is_not_asked_for(proxy: Running, origin: Origin):
    answer = curl(
        proxy,
        "-H",
        "Connection: Upgrade, HTTP2-Settings",
        "-H",
        "Upgrade: h2c",
        "-H",
        "HTTP2-Settings: A",
        "http://web.internal/",
    )
    assert not {"upgrade", "http2-settings", "connection"} & set(said(answer.stdout)["fields"])


def test_a_kept_connection_that_the_origin_closes_is_replaced(tmp_path: Path, plane: ControlPlane):
    def act(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    script = Script(act)
    with running(tmp_path, plane, hosts={"raw.internal": f"127.0.0.1:{script.port}"}) as proxy:
        result = curl(proxy, *["http://raw.internal/"] * 20)
    script.stop()
    assert result.stdout == b"ok" * 20


def test_an_http_1_0_client_gets_an_http_1_0_conversation(proxy: Running):
    answer = proxy.raw(b"GET http://web.internal/ HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in answer


def test_a_slow_head_is_given_up(tmp_path: Path, plane: ControlPlane):
    with running(tmp_path, plane, header_timeout=0.5) as proxy:
        assert proxy.raw(b"GET http://web.internal/ HTT").startswith(b"HTTP/1.1 408 ")


def test_an_origin_that_never_answers_is_given_up(tmp_path: Path, plane: ControlPlane):
    def act(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.settimeout(DEADLINE)
        connection.recv(1000)

    script = Script(act)
    with running(tmp_path, plane, hosts={"raw.internal": f"127.0.0.1:{script.port}"}, idle_timeout=0.7) as proxy:
        got = proxy.raw(b"GET http://raw.internal/ HTTP/1.1\r\nHost: raw.internal\r\n\r\n")
    script.stop()
    assert got.startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize("target", ["http://closed.internal/", "http://no-such-name.invalid/"])
def test_an_origin_that_is_not_there_is_said_to_be_not(tmp_path: Path, plane: ControlPlane, target: str):
    port = free_port()
    with running(tmp_path, plane, hosts={"closed.internal": f"127.0.0.1:{port}"}) as proxy:
        answer = curl(proxy, "-i", target)
    assert answer.stdout.startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"GET https://web.internal/ HTTP/1.1", b"PUT /healthz HTTP/1.1"])
def test_what_is_no_proxy_request_is_told_so(proxy: Running, line: bytes):
    answer = proxy.raw(line + b"\r\nHost: web.internal\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"proxy" in answer


def test_the_request_is_reported_as_http_without_its_path(proxy: Running, plane: ControlPlane):
    curl(proxy, "http://web.internal/secret-path?token=canary-1234")
    action = until(lambda: plane.actions("web.internal:80"))[0]
    assert action["kind"] == "http"
    metadata = action["metadata"]
    assert (metadata["source"], metadata["method"], metadata["status"], metadata["ended"]) == (
        "egress",
        "GET",
        200,
        "closed",
    )
    assert "canary-1234" not in json.dumps(plane.reports)
    assert "secret-path" not in json.dumps(plane.reports)
