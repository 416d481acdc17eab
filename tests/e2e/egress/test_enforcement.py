"""What the owner of a proxy can hold an agent to: deny by default, budgets, the kill switch; and findings on what passes."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import pytest

from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from tests.e2e.egress.peers import ControlPlane, Origin, Running, Script, curl, read_all, running, until

KB = 1 << 10
MB = 1 << 20


def error(answer: bytes) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 "), answer[:200]
    document = json.loads(body)
    assert document["decision"] == "block"
    assert document["error"]["what_to_do"]
    return document["error"]  # type: ignore[no-any-return]


def get(proxy: Running, host: str, path: str = "/204", *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return proxy.raw(f"GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n".encode())


def test_deny_by_default_lets_pass_what_the_owner_or_the_declaration_names(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    plane.bundles["egress-agent"] = Bundle(
        agent="egress-agent", version=1, declaration=Declaration(destinations=("declared.internal",))
    )
    names = ("listed.internal", "declared.internal", "other.internal")
    hosts = dict.fromkeys(names, f"127.0.0.1:{origin.port}")
    settings = {"hosts": hosts, "deny_by_default": True, "destinations": ["listed.internal"]}
    with running(tmp_path, plane, **settings) as proxy:
        assert get(proxy, "listed.internal").startswith(b"HTTP/1.1 204 ")
        assert get(proxy, "declared.internal").startswith(b"HTTP/1.1 204 ")
        refused = error(get(proxy, "other.internal"))
        assert refused["code"] == "not-permitted"
        assert refused["rules"][0]["kind"] == "destination not permitted"  # type: ignore[index]
        client, head = proxy.tunnel("other.internal:443")
        client.close()
        assert head.startswith(b"HTTP/1.1 403 ")
    assert len(origin.seen) == 2


def test_deny_by_default_without_any_list_denies_all_also_without_a_control_plane(tmp_path: Path, origin: Origin):
    hosts = {"web.internal": f"127.0.0.1:{origin.port}"}
    with running(tmp_path, "http://127.0.0.1:9", hosts=hosts, deny_by_default=True) as proxy:
        assert error(get(proxy, "web.internal"))["code"] == "not-permitted"
    assert not origin.seen


def drained(client: socket.socket) -> int:
    """Bytes until the connection is reset."""
    got = 0
    with client:
        try:
            while part := client.recv(MB):
                got += len(part)
        except ConnectionResetError:
            return got
    raise AssertionError("it was not reset")


@pytest.mark.parametrize("splice", [True, False])
def test_a_tunnel_that_goes_beyond_its_budget_is_cut_and_the_next_is_refused(
    tmp_path: Path, plane: ControlPlane, splice: bool
):
    def pour(connection: socket.socket) -> None:
        for _ in range(64):
            connection.sendall(bytes(MB))

    script = Script(pour)
    budgets = [{"destination": "*", "bytes_down": 2 * MB, "seconds": 3600}]
    with running(tmp_path, plane, allow=["127.0.0.0/8"], budgets=budgets, splice=splice) as proxy:
        client, head = proxy.tunnel(f"127.0.0.1:{script.port}")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert drained(client) <= 8 * MB
        client, head = proxy.tunnel(f"127.0.0.1:{script.port}")
        client.close()
        assert head.startswith(b"HTTP/1.1 403 ")
        ended = until(lambda: [a for a in plane.actions(f"127.0.0.1:{script.port}") if a["metadata"].get("ended")])
        until(lambda: [r for r in list(plane.reports) if r["verdict"]["decision"] == "block"])
    script.stop()
    assert "over-budget" in {action["metadata"]["ended"] for action in ended}  # type: ignore[attr-defined]
    blocked = [report["verdict"]["evidence"][0]["kind"] for report in plane.reports if report["verdict"]["evidence"]]  # type: ignore[index]
    assert set(blocked) == {"budget used up"}


def test_slow_and_split_exfiltration_adds_up(tmp_path: Path, plane: ControlPlane, origin: Origin):
    hosts = {"web.internal": f"127.0.0.1:{origin.port}"}
    budgets = [{"destination": "web.internal", "bytes_up": 20 * KB}]
    with running(tmp_path, plane, hosts=hosts, budgets=budgets) as proxy:
        codes = []
        for _ in range(12):
            answer = proxy.raw(
                b"POST http://web.internal/echo HTTP/1.1\r\nHost: web.internal\r\nConnection: close\r\n"
                b"Content-Length: 4000\r\n\r\n" + bytes(4000)
            )
            codes.append(answer[9:12])
    assert codes[:4] == [b"200"] * 4
    assert codes[-6:] == [b"403"] * 6


def test_connections_may_be_limited(tmp_path: Path, plane: ControlPlane, origin: Origin):
    hosts = {"web.internal": f"127.0.0.1:{origin.port}"}
    budgets = [{"destination": "web.internal", "connections": 3, "seconds": 3600}]
    with running(tmp_path, plane, hosts=hosts, budgets=budgets) as proxy:
        answered = [get(proxy, "web.internal") for _ in range(4)]
    assert [answer[9:12] for answer in answered] == [b"204"] * 3 + [b"403"]
    assert error(answered[-1])["code"] == "budget"


def answers(proxy: Running, status: str) -> bool:
    """Whether a request is answered with that; one that is under way when the switch comes is reset."""
    try:
        return get(proxy, "web.internal").startswith(f"HTTP/1.1 {status} ".encode())
    except ConnectionResetError:
        return False


def test_the_kill_switch_stops_what_is_open_and_what_would_begin_and_goes_away_again(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    script = Script(lambda connection: connection.sendall(read_all(connection)))
    hosts = {"web.internal": f"127.0.0.1:{origin.port}", "raw.internal": f"127.0.0.1:{script.port}"}
    with running(tmp_path, plane, hosts=hosts) as proxy:
        client, _ = proxy.tunnel("raw.internal:443")
        switch = tmp_path / "data" / "kill-switch"
        switch.touch()
        with client, pytest.raises(ConnectionResetError):
            client.recv(1)
        assert error(get(proxy, "web.internal"))["code"] == "kill-switch"
        switch.write_text("another-agent\n")
        until(lambda: answers(proxy, "204"))
        switch.write_text("another-agent\negress-agent\n")
        until(lambda: answers(proxy, "403"))
        switch.unlink()
        until(lambda: answers(proxy, "204"))
        assert proxy.health()["counts"]["killed"] >= 1  # type: ignore[index]
        until(lambda: [a for a in plane.actions("raw.internal:443") if a["metadata"].get("ended") == "killed"])
    script.stop()


def test_the_kill_switch_is_looked_at_before_the_first_connection(tmp_path: Path, plane: ControlPlane, origin: Origin):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kill-switch").touch()
    with running(tmp_path, plane, hosts={"web.internal": f"127.0.0.1:{origin.port}"}) as proxy:
        assert error(get(proxy, "web.internal"))["code"] == "kill-switch"


def flagged(plane: ControlPlane) -> list[dict[str, object]]:
    return [report for report in list(plane.reports) if report["verdict"]["evidence"]]  # type: ignore[index]


def test_a_tls_name_that_is_not_the_one_asked_for_is_a_finding(
    proxy: Running, plane: ControlPlane, authority, secure: Origin
):
    client, _ = proxy.tunnel("api.internal:443")
    context = ssl.create_default_context(cafile=str(authority[1]))
    with context.wrap_socket(client, server_hostname="other.internal") as tls:
        tls.sendall(b"GET /204 HTTP/1.1\r\nHost: other.internal\r\nConnection: close\r\n\r\n")
        assert read_all(tls).startswith(b"HTTP/1.1 204 ")
    report = until(lambda: flagged(plane))[0]  # type: ignore[index]
    verdict = report["verdict"]
    assert (verdict["decision"], verdict["flagged"]) == ("allow", True)
    finding = verdict["evidence"][0]
    assert (finding["kind"], finding["value"]) == ("domain fronting", "other.internal")
    assert "api.internal" in finding["expected"]
    assert finding["advice"]


def test_a_host_field_that_names_another_is_a_finding(proxy: Running, plane: ControlPlane):
    proxy.raw(b"GET http://web.internal/204 HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    report = until(lambda: flagged(plane))[0]  # type: ignore[index]
    assert report["verdict"]["evidence"][0]["value"] == "evil.example:80"


def test_a_hello_without_a_name_is_named_as_such(proxy: Running, plane: ControlPlane, authority):
    client, _ = proxy.tunnel("api.internal:443")
    context = ssl.create_default_context(cafile=str(authority[1]))
    context.check_hostname = False
    with context.wrap_socket(client) as tls:
        tls.sendall(b"GET /204 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        read_all(tls)
    action = until(lambda: [a for a in plane.actions("api.internal:443") if a["metadata"]["phase"] == "end"])[0]  # type: ignore[index]
    assert action["metadata"]["tls"] == "nameless"
    assert not flagged(plane)


def test_what_agrees_is_no_finding(proxy: Running, plane: ControlPlane, authority):
    assert curl(proxy, "--cacert", str(authority[1]), "https://api.internal/204").returncode == 0
    assert curl(proxy, "http://web.internal/204").returncode == 0
    until(lambda: plane.actions("api.internal:443") and plane.actions("web.internal:80"))
    assert not flagged(plane)
