"""CONNECT: TLS and plain TCP inside, both directions at once, every way to end."""

from __future__ import annotations

import hashlib
import random
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.egress.peers import ControlPlane, Origin, Running, Script, curl, read_all, running, until
from tests.ports import free_port

MB = 1 << 20


@pytest.fixture(params=["splice and epoll", "copy and selectors"])
def echoing(
    request: pytest.FixtureRequest, tmp_path: Path, plane: ControlPlane
) -> Iterator[tuple[Running, list[Script]]]:
    """A proxy in each of its two ways to move bytes, and a list of scripts that the test starts."""
    scripts: list[Script] = []
    fast = request.param == "splice and epoll"
    with running(tmp_path / "proxy", plane, allow=["127.0.0.0/8"], splice=fast, epoll=fast) as proxy:
        yield proxy, scripts
    for script in scripts:
        script.stop()


def test_curl_over_tls(proxy: Running, authority, plane: ControlPlane, secure: Origin):
    answer = curl(proxy, "--cacert", str(authority[1]), "https://api.internal/x")
    assert b'"path": "/x"' in answer.stdout
    action = until(lambda: [a for a in plane.actions("api.internal:443") if a["metadata"]["phase"] == "end"])[-1]
    metadata = action["metadata"]
    assert action["kind"] == "connect"
    assert (metadata["sni"], metadata["alpn"], metadata["address"]) == ("api.internal", "h2+http/1.1", "127.0.0.1")
    assert metadata["bytes_up"] > 500
    assert metadata["bytes_down"] > 1000
    assert (metadata["ended"], metadata["source"]) == ("closed", "egress")


def test_openssl_sees_the_origins_own_certificate(proxy: Running, authority):
    command = f"openssl s_client -proxy 127.0.0.1:{proxy.port} -connect api.internal:443 -servername api.internal"
    checks = ["-verify_return_error", "-CAfile", str(authority[1])]
    result = subprocess.run([*command.split(), *checks], input=b"", capture_output=True, timeout=15)
    assert b"Verify return code: 0 (ok)" in result.stdout


def hear_out(connection: socket.socket) -> None:
    """Read to the end, say nothing."""
    read_all(connection)


def pour(connection: socket.socket, seed: int, size: int) -> str:
    """Send ``size`` random bytes and FIN; their digest."""
    digest, chance = hashlib.sha256(), random.Random(seed)
    left = size
    while left:
        part = chance.randbytes(min(left, chance.choice([1, 100, 5000, 65536, 300_000])))
        digest.update(part)
        connection.sendall(part)
        left -= len(part)
    connection.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


def drink(connection: socket.socket, *, slowly: bool) -> str:
    """Read to the end; the digest of it."""
    digest, pause = hashlib.sha256(), threading.Event()
    while part := connection.recv(20_000 if slowly else 1 << 18):
        digest.update(part)
        if slowly:
            pause.wait(0.0005)
    return digest.hexdigest()


@pytest.mark.parametrize(("slow_client", "slow_origin"), [(False, False), (True, False), (False, True), (True, True)])
def test_both_directions_at_once_with_half_close_lose_no_byte(echoing, slow_client: bool, slow_origin: bool):
    proxy, scripts = echoing
    size = 30 * MB if not (slow_client or slow_origin) else 8 * MB
    seen: dict[str, str] = {}

    def act(connection: socket.socket) -> None:
        sender = threading.Thread(target=lambda: seen.update(sent=pour(connection, 2, size)))
        sender.start()
        seen["got"] = drink(connection, slowly=slow_origin)
        sender.join()

    script = Script(act)
    scripts.append(script)
    client, head = proxy.tunnel(f"127.0.0.1:{script.port}")
    assert head.startswith(b"HTTP/1.1 200 ")
    with client:
        sent: list[str] = []
        sender = threading.Thread(target=lambda: sent.append(pour(client, 1, size)))
        sender.start()
        got = drink(client, slowly=slow_client)
        sender.join()
    until(lambda: len(seen) == 2)
    assert (got, sent[0]) == (seen["sent"], seen["got"])


def test_the_origin_may_answer_long_after_the_client_has_ended(echoing):
    proxy, scripts = echoing

    def act(connection: socket.socket) -> None:
        data = read_all(connection)
        connection.sendall(hashlib.sha256(data).hexdigest().encode())

    scripts.append(Script(act))
    client, _ = proxy.tunnel(f"127.0.0.1:{scripts[0].port}")
    with client:
        digest = pour(client, 3, 2 * MB)
        assert read_all(client).decode() == digest


def test_the_client_may_send_long_after_the_origin_has_ended(echoing):
    proxy, scripts = echoing
    got = []

    def act(connection: socket.socket) -> None:
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        got.append(drink(connection, slowly=False))

    scripts.append(Script(act))
    client, _ = proxy.tunnel(f"127.0.0.1:{scripts[0].port}")
    with client:
        assert read_all(client) == b"bye"
        digest = pour(client, 4, 2 * MB)
    assert until(lambda: got) == [digest]


def test_an_origin_that_speaks_first_is_heard(echoing):
    proxy, scripts = echoing
    scripts.append(Script(lambda connection: connection.sendall(b"220 hello\r\n")))
    client, _ = proxy.tunnel(f"127.0.0.1:{scripts[0].port}")
    with client:
        assert read_all(client) == b"220 hello\r\n"


