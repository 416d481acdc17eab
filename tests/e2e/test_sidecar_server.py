"""The sidecar against the real control plane: bundles, keys, declarations and verdicts between two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kaizen_security.client.http import Connection
from tests.e2e.sidecar_process import Process, until


class Server:
    """``kaizen server`` on a free port, with keys made on its data directory."""

    def __init__(self, data):
        self.data = data
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
        self.process = self.run("server", "--port", "0", "--data", str(data))
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.url = line.split()[-1]
                break

    def run(self, *words):
        command = [sys.executable, "-m", "kaizen_security.cli", *words]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def key(self, name, *words):
        out, _ = self.run("keys", "create", "--name", name, "--data", str(self.data), "--json", *words).communicate()
        return json.loads(out)["key"]

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=20)


@pytest.fixture
def server(tmp_path):
    one = Server(tmp_path / "server")
    yield one
    one.stop()


@pytest.fixture
def sidecar(tmp_path, server):
    (tmp_path / "sidecar").mkdir()
    one = Process(tmp_path / "sidecar", api_url=server.url, api_key=server.key("side", "--scope", "observer")).start()
    yield one
    one.stop()


def test_what_the_sidecar_sees_is_in_the_control_plane_and_what_is_declared_there_is_in_force(server, sidecar):
    reader = server.key("reader")
    upstream = Connection(server.url)

    def rows():
        path = "/v1/verdicts?agent=fresh"
        return upstream.json("GET", path, headers={"Authorization": f"Bearer {reader}"})["verdicts"]

    first = sidecar.inspect("fresh", tool="search", metadata={"arguments": {"q": "canary-5521"}})
    assert (first["decision"], bool(first["policy_version"])) == ("allow", True)
    (row,) = until(rows, "an unknown agent is made there by its first verdict")
    assert row["action_id"] == first["action_id"]
    assert "canary-5521" not in json.dumps(row)
    assert sidecar.ask("POST", "/v1/agents/fresh/manifest", {"tools": ["search"]})[0] == 200
    assert sidecar.inspect("fresh", tool="upload")["flagged"]
    flagged = until(lambda: [one for one in rows() if one["flagged"]], "the flagged verdict arrives")
    assert flagged[0]["reason"] == "undeclared: this agent used a tool it never declared (upload)."
    upstream.close()


def test_keys_of_the_control_plane_open_the_loopback_port(server, sidecar):
    any_agent, bound = server.key("one"), server.key("two", "--agent", "mine")

    def status(key, agent):
        ask = {"agent": agent, "action": {"tool": "t"}}
        return sidecar.ask("POST", "/v1/inspect", ask, key=key, loopback=True)[0]

    assert (status(any_agent, "a"), status(bound, "mine"), status(bound, "a")) == (200, 200, 403)
    assert status("kz_live_" + "0" * 43, "a") == 401
