"""What was accepted is delivered, whatever happens to the process, the disk and the neighbours."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.client import journal
from kaizen_security.client.journal import MAX_RECORD
from kaizen_security.client.spool import (
    CORRUPT,
    EXIT,
    FULL,
    KILLED,
    MEMORY_FULL,
    REMOVED,
    TOO_LARGE,
    TORN,
    Spool,
)


def drained(spool, n=7):
    """Everything that waits, delivered."""
    found = []
    while True:
        batch = spool.read(n)
        if not batch.records:
            return found
        found += batch.records
        spool.done(batch.position)


def in_child(code, directory):
    """Run ``code`` in a process of its own that ends without any clean-up."""
    prologue = "import os, sys; from kaizen_security.client.spool import Spool; spool = Spool(sys.argv[1])\n"
    done = subprocess.run([sys.executable, "-c", prologue + code + "\nos.kill(os.getpid(), 9)", directory], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "spool")


def segments(directory):
    return sorted(name for name in os.listdir(directory) if name.endswith(".seg"))


@given(st.lists(st.binary(max_size=300), max_size=40), st.integers(1, 9))
def test_what_goes_in_comes_out_in_order_and_leaves_nothing(tmp_path_factory, records, n):
    directory = str(tmp_path_factory.mktemp("spool") / "s")
    spool = Spool(directory, max_bytes=1 << 16)
    assert all(spool.append(record) for record in records)
    assert spool.pending == len(records)
    assert drained(spool, n) == records
    assert (spool.pending, spool.lost) == (0, {})
    spool.close()
    assert not os.path.exists(directory) or os.listdir(directory) == []


def test_reading_again_gives_the_same_until_it_is_done(directory):
    spool = Spool(directory)
    spool.extend([b"a", b"b", b"c"])
    assert spool.read(2) == spool.read(2)
    spool.done(spool.read(2).position)
    assert spool.read(2).records == (b"c",)
    spool.close()


def test_files_are_for_the_owner_only(directory):
    os.makedirs(directory, mode=0o755)
    spool = Spool(directory)
    spool.append(b"secret")
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    assert {stat.S_IMODE(os.stat(os.path.join(directory, name)).st_mode) for name in os.listdir(directory)} == {0o600}
    spool.close()


def test_what_a_closed_process_could_not_deliver_the_next_one_does(directory):
    first = Spool(directory)
    first.extend([b"1", b"2", b"3"])
    first.done(first.read(1).position)
    first.close()
    second = Spool(directory)
    assert drained(second) == [b"2", b"3"]
    assert second.lost == {}
    second.close()
    assert os.listdir(directory) == []


def test_a_killed_process_loses_nothing_that_was_accepted(directory):
    in_child("for i in range(1000): assert spool.append(b'%d' % i)\nspool.done(spool.read(10).position)", directory)
    spool = Spool(directory)
    assert drained(spool, 50) == [b"%d" % i for i in range(10, 1000)]
    assert spool.lost == {}
    spool.close()
    assert os.listdir(directory) == []


def test_what_a_killed_process_had_promised_and_not_written_is_counted(directory):
    in_child("spool.append(b'a'); spool.promise(5); spool.extend([b'b', b'c'])", directory)
    spool = Spool(directory)
    assert drained(spool) == [b"a", b"b", b"c"]
    assert spool.lost == {KILLED: 3}
    spool.close()


def test_a_killed_process_that_had_only_promised_is_counted_too(directory):
    in_child("spool.promise(4)", directory)
    spool = Spool(directory)
    assert drained(spool) == []
    assert spool.lost == {KILLED: 4}
    spool.close()
    assert os.listdir(directory) == []


def test_every_torn_end_is_skipped_and_counted(tmp_path):
    whole = str(tmp_path / "whole")
    in_child("spool.extend([b'first', b'second', b'third record'])", whole)
    [segment] = segments(whole)
    data = (tmp_path / "whole" / segment).read_bytes()
    starts = [16, 16 + 13, 16 + 13 + 14, len(data)]
    for cut in range(16, len(data)):
        directory = tmp_path / str(cut)
        shutil.copytree(whole, directory)
        (directory / segment).write_bytes(data[:cut])
        spool = Spool(str(directory))
        kept = sum(start <= cut for start in starts[1:])
        assert drained(spool) == [b"first", b"second", b"third record"][:kept]
        assert spool.lost == ({} if cut in starts else {TORN: 1})
        spool.close()
        assert os.listdir(directory) == []


def test_a_flipped_bit_costs_the_rest_of_its_segment_and_is_counted_exactly(directory, monkeypatch):
    code = "spool._segment_bytes = 4096\nfor i in range(300): spool.append(b'%03d' % i + b'x' * 60)"
    in_child(code, directory)
    first, second = segments(directory)[:2]
    path = os.path.join(directory, first)
    with open(path, "r+b") as file:
        file.seek(16 + 8 + 5 + 10 * (8 + 63))
        file.write(b"\xff")
    with open(os.path.join(directory, second), "rb") as file:
        beginning = int.from_bytes(file.read(16)[8:], "little")
    spool = Spool(directory)
    assert [int(record[:3]) for record in drained(spool)] == [*range(10), *range(beginning, 300)]
    assert spool.lost == {CORRUPT: beginning - 10}
    spool.close()


def test_two_processes_at_once_do_not_touch_each_other(directory):
    spool = Spool(directory)
    spool.append(b"ours")
    other = Spool(directory)
    other.append(b"theirs")
    assert drained(spool) == [b"ours"]
    assert drained(other) == [b"theirs"]
    spool.close()
    other.close()


def test_many_processes_lose_nothing_between_them(directory):
    code = (
        "import sys; from kaizen_security.client.spool import Spool; s = Spool(sys.argv[1])\n"
        "for i in range(300): assert s.append(b'%s-%d' % (sys.argv[2].encode(), i))\n"
        "import os; os.kill(os.getpid(), 9)"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, directory, str(n)]) for n in range(4)]
    for child in children:
        child.wait()
    spool = Spool(directory)
    assert sorted(drained(spool, 100)) == sorted(b"%d-%d" % (n, i) for n in range(4) for i in range(300))
    spool.close()
    assert os.listdir(directory) == []


def test_a_forked_child_neither_repeats_nor_loses_what_its_parent_has(directory):
    spool = Spool(directory)
    spool.append(b"parent 1")
    pid = os.fork()
    if pid == 0:
        good = False
        try:
            good = spool.pending == 0 and spool.append(b"child")
        finally:
            os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert spool.append(b"parent 2")
    assert sorted(drained(spool)) == [b"child", b"parent 1", b"parent 2"]
    spool.close()
    assert os.listdir(directory) == []


def test_a_fork_in_the_middle_of_another_threads_append_leaves_the_child_free(directory):
    spool = Spool(directory)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            spool.append(b"x" * 100)

    thread = threading.Thread(target=write)
    thread.start()
    codes = []
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if spool.append(b"child") else 1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    stop.set()
    thread.join()
    assert codes == [0] * 10
    assert drained(spool, 500).count(b"child") == 10
    spool.close()


def test_a_full_spool_refuses_what_is_new_and_keeps_what_it_has(directory):
    spool = Spool(directory, max_bytes=32 << 10)
    kept = [b"%05d" % i + b"x" * 95 for i in range(1000) if spool.append(b"%05d" % i + b"x" * 95)]
    assert 200 < len(kept) < 330
    assert spool.lost == {FULL: 1000 - len(kept)}
    size = sum(os.path.getsize(os.path.join(directory, name)) for name in os.listdir(directory))
    assert size <= 32 << 10
    assert spool.append(b"a block", urgent=True)
    assert drained(spool) == [*kept, b"a block"]
    assert spool.append(b"room again")
    spool.close()


def test_a_small_spool_has_room_again_after_every_delivery(directory):
    spool = Spool(directory, max_bytes=4096)
    for i in range(200):
        assert spool.append(b"%d" % i + b"x" * 500)
        assert len(drained(spool)) == 1
    assert spool.lost == {}
    spool.close()


def test_other_processes_count_towards_the_bound(directory):
    in_child("for i in range(250): spool.append(b'x' * 100)", directory)
    spool = Spool(directory, max_bytes=32 << 10)
    assert 0 < sum(spool.append(b"x" * 100) for _ in range(250)) < 100
    spool.close()


def test_a_record_over_the_bound_is_refused_and_its_neighbours_are_kept(directory):
    spool = Spool(directory)
    assert spool.extend([b"a", b"x" * (MAX_RECORD + 1), b"b"]) == 2
    assert spool.extend([b"y" * MAX_RECORD]) == 1
    assert spool.lost == {TOO_LARGE: 1}
    assert drained(spool) == [b"a", b"b", b"y" * MAX_RECORD]
    spool.close()


def test_without_a_directory_memory_is_bounded_and_counted():
    spool = Spool(None, max_memory=1000)
    assert [spool.append(b"x" * 300) for _ in range(5)] == [True, True, True, False, False]
    assert spool.lost == {MEMORY_FULL: 2}
    assert drained(spool, 2) == [b"x" * 300] * 3
    assert spool.append(b"x" * 900)
    spool.close()
    assert spool.lost == {MEMORY_FULL: 2, EXIT: 1}


def blocked(directory, how):
    """Make the directory unusable; undo gives it back."""
    if how == "a file in its place":
        with open(directory, "w"):
            pass
        return lambda: os.unlink(directory)
    os.makedirs(directory)
    os.chown(directory, 12345, 12345)
    return lambda: os.chown(directory, os.geteuid(), os.getegid())


@pytest.mark.parametrize("how", ["a file in its place", "somebody else's"])
def test_records_wait_in_memory_for_the_disk_and_move_there(directory, how, monkeypatch):
    if how == "somebody else's" and os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    undo = blocked(directory, how)
    spool = Spool(directory)
    assert spool.extend([b"1", b"2", b"3"]) == 3
    assert spool.problem
    batch = spool.read(1)
    undo()
    monkeypatch.setattr(spool, "_disk_after", 0.0)
    assert spool.append(b"4")
    assert spool.problem == ""
    spool.done(batch.position)
    assert sorted(set(drained(spool))) in ([b"1", b"2", b"3", b"4"], [b"2", b"3", b"4"])
    spool.close()
    assert os.listdir(directory) == []


LIMITED = """
import resource, signal
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
kept = sum(spool.append(b"%04d" % i + b"x" * 96) for i in range(600))
assert kept == 600, kept
assert spool.problem, "the disk took everything"
assert spool.lost == {}
got = []
while (batch := spool.read(50)).records:
    got += batch.records
    spool.done(batch.position)
