"""The sidecar against the real control plane: bundles, keys, declarations and verdicts between two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kaizen_security.client.http import Connection
from kaizen_security.server.setup import mint_key
from tests.e2e.server.running import another_organisation, beside
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


def test_an_agents_own_code_cannot_say_at_a_sidecar_what_the_network_saw(server, sidecar):
    keys = {scope: server.key(scope, "--scope", scope) for scope in ("sdk", "collector")}
    action = {"kind": "connect", "target": "api.example:443", "metadata": {"source": "egress"}}
    for scope, key in keys.items():
        report = {"agent": scope, "action": action, "verdict": {"decision": "allow", "reason": "observed egress"}}
        status, document = sidecar.ask("POST", "/v1/verdicts:batch", {"reports": [report]}, key=key, loopback=True)
        assert (status, document["accepted"]) == (200, 1)
    reader, upstream = {"Authorization": f"Bearer {server.key('reader')}"}, Connection(server.url)

    def sources():
        rows = upstream.json("GET", "/v1/verdicts", headers=reader)["verdicts"]
        return {row["agent"]: row["source"] for row in rows} if len(rows) == 2 else {}

    assert until(sources, "both are told") == {"sdk": "egress-told", "collector": "egress"}
    upstream.close()


@pytest.fixture
def namesake(server):
    """Makes keys of a second organisation whose name is the first one's."""
    number = another_organisation(server.data, "default")

    def key(scope):
        with beside(server.data) as store:
            assert {one.name for one in store.organisations()} == {"default"}
            return mint_key(store, name="k", scope=scope, organisation=number)

    return key


def test_a_key_of_another_organisation_of_the_same_name_opens_nothing(server, sidecar, namesake):
    ask = {"agent": "a", "action": {"tool": "t"}}
    assert sidecar.ask("POST", "/v1/inspect", ask, key=server.key("ours"), loopback=True)[0] == 200
    status, document = sidecar.ask("POST", "/v1/inspect", ask, key=namesake("agent"), loopback=True)
    assert (status, document["error"]["message"]) == (401, "this key belongs to another organisation")


def test_a_data_directory_serves_one_organisation(server, sidecar, namesake):
    sidecar.inspect("a", tool="t")
    until(lambda: sidecar.health()["sent"] == 1, "the verdict is sent")
    assert sidecar.stop()[0] == 0
    sidecar.api_key = namesake("observer")
    sidecar.start()
    sidecar.inspect("a", tool="of-the-other")
    until(lambda: sidecar.health()["control_plane"] == "foreign", "it finds out whose the directory is")
    assert sidecar.ask("GET", "/readyz")[0] == 503
    status, document = sidecar.ask("POST", "/v1/agents/a/manifest", {"tools": ["t"]})
    assert (status, "kept" in document["status"]) == (202, True)
    assert (sidecar.health()["sent"], sidecar.health()["waiting"]) == (0, 1)
    assert "another organisation" in sidecar.stop()[1]
    with beside(server.data) as store:
        assert [len(store.agents(one.id)) for one in store.organisations()] == [1, 0]
