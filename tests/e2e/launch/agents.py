"""Agents that are started for tests, as an unprivileged user too."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NOBODY = 65534
SYSTEM_PYTHON = "/usr/bin/python3"


def kaizen_run(
    *words: str, env: Mapping[str, str], data: Path, timeout: float = 300.0
) -> subprocess.CompletedProcess[str]:
    """`kaizen run` as this user."""
    whole = {**clean(), **env, "KAIZEN_DATA": str(data)}
    command = [sys.executable, "-m", "kaizen_security.cli", "run", *words]
    return subprocess.run(command, env=whole, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def as_nobody(
    *words: str, env: Mapping[str, str], data: Path, timeout: float = 300.0
) -> subprocess.CompletedProcess[str]:
    """`kaizen run` as a user without any privilege, on a copy of the package that this user can read. Root only."""
    place = data / "package"
    if not place.exists():
        shutil.copytree(ROOT / "src", place, ignore=shutil.ignore_patterns("__pycache__"))
        for folder in (data, *data.parents):
            if folder.owner() == "root" and folder != Path("/") and str(folder).startswith("/tmp/"):
                folder.chmod(folder.stat().st_mode | 0o055)
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        (data / "own").mkdir()
        os.chown(data / "own", NOBODY, NOBODY)
    whole = {**clean(), **env, "KAIZEN_DATA": str(data / "own"), "PYTHONPATH": str(place), "HOME": str(data / "own")}
    command = [
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        SYSTEM_PYTHON,
        "-m",
        "kaizen_security.cli",
    ]
    return subprocess.run(
        [*command, "run", *words],
        env=whole,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        cwd=data / "own",
    )


def clean() -> dict[str, str]:
    """This environment without proxies and without settings of Kaizen."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith("_PROXY") and "KAIZEN" not in name
    }


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"reached " + self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        return


@contextlib.contextmanager
def server() -> Iterator[int]:
    """A web server on the host's loopback: its port."""
    with HTTPServer(("127.0.0.1", 0), _Answers) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield http.server_port
        finally:
            http.shutdown()
            thread.join()


@contextlib.contextmanager
def proxy(data: Path, hosts: Mapping[str, str], mode: str = "observe") -> Iterator[str]:
    """An egress proxy that resolves ``hosts``: its URL."""
    import json

    data.mkdir(exist_ok=True, parents=True)
    settings = data / "egress.json"
    settings.write_text(json.dumps({"hosts": hosts}))
    words = [
        "-m",
        "kaizen_security.cli",
        "egress",
        "--port",
        "0",
        "--config",
        str(settings),
        "--data",
        str(data / "egress"),
    ]
    process = subprocess.Popen(
        [sys.executable, *words, "--mode", mode],
        env=clean(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("listening on ").strip()
    finally:
        process.terminate()
        process.communicate()
