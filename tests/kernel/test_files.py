"""Watched files: whatever path leads there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaizen_security.collectors.kernel import files
from kaizen_security.collectors.kernel.files import FileEvent, FileWatch
from kaizen_security.contract.errors import Misconfigured


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    place = tmp_path / "secrets"
    place.mkdir()
    file = place / "key.pem"
    file.write_text("the key")
    os.link(file, tmp_path / "other-name")
    (tmp_path / "link").symlink_to(file)
    return file


@contextlib.contextmanager
def watching(agent, *, watched: tuple[str, ...] = (), refused: tuple[str, ...] = ()) -> Iterator[list[FileEvent]]:
    """What is told: whole only when this has ended, for the kernel gets its answer first and the event is told after."""
    seen: list[FileEvent] = []
    watch = FileWatch(
        watched,
        refused,
        agent=lambda pid, ended: agent.collector.agent_of(pid, ended=ended) == 0,
        report=seen.append,
        enforce=True,
    )
    try:
        yield seen
    finally:
        watch.close()


OPEN = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def said(work):
    try: print(work())
    except OSError as err: print(errno.errorcode[err.errno])
path, base = sys.argv[1], sys.argv[2]
"""
WAYS = {
    "by its path": "said(lambda: open(path).read())",
    "by a hard link": "said(lambda: open(base + '/other-name').read())",
    "by a symbolic link": "said(lambda: open(base + '/link').read())",
    "by dots": "said(lambda: open(base + '/secrets/../secrets/./key.pem').read())",
    "by a directory's descriptor": """
fd = os.open(base, os.O_RDONLY)
said(lambda: os.open('secrets/key.pem', os.O_RDONLY, dir_fd=fd))""",
    "by /proc/self/fd": "fd = os.open(path, os.O_PATH); said(lambda: open(f'/proc/self/fd/{fd}').read())",
    "by a bind mount": """
libc.unshare(0x00020000); libc.mount(b"none", b"/", None, 16384 | (1 << 18), None)
os.mkdir(base + "/bound"); assert libc.mount((base + "/secrets").encode(), (base + "/bound").encode(), None, 4096, None) == 0
said(lambda: open(base + "/bound/key.pem").read())""",
    "by a renamed directory": "os.rename(base + '/secrets', base + '/moved'); said(lambda: open(base + '/moved/key.pem').read())",
    "for writing": "said(lambda: open(path, 'w'))",
}
CARRIED = {
    "in its directory, renamed": "os.rename(base + '/alone', base + '/moved'); said(lambda: open(base + '/moved/key.pem').read())",
    "out of its directory": "os.rename(path, base + '/carried'); said(lambda: open(base + '/carried').read())",
    "linked to from elsewhere": "os.link(path, base + '/linked'); said(lambda: open(base + '/linked').read())",
    "made since, in mounts of its own": """
libc.unshare(0x00020000); libc.mount(b"none", b"/", None, 16384 | (1 << 18), None)
os.mkdir(base + "/bound"); assert libc.mount((base + "/alone").encode(), (base + "/bound").encode(), None, 4096, None) == 0
said(lambda: open(base + "/bound/since").read())""",
}


@pytest.mark.root
@pytest.mark.parametrize("way", WAYS)
def test_a_refused_file_is_not_opened(agent, secret: Path, way: str):
    inode = secret.stat().st_ino
    with watching(agent, refused=(str(secret.parent),)) as seen:
        assert agent.python(OPEN + WAYS[way], str(secret), str(secret.parent.parent)).splitlines() == ["EPERM"]
    assert [(event.method, event.refused) for event in seen if event.method == "open"] == [("open", True)]
    left = next(path for path in secret.parent.parent.rglob("*") if path.is_file() and path.stat().st_ino == inode)
    assert left.read_text() == "the key"  # and nobody else is kept from it


@pytest.mark.root
@pytest.mark.parametrize("way", CARRIED)
def test_a_file_of_one_name_in_a_refused_directory_is_not_opened_wherever_it_is_carried(
    agent, tmp_path: Path, way: str
):
    place = tmp_path / "alone"
    place.mkdir()
    (place / "key.pem").write_text("the key")
    (tmp_path / "not-refused").write_text("x")
    (place / "link").symlink_to(tmp_path / "not-refused")
    with watching(agent, watched=(str(tmp_path),), refused=(str(place),)) as seen:
        (place / "since").write_text("the next key")
        code = OPEN + CARRIED[way] + "\nsaid(lambda: open(base + '/not-refused').read())"
        assert agent.python(code, str(place / "key.pem"), str(tmp_path)).splitlines() == ["EPERM", "x"]
    assert sorted(event.refused for event in seen if event.method == "open") == [False, True]


