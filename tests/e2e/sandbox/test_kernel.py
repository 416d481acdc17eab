"""The kernel rung behind a running sandbox: what an agent's processes do, seen below them, against what it tells."""

from __future__ import annotations

import sys

import pytest

from kaizen_security.collectors.kernel.collector import Collector, NotHere
from tests.e2e.launch.agents import kaizen_run, server
from tests.e2e.sandbox.sandboxed import TOKEN, Sandboxed
from tests.e2e.sidecar_process import until

try:
    Collector.start().close()
    WHY = ""
except NotHere as err:
    WHY = str(err)
pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(WHY), reason=f"no kernel rung here: {WHY}")]

DECLARATION = {"tools": ["run"], "destinations": ["api.internal"]}
AGENT = """
import datetime, json, os, socket, subprocess, sys, urllib.request
traces, run, told, port = sys.argv[1:5]
really = sys.argv[5:]
def tell(**step):
    step |= {"run_id": run, "at": datetime.datetime.now(datetime.timezone.utc).isoformat()}
    headers = {"Authorization": "Bearer TOKEN", "Content-Type": "application/json"}
    asked = urllib.request.Request(traces + "/v1/traces", json.dumps({"steps": [step]}).encode(), headers)
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60).read()
tell(step="request", text="look at the checkout")
tell(step="action", id=run + "c", tool="run", metadata={"source": "sdk", "arguments": {"command": told}})
subprocess.run(really, capture_output=True)
if int(port):
    socket.create_connection(("127.0.0.1", int(port)), timeout=60).close()
tell(step="result", action_id=run + "c", content="ok")
tell(step="end")
""".replace("TOKEN", TOKEN)


@pytest.fixture
def sandbox(tmp_path):
    with Sandboxed(tmp_path / "sandbox", DECLARATION) as made:
        yield made


def live(sandbox, tmp_path, run, told, *really, port=0):
    """One run of an agent that tells of one command, under the kernel's eyes."""
    env = {"KAIZEN_SIDECAR": f"unix://{sandbox.data}/kaizen.sock", "KZ_SANDBOX_URL": sandbox.traces}
    words = [
        "--agent",
        "support",
        "--",
        sys.executable,
        "-S",
        "-c",
        AGENT,
        sandbox.traces,
        run,
        told,
        str(port),
        *really,
    ]
    done = kaizen_run(*words, env=env, data=tmp_path / "run")
    assert done.returncode == 0, done.stderr


def counts(sandbox):
    return sandbox.ask("GET", "/healthz")[1]["gaps"]["counts"]


def test_another_program_than_the_told_one_is_a_gap_at_ground_truth(sandbox, tmp_path):
    live(sandbox, tmp_path, "honest", "git --version", "git", "--version")
    live(sandbox, tmp_path, "shell", "sh -c 'git --version'", "sh", "-c", "git --version; true")
    until(lambda: counts(sandbox).get("explained", 0) >= 3, "the told programs")
    live(sandbox, tmp_path, "lie", "git status", "curl", "--version")
    gap = sandbox.gap()
    assert [one["action"]["run_id"] for one in sandbox.gaps()] == ["lie"]
    assert (gap["action"]["kind"], gap["action"]["tool"]) == ("exec", "run")
    assert gap["action"]["target"].endswith("/curl")
    assert gap["verdict"]["evidence"][0]["kind"] == "unreported program"
    assert gap["verdict"]["confidence"] == 0.95


def test_a_connection_past_the_proxy_is_a_gap(sandbox, tmp_path):
    with server() as port:
        live(sandbox, tmp_path, "past", "git --version", "git", "--version", port=port)
        gap = sandbox.gap()
    assert (gap["action"]["target"], gap["action"]["run_id"]) == (f"127.0.0.1:{port}", "past")
    assert gap["verdict"]["evidence"][0]["source"] == "ebpf"
