"""An agent's process and its server, ended in every way: what was accepted arrives, and what does not is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kaizen_security import Kaizen
from tests.unit.client.upstream import free_port, until

KEY = "kz_live_" + "k" * 43
HERE = Path(__file__).parent
PROLOGUE = f"""
import os, sys, time, threading
from kaizen_security import Kaizen, Policy
kaizen = Kaizen({KEY!r}, sys.argv[1], data=sys.argv[2], sync=False)
"""


class Place:
    """A data directory, a port, and what arrived there."""

    def __init__(self, folder):
        self.data = str(folder / "data")
        self.file = folder / "arrived"
        self.file.touch()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = None

    def up(self, delay=0.0):
        words = [sys.executable, str(HERE / "server.py"), str(self.port), str(self.file), str(delay)]
        self.server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.server.stdout.readline().startswith("listening on")

    def down(self, how=signal.SIGKILL):
        if self.server is not None:
            self.server.send_signal(how)
            self.server.wait()
            self.server.stdout.close()
            self.server = None

    def agent(self, code, **options):
        return subprocess.Popen([sys.executable, "-c", PROLOGUE + code, self.url, self.data], text=True, **options)

    def ran(self, code):
        done = subprocess.run(
            [sys.executable, "-c", PROLOGUE + code, self.url, self.data], capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def arrived(self):
        return self.file.read_text().split()

    def later(self):
        """What a later process of the same agent still delivers."""
        with Kaizen(KEY, self.url, data=self.data, sync=False) as kaizen:
            kaizen.inspect(tool="later")
            assert kaizen.flush(60)
            return kaizen.lost


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    yield place
    place.down()


def names(n, prefix="t"):
    return [f"{prefix}{i}" for i in range(n)]


def test_a_process_that_simply_ends_has_reported_everything(place):
    place.up()
    place.ran("for i in range(500): kaizen.inspect(tool=f't{i}')")
    assert sorted(place.arrived()) == sorted(names(500))


@pytest.mark.parametrize("end", ["sys.exit(0)", "threading.Thread(target=lambda: kaizen.inspect(tool='t500')).start()"])
def test_it_may_end_however_python_ends(place, end):
    place.up()
    place.ran(f"for i in range(500): kaizen.inspect(tool=f't{{i}}')\n{end}")
    assert set(names(500)) <= set(place.arrived())
    assert ("t500" in place.arrived()) == ("Thread" in end)


def test_an_exception_ends_the_agent_and_not_its_reports(place):
    place.up()
    agent = place.agent("kaizen.inspect(tool='t0')\nraise SystemExit(3)")
    assert agent.wait(60) == 3
    assert place.arrived() == ["t0"]


def test_without_a_server_a_process_ends_soon_and_the_next_one_delivers(place):
    began = time.monotonic()
    place.ran("for i in range(500): kaizen.inspect(tool=f't{i}')")
    assert time.monotonic() - began < 100
    place.up()
    assert place.later() == {}
    assert sorted(place.arrived()) == sorted([*names(500), "later"])


def test_a_killed_process_leaves_what_was_spooled_and_the_next_one_counts_the_rest(place):
    agent = place.agent(
        "for i in range(2000): kaizen.inspect(tool=f't{i}')\n"
        "while kaizen._reporter._queue: time.sleep(0.01)\n"
        "print('spooled', flush=True); time.sleep(60)",
        stdout=subprocess.PIPE,
    )
    assert agent.stdout.readline() == "spooled\n"
    agent.kill()
    agent.wait()
    agent.stdout.close()
    place.up()
    lost = place.later()
    arrived = set(place.arrived())
    assert len(arrived & set(names(2000))) + sum(lost.values()) >= 2000
    assert set(lost) <= {"killed", "torn"}
    assert sum(lost.values()) <= 16


def test_a_process_killed_in_the_middle_of_a_burst_is_accounted_for(place):
    agent = place.agent(
        "kaizen.inspect(tool='first', target='x')\n"
        "print('go', flush=True)\n"
        "i = 0\nwhile True:\n    kaizen.inspect(tool=f't{i}'); i += 1\n    if i % 50 == 0: time.sleep(0.001)",
        stdout=subprocess.PIPE,
    )
    agent.stdout.readline()
    until(lambda: any(Path(place.data).rglob("*.seg")))
    time.sleep(0.5)
    agent.kill()
    agent.wait()
    agent.stdout.close()
    place.up()
    lost = place.later()
    numbers = sorted(int(name[1:]) for name in set(place.arrived()) if name[1:].isdigit())
    # What is missing is the end, not something in between: the spool keeps the order in which reports were made.
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 100
    assert set(lost) <= {"killed", "torn"}


OUTAGE = float(os.environ.get("OUTAGE_SECONDS", "5"))
"""The figures in the reference are of 60."""


def test_an_outage_of_the_server_loses_nothing(place):
    place.up()
    n = int(OUTAGE + 2) * 100
    agent = place.agent(
        f"for i in range({n}):\n    kaizen.inspect(tool=f't{{i}}'); time.sleep(0.01)\n"
        "began = time.monotonic(); assert kaizen.flush(90), kaizen.problem\nassert kaizen.lost == {}, kaizen.lost\n"
        "print(f'delivered {time.monotonic() - began:.1f} s after the last of', i + 1)"
    )
    until(lambda: len(place.arrived()) > 50)
    place.down()
    time.sleep(OUTAGE)
    place.up()
    assert agent.wait(150) == 0
    assert sorted(set(place.arrived())) == sorted(names(n))


def test_a_slow_server_does_not_slow_the_agent(place):
    place.up(delay=0.3)
    out = place.ran(
        "took = []\n"
        "for i in range(1000):\n"
        "    began = time.perf_counter(); kaizen.inspect(tool=f't{i}'); took.append(time.perf_counter() - began)\n"
        "took.sort(); print(took[500])\n"
        "kaizen.flush(60)"
    )
    assert float(out) < 0.001
    assert sorted(place.arrived()) == sorted(names(1000))


FORKS = """
kaizen.inspect(tool='before')
pids = []
for n in range(4):
    pid = os.fork()
    if pid == 0:
        for i in range(100): kaizen.inspect(tool=f'child{n}-{i}')
        sys.exit(0)
    pids.append(pid)
