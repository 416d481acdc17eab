"""What an agent's processes do is seen, whatever they do to hide it."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from kaizen_security.collectors.kernel.shapes import Kind

CONNECTS = """
import os, socket, sys
def connect(port):
    try: socket.create_connection(("127.0.0.1", port), timeout=60)
    except OSError: pass
"""

WAYS = {
    "thread": "import threading; t = threading.Thread(target=connect, args=(1,)); t.start(); t.join()",
    "fork": "pid = os.fork()\nif pid == 0:\n    connect(1); os._exit(0)\nos.waitpid(pid, 0)",
    "setsid": "pid = os.fork()\nif pid == 0:\n    os.setsid(); connect(1); os._exit(0)\nos.waitpid(pid, 0)",
    "double fork": """
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.setsid()
    if os.fork() == 0:
        connect(1); os.write(w, b"x")
    os._exit(0)
os.waitpid(pid, 0); os.read(r, 1)""",
    "exec with a clean environment": """
import subprocess
code = "import socket; socket.socket().connect_ex(('127.0.0.1', 1))"
subprocess.run([sys.executable, "-S", "-c", code], env={})""",
    "user namespace": """
import ctypes
pid = os.fork()
if pid == 0:
    ctypes.CDLL(None).unshare(0x10000000)
    connect(1); os._exit(0)
os.waitpid(pid, 0)""",
    "network namespace": """
import ctypes
pid = os.fork()
if pid == 0:
    ctypes.CDLL(None).unshare(0x40000000)
    connect(1); os._exit(0)
os.waitpid(pid, 0)""",
    "mapped IPv6": "s = socket.socket(socket.AF_INET6)\ntry: s.connect(('::ffff:127.0.0.1', 1))\nexcept OSError: pass",
    "a name of its own": "open('/proc/self/comm', 'w').write('kworker/0:1'); connect(1)",
}


@pytest.mark.root
@pytest.mark.parametrize("way", WAYS)
def test_a_connection_is_seen(agent, way: str):
    agent.python(CONNECTS + WAYS[way])
    found = [e for e in agent.events() if e.kind is Kind.CONNECT and e.port == 1]
    assert [(e.address, e.protocol) for e in found] == [("127.0.0.1", "tcp")]


@pytest.mark.root
def test_others_are_not_seen(agent):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    assert agent.events() == []
    assert agent.collector.counters()["hooked"] == 0


@pytest.mark.root
def test_a_process_that_ended_leaves_no_mark(agent):
    agent.run("true")
    agent.run("sh", "-c", "true & true & wait")
    assert agent.collector.marked(0) == []


@pytest.mark.root
def test_the_first_thread_may_end_and_the_process_stays_marked(agent):
    code = """
import ctypes, os, socket, threading, time
def late():
    while open(f"/proc/{os.getpid()}/task/{os.getpid()}/stat").read().split()[2] != "Z": time.sleep(0.001)
    try: socket.create_connection(("127.0.0.1", 1))
    except OSError: pass
    os._exit(0)
threading.Thread(target=late).start()
ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)
"""
    agent.run(sys.executable, "-S", "-c", code)
    assert [e.port for e in agent.events() if e.kind is Kind.CONNECT] == [1]


@pytest.mark.root
def test_executions_have_arguments_and_who_started_them(agent):
    agent.run("sh", "-c", "/bin/echo one two; true")
    found = [e for e in agent.events() if e.kind is Kind.EXEC]
    assert [e.args for e in found] == [("sh", "-c", "/bin/echo one two; true"), ("/bin/echo", "one", "two")]
    assert found[1].parent == found[0].pid


@pytest.mark.root
def test_executions_are_told_whole_up_to_what_a_record_takes(agent, tmp_path):
    deep = tmp_path / ("d" * 40) / ("e" * 40)
    deep.mkdir(parents=True)
    (deep / "true").symlink_to("/bin/true")
    for path in ("/bin/true", str(deep / "true")):
        for letters in (0, 1, 100, 500, 5000):
            agent.run(path, "x" * letters)
            (event,) = [e for e in agent.events() if e.kind is Kind.EXEC]
            assert event.file == path
            assert event.args == ((path, "x" * min(letters, 768 - len(path) - 1)) if letters else (path,))


@pytest.mark.root
def test_nothing_stays_behind(agent, tmp_path):
    from kaizen_security.collectors.kernel.collector import Collector, left_behind

    name = f"test-{os.getpid()}"
    with Collector.start() as other:
        assert other.pin(name) in left_behind()
    assert not [path for path in left_behind() if path.name == f"kaizen-{name}"]
