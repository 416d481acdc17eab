"""The client on the real line: control plane and sidecar as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from kaizen_security import Kaizen, KaizenBlocked
from kaizen_security.client.http import Connection
from tests.unit.client.upstream import free_port, until

KAIZEN = (sys.executable, "-m", "kaizen_security.cli")


class Process:
    """A long-running command, from its ``listening on`` to SIGTERM."""

    def __init__(self, *words, **environment):
        self._words, self._environment = words, environment
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [*KAIZEN, *self._words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **self._environment},
        )
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if line.startswith("listening on"):
                break
        assert "listening on" in self.said, self.said
        self.url = next(word for word in self.said.split() if word.startswith("http://"))

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    data = tmp_path_factory.mktemp("server")
    server = Process("server", "--port", "0", "--data", str(data))
    server.data = str(data)
    yield server
    server.end()


def key(server, scope):
    words = ("keys", "create", "--name", f"test {scope}", "--scope", scope, "--data", server.data, "--json")
    return json.loads(subprocess.run([*KAIZEN, *words], check=True, capture_output=True, text=True).stdout)["key"]


def rows(server, api_key, agent):
    headers = {"Authorization": f"Bearer {api_key}"}
    return Connection(server.url).json("GET", f"/v1/verdicts?agent={agent}", None, headers)["verdicts"]


def test_an_agent_without_a_sidecar(server, tmp_path):
    api_key = key(server, "agent")
    with Kaizen(api_key, server.url, agent="billing", data=str(tmp_path)) as kaizen:
        assert (kaizen.problem, kaizen.rules.origin) == ("", "bundle")
        assert kaizen.declare(tools=["lookup"], destinations=["api.internal"], purpose="orders")
        assert kaizen.inspect(tool="lookup", target="api.internal:443").evidence == ()
        assert kaizen.inspect(tool="shell", arguments={"cmd": "CANARY-77aa01"}).flagged
        assert kaizen.flush(20)
        assert kaizen.lost == {}
    found = rows(server, api_key, "billing")
    assert {row["action"]["tool"] for row in found} == {"lookup", "shell"}
    assert "CANARY" not in json.dumps(found)
    flagged = next(row for row in found if row["flagged"])
    done = subprocess.run(
        [*KAIZEN, "explain", flagged["id"], "--api-url", server.url],
        capture_output=True,
        text=True,
        env={**os.environ, "KAIZEN_API_KEY": api_key},
    )
    assert done.returncode == 0, done.stderr
    assert "undeclared: this agent used a tool it never declared (shell)." in done.stdout
    assert "what to do:" in done.stdout
    # The next process starts with what this one was told, also while nobody answers.
    with Kaizen(api_key, server.url, agent="billing", data=str(tmp_path), report=False) as kaizen:
        assert kaizen.inspect(tool="shell").flagged


def test_an_agent_with_a_sidecar_that_is_killed_and_comes_back(server, tmp_path):
    data = tmp_path / "data"
    environment = {"KAIZEN_API_KEY": key(server, "observer"), "KAIZEN_DATA": str(data)}
    words = ("sidecar", "--port", "0", "--api-url", server.url)
    sidecar = Process(*words, **environment)
    socket = f"unix://{data}/sidecar/kaizen.sock"
    kaizen = Kaizen(agent="worker", sidecar=socket, data=str(data))
    try:
        assert kaizen.rules.missing == ""
        with kaizen.run("look it up"):
            verdict = kaizen.inspect(tool="lookup", target="api.internal:443", arguments={"q": "CANARY-77aa01"})
            assert verdict.allowed
            assert verdict.action_id
        shown = subprocess.run(
            [*KAIZEN, "inspect", "--agent", "worker", "--tool", "lookup", "--json"],
            capture_output=True,
            text=True,
            env={**os.environ, "KAIZEN_DATA": str(data)},
        )
        assert shown.returncode == 0, shown.stderr
        assert socket in json.loads(shown.stdout)["judged_by"]
        sidecar.end(signal.SIGKILL)
        assert [finding.kind for finding in kaizen.inspect(tool="alone").evidence] == ["unprotected"]
        sidecar.start()
        until(lambda: "unprotected" not in [f.kind for f in kaizen.inspect(tool="again").evidence], 30)
        assert kaizen.flush(20)
        api_key = key(server, "agent")
        until(
            lambda: {"lookup", "alone", "again"} <= {r["action"]["tool"] for r in rows(server, api_key, "worker")}, 60
        )
        assert "CANARY" not in json.dumps(rows(server, api_key, "worker"))
        assert kaizen.lost == {}
    finally:
        kaizen.close()
        sidecar.end()


def test_a_client_that_enforces_blocks_what_its_observing_sidecar_only_flags(server, tmp_path):
    data = tmp_path / "data"
    environment = {"KAIZEN_API_KEY": key(server, "observer"), "KAIZEN_DATA": str(data)}
    sidecar = Process("sidecar", "--port", "0", "--api-url", server.url, **environment)
    socket = f"unix://{data}/sidecar/kaizen.sock"
    observing = Kaizen(agent="strict", sidecar=socket, data=str(data))
    enforcing = Kaizen(agent="strict", sidecar=socket, data=str(data), mode="enforce")
    ran = []
    try:
        assert observing.declare(tools=["lookup"], destinations=["api.internal"], purpose="orders")
        until(lambda: observing.inspect(tool="shell").flagged, 30)
        said = observing.inspect(tool="shell")
        assert (said.decision, said.evidence[0].kind) == ("allow", "undeclared tool")

        @enforcing.guard
        def shell(cmd):
            ran.append(cmd)

        with pytest.raises(KaizenBlocked) as refused:
            shell("id")
        assert (
            refused.value.verdict.reason
            == said.reason
            == "undeclared: this agent used a tool it never declared (shell)."
        )
        assert enforcing.inspect(tool="lookup", target="api.internal:443").allowed
        assert ran == []
        assert (enforcing.flush(20), enforcing.lost) == (True, {})
    finally:
        observing.close()
        enforcing.close()
        sidecar.end()


def test_a_client_that_enforces_blocks_what_a_sidecar_judged_without_any_policy(tmp_path):
    data = tmp_path / "data"
    environment = {"KAIZEN_API_KEY": "kz_live_" + "x" * 43, "KAIZEN_DATA": str(data)}
    sidecar = Process("sidecar", "--port", "0", "--api-url", f"http://127.0.0.1:{free_port()}", **environment)
    socket = f"unix://{data}/sidecar/kaizen.sock"
    try:
        for mode, fail_open, blocked in (("observe", False, False), ("enforce", False, True), ("enforce", True, False)):
            with Kaizen(agent="early", sidecar=socket, data=str(data), mode=mode, fail_open=fail_open) as kaizen:
                verdict = kaizen.inspect(tool="lookup")
                assert verdict.blocked is blocked
                assert verdict.reason == ("engine error, failed closed" if blocked else "no policy matched")
                assert kaizen.flush(20)
    finally:
        sidecar.end()
