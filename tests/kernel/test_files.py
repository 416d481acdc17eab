"""Watched files: whatever path leads there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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


@pytest.fixture
def watch(agent, secret: Path):
    seen: list[FileEvent] = []
    watched = FileWatch(
        (),
        (str(secret.parent),),
        agent=lambda pid, ended: agent.collector.agent_of(pid, ended=ended) == 0,
        told=seen.append,
        enforce=True,
    )
    yield seen
    watched.close()


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


@pytest.mark.root
@pytest.mark.parametrize("way", WAYS)
def test_a_refused_file_is_not_opened(agent, watch, secret: Path, way: str):
    inode = secret.stat().st_ino
    assert agent.python(OPEN + WAYS[way], str(secret), str(secret.parent.parent)).splitlines() == ["EPERM"]
    assert [(event.method, event.refused) for event in watch if event.method == "open"] == [("open", True)]
    left = next(path for path in secret.parent.parent.rglob("*") if path.is_file() and path.stat().st_ino == inode)
    assert left.read_text() == "the key"  # and nobody else is kept from it


@pytest.mark.root
def test_a_refused_program_is_not_executed(agent, tmp_path: Path):
    seen: list[FileEvent] = []
    program = tmp_path / "tool"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    watched = FileWatch(
        (),
        (str(program),),
        agent=lambda pid, ended: agent.collector.agent_of(pid, ended=ended) == 0,
        told=seen.append,
        enforce=True,
    )
    try:
        assert agent.run("sh", "-c", str(program)).returncode == 126
        assert os.spawnv(os.P_WAIT, str(program), ["tool"]) == 0
    finally:
        watched.close()
    assert {(event.path, event.refused) for event in seen} == {(str(program), True)}


@pytest.mark.root
def test_what_is_only_watched_is_told_and_done(agent, tmp_path: Path):
    seen: list[FileEvent] = []
    place = tmp_path / "data"
    place.mkdir()
    (place / "old").write_text("x")
    watched = FileWatch(
        (str(place),),
        (),
        agent=lambda pid, ended: agent.collector.agent_of(pid, ended=ended) == 0,
        told=seen.append,
        enforce=True,
    )
    try:
        code = """
import os, sys
os.chdir(sys.argv[1])
open('old').read(); open('new', 'w').close(); os.rename('new', 'newer'); os.unlink('old')
"""
        agent.python(code, str(place))
    finally:
        watched.close()
    found = {(event.method, os.path.basename(event.path)) for event in seen}
    assert found >= {("open", "old"), ("rename", "new"), ("rename", "newer"), ("delete", "old")}
    # A file's name is that of when the event is read, and by then it may have been renamed.
    assert found & {("write", "new"), ("write", "newer")}
    assert not any(event.refused for event in seen)
    (place / "newer").read_text()


@pytest.mark.root
def test_a_path_that_is_not_there_is_a_mistake_in_the_settings():
    with pytest.raises(Misconfigured, match="/no/such/file is to be watched and is not there"):
        FileWatch(("/no/such/file",), (), agent=lambda pid, ended: False, told=print, enforce=False)