def test_bytes_that_come_with_the_connect_are_passed_on(echoing):
    proxy, scripts = echoing
    scripts.append(Script(lambda connection: connection.sendall(read_all(connection)[::-1])))
    with proxy.connect() as client:
        client.sendall(f"CONNECT 127.0.0.1:{scripts[0].port} HTTP/1.1\r\n\r\nabc".encode())
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).endswith(b"\r\n\r\ncba")


@pytest.mark.parametrize("who", ["client", "origin"])
def test_a_reset_is_passed_on_as_a_reset(echoing, who: str, plane: ControlPlane):
    proxy, scripts = echoing
    reset = threading.Event()
    seen = []

    def cut(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    def act(connection: socket.socket) -> None:
        connection.sendall(b"x")
        if who == "origin":
            connection.recv(1)
            cut(connection)
            return
        try:
            read_all(connection)
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")
        reset.set()

    scripts.append(Script(act))
    client, _ = proxy.tunnel(f"127.0.0.1:{scripts[0].port}")
    assert client.recv(1) == b"x"
    if who == "client":
        cut(client)
        assert reset.wait(60)
        assert seen == ["reset"]
    else:
        client.sendall(b"y")
        with pytest.raises(ConnectionResetError):
            read_all(client)
        client.close()
    until(lambda: [a for a in plane.actions(f"127.0.0.1:{scripts[0].port}") if a["metadata"].get("ended") == "reset"])


def test_a_tunnel_over_ipv6(tmp_path: Path, plane: ControlPlane):
    origin = Origin(v6=True)
    with running(tmp_path, plane, host="::1", allow=["::1/128"]) as proxy:
        assert proxy.url.startswith("http://[::1]:")
        answer = curl(proxy, "-p", f"http://[::1]:{origin.port}/six")
    origin.stop()
    assert b'"path": "/six"' in answer.stdout


def test_an_idle_tunnel_is_ended(tmp_path: Path, plane: ControlPlane):
    script = Script(hear_out)
    with running(tmp_path, plane, allow=["127.0.0.0/8"], idle_timeout=0.6) as proxy:
        client, _ = proxy.tunnel(f"127.0.0.1:{script.port}")
        with client, pytest.raises(ConnectionResetError):
            read_all(client)
        until(lambda: [a for a in plane.actions(f"127.0.0.1:{script.port}") if a["metadata"].get("ended") == "idle"])
    script.stop()


def test_a_tunnel_to_where_nobody_listens_is_refused_at_once(tmp_path: Path, plane: ControlPlane):
    port = free_port()
    with running(tmp_path, plane, allow=["127.0.0.0/8"]) as proxy:
        client, head = proxy.tunnel(f"127.0.0.1:{port}")
        client.close()
        assert head.startswith(b"HTTP/1.1 502 ")
        action = until(lambda: [a for a in plane.actions(f"127.0.0.1:{port}") if a["metadata"].get("ended")])[0]
    assert action["metadata"]["ended"] == "origin-refused"


def test_two_hundred_tunnels_at_once(tmp_path: Path, plane: ControlPlane, origin: Origin):
    with running(tmp_path, plane, allow=["127.0.0.0/8"]) as proxy:
        clients = [proxy.tunnel(f"127.0.0.1:{origin.port}")[0] for _ in range(200)]
        for client in clients:
            client.sendall(b"GET /bytes/1000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        sizes = {len(read_all(client).partition(b"\r\n\r\n")[2]) for client in clients}
        for client in clients:
            client.close()
        until(lambda: proxy.health()["connections"] == 1)
    assert sizes == {1000}


def test_a_hello_cut_into_single_bytes_still_names_its_host(proxy: Running, plane: ControlPlane, authority):
    client, _ = proxy.tunnel("api.internal:443")
    context = ssl.create_default_context(cafile=str(authority[1]))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="api.internal")
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    client.sendall(bytes([byte]))
                incoming.write(client.recv(1 << 16))
    until(lambda: [a for a in plane.actions("api.internal:443") if a["metadata"].get("sni") == "api.internal"])


def test_a_client_that_leaves_while_it_is_being_connected_leaves_nothing_behind(tmp_path: Path, plane: ControlPlane):
    with running(tmp_path, plane) as proxy:
        for _ in range(20):
            with proxy.connect() as client:
                client.sendall(b"CONNECT no-such-name.invalid:443 HTTP/1.1\r\n\r\n")
        until(lambda: proxy.health()["connections"] == 1)


def test_git_speaks_tls_through_a_tunnel(tmp_path: Path, proxy: Running, authority, secure: Origin):
    subprocess.run(
        ["git", "-c", f"http.proxy={proxy.url}", "-c", f"http.sslCAInfo={authority[1]}", "ls-remote", "https://api.internal/repo"],
        capture_output=True,
        timeout=15,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "no_proxy": ""},
    )  # fmt: skip
    # The origin is no git server; that git asked it, through the proxy and over TLS, is what is shown.
    assert ("GET", "/repo/info/refs?service=git-upload-pack") in {(method, path) for method, path, _, _ in secure.seen}


def test_the_head_of_a_tunnel_request_is_not_passed_on(echoing):
    proxy, scripts = echoing
    got: list[bytes] = []
    scripts.append(Script(lambda connection: got.append(read_all(connection))))
    client, _ = proxy.tunnel(f"127.0.0.1:{scripts[0].port}", "X-Secret: 1")
    with client:
        client.sendall(b"body")
    assert until(lambda: got) == [b"body"]
