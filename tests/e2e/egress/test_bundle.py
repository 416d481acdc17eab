"""Signed bundles at the proxy: each agent's declaration refuses before anything is dialled; no rollback, no forgery."""

from __future__ import annotations

import base64
import json
import struct
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode
from tests.e2e.egress.peers import ControlPlane, Origin, Running, Script, curl, read_all, running, until
from tests.e2e.sidecar_process import Process

AGENT = "egress-agent"
WEB, OTHER = "http://web.internal/204", "http://other.internal/204"


def bundle(*destinations: str, agent: str = AGENT, version: int = 1, mode: Mode = Mode.ENFORCE, **more) -> Bundle:
    now = time.time()
    return Bundle(
        agent=agent,
        version=version,
        declaration=Declaration(destinations=destinations),
        mode=mode,
        issued_at=now,
        expires_at=now + 3600,
        **more,
    )


def status(proxy: Running, url: str, *words: str) -> str:
    return curl(proxy, "-o", "/dev/null", "-w", "%{http_code}", *words, url).stdout.decode()


def hosts(origin: Origin) -> dict[str, str]:
    return dict.fromkeys(("web.internal", "other.internal"), f"127.0.0.1:{origin.port}")


@pytest.fixture
def enforced(tmp_path: Path, plane: ControlPlane, origin: Origin):
    plane.bundles[AGENT] = bundle("web.internal")
    with running(tmp_path / "proxy", plane, hosts=hosts(origin)) as proxy:
        yield proxy


def test_an_undeclared_destination_is_refused_before_it_is_dialled(
    enforced: Running, plane: ControlPlane, origin: Origin
):
    assert status(enforced, WEB) == "204"
    seen = len(origin.seen)
    answer = curl(enforced, "-i", OTHER).stdout
    head, _, body = answer.partition(b"\r\n\r\n")
    document = json.loads(body)
    assert head.startswith(b"HTTP/1.1 403 ")
    reason = "undeclared: this agent connected to a destination it never declared (other.internal)."
    assert (document["decision"], document["reason"], document["error"]["code"]) == ("block", reason, "undeclared")
    assert document["error"]["rules"][0]["detection"] == "declaration"
    assert len(origin.seen) == seen
    report = until(lambda: [r for r in plane.reports if r["action"]["target"] == "other.internal:80"])[0]
    assert (report["verdict"]["decision"], report["verdict"]["reason"]) == ("block", reason)
    assert report["action"]["metadata"]["ended"] == "refused"


def test_a_tunnel_to_an_undeclared_destination_is_refused_too(enforced: Running, origin: Origin):
    connection, head = enforced.tunnel("other.internal:80")
    connection.close()
    assert head.startswith(b"HTTP/1.1 403 ")
    connection, head = enforced.tunnel("web.internal:80")
    connection.close()
    assert head.startswith(b"HTTP/1.1 200 ")
    assert origin.seen == []


def test_a_mode_that_changes_is_in_force_at_once(tmp_path: Path, plane: ControlPlane, origin: Origin):
    plane.bundles[AGENT] = bundle("web.internal", mode=Mode.OBSERVE)
    # Only a long poll can bring the change in time: the next look by itself is an hour away.
    with running(tmp_path, plane, hosts=hosts(origin), policy_refresh=3600) as proxy:
        assert status(proxy, OTHER) == "204"
        plane.bundles[AGENT] = bundle("web.internal", version=2)
        until(lambda: status(proxy, OTHER) == "403", seconds=10)
        plane.bundles[AGENT] = bundle("web.internal", version=3, paused=True)
        until(lambda: status(proxy, OTHER) == "204", seconds=10)


