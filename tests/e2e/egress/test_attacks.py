"""The ways around that others' proxies have (pitfalls 14 to 21): each is blocked, or flagged, or said to be unseen at this rung."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.egress.namespace import namespace, needs_namespaces
from tests.e2e.egress.peers import DEADLINE, ControlPlane, Origin, Running, Script, curl, read_all, running, until

ROOT = Path(__file__).parents[3]


def status(answer: bytes) -> int:
    return int(answer[9:12])


def code(answer: bytes) -> str:
    return json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]  # type: ignore[no-any-return]


# --- 14: ways around --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--noproxy", "*"], ["--noproxy", "*", "-x", ""]], ids=["noproxy", "no proxy"])
def test_a_client_that_ignores_the_variables_is_not_seen_and_the_page_says_so(
    proxy: Running, plane: ControlPlane, origin: Origin, words: list[str]
):
    done = subprocess.run(["curl", "-q", "-sS", *words, f"http://127.0.0.1:{origin.port}/204"], capture_output=True)
    assert done.returncode == 0
    assert proxy.health()["counts"].get("http", 0) == 0  # type: ignore[attr-defined]
    limits = (ROOT / "docs/limits.md").read_text()
    for way in ("ignore the proxy variables", "raw sockets", "UDP, QUIC", "clean environment"):
        assert way in limits


@pytest.mark.root
@needs_namespaces
def test_in_a_namespace_whose_only_socket_is_the_proxys_there_is_no_way_around(tmp_path: Path, origin: Origin):
    """What `kaizen run` builds on: the listener is made inside, the proxy runs outside."""
    with namespace() as space:
        listener = space.do(lambda: socket.create_server(("127.0.0.1", 8080)))
        os.set_inheritable(listener.fileno(), True)
        data, hosts = tmp_path / "data", {"hosts": {"web.internal": f"127.0.0.1:{origin.port}"}}
        (tmp_path / "egress.json").write_text(json.dumps(hosts))
        command = [sys.executable, "-m", "kaizen_security.cli", "egress", "--listen-fd", str(listener.fileno())]
        process = subprocess.Popen(
            [*command, "--config", str(tmp_path / "egress.json"), "--data", str(data)],
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        process.stdout.readline()
        ask = [*space.command, "curl", "-q", "-sS", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}"]
        through = subprocess.run([*ask, "-x", "http://127.0.0.1:8080", "http://web.internal/204"], capture_output=True)
        around = subprocess.run([*ask, "--noproxy", "*", f"http://127.0.0.1:{origin.port}/204"], capture_output=True)
        outside = subprocess.run([*ask, "--noproxy", "*", "http://192.0.2.1/"], capture_output=True)
        process.terminate()
        process.communicate()
        listener.close()
    assert through.stdout == b"204", through.stderr
    assert around.returncode != 0
    assert outside.returncode != 0


def test_a_connect_that_is_relayed_through_another_proxy_names_only_that_one(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    """CONNECT inside a tunnel is opaque: the next proxy is the destination, and has to be permitted as such."""
    hosts = {"relay.internal": f"127.0.0.1:{origin.port}"}
    with running(tmp_path, plane, hosts=hosts, deny_by_default=True, destinations=["web.internal"]) as proxy:
        client, head = proxy.tunnel("relay.internal:3128")
        client.close()
        assert status(head) == 403
        answer = proxy.raw(
            b"CONNECT web.internal:443 HTTP/1.1\r\nHost: web.internal:443\r\nContent-Length: 5\r\n\r\nhello"
        )
        assert status(answer) == 400


# --- 16, 17: names and addresses --------------------------------------------------------------------------------------------

METADATA = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[fd00:ec2::254]",
    "169.254.169.254.",
]


@pytest.mark.parametrize("spelled", METADATA)
@pytest.mark.parametrize("method", ["CONNECT", "GET"])
def test_cloud_metadata_is_refused_in_every_spelling(proxy: Running, spelled: str, method: str):
    target = f"{spelled}:80" if method == "CONNECT" else f"http://{spelled}/latest/meta-data/"
    answer = proxy.raw(f"{method} {target} HTTP/1.1\r\nHost: {spelled}\r\n\r\n".encode())
    assert status(answer) in (400, 403), answer
    if status(answer) == 403:
        assert code(answer) in ("cloud-metadata-address", "link-local-address")


@pytest.mark.parametrize(
    "target",
    [
        b"http://web.internal@169.254.169.254/",
        b"http://web.internal:80@169.254.169.254/",
        b"http://[fe80::1%25eth0]/",
        b"http://web.internal#@169.254.169.254/",
        b"http://web.internal\\@169.254.169.254/",
        b"http://0/",
        b"http://[::]/",
    ],
)
def test_an_address_that_hides_is_refused(proxy: Running, target: bytes):
    answer = proxy.raw(b"GET " + target + b" HTTP/1.1\r\nHost: web.internal\r\n\r\n")
    assert status(answer) in (400, 403)


def test_a_name_that_leads_to_an_address_which_nobody_should_reach_is_refused(tmp_path: Path, plane: ControlPlane):
    """Rebinding: what counts is the address that is dialled, whatever the name answered before."""
    with running(tmp_path, plane) as proxy:
        answer = proxy.raw(b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (status(answer), code(answer)) == (403, "loopback-address")


def test_a_redirect_is_a_new_request_and_is_decided_on_as_such(tmp_path: Path, plane: ControlPlane):
    def elsewhere(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")

    script = Script(elsewhere)
    with running(tmp_path, plane, hosts={"web.internal": f"127.0.0.1:{script.port}"}) as proxy:
        done = curl(proxy, "-L", "http://web.internal/")
    script.stop()
    assert b"cloud metadata address" in done.stdout


def test_a_hidden_name_is_named_as_hidden(proxy: Running, plane: ControlPlane, authority):
    """ECH: the outer name is what everybody sees; the report says that it may be a decoy. Built by hand: Python offers none."""
    outgoing = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="api.internal")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    plain = outgoing.read()
    ech = b"\xfe\x0d\x00\x04\x00\x00\x00\x00"
    at = 9 + 34
    at += 1 + plain[at]
    at += 2 + int.from_bytes(plain[at : at + 2], "big")
    at += 1 + plain[at]
    extensions = plain[at + 2 :] + ech
    message = plain[9:at] + len(extensions).to_bytes(2, "big") + extensions
    hello = (
        b"\x16\x03\x01" + (len(message) + 4).to_bytes(2, "big") + b"\x01" + len(message).to_bytes(3, "big") + message
    )
    client, _ = proxy.tunnel("api.internal:443")
    with client:
        client.sendall(hello)
        client.shutdown(socket.SHUT_WR)
        read_all(client)
    ended = until(lambda: [a for a in plane.actions("api.internal:443") if a["metadata"]["phase"] == "end"])
    assert ended[0]["metadata"]["tls"] == "ech"  # type: ignore[index]


# --- 18, 21: how much went where --------------------------------------------------------------------------------------------


def test_how_many_bytes_went_to_an_allowed_host_is_reported_and_who_is_behind_it_is_said_to_be_unseen(
    proxy: Running, plane: ControlPlane
):
    body = b"x" * 5000
    head = b"POST http://web.internal/echo HTTP/1.1\r\nHost: web.internal\r\nConnection: close\r\nContent-Length: 5000\r\n\r\n"
    assert status(proxy.raw(head + body)) == 200
    ended = until(lambda: [a for a in plane.actions("web.internal:80") if a["metadata"]["phase"] == "end"])
    assert ended[0]["metadata"]["bytes_up"] >= 5000  # type: ignore[index]
    assert "what is inside TLS" in (ROOT / "docs/limits.md").read_text()


# --- 19, 20: the proxy itself -----------------------------------------------------------------------------------------------


def test_it_is_no_open_proxy_on_every_address(tmp_path: Path, plane: ControlPlane, origin: Origin):
    """A peer that is not on a private network needs credentials; there is no setting against that."""
    from kaizen_security.egress.accounts import Accounts, NeedsCredentials

    accounts = Accounts(default="a", own_key="k", credentials={}, required=False)
    for peer in ("203.0.113.9", "2001:db8::9", "::ffff:203.0.113.9", "100.64.0.1"):
        with pytest.raises(NeedsCredentials):
            accounts.agent(peer, [])
    hosts = {"web.internal": f"127.0.0.1:{origin.port}"}
    with (
        running(tmp_path, plane, "--host", "0.0.0.0", hosts=hosts) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE) as client,
    ):
        client.sendall(b"GET http://web.internal/204 HTTP/1.1\r\nHost: web.internal\r\nConnection: close\r\n\r\n")
        assert status(read_all(client)) == 204


def test_no_trust_is_added_or_replaced(proxy: Running, authority):
    """It opens no TLS: a client that trusts nobody but the origin's own authority is content."""
    assert curl(proxy, "--cacert", str(authority[1]), "https://api.internal/204").returncode == 0