@pytest.mark.root
def test_a_refused_program_is_not_executed(agent, tmp_path: Path):
    program = tmp_path / "tool"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    with watching(agent, refused=(str(program),)) as seen:
        assert agent.run("sh", "-c", str(program)).returncode == 126
        assert os.spawnv(os.P_WAIT, str(program), ["tool"]) == 0
    assert {(event.path, event.refused) for event in seen} == {(str(program), True)}


@pytest.mark.root
def test_what_is_only_watched_is_told_and_done(agent, tmp_path: Path):
    place = tmp_path / "data"
    place.mkdir()
    (place / "old").write_text("x")
    code = """
import os, sys
os.chdir(sys.argv[1])
open('old').read(); open('new', 'w').close(); os.rename('new', 'newer'); os.unlink('old')
"""
    with watching(agent, watched=(str(place),)) as seen:
        agent.python(code, str(place))
    found = {(event.method, os.path.basename(event.path)) for event in seen}
    assert found >= {("open", "old"), ("rename", "new"), ("rename", "newer"), ("delete", "old")}
    # A file's name is that of when the event is read, and by then it may have been renamed.
    assert found & {("write", "new"), ("write", "newer")}
    assert not any(event.refused for event in seen)
    (place / "newer").read_text()


@pytest.mark.root
def test_all_that_was_done_before_the_end_is_told(agent, tmp_path: Path):
    """More than one look at the queue takes, and nobody looked before the end."""
    place = tmp_path / "data"
    place.mkdir()
    code = """
import os, sys
os.chdir(sys.argv[1])
for n in range(3000): open(f"n{n}", "w").close(); os.unlink(f"n{n}")
"""
    with watching(agent, watched=(str(place),)) as seen:
        agent.python(code, str(place))
    deleted = [os.path.basename(event.path) for event in seen if event.method == "delete"]
    assert deleted == [f"n{n}" for n in range(3000)]


@pytest.mark.root
def test_who_waits_is_let_through_when_the_watch_breaks(agent, secret: Path, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda args: None)

    def breaks(event: FileEvent) -> None:
        raise RuntimeError("whoever is told makes a mistake")

    watch = FileWatch(
        (str(secret.parent),),
        (),
        agent=lambda pid, ended: agent.collector.agent_of(pid, ended=ended) == 0,
        report=breaks,
        enforce=True,
    )
    code = "import sys\nfor n in range(9): print(open(sys.argv[1]).read())"
    assert agent.python(code, str(secret)).splitlines() == ["the key"] * 9
    watch.close()


@pytest.mark.root
def test_what_cannot_be_decided_is_let_through_and_counted(secret: Path):
    def unknown(pid: int, ended: bool) -> bool:
        raise OSError(9, "the table is gone")

    watch = FileWatch((), (str(secret.parent),), agent=unknown, report=print, enforce=True)
    done = subprocess.run(["cat", str(secret)], capture_output=True, text=True, timeout=60)
    watch.close()
    assert done.stdout == "the key"
    assert watch.counts["undecided"] > 0


@pytest.mark.root
def test_a_path_that_is_not_there_is_a_mistake_in_the_settings():
    with pytest.raises(Misconfigured, match="/no/such/file is to be watched and is not there"):
        FileWatch(("/no/such/file",), (), agent=lambda pid, ended: False, report=print, enforce=False)


@pytest.mark.root
@pytest.mark.parametrize("when", ["found", "about to be marked"])
def test_what_goes_while_it_is_looked_for_is_not_missed_and_no_link_in_its_place_leads_out(
    agent, tmp_path: Path, monkeypatch, when: str
):
    place, other = tmp_path / "busy", tmp_path / "other"
    (place / "below").mkdir(parents=True)
    for file in (other, place / "stays", place / "goes", place / "turns"):
        file.write_text("x")
    for name in ("goes", "turns"):
        os.link(place / name, tmp_path / name)

    def work(call):
        def working(*words, **more):
            given = call(*words, **more)
            if (place / "goes").exists() and str(place) in (words[0] if when == "found" else words):
                (place / "goes").unlink()
                (place / "below").rmdir()
                (place / "turns").unlink()
                (place / "turns").symlink_to(other)
            return given

        return working

    where = (files, "_all") if when == "found" else (files.linux, "fanotify_mark")
    monkeypatch.setattr(*where, work(getattr(*where)))
    with watching(agent, watched=(str(place),)) as seen:
        agent.python(f"open({str(place / 'stays')!r}).read(); open({str(other)!r}).read()")
    assert [event.path for event in seen if event.method == "open"] == [str(place / "stays")]
