"""Peers as processes: what a client prints, and servers that listen."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess

from tests.e2e.mcp.shimmed import bare
from tests.e2e.sidecar_process import until
from tests.ports import free_port as free_port


def heard(words, tmp_path, calls, **more):
    """What a client prints."""
    file = tmp_path / "calls.json"
    file.write_text(json.dumps(calls))
    environment = bare(tmp_path, CALLS=str(file), **more)
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, env=environment, timeout=90)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@contextlib.contextmanager
def listening(words, port, tmp_path, **more):
    process = subprocess.Popen(
        [*map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=bare(tmp_path, **more)
    )
    try:
        until(lambda: _answers(port), "the server listens")
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(20)


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
