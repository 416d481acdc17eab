"""The client's promise on the real control plane: what was judged arrives, once, or is counted; within the spool nothing is lost.

One fault after the other, each with an agent in a process of its own: a burst, an outage (``kill -9``, a start ``amount`` seconds
later), exits in mid-flight, ``kill -9`` of the agent, forks, a full disk (a tmpfs of 256 KB), a server that stands still again and
again, a certificate of an authority that nobody trusts.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import trustme

from tests.e2e.server.running import Running
from tests.unit.client.upstream import free_port

FULL = 60
"""Seconds of the outage; the other faults are scaled with it, the burst is of 20,000 verdicts in the full form."""
SHORT = 3
PROLOGUE = """
import json, os, sys, time
from kaizen_security import Kaizen, Policy
n = int(sys.argv[1])
bad = Policy("blocklist", {"domains": ["bad.example"]})
kaizen = Kaizen(os.environ["KEY"], os.environ["URL"], agent="soak", sync=False, policies=[bad])

def say(**figures):
    print(json.dumps(figures), flush=True)

def timed(n, name, pause=0.0):
    took = []
    for i in range(n):
        began = time.perf_counter_ns()
        kaizen.inspect(tool="t", target=f"{name}-{i // 1000}-{i % 1000}")
        took.append((time.perf_counter_ns() - began) / 1e3)
        if pause:
            time.sleep(pause)
    took.sort()
    return {"p50_us": round(took[n // 2], 1), "p99_us": round(took[n * 99 // 100], 1), "longest_us": round(took[-1], 1)}

def delivered():
    began = time.monotonic()
    while not kaizen.flush(10):
        assert time.monotonic() - began < 120, kaizen.problem
        time.sleep(0.1)
    return {"delivered_s": round(time.monotonic() - began, 2), "lost": kaizen.lost}
"""


class Place:
    """A control plane that comes and goes on one port, and the agents' way to it."""

    def __init__(self, directory, *options, scheme="http"):
        self.directory, self.options = directory, (*options, "--port", str(free_port()))
        directory.mkdir()
        self.server = Running(directory / "server", *self.options)
        self.url = self.server.url if scheme == "http" else f"https://localhost:{self.server.port}"
        self.key = self.server.key()

    def again(self):
        self.server = Running(self.directory / "server", *self.options)

    def agent(self, code, n, *, data="data", before=(), **environment):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
        kept |= {"KEY": self.key, "URL": self.url, "KAIZEN_DATA": str(self.directory / data), **environment}
        words = [*before, sys.executable, "-c", PROLOGUE + code, str(n)]
        return subprocess.Popen(words, env=kept, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ran(self, code, n, status=0, **options):
        """What an agent said that came to its end."""
        out, err = (process := self.agent(code, n, **options)).communicate(timeout=300)
        assert process.returncode == status, err
        return json.loads(out) if out.strip() else {}

    def later(self, **options):
        """What the next process of the same agent says that it lost."""
        return self.ran(
            'kaizen.inspect(tool="later"); say(**delivered())',
            0,
            **options,
        )["lost"]

    def arrived(self):
        """The targets of all rows; each is there once."""
        with contextlib.closing(sqlite3.connect(self.directory / "server" / "kaizen.db", timeout=30)) as connection:
            rows = [target for (target,) in connection.execute("SELECT target FROM verdicts WHERE target != ''")]
        assert len(rows) == len(set(rows)), "a report is there twice"
        return set(rows)

    def check(self, *names, n):
        """Of each name all ``n`` have arrived."""
        there = self.arrived()
        # No number of more than four digits: a longer one leaves as a hash.
        wanted = [f"{name}-{i // 1000}-{i % 1000}" for name in names for i in range(n)]
        missing = [one for one in wanted if one not in there]
        assert not missing, f"{len(missing)} reports are missing, such as {missing[0]}"
        return {"made": n * len(names), "arrived": n * len(names), "lost": 0}


def burst(place, amount):
    n = 20_000 if amount >= FULL else 2000
    said = place.ran("f = timed(n, 'burst')\nsay(**f, **delivered())", n)
    assert said["lost"] == {}, said
    return {**said, **place.check("burst", n=n)}


def outage(place, amount):
    n = (amount + 2) * 100
    agent = place.agent("f = timed(n, 'outage', 0.01)\nsay(**f, **delivered())", n)
    time.sleep(1.0)
    place.server.kill()
    time.sleep(amount)
    place.again()
    out, err = agent.communicate(timeout=300)
    assert agent.returncode == 0, err
    return {"seconds": amount, **json.loads(out), **place.check("outage", n=n)}


def exits(place, amount):
    n = 100 * amount
    ends = {"end": "", "error": "raise RuntimeError('the agent failed')", "exit": "sys.exit(1)"}
    for name, end in ends.items():
        place.ran(f"timed(n, 'exit-{name}')\n{end}", n, status=0 if name == "end" else 1)
    lost = place.later()
    assert lost == {}, lost
    return place.check(*(f"exit-{name}" for name in ends), n=n)


def killed(place, amount):
    """Blocks are on disk before their caller learns of them; allows of the last moment may be gone, what was begun is counted."""
    blocks = allows = 0
    counted = {}
    for life in range(max(amount // 3, 2)):
        agent = place.agent(
            "for i in range(1 << 30):\n"
            f"    kaizen.inspect(tool='t', target=f'allowed{life}-{{i}}')\n"
            f"    kaizen.inspect(tool='t', target=f'b{life}-{{i}}.bad.example'); print(i, flush=True)",
            0,
        )
        for line in agent.stdout:
            if int(line) >= 200 + 37 * life:
                break
        agent.kill()
        rest = agent.communicate(timeout=60)[0].split()
        known = int(rest[-1]) if rest and rest[-1].isdigit() else int(line)
        lost = place.later()
        assert set(lost) <= {"killed", "torn"}, lost
        counted = {reason: counted.get(reason, 0) + lost.get(reason, 0) for reason in {*counted, *lost}}
        there = place.arrived()
        missing = [i for i in range(known) if f"b{life}-{i}.bad.example" not in there]
        assert not missing, f"{len(missing)} blocks that their caller knew of are missing"
        blocks += known
        allows += sum(f"allowed{life}-{i}" not in there for i in range(known))
    return {
        "kills": max(amount // 3, 2),
        "blocks": blocks,
        "blocks_lost": 0,
        "allows_of_the_last_moment": allows,
        "counted": counted,
    }


def forks(place, amount):
    n = 10 * amount
    place.ran(
        "timed(n, 'fork-parent')\npids = []\n"
        "for child in range(4):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n        timed(n, f'fork-{child}'); sys.exit(0 if kaizen.lost == {} else 1)\n"
        "    pids.append(pid)\n"
        "assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 4",
        n,
    )
    lost = place.later()  # what an exit had no time for waits in the spool
    assert lost == {}, lost
    return place.check("fork-parent", *(f"fork-{child}" for child in range(4)), n=n)


def full_disk(place, amount):
    """Data on a tmpfs of 256 KB, in a mount namespace of the agent's own: what the disk does not take waits in memory."""
    n = 40 * amount if amount >= FULL else 1000
    (place.directory / "small").mkdir()
    mount = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=256k none "$KAIZEN_DATA" && exec "$@"', "sh")
    tried = (
        subprocess.run((*mount[:4], "mount -t tmpfs -o size=256k none /tmp"), capture_output=True)
        if shutil.which("unshare")
        else None
    )
    if tried is None or tried.returncode:
        return {"not run": "this machine lets us mount no tmpfs"}
    place.server.process.send_signal(signal.SIGSTOP)
    agent = place.agent(
        "f = timed(n, 'disk')\nsay(problem=kaizen.problem)\nsay(**f, **delivered())", n, data="small", before=mount
    )
    agent.stdout.readline()
    place.server.process.send_signal(signal.SIGCONT)
    out, err = agent.communicate(timeout=300)
    assert agent.returncode == 0, err
    said = json.loads(out)
    assert said["lost"] == {}, said
    place.server.process.send_signal(signal.SIGSTOP)
    try:
        gone = place.ran(
            "timed(n, 'gone')\nkaizen.close(1)\nsay(lost=kaizen.lost)", 30_000, data="small", before=mount
        )["lost"]
    finally:
        place.server.process.send_signal(signal.SIGCONT)
    assert set(gone) <= {"no disk, memory full", "exit without disk", "spool full"}, gone
    return {**said, **place.check("disk", n=n), "with_no_server_either": {"made": 30_000, "counted": gone}}


def slow(place, amount):
    """A server that stands still for 0.3 s, again and again."""
    n, ended = 100 * amount, threading.Event()

    def stand_still():
        while not ended.is_set():
            place.server.process.send_signal(signal.SIGSTOP)
            ended.wait(0.3)
            place.server.process.send_signal(signal.SIGCONT)
            ended.wait(0.1)

    standing = threading.Thread(target=stand_still)
    standing.start()
    try:
        said = place.ran("f = timed(n, 'slow', 0.001)\nsay(**f, **delivered())", n)
    finally:
        ended.set()
        standing.join()
    return {**said, **place.check("slow", n=n)}


def certificate(directory, amount):
    """Nothing is sent to whom the certificate does not vouch for; when it does, everything arrives."""
    authority, n = trustme.CA(), 30 * amount
    made = authority.issue_cert("localhost")
    directory.mkdir()
    made.private_key_pem.write_to_path(directory / "key.pem")
    for pem in made.cert_chain_pems:
        pem.write_to_path(directory / "cert.pem", append=True)
    authority.cert_pem.write_to_path(directory / "ca.pem")
    place = Place(
        directory / "tls",
        "--tls-cert",
        str(directory / "cert.pem"),
        "--tls-key",
        str(directory / "key.pem"),
        scheme="https",
    )
    try:
        said = place.ran(
            "timed(n, 'tls')\nwhile not kaizen.problem: kaizen.flush(1)\nsay(problem=kaizen.problem)\nkaizen.close(0.2)",
            n,
        )
        assert "certificate" in said["problem"], said
        assert place.arrived() == set()
        assert place.later(SSL_CERT_FILE=str(directory / "ca.pem")) == {}
        return place.check("tls", n=n)
    finally:
        place.server.stop()


def soak(amount, directory):
    """Every fault; figures of each."""
    place = Place(directory / "place")
    try:
        faults = (burst, outage, exits, killed, forks, full_disk, slow)
        figures = {fault.__name__: fault(place, amount) for fault in faults}
    finally:
        place.server.process.send_signal(signal.SIGCONT)
        place.server.stop()
    return {**figures, "certificate": certificate(directory / "certificate", amount)}
