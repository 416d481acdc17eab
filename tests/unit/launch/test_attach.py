"""Who is attached: processes that fork, end, or stand deep below one another meanwhile."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kaizen_security.launch.attach import Attached, mark, tree

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux")
CHAIN = """
import os, sys
for left in range(int(sys.argv[1])):
    if os.fork():
        os.wait()
        os._exit(0)
print("there", flush=True)
sys.stdin.read()
"""


class Rung:
    """The kernel rung's marks. ``ends`` ends while it is marked."""

    def __init__(self, ends: subprocess.Popen[bytes] | None = None) -> None:
        self.held: set[int] = set()
        self._ends = ends

    def mark(self, pid: int) -> None:
        if self._ends is not None:
            self._ends.kill()
            os.waitid(os.P_PID, self._ends.pid, os.WEXITED | os.WNOWAIT)
        self.held.add(pid)

    def unmark(self, pid: int) -> None:
        self.held.discard(pid)


@contextmanager
def sleeping(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words or ("sleep", "60"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_processes_far_below_one_another_are_all_found():
    with sleeping(sys.executable, "-S", "-c", CHAIN, "50") as top:
        assert top.stdout is not None
        assert top.stdout.readline() == b"there\n"
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(len(inspect.stack(0)) + 40)
        try:
            found = list(tree(top.pid))
        finally:
            sys.setrecursionlimit(before)
        assert len(set(found)) == 51
        top.communicate()


def test_who_has_ended_gets_no_mark_that_would_stay():
    with sleeping() as gone:
        gone.kill()
        gone.wait()
        rung = Rung()
        assert not mark(rung, gone.pid)  # type: ignore[arg-type]
        assert rung.held == set()
    with sleeping() as ends:
        rung = Rung(ends)
        assert not mark(rung, ends.pid)  # type: ignore[arg-type]
        assert rung.held == set()


def test_it_is_looked_until_nobody_is_new():
    """Whoever forks and ends faster than it is looked at leaves a child that no mark was inherited by."""
    with sleeping() as one, sleeping() as two, sleeping() as three:
        pids = [one.pid, two.pid, three.pid]
        looks = iter([pids[:1], pids[:2], pids, pids, pids])
        attached = Attached(None, lambda: iter(next(looks)), lambda action, verdict: None)  # type: ignore[arg-type]
        rung = Rung()
        attached._mark(rung)  # type: ignore[arg-type]
        assert rung.held == set(pids)
