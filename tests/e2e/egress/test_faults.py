"""Whatever is wrong with the control plane or the disk, traffic is as fast as without, and no report is lost unsaid."""

from __future__ import annotations

import os
import ssl
import statistics
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.e2e.egress.peers import ControlPlane, Origin, Running, Server, running, until
from tests.e2e.egress.test_life import some_tunnels, targets

FACTOR = 1.3
SLACK = 0.0003
"""Seconds beside the factor: what two medians of a busy machine differ by themselves."""


class Slow(BaseHTTPRequestHandler):
    """Answers everything, correctly and much too late."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(
            int(self.headers.get("Content-Length", 0))
        )  # or the next request would begin with this one's body
        threading.Event().wait(2.0)
        self.send_response(200)
        self.send_header("Content-Length", "15")
        self.end_headers()
        self.wfile.write(b'{"policies":[]}')

    do_POST = do_GET

    def log_message(self, *said: object) -> None:
        pass


def fill(file: Path) -> None:
    """Write until there is no room."""
    with file.open("wb", buffering=0) as out, suppress(OSError):
        while True:
            out.write(bytes(4096))


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of one megabyte without room."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    try:
        data = folder / "data"
        data.mkdir()
        fill(folder / "ballast")
        yield data
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(params=["dead", "hung", "slow", "wrong certificate", "full disk"])
def afflicted(request: pytest.FixtureRequest, tmp_path: Path, plane: ControlPlane, authority) -> Iterator[Running]:  # type: ignore[no-untyped-def]
    """A proxy that suffers from one of these."""
    with ExitStack() as stack:
        url, flags = plane.url, []
        if request.param == "dead":
            url = "http://127.0.0.1:9"
        elif request.param == "hung":
            plane.hang()
            stack.callback(plane.go_on)
        elif request.param in ("slow", "wrong certificate"):
            server = Server(("127.0.0.1", 0), Slow)
            context = None
            if request.param == "wrong certificate":
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                authority[0].issue_cert("elsewhere.example").configure_cert(context)
            server.begin(context)
            stack.callback(server.end)
            url = f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
        else:
            flags = ["--data", str(stack.enter_context(small_disk(tmp_path / "disk")))]
        yield stack.enter_context(running(tmp_path / "afflicted", url, *flags, allow=["127.0.0.0/8"]))


def test_traffic_does_not_notice(afflicted: Running, tmp_path: Path, origin: Origin):
    healthy = ControlPlane()
    with running(tmp_path / "healthy", healthy, allow=["127.0.0.0/8"]) as well:
        for proxy in (well, afflicted):
            some_tunnels(proxy, origin, 20)

        def compare() -> bool:
            """One after the other, so that what else the machine does hits both."""
            took: dict[str, list[float]] = {"well": [], "afflicted": []}
            for _ in range(60):
                took["well"] += some_tunnels(well, origin, 1)
                took["afflicted"] += some_tunnels(afflicted, origin, 1)
            normal, now = (statistics.median(took[name]) for name in ("well", "afflicted"))
            return now <= FACTOR * normal + SLACK

        assert any(compare() for _ in range(4))
        reports = until(lambda: (lambda said: said if said["queued"] == 0 else None)(afflicted.health()["reports"]))
    healthy.stop()
    kept, lost = reports["kept"], reports["lost"]  # type: ignore[index]
    assert kept + sum(lost.values()) >= 80, "every connection is kept or counted as lost, with the reason"
    assert set(lost) <= {"no disk, memory full", "spool full"}


def test_reports_that_found_no_disk_are_delivered_all_the_same(tmp_path: Path, plane: ControlPlane, origin: Origin):
    with (
        small_disk(tmp_path / "disk") as data,
        running(tmp_path / "proxy", plane, "--data", str(data), allow=["127.0.0.0/8"]) as proxy,
    ):
        some_tunnels(proxy, origin, 30)
        until(lambda: len(targets(plane)) == 30)
        assert proxy.health()["reports"]["lost"] == {}  # type: ignore[index]