kaizen.inspect(tool='after')
for pid in pids: assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def test_forked_children_report_what_is_theirs_and_only_once(place):
    place.up()
    place.ran(FORKS)
    expected = ["before", "after", *(f"child{n}-{i}" for n in range(4) for i in range(100))]
    assert sorted(place.arrived()) == sorted(expected)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing_lose_nothing(place, method, tmp_path):
    place.up()
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, sys\nfrom kaizen_security import Kaizen\n"
        f"kaizen = Kaizen({KEY!r}, sys.argv[1], data=sys.argv[2], sync=False)\n"
        "def work(n):\n    for i in range(50): kaizen.inspect(tool=f'{n}-{i}')\n"
        "if __name__ == '__main__':\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        "    workers = [context.Process(target=work, args=(n,)) for n in range(3)]\n"
        "    [w.start() for w in workers]; [w.join() for w in workers]\n"
        "    assert [w.exitcode for w in workers] == [0, 0, 0]\n"
    )
    subprocess.run([sys.executable, str(program), place.url, place.data], check=True, timeout=120)
    assert sorted(place.arrived()) == sorted(f"{n}-{i}" for n in range(3) for i in range(50))


def test_an_agent_may_fork_while_its_threads_report(place):
    place.up()
    place.ran(
        "stop = False\n"
        "def work():\n    i = 0\n    while not stop:\n        kaizen.inspect(tool='busy'); i += 1; time.sleep(0.0005)\n"
        "threads = [threading.Thread(target=work) for _ in range(2)]\n[t.start() for t in threads]\n"
        "for n in range(20):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n        kaizen.inspect(tool=f'c{n}'); kaizen.flush(20); os._exit(0 if kaizen.lost == {} else 1)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
        "stop = True\n[t.join() for t in threads]"
    )
    assert {f"c{n}" for n in range(20)} <= set(place.arrived())


def test_a_disk_that_is_full_costs_nothing_while_the_server_takes_it(place):
    place.up()
    place.ran(
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "for i in range(2000): kaizen.inspect(tool=f't{i}')\n"
        "assert kaizen.flush(60)\nassert kaizen.lost == {}, kaizen.lost"
    )
    assert sorted(place.arrived()) == sorted(names(2000))


def test_without_disk_and_server_the_loss_is_said(place):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys\n"
            "open(sys.argv[2], 'w').close()\n" + PROLOGUE + "for i in range(100): kaizen.inspect(tool=f't{i}')\n"
            "kaizen.close(0.5); assert kaizen.lost == {'exit without disk': 100}, kaizen.lost",
            place.url,
            place.data,
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "100 reports are lost" in done.stderr


def test_nothing_of_the_key_or_the_arguments_is_on_disk(place):
    place.ran(
        "kaizen.inspect(tool='x', target='https://h.example/?q=CANARY-5e1f00d', arguments={'a': 'CANARY-5e1f00d'})\n"
        "kaizen.close(0.2)"
    )
    kept = [path.read_bytes() for path in Path(place.data).rglob("*") if path.is_file()]
    assert any(b"h.example" in data for data in kept)
    assert not any(b"CANARY" in data or KEY.encode() in data for data in kept)


def test_interrupting_an_agent_keeps_its_reports(place):
    place.up()
    agent = place.agent(
        "kaizen.inspect(tool='t0')\ntry:\n    print('ready', flush=True); time.sleep(60)\nexcept KeyboardInterrupt:\n    pass",
        stdout=subprocess.PIPE,
    )
    assert agent.stdout.readline() == "ready\n"
    agent.send_signal(signal.SIGINT)
    assert agent.wait(30) == 0
    agent.stdout.close()
    assert place.arrived() == ["t0"]
    assert os.listdir(next(Path(place.data).rglob("spool"))) == []
