"""The process: reports that cannot hurt traffic, limits, a clean end."""

from __future__ import annotations

import json
import signal
import socket
import statistics
import time
from pathlib import Path

import pytest

from tests.e2e.egress.peers import ControlPlane, Origin, Running, Script, curl, read_all, running, until


def some_tunnels(proxy: Running, origin: Origin, n: int) -> list[float]:
    """Seconds of each of ``n`` tunnels with one request in it."""
    took = []
    for _ in range(n):
        begun = time.perf_counter()
        client, head = proxy.tunnel(f"127.0.0.1:{origin.port}")
        assert head.startswith(b"HTTP/1.1 200 ")
        with client:
            client.sendall(b"GET /204 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert read_all(client).startswith(b"HTTP/1.1 204 ")
        took.append(time.perf_counter() - begun)
    return took


def targets(plane: ControlPlane) -> set[object]:
    return {report["action"]["id"] for report in list(plane.reports)}


def test_a_control_plane_that_hangs_changes_nothing_for_traffic_and_gets_every_report_later(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    with running(tmp_path, plane, allow=["127.0.0.0/8"]) as proxy:
        some_tunnels(proxy, origin, 20)
        normal = statistics.median(some_tunnels(proxy, origin, 60))
        until(lambda: len(targets(plane)) == 80)
        plane.hang()
        hung = statistics.median(some_tunnels(proxy, origin, 60))
        plane.go_on()
        until(lambda: len(targets(plane)) == 140, "the reports of the time when it hung")
        assert proxy.health()["reports"]["lost"] == {}
    # Generous, because the machine is shared; a proxy that waited for its reports would take seconds.
    assert hung < max(3 * normal, normal + 0.01)


def test_reports_outlive_a_dead_control_plane_and_a_restart_of_the_proxy(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    dead = ControlPlane()
    dead.stop()
    with running(tmp_path, dead.url, allow=["127.0.0.0/8"]) as proxy:
        some_tunnels(proxy, origin, 30)
    with running(tmp_path, plane, allow=["127.0.0.0/8"]):
        until(lambda: len(targets(plane)) == 30, "the reports of the time when it was dead")


def test_nothing_acknowledged_is_lost_when_the_proxy_is_killed(tmp_path: Path, plane: ControlPlane, origin: Origin):
    dead = ControlPlane()
    dead.stop()
    proxy = Running(tmp_path, dead.url, allow=["127.0.0.0/8"])
    some_tunnels(proxy, origin, 30)
    kept = until(lambda: (lambda said: said["kept"] >= 30 and said["queued"] == 0)(proxy.health()["reports"]))  # type: ignore[index]
    proxy.process.send_signal(signal.SIGKILL)
    proxy.process.wait()
    proxy.terminate()
    assert kept
    with running(tmp_path, plane, allow=["127.0.0.0/8"]):
        until(lambda: len(targets(plane)) == 30, "the reports of the proxy that was killed")


def test_a_control_plane_that_knows_no_batches_gets_them_one_by_one(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    plane.batches = False
    with running(tmp_path, plane, allow=["127.0.0.0/8"]) as proxy:
        some_tunnels(proxy, origin, 5)
        until(lambda: len(targets(plane)) == 5)


def test_a_connection_is_reported_when_it_begins_and_once_more_when_it_has_ended(tmp_path: Path, plane: ControlPlane):
    script = Script(lambda connection: connection.sendall(read_all(connection)))
    with running(tmp_path, plane, allow=["127.0.0.0/8"]) as proxy:
        client, _ = proxy.tunnel(f"127.0.0.1:{script.port}")
        with client:
            first = until(lambda: plane.actions(f"127.0.0.1:{script.port}"))[0]
            assert first["metadata"]["phase"] == "start"
            client.sendall(b"x" * 1000)
            client.shutdown(1)
            assert len(read_all(client)) == 1000
        last = until(lambda: plane.actions(f"127.0.0.1:{script.port}")[1:])[0]
    script.stop()
    assert (last["id"], last["metadata"]["phase"]) == (first["id"], "end")
    assert (last["metadata"]["bytes_up"], last["metadata"]["bytes_down"]) == (1000, 1000)
    report = plane.reports[0]
    assert (report["schema_version"], report["agent"]) == ("1", "egress-agent")
    assert report["verdict"]["reason"] == "observed egress"


def test_sigterm_lets_a_request_under_way_finish(tmp_path: Path, plane: ControlPlane):
    script = Script(lambda connection: connection.sendall(read_all(connection)))
    with running(tmp_path, plane, allow=["127.0.0.0/8"], drain_timeout=100) as proxy:
        client, _ = proxy.tunnel(f"127.0.0.1:{script.port}")
        idle = proxy.connect()
        proxy.process.terminate()
        assert idle.recv(1) == b""
        idle.close()
        with pytest.raises(ConnectionRefusedError):
            proxy.connect()
        client.sendall(b"still here")
        client.shutdown(1)
        assert read_all(client) == b"still here"
        client.close()
        begun = time.monotonic()
        assert proxy.terminate() == 0
        assert time.monotonic() - begun < 60
    script.stop()


def test_sigterm_does_not_wait_for_ever(tmp_path: Path, plane: ControlPlane):
    script = Script(lambda connection: connection.sendall(read_all(connection)))
    with running(tmp_path, plane, allow=["127.0.0.0/8"], drain_timeout=0.5) as proxy:
        client, _ = proxy.tunnel(f"127.0.0.1:{script.port}")
        begun = time.monotonic()
        assert proxy.terminate() == 0
        assert time.monotonic() - begun < 60
        client.close()
    script.stop()
    ended = [a for a in plane.actions(f"127.0.0.1:{script.port}") if a["metadata"].get("ended") == "proxy-stopped"]
    assert ended


def test_connections_over_the_limit_wait_their_turn(tmp_path: Path, plane: ControlPlane, origin: Origin):
    with running(tmp_path, plane, hosts={"web.internal": f"127.0.0.1:{origin.port}"}, max_connections=3) as proxy:
        held = [proxy.connect() for _ in range(6)]
        for client in held:
            client.sendall(b"GET http://web.internal/204 HTTP/1.1\r\nHost: web.internal\r\nConnection: close\r\n\r\n")
        assert all(read_all(client).startswith(b"HTTP/1.1 204 ") for client in held)
        for client in held:
            client.close()


def test_one_peer_that_takes_every_connection_leaves_places_for_others(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    with running(tmp_path, plane, hosts={"web.internal": f"127.0.0.1:{origin.port}"}, max_connections=34) as proxy:
        held = [proxy.connect() for _ in range(60)]
        other = socket.create_connection(("127.0.0.1", proxy.port), timeout=5, source_address=("127.0.0.9", 0))
        other.sendall(b"GET http://web.internal/204 HTTP/1.1\r\nHost: web.internal\r\nConnection: close\r\n\r\n")
        assert read_all(other).startswith(b"HTTP/1.1 204 ")
        for client in (*held, other):
            client.close()
        until(lambda: proxy.health()["connections"] == 1, "what has ended takes no place")
        assert proxy.health()["counts"]["peers over their share"] >= 60 - 33
        fresh = proxy.connect()
        fresh.sendall(b"GET http://web.internal/204 HTTP/1.1\r\nHost: web.internal\r\nConnection: close\r\n\r\n")
        assert read_all(fresh).startswith(b"HTTP/1.1 204 ")
        fresh.close()


def test_health_tells_counts_and_no_names(proxy: Running):
    curl(proxy, "http://web.internal/204")
    health = proxy.health()
    assert health["status"] == "ok"
    assert health["counts"]["http"] == 1
    assert "web.internal" not in json.dumps(health)


def test_a_busy_port_is_named(tmp_path: Path, proxy: Running):
    with pytest.raises(
        AssertionError, match=rf"cannot listen on 127.0.0.1 port {proxy.port}: Address already in use\n"
    ):
        Running(tmp_path / "second", "http://127.0.0.1:1", "--port", str(proxy.port))


@pytest.mark.parametrize(
    "setting", [{"prot": 1}, {"idle_timeout": "x"}, {"hosts": {"a": "b"}}, {"mode": "maybe"}, {"allow": ["x"]}]
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path, setting: dict[str, object]):
    with pytest.raises(AssertionError, match=next(iter(setting))):
        Running(tmp_path, "http://127.0.0.1:1", **setting)
