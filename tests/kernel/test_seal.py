"""What holds an agent, undone by somebody: seen at the next look, and in force again."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys

import pytest

from kaizen_security.collectors.kernel import bpf
from kaizen_security.collectors.kernel.policy import Table, compile_rules
from kaizen_security.collectors.kernel.seal import Seal
from kaizen_security.collectors.kernel.shapes import AGENT, Agent
from kaizen_security.contract.declaration import Declaration
from tests.e2e.sidecar_process import until
from tests.kernel.world import listener

REACH = "import socket; print(socket.socket().connect_ex(('127.0.0.2', 81)))"
LINK_UPDATE, LINK_DETACH = 29, 34
ANOTHER = 9
"""The number of an agent that there is not."""


@pytest.fixture
def held(agent):
    """An agent that may go nowhere, its programs pinned; gives its collector and the seal, which has looked once."""
    rules = compile_rules(Declaration(destinations=("192.0.2.1",)), (), limited=True)
    Table(agent.collector, 0).put(rules, Agent.ENFORCE)
    agent.collector.pin(f"seal-{os.getpid()}")
    seal = Seal(agent.collector, 0)
    assert seal.look() == []
    with listener("127.0.0.2", 81):
        yield seal


def let_all_pass() -> int:
    """A program for connect4 that lets everything pass."""
    code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0), 16)
    licence = ctypes.create_string_buffer(b"GPL")
    words = 18, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0, 0, b"pass", 0, bpf.ATTACH["connect4"]
    return bpf.command(5, struct.pack("=IIQQIIQII16sII", *words))


def detach(agent) -> None:
    bpf.command(LINK_DETACH, struct.pack("=I", agent.collector._links["connect4"]))


def replace(agent) -> None:
    program = let_all_pass()
    bpf.command(LINK_UPDATE, struct.pack("=IIII", agent.collector._links["connect4"], program, 0, 0))
    os.close(program)


def unflag(agent) -> None:
    agent.collector.map("agents").put(struct.pack("=I", 0), AGENT.pack(Agent.LIVE, 0))


@pytest.mark.root
@pytest.mark.parametrize(
    ("undo", "said"),
    [
        (detach, "the program connect4 was detached or replaced"),
        (replace, "the program connect4 was detached or replaced"),
        (unflag, "the agent's flags were changed"),
    ],
)
def test_what_was_undone_is_seen_and_holds_again(agent, held: Seal, undo, said: str):
    undo(agent)
    assert agent.python(REACH) == "0\n"
    assert held.look() == [said]
    assert agent.python(REACH) == "1\n"
    assert held.look() == []


@pytest.mark.root
def test_a_program_that_was_put_back_stays_when_the_collector_dies(agent, held: Seal):
    pin = agent.collector._pins / "link-connect4"
    detach(agent)
    pin.unlink()
    assert held.look() == ["the program connect4 was detached or replaced", "the pins link-connect4 were removed"]
    assert pin.exists()


@pytest.mark.root
def test_who_leaves_no_room_for_a_program_is_seen_and_the_others_hold_again(agent, held: Seal, monkeypatch):
    for place in ("connect4", "connect6"):
        bpf.command(LINK_DETACH, struct.pack("=I", agent.collector._links[place]))
    attach = bpf.attach
    full = OSError(7, "Argument list too long")  # E2BIG: 64 programs of others are there
    crowd = [full]

    def crowded(name: str, program: int, cgroup: int) -> int:
        if name == "connect4":
            raise crowd[0]
        return attach(name, program, cgroup)

    monkeypatch.setattr(bpf, "attach", crowded)
    lost = f"the program connect4 was detached or replaced, and cannot be put back: {full}"
    assert held.look() == [lost, "the program connect6 was detached or replaced"]
    assert held.look() == [], "what stays lost is said once"
    crowd[0] = OSError(1, "Operation not permitted")
    assert held.look() == [lost.replace(str(full), str(crowd[0]))], "and again when it is lost for another reason"
    monkeypatch.undo()
    assert held.look() == ["the program connect4 was detached or replaced"]
    assert agent.python(REACH) == "1\n"


@pytest.mark.root
def test_a_mark_that_was_taken_away_is_given_again_and_no_other_process_gets_it(agent, held: Seal):
    process = agent.start(sys.executable, "-S", "-c", "import sys; sys.stdin.read()")
    try:
        until(lambda: process.pid in agent.collector.marked(0), "its mark")
        until(lambda: held.look() == [] and process.pid in held._marked and begun_before(held, process.pid), "a look")
        agent.collector.unmark(process.pid)
        assert held.look() == [f"the mark of process {process.pid} was taken away"]
        assert agent.collector.marked(0) == [process.pid]
    finally:
        process.kill()
        process.wait()
    assert held.look() == []
    held._marked.add(os.getpid())
    held._looked = 0
    assert held.look() == [], "a process that began after the last look is not the one that had this number then"


WITHOUT_ITS_FIRST = """
import ctypes, os, socket, sys, threading
def goes_on():
    while open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] != "Z": pass
    print("first is gone", flush=True)
    for line in sys.stdin: print(socket.socket().connect_ex(("127.0.0.2", 81)), flush=True)
    os._exit(0)
threading.Thread(target=goes_on).start()
ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # exit(2): of this thread alone
"""


@pytest.mark.root
def test_a_process_whose_first_thread_has_ended_keeps_its_mark_and_is_given_it_again(agent, held: Seal):
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", WITHOUT_ITS_FIRST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=agent._marks(0),  # noqa: PLW1509 - one system call, before anything runs
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"first is gone\n"

        def reach() -> bytes:
            process.stdin.write(b"\n")
            process.stdin.flush()
            return process.stdout.readline()

        until(lambda: held.look() == [] and process.pid in held._marked and begun_before(held, process.pid), "a look")
        assert reach() == b"1\n"
        agent.collector.unmark(process.pid)
        assert reach() == b"0\n"
        assert held.look() == [f"the mark of process {process.pid} was taken away"]
        assert reach() == b"1\n"
        process.stdin.close()
        process.wait()
        assert agent.collector.marked(0) == []
        assert held.look() == []


def begun_before(seal: Seal, pid: int) -> bool:
    from kaizen_security.collectors.kernel.seal import _begun

    return 0 <= _begun(pid) < seal._looked


@pytest.mark.root
def test_a_storm_of_processes_that_end_is_no_undoing(agent, held: Seal):
    code = """
import os
for n in range(60):
    for _ in range(50):
        if not os.fork(): os._exit(0)
    for _ in range(50): os.wait()
"""
    process = agent.start(sys.executable, "-S", "-c", code)
    looks = 0
    while process.poll() is None:
        assert held.look() == []
        looks += 1
    assert looks > 3
    assert held.look() == []


@pytest.mark.root
def test_an_agent_that_nobody_serves_is_not_put_back(agent, held: Seal):
    assert agent.collector.map("agents").get(struct.pack("=I", ANOTHER)) == bytes(8)
    assert held.look() == []
