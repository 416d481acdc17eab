"""Work that the kernel rung is measured under, and who does it: bare, as a bystander, as an agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from kaizen_security.collectors.kernel import bpf
from kaizen_security.collectors.kernel.actions import Translator
from kaizen_security.collectors.kernel.collector import Collector, root_cgroup
from kaizen_security.collectors.kernel.policy import Table, compile_rules
from kaizen_security.collectors.kernel.reporting import Reporting, stand_back
from kaizen_security.collectors.kernel.shapes import Agent
from kaizen_security.contract.action import Action
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.verdict import Verdict

WHO = ("bare", "empty", "bystander", "agent")
"""Without the programs; with programs that do nothing in their places; with them, attached for somebody else; as an agent in
enforce mode, whose events are read meanwhile."""

CALLS = """
import os, socket, sys, time
port = int(sys.argv[1])
QUESTION = bytes.fromhex("0007 0100 0001 0000 0000 0000 06") + b"models" + bytes([7]) + b"example" + bytes.fromhex("00 0001 0001")
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def connect():
    sock = socket.socket(); sock.connect(("127.0.0.2", port)); sock.close()
def far200(): far(200)
def far1000(): far(1000)
def far(microseconds):
    sock = socket.socket(); sock.connect(("198.18.77.2", microseconds)); sock.close()
def attach():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); sock.connect(("127.0.0.3", 9)); sock.close()
def first():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); sock.sendto(b"x", ("127.0.0.2", 9)); sock.close()
def bind():
    sock = socket.socket(); sock.bind(("127.0.0.1", 0)); sock.close()
def ask(): udp.sendto(QUESTION, ("127.0.0.77", 53))
def send(): udp.sendto(b"x", ("127.0.0.2", 9))
def spawn(): os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
for line in sys.stdin:
    name, n = line.split()
    work, n = globals()[name], int(n)
    began = time.perf_counter()
    for _ in range(n): work()
    print((time.perf_counter() - began) / n * 1e6, flush=True)
"""
SESSION = """
import subprocess, sys, urllib.request
port = sys.argv[1]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for n in range(20):
    opener.open(f"http://127.0.0.2:{port}/{n}").read()
    subprocess.run(["/bin/sh", "-c", "ls / | wc -l"], capture_output=True)
    open(sys.argv[2] + f"/note-{n}", "w").write("x" * 2000)
"""
RUNNER = """
import json, os, sys, time
null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
for line in sys.stdin:
    words = json.loads(line)
    began = time.perf_counter()
    pid = os.posix_spawn(words[0], words, os.environ, file_actions=null)
    _, status, used = os.wait4(pid, 0)
    print(json.dumps([time.perf_counter() - began, used.ru_utime + used.ru_stime, status]), flush=True)
"""
SUITE = """
import pytest
@pytest.mark.parametrize("n", range(100))
def test_it(n, tmp_path): (tmp_path / "f").write_text("x")
"""
TOOLS = """
set -e
cd "$1"; rm -rf repo target; mkdir repo; cd repo
git init -q; git config gc.auto 0; git config maintenance.auto false
for n in $(seq 60); do echo "line $n" > file$n; done
git -c user.name=b -c user.email=b@example.org add . && git -c user.name=b -c user.email=b@example.org commit -qm one
for n in 1 2 3 4; do echo $n >> file1; git -c user.name=b -c user.email=b@example.org commit -qam "$n"; done
git log --stat > /dev/null; git gc -q
cd ..; "$2" -m pip install -q --no-index --no-deps --disable-pip-version-check --target target "$3"
"$2" -m pytest -q -p no:cacheprovider "$4" > /dev/null
"""
SERVER = """
import socket
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.bind(("127.0.0.77", 53))  # what it is asked it does not answer
server = socket.create_server(("127.0.0.2", 0), backlog=4096)
print(server.getsockname()[1], flush=True)
while True:
    sock, _ = server.accept()
    sock.settimeout(5)
    try:
        if sock.recv(4096): sock.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    except OSError: pass
    sock.close()
"""

FAR = "198.18.77.2"
"""An address of RFC 2544, for measuring: what takes connections there is as many microseconds away as the port says."""
FAR_AWAY = """
import fcntl, os, struct, subprocess, time
device = os.open("/dev/net/tun", os.O_RDWR)
name = f"kaizen{os.getpid()}"
fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))  # TUNSETIFF: IFF_TUN | IFF_NO_PI
for words in (["addr", "add", "198.18.77.1/30", "dev", name], ["link", "set", name, "up"]):
    subprocess.run(["ip", *words], check=True)
