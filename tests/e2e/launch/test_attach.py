"""`kaizen attach` and `kaizen collector`: an agent that runs already."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from kaizen_security.collectors.kernel import bpf
from kaizen_security.collectors.kernel.collector import Collector, NotHere, left_behind, root_cgroup
from tests.e2e.launch.agents import clean
from tests.e2e.sidecar_process import until
from tests.kernel.world import listener

try:
    Collector.start().close()
    WHY = ""
except NotHere as err:
    WHY = str(err)
pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(WHY), reason=f"no kernel rung here: {WHY}")]

AGENT = """
import socket, subprocess, sys
for line in sys.stdin:
    code = "import socket; print(socket.socket().connect_ex(('127.0.0.2', 81)))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    print(done.stdout, end="", flush=True)  # said when the child is no more: who counts processes then counts one
"""


@pytest.fixture
def agent():
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", AGENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with listener("127.0.0.2", 81):
        yield process
    process.kill()
    process.communicate()


def turn(agent: subprocess.Popen[str]) -> int:
    """One connection of the agent's child: what it got."""
    assert agent.stdin is not None
    assert agent.stdout is not None
    agent.stdin.write("go\n")
    agent.stdin.flush()
    return int(agent.stdout.readline())


def kaizen(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kaizen_security.cli", *words],
        env={**clean(), "KAIZEN_DATA": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pins_of(agent: str) -> list[Path]:
    return [path for path in left_behind() if path.name.startswith(f"kaizen-{agent}-")]


def attached(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def test_an_attached_agent_is_held_and_let_go_and_nothing_stays(agent, tmp_path: Path):
    assert turn(agent) == 0
    process = kaizen(tmp_path, "attach", "--pid", str(agent.pid), "--enforce", "--agent", "late")
    assert "attached to 1 processes of late" in attached(process)
    assert turn(agent) == 1
    assert pins_of("late")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "1 refused in the kernel" in said
    assert turn(agent) == 0
    assert pins_of("late") == []


def test_what_a_killed_one_left_is_taken_away_by_name(agent, tmp_path: Path):
    process = kaizen(tmp_path, "attach", "--pid", str(agent.pid), "--enforce", "--fail", "open", "--agent", "lost")
    attached(process)
    process.kill()
    process.communicate()
    assert turn(agent) == 1
    (left,) = pins_of("lost")
    done = kaizen(tmp_path, "attach", "--detach", left.name)
    assert done.communicate()[1] == ""
    assert turn(agent) == 0
    again = kaizen(tmp_path, "attach", "--detach", left.name)
    assert "there are no pins of" in again.communicate()[1]
    assert again.returncode == 1


def test_a_control_groups_processes_and_when_they_end_it_ends(agent, tmp_path: Path):
    folder = Path(root_cgroup()) / f"kaizen-test-{os.getpid()}"
    (folder / "below").mkdir(parents=True)
    try:
        (folder / "below" / "cgroup.procs").write_text(str(agent.pid))
        process = kaizen(tmp_path, "attach", "--cgroup", folder.name, "--enforce")
        assert "attached to 1 processes" in attached(process)
        assert turn(agent) == 1
        agent.kill()
        agent.wait()
        process.communicate(timeout=120)
        assert process.returncode == 0
    finally:
        (folder / "below").rmdir()
        folder.rmdir()


def test_the_collector_prints_what_is_done(agent, tmp_path: Path):
    process = kaizen(tmp_path, "collector", "--pid", str(agent.pid), "--agent", "seen")
    attached(process)
    turn(agent)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=120)
    reports = [json.loads(line) for line in printed.splitlines()]
    assert {report["agent"] for report in reports} == {"seen"}
    kinds = [report["action"]["kind"] for report in reports]
    assert kinds[0] == "exec"
    connect = reports[-1]["action"]
    assert (connect["kind"], connect["target"], connect["metadata"]["source"]) == ("connect", "127.0.0.2:81", "ebpf")


def test_who_detaches_a_program_is_seen_and_the_agent_is_held_again(agent, tmp_path: Path):
    process = kaizen(tmp_path, "collector", "--pid", str(agent.pid), "--agent", "undone", "--enforce")
    attached(process)
    (pins,) = pins_of("undone")
    path = ctypes.create_string_buffer(os.fsencode(pins / "link-connect4"))
    link = bpf.command(7, struct.pack("=QII", ctypes.addressof(path), 0, 0))  # BPF_OBJ_GET
    bpf.command(34, struct.pack("=I", link))  # BPF_LINK_DETACH
    os.close(link)
    until(lambda: turn(agent) == 1, "the program that was put back")
    process.send_signal(signal.SIGTERM)
    printed, said = process.communicate(timeout=120)
    assert "1 what holds the agent undone, and put back" in said
    found = [json.loads(line) for line in printed.splitlines() if "unprotected" in line]
    assert [row["action"]["target"] for row in found] == ["kaizen:kernel-rung"]
    assert "the program connect4 was detached" in found[0]["action"]["metadata"]["what"]
    assert pins_of("undone") == []


def test_a_process_that_is_not_there_is_said(tmp_path: Path):
    process = kaizen(tmp_path, "attach", "--pid", "4194303")
    assert "there is no process 4194303" in process.communicate()[1]