def test_each_agent_is_held_to_its_own_declaration_from_its_first_request(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    plane.bundles = {
        AGENT: bundle(mode=Mode.OBSERVE),
        "one": bundle("web.internal", agent="one"),
        "two": bundle("other.internal", agent="two"),
    }
    with running(tmp_path, plane, hosts=hosts(origin)) as proxy:
        # Nobody has asked for these agents before; their first request waits for their rules.
        assert status(proxy, OTHER, "-U", "one:kz_test") == "403"
        assert status(proxy, WEB, "-U", "two:kz_test") == "403"
        assert status(proxy, WEB, "-U", "one:kz_test") == "204"
        assert status(proxy, OTHER, "-U", "two:kz_test") == "204"
        assert status(proxy, OTHER) == "204"


def test_many_agents_are_held_to_theirs(tmp_path: Path, plane: ControlPlane, origin: Origin):
    names = [f"agent-{n}" for n in range(12)]
    plane.bundles = {name: bundle("web.internal", agent=name) for name in names} | {AGENT: bundle(mode=Mode.OBSERVE)}
    with running(tmp_path, plane, hosts=hosts(origin), credentials=dict.fromkeys(names, "key")) as proxy:
        assert {status(proxy, OTHER, "-U", f"{name}:key") for name in names} == {"403"}
        plane.bundles["agent-7"] = bundle("other.internal", agent="agent-7", version=2)
        until(lambda: status(proxy, OTHER, "-U", "agent-7:key") == "204")


def test_the_first_request_of_an_agent_is_not_held_back_for_long_by_a_control_plane_that_hangs(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    plane.hang()
    with running(tmp_path, plane.url, hosts=hosts(origin)) as proxy:
        began = time.monotonic()
        assert status(proxy, WEB) == "204"
        assert time.monotonic() - began < 60
        began = time.monotonic()
        assert status(proxy, WEB) == "204"
        assert time.monotonic() - began < 60
        plane.go_on()


def test_a_hidden_name_that_was_not_declared_ends_the_tunnel(
    tmp_path: Path, plane: ControlPlane, secure: Origin, authority
):
    plane.bundles[AGENT] = bundle("api.internal")
    with running(tmp_path, plane, hosts={"api.internal": f"127.0.0.1:{secure.port}"}) as proxy:
        words = ["--cacert", str(authority[1]), "--connect-to", "attacker.example:443:api.internal:443"]
        assert status(proxy, "https://api.internal/204", *words) == "204"
        answer = curl(proxy, "-p", *words, "https://attacker.example/204")
        assert answer.returncode != 0
        assert [path for _, path, _, _ in secure.seen] == ["/204"]


# --- what is no good --------------------------------------------------------------------------------------------------------


def test_a_rollback_is_refused_and_the_newest_stays_in_force(enforced: Running, plane: ControlPlane):
    plane.bundles[AGENT] = bundle("web.internal", "third.internal", version=5)
    until(lambda: status(enforced, "http://third.internal/") == "502")
    plane.bundles[AGENT] = bundle("web.internal", "other.internal", version=4)
    until(lambda: "rollback" in str(enforced.health()["policy"]["trouble"]))
    assert status(enforced, OTHER) == "403"


@pytest.mark.parametrize("wrong", [{"agent": "another"}, {"expires_at": 1.0}], ids=["another agent's", "expired"])
def test_a_bundle_that_is_not_for_now_and_for_this_agent_is_refused(enforced: Running, plane: ControlPlane, wrong):
    plane.bundles[AGENT] = replace(bundle("other.internal", version=2), **wrong)
    until(lambda: enforced.health()["policy"]["trouble"])
    assert status(enforced, OTHER) == "403"


def test_the_signature_cannot_be_taken_away(enforced: Running, plane: ControlPlane):
    plane.bundles = {}  # answers 404 now, as a server without bundles does, and has a list
    until(lambda: "404" in str(enforced.health()["policy"]["trouble"]))
    assert status(enforced, OTHER) == "403"


def test_a_restart_without_the_control_plane_still_refuses_and_a_changed_file_is_not_used(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    policy = Policy("blocklist", {"domains": ["web.internal"]}, "no web")
    plane.bundles[AGENT] = bundle("web.internal", policies=(policy,))
    folder = tmp_path / "proxy"
    with running(folder, plane, hosts=hosts(origin)) as proxy:
        assert (status(proxy, OTHER), status(proxy, WEB)) == ("403", "403")
    plane.stop()
    with running(folder, plane.url, hosts=hosts(origin)) as proxy:
        assert (status(proxy, OTHER), status(proxy, WEB)) == ("403", "403")
    for file in (folder / "data").glob("policy-*.json"):
        file.write_bytes(file.read_bytes().replace(b"web.internal", b"foo.internal"))
    with running(folder, plane.url, "--mode", "enforce", hosts=hosts(origin)) as proxy:
        until(lambda: "does not match" in proxy.log.read_text())
        assert b"failed closed" in curl(proxy, "-i", WEB).stdout


# --- a real sidecar ---------------------------------------------------------------------------------------------------------


def test_a_sidecars_bundle_is_taken_from_its_socket_without_a_key(tmp_path: Path, origin: Origin):
    data = tmp_path / "s"
    data.mkdir()
    sidecar = Process(data).start()
    try:
        at = f"unix://{sidecar.socket}"
        with running(tmp_path / "proxy", at, sidecar=at, api_key="", hosts=hosts(origin)) as proxy:
            until(lambda: proxy.health()["policy"]["signed"] == 1)  # type: ignore[index]
            assert status(proxy, WEB) == "204"
    finally:
        sidecar.stop()


def test_credentials_may_hold_a_name_that_needs_escaping(tmp_path: Path, plane: ControlPlane, origin: Origin):
    name = "Buchhaltung & Söhne"
    plane.bundles = {AGENT: bundle(), name: bundle("web.internal", agent=name)}
    with running(tmp_path, plane, hosts=hosts(origin)) as proxy:
        token = base64.b64encode(f"{name}:kz_test".encode()).decode()
        words = ("--proxy-header", f"Proxy-Authorization: Basic {token}")
        assert status(proxy, OTHER, *words) == "403"
        assert status(proxy, WEB, *words) == "204"


@pytest.mark.parametrize(
    ("target", "passes"), [("web.internal:443", False), ("127.0.0.1:443", True)], ids=["a name", "an address"]
)
def test_tls_whose_name_cannot_be_read_is_not_carried_to_a_name(
    tmp_path: Path, plane: ControlPlane, target: str, passes: bool
):
    """A hello with two lists of names: a server may go by either, and the agent was to declare it."""
    heard = []
    script = Script(lambda connection: heard.append(connection.recv(4096)))
    plane.bundles[AGENT] = bundle("web.internal", "127.0.0.1")
    names = struct.pack(">HHHBH", 0, 8, 6, 0, 3) + b"x.y"
    extensions = struct.pack(">H", 2 * len(names)) + 2 * names
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    hosts = dict.fromkeys(("web.internal:443", "127.0.0.1:443"), f"127.0.0.1:{script.port}")
    with running(tmp_path, plane, hosts=hosts, allow_loopback=True) as proxy:
        connection, head = proxy.tunnel(target)
        assert b" 200 " in head
        with connection:
            connection.sendall(b"\x16\3\1" + struct.pack(">H", len(message)) + message)
            answer = read_all(connection)
        ended = until(lambda: [a for a in plane.actions(target) if {"ended", "tls"} <= a["metadata"].keys()])[0]
    script.stop()
    assert ended["metadata"]["tls"] == "unreadable"
    assert heard == ([b"\x16\3\1" + struct.pack(">H", len(message)) + message] if passes else [b""])
    assert (answer[:1] == b"\x15") is not passes
    assert (ended["metadata"]["ended"] == "tls-unreadable") is not passes