print("ready", flush=True)
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
while True:
    packet = os.read(device, 2048)
    began = time.perf_counter()
    at = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or packet[9] != 6 or not packet[at + 13] & 3: continue
    begins = packet[at + 13] & 2  # a SYN is taken, a FIN is answered with a RST at once: nothing stays behind
    port, own, sequence = struct.unpack_from("!HHI", packet, at)
    number, flags = (7, 0x12) if begins else (8, 0x14)
    answer = struct.pack("!HHIIBBHHH", own, port, number, sequence + 1 & 0xFFFFFFFF, 5 << 4, flags, 65535, 0, 0)
    places = packet[16:20] + packet[12:16]
    answer = answer[:16] + checksum(places + struct.pack("!HH", 6, 20) + answer) + answer[18:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0)
    while begins and time.perf_counter() - began < own / 1e6: pass
    os.write(device, head[:10] + checksum(head + places) + places + answer)
"""


@contextmanager
def far_away() -> Iterator[bool]:
    """Something that takes connections at FAR, on a device of its own; whether that can be had here."""
    if not os.path.exists("/dev/net/tun"):
        yield False
        return
    with subprocess.Popen([sys.executable, "-S", "-c", FAR_AWAY], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline() == "ready\n"
        finally:
            process.kill()


@contextmanager
def server() -> Iterator[int]:
    """An HTTP server of one answer: its port."""
    with subprocess.Popen([sys.executable, "-S", "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


class Reader:
    """The rung's own reading, in a thread: decoded, translated, repetitions counted."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._stopping, self._wanted = threading.Event(), threading.Event()
        self._meeting = threading.Barrier(2)
        self._thread = threading.Thread(target=self._work)
        ids = count()
        translator = Translator(agent="a", run_id="r", ids=lambda: f"{next(ids):032x}", name_of=collector.name_of)
        self._reporting = Reporting(translator, collector.event, self._tell)
        self.read = self.told = 0

    def _tell(self, action: Action, verdict: Verdict) -> None:
        self.told += 1

    def look(self, seconds: float) -> None:
        """As ``KernelRung`` looks."""
        for record in self._collector.records(seconds=seconds):
            self.read += 1
            self._reporting.take(record, time.monotonic())

    @property
    def seconds(self) -> float:
        """CPU time that the thread has taken, while there is one."""
        assert self._thread.ident is not None
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))

    @property
    def counts(self) -> Counter[str]:
        """Events that were counted and not told: known already, or lost in the flood of one second."""
        return self._reporting.counts

    def _work(self) -> None:
        stand_back()
        while not self._stopping.is_set():
            self.look(0.1)
            if self._wanted.is_set():
                self._meeting.wait()
                self._meeting.wait()
        self.look(0.0)

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """The thread waits meanwhile and looks at nothing."""
        self._wanted.set()
        self._meeting.wait()
        self._wanted.clear()
        try:
            yield
        finally:
            self._meeting.wait()

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *err: object) -> None:
        self._stopping.set()
        self._thread.join()


@contextmanager
def let_go(collector: Collector) -> Iterator[None]:
    """Its programs are attached nowhere meanwhile, and stay loaded: what is measured in turns is then close to one another."""
    bpf.close(collector._links)
    try:
        yield
    finally:
        cgroup = os.open(root_cgroup(), os.O_RDONLY)
        for name, program in collector._programs.items():
            collector._links[name] = bpf.attach(name, program, cgroup)
        os.close(cgroup)


@contextmanager
def attached(port: int) -> Iterator[tuple[Collector, Reader]]:
    """The programs with an agent's policy in force, and the reader. ``port``: the server's, declared as a run's proxy is."""
    with Collector.start() as collector:
        rules = compile_rules(
            Declaration(destinations=(f"127.0.0.2:{port}", "127.0.0.2:9", "127.0.0.0/8", FAR, "models.example")),
            (),
            limited=True,
        )
        Table(collector, 0).put(rules, Agent.ENFORCE | Agent.CLOSED | Agent.QUIC_SHUT)
        with Reader(collector) as reader:
            yield collector, reader


class Caller:
    """One process that makes calls when it is asked to; the same one is bare, bystander and agent, one after the other."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", CALLS, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def round(self, name: str, n: int) -> float:
        """Microseconds of one call, over ``n`` of them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name} {n}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


class Runner:
    """A process that runs whole programs, whoever it is: the one that reads events has a lock of Python's to wait for."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", RUNNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def run(self, words: list[str]) -> tuple[float, float]:
        """One program to its end: seconds of wall, and CPU seconds of it and all that it started and waited for."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        wall, cpu, status = json.loads(self._process.stdout.readline())
        if status:
            raise subprocess.CalledProcessError(status, words)
        return wall, cpu

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def wheel(folder: Path) -> Path:
    """A small wheel to install, made here: nothing is downloaded."""
    path = folder / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(200):
            archive.writestr(f"small/module{n}.py", "value = 1\n" * 50)
        archive.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        archive.writestr(
            "small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: b\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("small-1.0.dist-info/RECORD", "")
    return path