assert [int(r[:4]) for r in got] == list(range(600)), len(got)
"""


def test_a_disk_that_stops_taking_bytes_in_mid_write_loses_nothing(directory):
    in_child(LIMITED, directory)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
def test_a_full_disk_costs_nothing_while_memory_lasts(tmp_path):
    mounted = tmp_path / "small"
    mounted.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(mounted)], capture_output=True)
    if done.returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        spool = Spool(str(mounted / "spool"))
        records = [b"%04d" % i + b"x" * 500 for i in range(1000)]
        assert spool.extend(records) == 1000
        assert spool.problem
        assert spool.lost == {}
        assert drained(spool, 50) == records
        spool.close()
        assert spool.lost == {}
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)


def test_files_that_somebody_removed_are_counted_and_the_spool_goes_on(directory):
    spool = Spool(directory)
    spool.extend([b"1", b"2"])
    shutil.rmtree(directory)
    assert drained(spool) == []
    assert spool.lost == {REMOVED: 2}
    assert spool.append(b"3")
    assert drained(spool) == [b"3"]
    spool.close()


def test_foreign_files_in_the_directory_are_left_alone(directory):
    os.makedirs(directory)
    for name in ("notes.txt", "0123456789abcdef.txt", "0123456789ABCDEF.own", "x.seg"):
        with open(os.path.join(directory, name), "w") as file:
            file.write("x")
    with open(os.path.join(directory, "0123456789abcdef-00000000.seg"), "w") as file:
        file.write("this is no segment")
    spool = Spool(directory)
    spool.append(b"a")
    assert drained(spool) == [b"a"]
    spool.close()
    assert sorted(os.listdir(directory)) == ["0123456789ABCDEF.own", "0123456789abcdef.txt", "notes.txt", "x.seg"]


def test_threads_append_while_one_delivers(directory):
    spool = Spool(directory, max_bytes=8 << 20)
    got = []
    finished = threading.Event()

    def deliver():
        while not (finished.is_set() and spool.pending == 0):
            batch = spool.read(20)
            got.extend(batch.records)
            spool.done(batch.position)

    reader = threading.Thread(target=deliver)
    reader.start()
    writers = [
        threading.Thread(target=lambda n=n: [spool.append(b"%d %d" % (n, i)) for i in range(1000)]) for n in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    finished.set()
    reader.join()
    assert sorted(got) == sorted(b"%d %d" % (n, i) for n in range(3) for i in range(1000))
    spool.close()


def test_after_close_nothing_is_accepted(directory):
    spool = Spool(directory)
    spool.close()
    assert not spool.append(b"late")
    assert spool.lost == {EXIT: 1}


def test_sync_waits_for_the_machine(directory):
    spool = Spool(directory)
    spool.append(b"a")
    spool.sync()
    spool.close()


def test_leftovers_of_more_processes_than_are_taken_at_once_are_all_found(directory, monkeypatch):
    for i in range(20):
        left = Spool(directory)
        left.append(b"%02d" % i)
        left.close()
    monkeypatch.setattr("kaizen_security.client.spool.LOOK_AROUND", 0.0)
    spool = Spool(directory)
    assert sorted(drained(spool)) == [b"%02d" % i for i in range(20)]
    spool.close()
    assert os.listdir(directory) == []
    assert journal.leftovers(directory, set()) == ([], 0)
