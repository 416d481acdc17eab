"""How calls and sessions of the official Python SDK end through the gateway: as they do without it."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.mcp.talking import free_port, heard, listening
from tests.e2e.mcp.test_gateway import Gateway
from tests.e2e.sidecar_process import until

HERE = Path(__file__).parent


def test_a_call_is_cancelled_and_the_session_deleted_over_the_python_sdk(place, tmp_path):
    port, log = free_port(), tmp_path / "ends.txt"
    log.touch()
    came = []
    with listening([place("sdk1"), HERE / "sdk_ending_server.py", str(port), str(log)], port, tmp_path) as url:
        gateway = Gateway(tmp_path, "--server", f"peer={url}")
        try:
            for where in (url, gateway.url("peer")):
                log.write_text("")
                found = heard([place("sdk1"), HERE / "sdk_ending.py", str(log), where], tmp_path, [])
                until(lambda: "DELETE" in log.read_text().split(), "the session is deleted")
                told = log.read_text().split()
                came.append((found, [line for line in told if line in ("waits", "cancelled", "DELETE")]))
        finally:
            assert "Traceback" not in gateway.end()
    assert came[0] == came[1]
    assert came[0][0]["after"] == "looked"
    assert came[0][1] == ["waits", "cancelled", "DELETE"]
