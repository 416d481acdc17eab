"""Child processes: started, watched, named when they die, stopped together, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from kaizen_security.demo.processes import Command, Died, Household


def command(tmp_path, code, name="part"):
    return Command(name=name, words=[sys.executable, "-c", code], env=dict(os.environ), log=tmp_path / f"{name}.log")


SERVES = "import time; print('listening on 127.0.0.1:1', flush=True); time.sleep(60)"


@pytest.fixture
def household():
    household = Household()
    yield household
    household.stop(grace=0.5)


def gone(pid, seconds=5.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_a_child_is_ready_when_it_says_where_it_listens(household, tmp_path):
    assert household.ready(household.start(command(tmp_path, SERVES))) == "127.0.0.1:1"


def test_a_child_that_ends_before_it_is_ready_is_named_with_its_last_words(household, tmp_path):
    child = household.start(command(tmp_path, "print('no such database'); raise SystemExit(3)", "control plane"))
    with pytest.raises(Died, match=r"(?s)control plane ended with status 3.*no such database") as died:
        household.ready(child)
    assert died.value.name == "control plane"


def test_a_child_that_is_never_ready_is_not_waited_for_for_ever(household, tmp_path):
    child = household.start(command(tmp_path, "import time; time.sleep(60)"))
    with pytest.raises(Died, match="was not ready within"):
        household.ready(child, deadline=0.2)


def test_a_program_that_does_not_exist_is_named(household, tmp_path):
    with pytest.raises(Died, match="part cannot be started"):
        household.start(Command(name="part", words=["/no/such/program"], env={}, log=tmp_path / "log"))


def test_a_killed_child_is_noticed_and_named_with_its_signal(household, tmp_path):
    child = household.start(command(tmp_path, SERVES, "sidecar"))
    household.ready(child)
    household.check()
    os.kill(child.process.pid, signal.SIGKILL)
    assert child.wait(60)
    with pytest.raises(Died, match="sidecar was killed by SIGKILL"):
        household.check()


def test_an_earlier_lifes_last_words_are_not_taken_for_this_ones(household, tmp_path):
    (tmp_path / "part.log").write_text("listening on an earlier place\n")
    child = household.start(command(tmp_path, "import time; time.sleep(60)"))
    with pytest.raises(Died):
        household.ready(child, deadline=0.2)


def test_a_dead_child_is_restarted_but_not_for_ever(household, tmp_path):
    child = household.start(command(tmp_path, "raise SystemExit(1)"))
    for _ in range(3):
        assert child.wait(60)
        child.obituary()
        child = household.restart(child)
    assert child.wait(60)
    with pytest.raises(Died, match="restarted 3 times"):
        household.restart(child)


def test_stopping_ends_children_that_ignore_it_and_what_they_started(household, tmp_path):
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print('listening on', p.pid, flush=True); time.sleep(60)"
    )
    child = household.start(command(tmp_path, code))
    grandchild = int(household.ready(child))
    began = time.monotonic()
    household.stop(grace=0.5)
    assert time.monotonic() - began < 45, "they would have slept for 60"
    assert not child.alive()
    assert gone(grandchild)


def test_children_end_in_the_order_in_which_they_hand_over(household, tmp_path):
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (open({out!r}, 'a').write({name!r}), sys.exit()));"
        "print('listening on x', flush=True); time.sleep(60)"
    )
    out = tmp_path / "order"
    for name in "cab":
        household.ready(household.start(command(tmp_path, code.format(out=str(out), name=name), name)))
    household.stop(order=("a", "b", "c"))
    assert out.read_text() == "abc"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the kernel's parent-death signal")
def test_children_die_with_a_parent_that_is_killed(tmp_path):
    code = (
        "import os, sys, time; from pathlib import Path; from kaizen_security.demo.processes import Command, Household;"
        "h = Household(); c = h.start(Command(name='x', words=[sys.executable, '-c', 'import time; time.sleep(60)'],"
        f"env=dict(os.environ), log=Path({str(tmp_path / 'log')!r}))); print(c.process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    assert gone(child)
