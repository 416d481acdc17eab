"""What is refused: by policy on the name, on the address and on the TLS name; built-in refusals; peers without credentials."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import subprocess
from pathlib import Path

import pytest

from tests.e2e.egress.peers import ControlPlane, Origin, Running, curl, read_all, running, until


def block(**rules: object) -> list[dict[str, object]]:
    return [{"mode": "blocklist", "rules": rules, "name": "no exfiltration", "enabled": True}]


def refusal(answer: bytes) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 ")
    assert b"x-kaizen-decision: block" in head.lower()
    return json.loads(body)  # type: ignore[no-any-return]


@pytest.fixture
def guarded(tmp_path: Path, plane: ControlPlane, origin: Origin, secure: Origin):
    plane.policies = block(domains=["attacker.example"], ips=["127.0.0.9/32", "203.0.113.0/24"])
    hosts = {
        "attacker.example": f"127.0.0.1:{origin.port}",
        "web.internal": f"127.0.0.1:{origin.port}",
        "bad-address.internal": f"127.0.0.9:{origin.port}",
        "api.internal:443": f"127.0.0.1:{secure.port}",
    }
    with running(tmp_path / "proxy", plane, hosts=hosts) as proxy:
        yield proxy


@pytest.mark.parametrize("words", [(), ("-p",)])
@pytest.mark.parametrize("name", ["attacker.example", "ATTACKER.example.", "deep.below.attacker.example"])
def test_a_denied_domain_is_not_dialled(guarded: Running, plane: ControlPlane, origin: Origin, words, name: str):
    answer = curl(guarded, "-i", *words, f"http://{name}/")
    if not words:
        document = refusal(answer.stdout)
        assert document["reason"] == "blocked by policy: malicious domain"
        rule = document["error"]["rules"][0]
        assert (rule["kind"], rule["source"]) == ("malicious domain", "policy:no exfiltration")
        assert document["error"]["what_to_do"]
    assert b"403" in answer.stdout + answer.stderr
    assert origin.seen == []
    target = name.lower().rstrip(".") + ":80"
    report = until(lambda: [r for r in plane.reports if r["action"]["target"] == target])[-1]
    assert report["verdict"]["decision"] == "block"
    assert report["verdict"]["reason"] == "blocked by policy: malicious domain"
    assert report["verdict"]["policy_version"]


def test_a_denied_address_behind_a_good_name_is_not_dialled(guarded: Running, origin: Origin):
    answer = curl(guarded, "-i", "http://bad-address.internal/")
    assert refusal(answer.stdout)["reason"] == "blocked by policy: known-bad address"
    assert origin.seen == []


@pytest.mark.parametrize("said", ["203.0.113.7", "3405803783", "0xcb.0.0x71.7", "[::ffff:203.0.113.7]", "203.0.28935"])
def test_a_denied_address_is_denied_in_every_spelling(guarded: Running, said: str):
    answer = guarded.raw(f"GET http://{said}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert refusal(answer)["reason"] == "blocked by policy: known-bad address"


def test_a_denied_tls_name_inside_a_permitted_tunnel_ends_it(
    guarded: Running, plane: ControlPlane, authority, secure: Origin
):
    command = ["openssl", "s_client", "-proxy", f"127.0.0.1:{guarded.port}", "-connect", "api.internal:443"]
    result = subprocess.run([*command, "-servername", "attacker.example"], input=b"", capture_output=True, timeout=15)
    assert b"BEGIN CERTIFICATE" not in result.stdout
    assert b"access denied" in result.stderr
    report = until(lambda: [r for r in plane.reports if r["action"]["target"] == "attacker.example:443"])[0]
    assert report["verdict"]["reason"] == "blocked by policy: malicious domain"
    assert report["action"]["metadata"]["host"] == "api.internal:443"
    ended = until(lambda: [a for a in plane.actions("api.internal:443") if a["metadata"].get("ended")])[0]
    assert ended["metadata"]["ended"] == "tls-name-refused"
    assert ended["act_id"] == report["action"]["act_id"]
    assert ended["metadata"]["sni_differs"] is True
    permitted = subprocess.run([*command, "-servername", "other.internal"], input=b"", capture_output=True, timeout=15)
    assert b"BEGIN CERTIFICATE" in permitted.stdout


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: attacker.example\r\n\r\n",
        b"CONNECT attacker.example:443 HTTP/1.1\r\nHost: attacker.example\r\n\r\n",
    ],
    ids=["a plain request", "a request to another proxy"],
)
def test_a_denied_host_inside_a_permitted_tunnel_ends_it(
    guarded: Running, plane: ControlPlane, origin: Origin, said: bytes
):
    connection, head = guarded.tunnel("web.internal:80")
    assert b" 200 " in head
    with connection, contextlib.suppress(ConnectionResetError):
        connection.sendall(said[:9])
        connection.sendall(said[9:])
        assert read_all(connection) == b""
    report = until(lambda: [r for r in plane.reports if r["action"]["target"] == "attacker.example:80"])[0]
    assert report["verdict"]["reason"] == "blocked by policy: malicious domain"
    ended = until(lambda: [a for a in plane.actions("web.internal:80") if a["metadata"].get("ended")])[0]
    assert (ended["metadata"]["ended"], ended["metadata"]["host_differs"]) == ("http-name-refused", True)
    assert origin.seen == []


def test_a_plain_request_to_the_tunnels_own_host_passes(guarded: Running, origin: Origin):
    connection, _ = guarded.tunnel("web.internal:80")
    with connection:
        connection.sendall(b"GET /204 HTTP/1.1\r\nHost: web.internal\r\nConnection: close\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 204 ")


def test_a_policy_that_changes_holds_for_kept_connections_too(guarded: Running, plane: ControlPlane, origin: Origin):
    with guarded.connect() as client:
        request = b"GET http://web.internal/204 HTTP/1.1\r\nHost: web.internal\r\n\r\n"
        client.sendall(request)
        assert client.recv(4096).startswith(b"HTTP/1.1 204 ")
        before = guarded.health()
        plane.policies = block(domains=["web.internal"])
        until(lambda: b" 403 " in curl(guarded, "-i", "http://web.internal/").stdout)
        client.sendall(request)
        assert read_all(client).startswith(b"HTTP/1.1 403 ")
    assert before["counts"]["http"] == 1


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("127.0.0.1:80", "loopback-address"),
        ("localhost:80", "loopback-address"),
        ("[::1]:80", "loopback-address"),
        ("[::ffff:127.0.0.1]:80", "loopback-address"),
        ("0.0.0.0:80", "unusable-address"),
        ("[::]:80", "unusable-address"),
        ("169.254.169.254:80", "cloud-metadata-address"),
        ("0xa9fea9fe:80", "cloud-metadata-address"),
        ("[fd00:ec2::254]:80", "cloud-metadata-address"),
        ("100.100.100.200:80", "cloud-metadata-address"),
        ("169.254.1.1:80", "link-local-address"),
        ("[fe80::1]:80", "link-local-address"),
        ("224.0.0.1:80", "unusable-address"),
    ],
)
def test_addresses_that_nobody_should_reach_are_refused(proxy: Running, target: str, code: str):
    with proxy.connect() as client:
        client.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
        assert refusal(read_all(client))["error"]["code"] == code


def test_the_proxy_is_never_dialled_by_itself(tmp_path: Path, plane: ControlPlane):
    with running(tmp_path, plane, allow_loopback=True) as proxy:
        answer = proxy.raw(f"CONNECT 127.0.0.1:{proxy.port} HTTP/1.1\r\n\r\n".encode())
    assert refusal(answer)["error"]["code"] == "the-proxy-itself"


def test_what_the_owner_allows_is_reached(tmp_path: Path, plane: ControlPlane, origin: Origin):
    with running(tmp_path, plane, allow=["127.0.0.0/8"]) as proxy:
        assert curl(proxy, f"http://127.0.0.1:{origin.port}/204", "-w", "%{http_code}").stdout == b"204"


def test_enforce_refuses_while_there_is_no_policy_and_passes_once_there_is(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    plane.hang()
    hosts = {"web.internal": f"127.0.0.1:{origin.port}"}
    with running(tmp_path, plane.url, "--mode", "enforce", hosts=hosts) as proxy:
        document = refusal(curl(proxy, "-i", "http://web.internal/204").stdout)
        assert (document["reason"], document["error"]["code"]) == ("engine error, failed closed", "no-policy")
        plane.go_on()
        until(lambda: b" 204 " in curl(proxy, "-i", "http://web.internal/204").stdout)


def test_enforce_refuses_when_the_policy_has_grown_old(tmp_path: Path, plane: ControlPlane, origin: Origin):
    hosts = {"web.internal": f"127.0.0.1:{origin.port}"}
    with running(tmp_path, plane, "--mode", "enforce", hosts=hosts, policy_max_age=0.5) as proxy:
        assert b" 204 " in curl(proxy, "-i", "http://web.internal/204").stdout
        plane.stop()
        until(lambda: b" 403 " in curl(proxy, "-i", "http://web.internal/204").stdout)


def test_observe_passes_while_there_is_no_policy(tmp_path: Path, plane: ControlPlane, origin: Origin):
    plane.stop()
    with running(tmp_path, plane.url, hosts={"web.internal": f"127.0.0.1:{origin.port}"}) as proxy:
        assert b" 204 " in curl(proxy, "-i", "http://web.internal/204").stdout


def test_a_proxy_that_starts_while_the_control_plane_is_down_still_blocks_what_was_blocked(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    plane.policies = block(domains=["attacker.example"])
    hosts = {"attacker.example": f"127.0.0.1:{origin.port}"}
    with running(tmp_path, plane, hosts=hosts):
        pass
    plane.stop()
    with running(tmp_path, plane.url, hosts=hosts) as proxy:
        assert refusal(curl(proxy, "-i", "http://attacker.example/").stdout)


def test_a_policy_that_cannot_be_used_does_not_replace_the_one_in_force(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    plane.policies = block(domains=["attacker.example"])
    with running(tmp_path, plane, hosts={"attacker.example": f"127.0.0.1:{origin.port}"}) as proxy:
        plane.policies = [
            {"mode": "blocklist", "rules": {"ips": ["not an address"]}, "name": "broken", "enabled": True}
        ]
        until(lambda: "broken" in str(proxy.health()["policy"]["trouble"]))
        assert refusal(curl(proxy, "-i", "http://attacker.example/").stdout)


# --- who may use it ---------------------------------------------------------------------------------------------------------


def basic(agent: str, key: str) -> str:
    return "Proxy-Authorization: Basic " + base64.b64encode(f"{agent}:{key}".encode()).decode()


def test_proxy_credentials_name_the_agent(proxy: Running, plane: ControlPlane):
    answer = curl(proxy, "-U", "billing-bot:kz_test", "http://web.internal/204", "-w", "%{http_code}")
    assert answer.stdout == b"204"
    report = until(lambda: plane.reports)[0]
    assert report["agent"] == "billing-bot"
    until(lambda: "billing-bot" in plane.agents_asked)
    assert plane.keys == {"Bearer kz_test"}


@pytest.mark.parametrize(
    "field",
    [basic("bot", "wrong"), "Proxy-Authorization: Basic ???", "Proxy-Authorization: Bearer x", basic("", "kz_test")],
)
def test_wrong_proxy_credentials_are_refused(proxy: Running, origin: Origin, field: str):
    answer = proxy.raw(f"GET http://web.internal/ HTTP/1.1\r\nHost: web.internal\r\n{field}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 407 ")
    assert b"Proxy-Authenticate: Basic" in answer
    assert origin.seen == []


def test_credentials_can_be_required_of_everyone(tmp_path: Path, plane: ControlPlane, origin: Origin):
    hosts = {"web.internal": f"127.0.0.1:{origin.port}"}
    with running(tmp_path, plane, hosts=hosts, require_credentials=True, credentials={"bot": "its-own-key"}) as proxy:
        assert b" 407 " in curl(proxy, "-i", "http://web.internal/204").stdout
        assert b" 204 " in curl(proxy, "-i", "-U", "bot:its-own-key", "http://web.internal/204").stdout
        assert b" 407 " in curl(proxy, "-i", "-U", "other:its-own-key", "http://web.internal/204").stdout


def test_it_listens_on_loopback_unless_told_otherwise(proxy: Running):
    assert proxy.host == "127.0.0.1"
    own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {
        "127.0.0.1",
        "127.0.1.1",
    }
    for address in own:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, proxy.port), timeout=5)
