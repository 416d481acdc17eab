"""Files refused by the kernel itself, where it takes BPF LSM programs; elsewhere fanotify refuses them (``test_files``)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kaizen_security.collectors.kernel.collector import PINS, unpin
from kaizen_security.collectors.kernel.shapes import METHODS, Agent, Kind, Reason

SAID = """
import errno, os, sys
def said(work):
    try: work(); print("done")
    except OSError as err: print(errno.errorcode[err.errno])
"""


@pytest.fixture
def shut(collector, agent, tmp_path: Path):
    if not collector.refuses_files:
        pytest.skip("this kernel takes no BPF LSM programs")
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "key").write_text("k")
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    collector.serve(0, flags=Agent.ENFORCE | Agent.WATCHED)
    found = [os.stat(path) for path in (folder, program)]
    collector.shut([(about.st_dev, about.st_ino) for about in found], 0)
    return folder


def told(agent) -> list[tuple[str, Reason]]:
    return [(METHODS[e.more], e.reason) for e in agent.events() if e.kind is Kind.FILE_SHUT]


@pytest.mark.root
def test_what_is_below_a_shut_directory_is_not_opened_removed_renamed_or_cut(agent, shut: Path):
    (shut / "later").write_text("made after it was shut")
    (shut.parent / "mine").write_text("what it would rather have there")
    code = SAID + "\n".join(
        f"said(lambda: {one})"
        for one in (
            f"open({str(shut / 'key')!r})",
            f"open({str(shut / 'later')!r}, 'a')",
            f"os.unlink({str(shut / 'key')!r})",
            f"os.rename({str(shut / 'key')!r}, {str(shut.parent / 'moved')!r})",
            f"os.truncate({str(shut / 'key')!r}, 0)",
            f"os.replace({str(shut.parent / 'mine')!r}, {str(shut / 'key')!r})",
            f"open({str(shut.parent / 'other')!r}, 'w')",
        )
    )
    assert agent.python(code).split() == ["EPERM"] * 6 + ["done"]
    assert (shut / "key").read_text() == "k"
    assert told(agent) == [
        (one, Reason.REFUSED_FILE) for one in ("open", "open", "delete", "rename", "write", "rename")
    ]


@pytest.mark.root
def test_no_other_way_leads_to_it(agent, shut: Path):
    (shut.parent / "link").symlink_to(shut / "key")
    os.link(shut.parent / "program", shut.parent / "second")
    code = f"""
said(lambda: open({str(shut.parent / "link")!r}))
said(lambda: os.execv({str(shut.parent / "second")!r}, ["other"]))
at = os.open({str(shut / "key")!r}, os.O_PATH); said(lambda: open(f"/proc/self/fd/{{at}}"))
os.chdir({str(shut)!r}); said(lambda: open("key"))
"""
    assert agent.python(SAID + code).split() == ["EPERM"] * 4
    assert [method for method, _ in told(agent)] == ["open", "execute", "open", "open"]


@pytest.mark.root
def test_others_and_an_agent_that_is_observed_are_let_through(agent, shut: Path):
    assert (shut / "key").read_text() == "k"
    agent.collector.serve(0, flags=Agent.WATCHED)
    agent.run(sys.executable, "-S", "-c", f"open({str(shut / 'key')!r})")
    assert told(agent) == []


KILLED = """
import os, signal, subprocess, sys
from kaizen_security.collectors.kernel.collector import Collector
from kaizen_security.collectors.kernel.shapes import Agent

collector = Collector.start()
collector.serve(0, flags=Agent.ENFORCE | Agent.WATCHED)
about = os.stat(sys.argv[1])
collector.shut([(about.st_dev, about.st_ino)], 0)
collector.pin(sys.argv[2])
code = '''
import sys
sys.stdin.readline()
try: open(sys.argv[1]); print("opened", flush=True)
except PermissionError: print("refused", flush=True)
'''
words = [sys.executable, "-S", "-c", code, sys.argv[1]]
subprocess.Popen(words, stdin=0, preexec_fn=lambda: collector.mark(os.getpid(), 0))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.root
def test_it_stays_shut_when_the_collector_was_killed(shut: Path):
    name = f"shut-{os.getpid()}"
    words = [sys.executable, "-c", KILLED, str(shut / "key"), name]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.wait(120) == -signal.SIGKILL
        process.stdin.write("go\n")
        process.stdin.close()
        assert process.stdout.read() == "refused\n"
    finally:
        process.stdout.close()
        unpin(PINS / f"kaizen-{name}")
