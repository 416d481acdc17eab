"""Floods, storms, and a collector that is killed: what holds goes on holding, and what is lost is counted."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from kaizen_security.collectors.kernel.collector import PINS, unpin
from kaizen_security.collectors.kernel.decode import Event
from kaizen_security.collectors.kernel.policy import Table, compile_rules
from kaizen_security.collectors.kernel.shapes import PROCESSES, Agent, Kind
from kaizen_security.contract.declaration import Declaration
from tests.e2e.sidecar_process import until
from tests.kernel.world import listener

ENFORCE = Agent.ENFORCE | Agent.QUIC_SHUT


def limited(*destinations: str):
    return compile_rules(Declaration(destinations=destinations), (), limited=True)


@pytest.mark.root
def test_a_flood_that_nobody_reads_fills_the_ring_is_counted_to_the_last_event_and_goes_on_being_refused(agent):
    Table(agent.collector, 0).put(limited("192.0.2.1"), ENFORCE)
    flood = """
import socket
refused = 0
for n in range(50_000):
    sock = socket.socket(); refused += sock.connect_ex(("127.0.0.2", 81)) == 1; sock.close()
print(refused)
"""
    with listener("127.0.0.2", 81) as (_, heard):
        assert agent.python(flood) == "50000\n"
    assert heard == []
    counted = agent.collector.counters()
    read = sum(1 for event in agent.collector.drain() if event.kind is Kind.CONNECT)
    assert counted["lost_ring"] > 0
    assert read + counted["lost_ring"] == 50_000
    assert counted["refused"] == 50_000
    assert counted["told"] == read + 1  # the program's own execution
    assert agent.collector.malformed == 0


@pytest.mark.root
def test_datagrams_to_one_place_are_told_once_a_second(agent):
    agent.python(
        """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(1000): sock.sendto(b"x", ("127.0.0.2", 9))
"""
    )
    told = [event.at for event in agent.events() if event.kind is Kind.SEND]
    assert told
    assert len(told) + agent.collector.counters()["repeated"] == 1000
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(told))


@pytest.mark.root
def test_datagrams_of_two_processes_by_one_socket_and_to_two_places_are_told_once_a_second(agent):
    """A flood that takes turns is no flood of events."""
    agent.python(
        """
import os, socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); r, w = os.pipe(); back, there = os.pipe()
child = os.fork()
for n in range(200):
    if not child: os.read(r, 1)
    for port in (9, 10): sock.sendto(b"x", ("127.0.0.2", port))
    if child: os.write(w, b"x"); os.read(back, 1)
    else: os.write(there, b"x")
"""
    )
    told = [event for event in agent.events() if event.kind is Kind.SEND]
    assert len(told) + agent.collector.counters()["repeated"] == 800
    for port in (9, 10):
        times = [event.at for event in told if event.port == port]
        assert times
        assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))


@pytest.mark.root
def test_who_sends_is_told_as_it_is_at_each_datagram(agent):
    agent.python(
        """
import ctypes, os, socket
sock, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
port = iter(range(9, 20))
def send(): sock.sendto(b"x", ("127.0.0.2", next(port)))
send(); send()
ctypes.CDLL(None).prctl(15, b"renamed", 0, 0, 0); send()
if not os.fork(): send(); os._exit(0)
os.wait(); next(port); os.setuid(12345); send()
"""
    )
    told = [(event.comm == "renamed", event.uid) for event in agent.events() if event.kind is Kind.SEND]
    assert told == [(False, 0), (False, 0), (True, 0), (True, 0), (True, 12345)]


@pytest.mark.root
def test_a_storm_of_ten_thousand_processes_is_marked_to_the_last_and_leaves_no_marks(agent):
    storm = """
import os, socket
Table = []
for n in range(10_000):
    pid = os.fork()
    if pid == 0:
        os._exit(socket.socket().connect_ex(("127.0.0.2", 81)) != 1) if n % 100 == 0 else os._exit(0)
    Table.append(pid)
    if len(Table) == 500:
        assert all(os.waitpid(pid, 0)[1] == 0 for pid in Table); Table = []
