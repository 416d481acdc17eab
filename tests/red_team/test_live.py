"""The corpus against a running control plane and sidecar, and the deployed runner's own flow against the control plane."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from itertools import count

import pytest

from kaizen_security.redteam.corpus import load
from kaizen_security.redteam.runner import DEPLOYED_TIMES, deployed_rule
from kaizen_security.redteam.scenario import Shelf
from tests.architecture.tree import ROOT

CONTROL_PLANE = """
import socket, sys, uvicorn
from pathlib import Path
from kaizen_security.server.app import create_app
from kaizen_security.server.setup import first_start, mint_key
from kaizen_security.store.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]))
first_start(store)
keys = [mint_key(store, name=scope, scope=scope) for scope in ("agent", "observer")]
listening = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listening.getsockname()[1]}", *keys, flush=True)
uvicorn.Server(uvicorn.Config(create_app(store), log_level="warning", timeout_graceful_shutdown=2)).run(sockets=[listening])
"""

FORM = ("kind", "tool", "publisher", "target", "hash", "metadata")


def environment(**ours):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("KAIZEN_")}
    return {**kept, **ours}


def started(words, env):
    process = subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().split()


def ended(process):
    process.terminate()
    process.wait(60)
    process.stdout.close()


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory):
    """URL, a key of scope agent, one of scope observer."""
    words = [sys.executable, "-c", CONTROL_PLANE, str(tmp_path_factory.mktemp("control"))]
    process, said = started(words, environment())
    yield said
    ended(process)


@pytest.fixture(scope="module")
def sidecar(control_plane, tmp_path_factory):
    """URLs: the Unix socket, loopback."""
    url, _, key = control_plane
    data = tmp_path_factory.mktemp("s")
    words = [
        sys.executable,
        "-m",
        "kaizen_security.cli",
        "sidecar",
        "--port",
        "0",
        "--api-url",
        url,
        "--data",
        str(data),
    ]
    process, said = started(words, environment(KAIZEN_API_KEY=key))
    yield said[2:]
    ended(process)


def kaizen(*words, command=("-m", "kaizen_security.cli", "redteam"), **env):
    return subprocess.run(
        [sys.executable, *command, *words],
        cwd=ROOT,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=120,
    )


class DeployedRunner:
    """Speaks as the published corpus runner does: urllib, a connection for each request, four shapes of a report."""

    def __init__(self, url, key):
        self.url, self.key, self.shapes = url, key, count()

    def ask(self, method, path, document=None):
        body = None if document is None else json.dumps(document).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", "Connection": "close"}
        request = urllib.request.Request(self.url + path, data=body, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status in (200, 201)
            return json.loads(answer.read())

    def declare(self, agent, declaration):
        document = {"tools": list(declaration.tools), "destinations": list(declaration.destinations)}
        self.ask("POST", f"/v1/agents/{agent}/manifest", document)

    def report(self, agent, deed):
        whole = dict(
            zip(FORM, (deed.kind, deed.tool, deed.publisher, deed.target, deed.hash, {"source": "sdk"}), strict=True)
        )
        claim = {"decision": "allow", "reason": "no policy matched", "evidence": []}
        report = [
            {
                "schema_version": "1",
                "agent": agent,
                "action": {k: v or None for k, v in whole.items()},
                "verdict": claim,
            },
            {"agent": agent, "action": {k: v for k, v in whole.items() if v}, "verdict": {**claim, "blocked": False}},
            {"agent": agent, "action": whole, "verdict": claim},
            {"schema_version": "1", "agent": agent, "action": {**whole, "metadata": None}, "verdict": claim},
        ]
        self.ask("POST", "/v1/verdicts", report[next(self.shapes) % 4])

    def rows(self, agent):
        return self.ask("GET", f"/v1/verdicts?agent={agent}&limit=200")["verdicts"]

    def rows_within(self, agent, least, deadline=18.0):
        end = time.monotonic() + deadline
        while len(rows := self.rows(agent)) < least and time.monotonic() < end:
            time.sleep(0.1)
        return rows

    def play(self, scenario, sessions, tag):
        """Manifest, baseline twice, the sessions; the rows of every agent."""
        told = {}
        for agent in scenario.agents:
            self.declare(agent + tag, scenario.declaration)
        for session in (*scenario.baseline * DEPLOYED_TIMES, *sessions):
            for deed in session.deeds:
                self.report(session.agent + tag, deed)
                told[session.agent] = told.get(session.agent, 0) + 1
        return {agent: self.rows_within(agent + tag, least) for agent, least in told.items()}


def test_the_deployed_runner_finds_all_thirteen_on_our_control_plane(control_plane):
    url, key, _ = control_plane
    runner, caught = DeployedRunner(url, key), {}
    for scenario in load(shelves=(Shelf.SCENARIOS,)):
        rows = runner.play(scenario, scenario.sessions, "-old")
        for session in scenario.sessions:
            for deed in session.deeds:
                if deed.attacking:
                    caught[scenario.id, deed.name] = any(
                        deployed_rule(deed.tool, row["reason"], row["confidence"]) for row in rows[session.agent]
                    )
    assert [key for key, found in caught.items() if not found] == []
    assert len(caught) == 13


def test_the_deployed_flow_flags_no_twin(control_plane):
    url, key, _ = control_plane
    runner = DeployedRunner(url, key)
    for scenario in load(shelves=(Shelf.SCENARIOS,)):
        rows = runner.play(scenario, scenario.twin, "-old-twin")
        assert [row["reason"] for found in rows.values() for row in found if row["evidence"]] == []


def test_the_corpus_runs_against_a_control_plane(control_plane):
    url, key, _ = control_plane
    said = kaizen("--json", "--target", url, KAIZEN_API_KEY=key)
    told = json.loads(said.stdout)
    assert said.returncode == 0, said.stderr
    assert told["measured"]["target"] == f"control plane {url}"
    assert [told[name]["count"] for name in ("caught", "deployed_rule", "false_flags", "baseline_flags")] == [
        13,
        13,
        0,
        0,
    ]


def test_a_second_run_on_the_same_server_does_not_meet_the_first(control_plane):
    url, key, _ = control_plane
    for _ in range(2):
        said = kaizen("--json", "--target", url, "--scenario", "slow-drift", KAIZEN_API_KEY=key)
        assert json.loads(said.stdout)["caught"]["count"] == 2


def test_the_script_runs_against_the_server_of_the_environment(control_plane):
    url, key, _ = control_plane
    said = kaizen("--scenario", "scope-creep", command=("red-team/corpus.py",), KAIZEN_API_URL=url, KAIZEN_API_KEY=key)
    assert said.returncode == 0, said.stderr
    assert f"against: control plane {url}" in said.stdout
    assert "Kaizen caught 1/1 red-team actions (100%)." in said.stdout


def test_the_corpus_runs_against_a_sidecar_on_its_socket(sidecar):
    said = kaizen("--json", "--target", sidecar[0])
    told = json.loads(said.stdout)
    assert said.returncode == 0, said.stderr
    assert told["measured"]["target"].startswith("sidecar unix://")
    assert [told[name]["count"] for name in ("caught", "deployed_rule", "false_flags", "baseline_flags")] == [
        13,
        13,
        0,
        0,
    ]


def test_a_sidecar_on_loopback_is_told_from_a_control_plane(sidecar, control_plane):
    said = kaizen("--scenario", "scope-creep", "--target", sidecar[1], KAIZEN_API_KEY=control_plane[1])
    assert said.returncode == 0, said.stderr
    assert f"against: sidecar {sidecar[1]}" in said.stdout


def test_a_wrong_key_is_said_to_be_wrong(control_plane):
    said = kaizen("--target", control_plane[0], KAIZEN_API_KEY="kz_live_" + "x" * 43)
    assert said.returncode == 2
    assert said.stderr.startswith("kaizen redteam: ")
    assert "Traceback" not in said.stderr
