"""Settings read anew on SIGHUP, and a successor on SIGUSR2: neither drops a connection."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

from tests.e2e.egress.peers import DEADLINE, ControlPlane, Origin, Running, Script, read_all, running, until


def change(folder: Path, **settings: object) -> None:
    file = folder / "egress.json"
    beside = folder / "egress.new"
    beside.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    beside.replace(file)


def get(proxy: Running, host: str) -> bytes:
    return proxy.raw(f"GET http://{host}/204 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())[9:12]


def reloads(proxy: Running) -> object:
    return proxy.health()["counts"].get("reloads", 0)  # type: ignore[attr-defined]


def test_sighup_reads_the_settings_anew_and_open_tunnels_stay(tmp_path: Path, plane: ControlPlane, origin: Origin):
    script = Script(lambda connection: connection.sendall(read_all(connection)))
    here = f"127.0.0.1:{origin.port}"
    hosts = {"one.internal": here, "raw.internal": f"127.0.0.1:{script.port}"}
    with running(tmp_path, plane, hosts=hosts) as proxy:
        client, _ = proxy.tunnel("raw.internal:443")
        assert get(proxy, "one.internal") == b"204"
        change(tmp_path, hosts={"two.internal": here}, budgets=[{"destination": "*", "connections": 1, "each": True}])
        proxy.process.send_signal(signal.SIGHUP)
        until(lambda: reloads(proxy) == 1)
        assert get(proxy, "two.internal") == b"204"
        assert get(proxy, "two.internal") == b"403", "the new budget holds"
        proxy.process.send_signal(signal.SIGHUP)
        until(lambda: reloads(proxy) == 2)
        assert get(proxy, "two.internal") == b"403", "what was used of it counts on"
        client.sendall(b"still here")
        client.shutdown(1)
        assert read_all(client) == b"still here"
        client.close()
    script.stop()


def test_settings_that_cannot_be_used_change_nothing(tmp_path: Path, plane: ControlPlane, origin: Origin):
    with running(tmp_path, plane, hosts={"one.internal": f"127.0.0.1:{origin.port}"}) as proxy:
        change(tmp_path, idle_timeout="soon")
        proxy.process.send_signal(signal.SIGHUP)
        until(lambda: "idle_timeout: must be a number" in proxy.log.read_text())
        assert get(proxy, "one.internal") == b"204"
        change(tmp_path, idle_timeout=1000, port=1, mode="enforce")
        proxy.process.send_signal(signal.SIGHUP)
        until(lambda: reloads(proxy) == 1)
        assert "mode is read at the start only" in proxy.log.read_text()
        assert proxy.health()["mode"] == "fail open"


def test_a_successor_takes_over_and_no_connection_is_refused_or_dropped(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    script = Script(lambda connection: connection.sendall(read_all(connection)))
    hosts = {"web.internal": f"127.0.0.1:{origin.port}", "raw.internal": f"127.0.0.1:{script.port}"}
    stop = threading.Event()
    answers: list[bytes] = []
    with running(tmp_path, plane, hosts=hosts) as proxy:

        def ask() -> None:
            while not stop.is_set():
                answers.append(get(proxy, "web.internal"))

        client, _ = proxy.tunnel("raw.internal:443")
        asking = threading.Thread(target=ask)
        asking.start()
        proxy.process.send_signal(signal.SIGUSR2)
        until(lambda: "has taken over" in proxy.log.read_text())
        many = len(answers)
        until(lambda: len(answers) > many + 20)
        stop.set()
        asking.join(DEADLINE)
        assert set(answers) == {b"204"}
        client.sendall(b"through the old one")
        client.shutdown(1)
        assert read_all(client) == b"through the old one"
        client.close()
        assert proxy.process.wait(DEADLINE) == 0, "the old one ends when its last tunnel has"
        assert get(proxy, "web.internal") == b"204"
        line = next(line for line in proxy.log.read_text().splitlines() if "has taken over" in line)
        successor = int(line.split("process ")[1].split()[0])
        os.kill(successor, signal.SIGTERM)
        until(lambda: not _lives(successor))
    script.stop()
    ended = [a for a in plane.actions("raw.internal:443") if a["metadata"].get("ended") == "closed"]
    assert ended


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_successor_that_cannot_start_leaves_the_old_one_serving(tmp_path: Path, plane: ControlPlane, origin: Origin):
    with running(tmp_path, plane, hosts={"web.internal": f"127.0.0.1:{origin.port}"}) as proxy:
        change(tmp_path, idle_timeout="soon")
        proxy.process.send_signal(signal.SIGUSR2)
        until(lambda: "the successor did not begin" in proxy.log.read_text())
        assert get(proxy, "web.internal") == b"204"
