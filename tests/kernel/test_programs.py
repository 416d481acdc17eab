"""A program with a listed hash does not run in the agent's mounts, whatever it is called; and nobody else is asked."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kaizen_security.collectors.kernel.files import FileEvent
from kaizen_security.collectors.kernel.programs import ProgramWatch, mounts
from tests.e2e.sidecar_process import until

RUNS = 'while read -r program; do "$program"; echo $?; done'


class Confined:
    """A shell in mounts of its own, which runs what it is told to, and the watch over it."""

    def __init__(self) -> None:
        self._closed = False
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", RUNS]
        self._shell = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        until(lambda: self._ours() != os.readlink("/proc/self/ns/mnt"), "its own mounts")
        self.seen: list[FileEvent] = []
        try:
            self.watch = ProgramWatch(self._shell.pid, self.seen.append)
        except OSError as err:
            self.end()
            pytest.skip(f"no fanotify here: {err}")

    def _ours(self) -> str:
        return os.readlink(f"/proc/{self._shell.pid}/ns/mnt")

    def run(self, program: Path) -> int:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{program}\n")
        self._shell.stdin.flush()
        return int(self._shell.stdout.readline())

    def end(self) -> None:
        self._shell.communicate()

    def close(self) -> None:
        """Once: what was refused has been told when this returns."""
        if not self._closed:
            self._closed = True
            self.end()
            self.watch.close()


@pytest.fixture
def confined():
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("mounts of its own need root and unshare")
    made = Confined()
    yield made
    made.close()


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    program = tmp_path / "tool"
    shutil.copy("/bin/true", program)
    return program


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.root
def test_it_does_not_run_under_any_name_and_others_do(confined, tool: Path, tmp_path: Path):
    digest = sha256(tool)
    assert confined.run(tool) == 0  # while nothing is listed
    assert confined.watch.deny(frozenset({digest})) < len(confined.watch._mounts)
    os.link(tool, tmp_path / "linked")
    (tmp_path / "symbolic").symlink_to(tool)
    shutil.copy(tool, tmp_path / "copied")
    for name in ("tool", "linked", "symbolic", "copied"):
        assert confined.run(tmp_path / name) == 126, name
    assert confined.run(Path("/bin/false")) == 1
    assert os.spawnv(os.P_WAIT, tool, ["tool"]) == 0, "nobody outside of its mounts is asked"
    confined.watch.deny(frozenset())
    assert confined.run(tool) == 0
    confined.close()
    assert {(event.method, event.refused, event.hash) for event in confined.seen} == {("execute", True, digest)}
    assert confined.watch.counts["refused"] == 4


@pytest.mark.root
def test_what_changed_is_hashed_anew(confined, tool: Path):
    bad = tool.read_bytes() + b"\0"
    confined.watch.deny(frozenset({hashlib.sha256(bad).hexdigest()}))
    assert confined.run(tool) == 0
    about = tool.stat()
    with tool.open("ab") as file:
        file.write(b"\0")
    os.utime(tool, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert confined.run(tool) == 126


@pytest.mark.root
def test_what_is_too_large_to_hash_runs_and_is_counted(confined, tool: Path, monkeypatch):
    monkeypatch.setattr("kaizen_security.collectors.kernel.programs.LARGEST", 10)
    confined.watch.deny(frozenset({sha256(tool)}))
    assert confined.run(tool) == 0
    confined.close()
    assert confined.watch.counts["too large"] > 0


def test_mounts_that_may_hold_programs():
    text = (
        "22 1 254:0 / / rw - ext4 /dev/root rw\n"
        "23 22 0:21 / /proc rw,relatime shared:5 - proc proc rw\n"
        "24 22 0:22 / /mnt/with\\040blank rw shared:7 master:1 - tmpfs none rw\n"
        "25 22 0:23 / /sys/fs/bpf rw - bpf bpf rw\n"
    )
    assert list(mounts(text)) == ["/", "/mnt/with blank"]