print("every child was held")
"""
    Table(agent.collector, 0).put(limited("192.0.2.1"), ENFORCE)
    with listener("127.0.0.2", 81) as (_, heard):
        assert agent.python(storm, timeout=300) == "every child was held\n"
    assert heard == []
    assert agent.collector.counters()["lost_mark"] == 0
    assert agent.collector.marked(0) == []


@pytest.mark.root
def test_there_is_a_mark_for_every_process_that_the_kernel_can_have(collector):
    """Whatever is made of the setting while an agent runs: a process without a mark would be nobody's."""
    collector.mark(PROCESSES - 1, 3)
    assert collector.marked(3) == [PROCESSES - 1]
    setting = Path("/proc/sys/kernel/pid_max")
    assert int(setting.read_text()) <= PROCESSES
    with pytest.raises(OSError, match="Invalid argument"):
        setting.write_text(str(PROCESSES + 1))


KILLED = """
import json, os, signal, subprocess, sys
from kaizen_security.collectors.kernel.collector import Collector
from kaizen_security.collectors.kernel.policy import Table, compile_rules
from kaizen_security.collectors.kernel.shapes import Agent
from kaizen_security.contract.declaration import Declaration

collector = Collector.start()
flags = Agent.ENFORCE | (Agent.CLOSED if sys.argv[1] == "closed" else Agent(0))
Table(collector, 0).put(compile_rules(Declaration(destinations=("127.0.0.2",)), (), limited=True), flags)
folder = collector.pin(sys.argv[2])
code = '''
import os, socket, sys, time
sys.stdin.readline()
until = time.monotonic() + 120
while True:
    declared = socket.socket().connect_ex(("127.0.0.2", 9)); other = socket.socket().connect_ex(("127.0.0.3", 81))
    if declared == int(sys.argv[1]) or time.monotonic() > until: break
    time.sleep(0.05)
print(declared, other, flush=True)
'''
wanted = "1" if sys.argv[1] == "closed" else "111"
agent = subprocess.Popen([sys.executable, "-S", "-c", code, wanted], stdin=0, preexec_fn=lambda: collector.mark(os.getpid(), 0))
print(json.dumps({"agent": agent.pid, "pins": str(folder)}), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.root
@pytest.mark.parametrize(("fail", "declared"), [("open", 111), ("closed", 1)])
def test_a_collector_that_is_killed_leaves_the_chosen_mode_in_force(fail: str, declared: int, collector):
    name = f"killed-{os.getpid()}-{fail}"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, fail, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        told = json.loads(process.stdout.readline())
        assert process.wait(120) == -signal.SIGKILL
        assert (PINS / f"kaizen-{name}").is_dir()
        with listener("127.0.0.3", 81) as (_, heard):
            process.stdin.write("go\n")
            process.stdin.close()
            assert process.stdout.readline().split() == [str(declared), "1"]
        assert heard == []
    finally:
        process.stdout.close()
        unpin(PINS / f"kaizen-{name}")
    assert told["pins"] == str(PINS / f"kaizen-{name}")
    assert not (PINS / f"kaizen-{name}").exists()


@pytest.mark.root
def test_paths_and_names_that_lie_are_told_as_what_ran(agent, tmp_path):
    """A link to a program, a program under another's name: the hash is of what ran, the name only what it calls itself."""
    from kaizen_security.collectors.kernel.actions import Translator

    fake = tmp_path / "ls"
    fake.symlink_to("/bin/sleep")
    code = f"import os; os.execv({str(fake)!r}, ['git', '600'])"
    process = agent.start(sys.executable, "-S", "-c", code)
    translator = Translator(agent="a", run_id="r", ids=lambda: "id")
    started: list[Event] = []
    try:
        until(lambda: started.extend(executed(agent)) or started[1:], "both programs")
        found = translator.actions(started[1])
    finally:
        process.kill()
        process.wait()
    assert found is not None
    action, _ = found
    assert action.target == str(fake)
    assert action.metadata["argv"] == ["git", "600"]
    with open("/bin/sleep", "rb") as program:
        assert action.hash == hashlib.file_digest(program, "sha256").hexdigest()


def executed(agent) -> list[Event]:
    """Programs that were executed since it was asked last."""
    return [event for event in agent.events() if event.kind is Kind.EXEC]
