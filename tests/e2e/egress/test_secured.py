"""TLS to the proxy itself: agents by their certificates, tunnels and uploads through it both ways."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from tests.e2e.egress.peers import DEADLINE, ControlPlane, Origin, Running, Script, curl, read_all, running, until


@pytest.fixture
def secured(tmp_path: Path, plane: ControlPlane, authority, origin: Origin, secure: Origin) -> Iterator[Running]:  # type: ignore[no-untyped-def]
    ca, ca_file = authority
    pem = tmp_path / "proxy.pem"
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    for agent in ("billing-bot", "other-bot"):
        ca.issue_cert(f"{agent}.example", common_name=agent).private_key_and_cert_chain_pem.write_to_path(
            str(tmp_path / f"{agent}.pem")
        )
    hosts = {"api.internal:443": f"127.0.0.1:{secure.port}", "web.internal": f"127.0.0.1:{origin.port}"}
    settings = {"tls_cert": str(pem), "tls_client_ca": str(ca_file), "hosts": hosts, "allow": ["127.0.0.0/8"]}
    # Its health page is behind the certificates, too: the first policy is not waited for.
    with running(tmp_path / "proxy", plane.url, **settings) as proxy:
        proxy.url = proxy.url.replace("http://", "https://")
        yield proxy


def flags(tmp_path: Path, ca: Path, agent: str) -> list[str]:
    return ["--proxy-cacert", str(ca), "--proxy-cert", str(tmp_path / f"{agent}.pem"), "--cacert", str(ca)]


def test_the_certificate_names_the_agent(secured: Running, tmp_path: Path, plane: ControlPlane, authority):
    for agent, url in (("billing-bot", "https://api.internal/204"), ("other-bot", "http://web.internal/204")):
        done = curl(secured, *flags(tmp_path, authority[1], agent), "--proxy-user", "somebody:else", url)
        assert done.returncode == 0, done.stderr
    until(lambda: {report["agent"] for report in list(plane.reports)} == {"billing-bot", "other-bot"})


def test_a_client_without_a_certificate_of_that_authority_gets_nothing(
    secured: Running, tmp_path: Path, plane: ControlPlane, authority
):
    stranger = tmp_path / "stranger.pem"
    trustme.CA().issue_cert("x.example", common_name="billing-bot").private_key_and_cert_chain_pem.write_to_path(
        str(stranger)
    )
    for words in ([], ["--proxy-cert", str(stranger)]):
        assert curl(secured, "--proxy-cacert", str(authority[1]), *words, "http://web.internal/204").returncode != 0
    heard = b""
    with suppress(ConnectionResetError), socket.create_connection((secured.host, secured.port), DEADLINE) as plain:
        plain.sendall(b"GET http://web.internal/204 HTTP/1.1\r\nHost: web.internal\r\n\r\n")
        heard = read_all(plain)
    assert b"HTTP/1.1" not in heard
    assert not plane.reports


def test_a_large_upload_passes_whole(secured: Running, tmp_path: Path, authority):
    body = tmp_path / "body"
    body.write_bytes(os.urandom(5 << 20))
    done = curl(secured, *flags(tmp_path, authority[1], "billing-bot"), "-T", str(body), "http://web.internal/up")
    said = json.loads(done.stdout)
    assert said["digest"] == hashlib.sha256(body.read_bytes()).hexdigest()


def test_a_tunnel_is_half_closed_and_still_read(secured: Running, tmp_path: Path, authority):
    big = os.urandom(3 << 20)

    def late(connection: socket.socket) -> None:
        assert connection.recv(5) == b"begin"
        connection.sendall(big)

    script = Script(late)
    context = ssl.create_default_context(cafile=str(authority[1]))
    context.load_cert_chain(tmp_path / "billing-bot.pem")
    with (
        secured.connect() as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=True) as client,
    ):
        target = f"127.0.0.1:{script.port}"
        client.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        client.sendall(b"begin")
        assert read_all(client) == big
    script.stop()
