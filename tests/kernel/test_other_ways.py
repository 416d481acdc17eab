"""Ways to connect that are not connect(2) on a TCP socket of one's own: seen in observe mode, refused in enforce mode."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from kaizen_security.collectors.kernel.policy import Table, compile_rules
from kaizen_security.collectors.kernel.shapes import Agent, Kind
from kaizen_security.contract.declaration import Declaration
from tests.kernel.world import Listener, alone, listener

SAID = """
import errno, socket, sys
def said(work):
    try: work(); print("reached")
    except OSError as err: print(errno.errorcode[err.errno])
port = int(sys.argv[1])
"""
IO_URING = """
from kaizen_security.launch import uring
def work():
    sock = socket.socket(); uring.connect(sock, "127.0.0.2", port, polled={polled}); sock.sendall(b"x"); sock.recv(1)
said(work)
"""
WAYS = {
    "io_uring": IO_URING.format(polled=False),
    "io_uring, by the kernel's own thread": IO_URING.format(polled=True),
    "MPTCP": """
def work():
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    sock.connect(("127.0.0.2", port)); sock.sendall(b"x"); sock.recv(1)
said(work)
""",
    "TCP Fast Open": """
def work():
    sock = socket.socket(); sock.sendto(b"x", 0x20000000, ("127.0.0.2", port)); sock.recv(1)  # MSG_FASTOPEN
said(work)
""",
}
NOT_HERE = {"EPROTONOSUPPORT", "ENOPROTOOPT", "ENOSYS", "EOPNOTSUPP"}


def run(agent, code: str, *words: str) -> str:
    done = agent.run(sys.executable, "-c", SAID + code, *words)
    assert done.returncode == 0, done.stderr
    answer = done.stdout.strip()
    if answer in NOT_HERE:
        pytest.skip(f"this kernel does not have it: {answer}")
    return answer


def limited(agent, flags: Agent = Agent.ENFORCE | Agent.QUIC_SHUT) -> None:
    Table(agent.collector, 0).put(compile_rules(Declaration(destinations=("192.0.2.1",)), (), limited=True), flags)


@pytest.mark.root
@pytest.mark.parametrize("way", WAYS)
def test_it_is_seen_in_observe_mode(agent, way: str):
    with listener("127.0.0.2") as (port, heard):
        assert run(agent, WAYS[way], str(port)) == "reached"
    assert heard == [b"x"]
    found = [event for event in agent.events() if event.kind is Kind.CONNECT and event.port == port]
    assert [(event.address, event.protocol) for event in found] == [("127.0.0.2", "tcp")]


@pytest.mark.root
@pytest.mark.parametrize("way", WAYS)
def test_it_is_refused_in_enforce_mode(agent, way: str):
    limited(agent)
    with listener("127.0.0.2") as (port, heard):
        assert run(agent, WAYS[way], str(port)) == "EPERM"
    assert heard == []
    assert [event.reason.refused for event in agent.events() if event.kind is Kind.CONNECT] == [True]


SCTP = "said(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132))"


@pytest.mark.root
def test_a_socket_of_sctp_is_not_made_in_enforce_mode(agent):
    limited(agent)
    assert run(agent, SCTP, "0") == "EPERM"


PASSED = """
import os
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=int(sys.argv[2])) as talk:
    _, fds, _, _ = socket.recv_fds(talk, 1, 1)
sock = socket.socket(fileno=fds[0])
"""


def handed(agent, sock: socket.socket, code: str, port: int) -> str:
    """What a program of the agent's says that was handed ``sock``, which we made, who are nobody's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [b"x"], [sock.fileno()])
        done = subprocess.run(
            [sys.executable, "-S", "-c", SAID + PASSED + code, str(port), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            capture_output=True,
            text=True,
            timeout=300,
            preexec_fn=lambda: agent.collector.mark(os.getpid(), 0),
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.root
def test_a_socket_that_another_made_is_held_when_the_agent_connects_it(agent):
    limited(agent)
    with listener("127.0.0.2") as (port, heard), socket.socket() as sock:
        assert handed(agent, sock, 'said(lambda: sock.connect(("127.0.0.2", port)))', port) == "EPERM"
    assert heard == []
    assert [event.reason.refused for event in agent.events() if event.kind is Kind.CONNECT] == [True]


@pytest.mark.root
def test_a_connection_that_another_made_and_handed_over_is_the_others(agent):
    """The limits page says so: whoever connected is who is asked, and an agent that can make others connect acts through them."""
    limited(agent)
    with alone(), Listener("127.0.0.2", 0, socket.SOCK_STREAM) as world, socket.socket() as sock:
        sock.connect(("127.0.0.2", world.port))
        assert handed(agent, sock, 'said(lambda: (sock.sendall(b"x"), sock.recv(1)))', world.port) == "reached"
    assert world.heard == [b"x"]
    assert [event for event in agent.events() if event.kind is Kind.CONNECT] == []
