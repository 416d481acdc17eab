"""The client that is deployed already: ``kaizen-security`` 0.2.0 of the public index, in an environment of its own.

It is run and never read: what it does is seen from what it answers and from what it sends. The environment is kept in the temporary
folder of the machine between runs, since it never changes. Nothing that it starts can reach anything but loopback.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

WANTED = "kaizen-security==0.2.0"
UNREACHABLE = ("from versions: none", "NewConnectionError", "ConnectTimeout", "Read timed out", "Name or service")
PREAMBLE = '''
import json, os, sys, time
from kaizen_security import Action, Finding, Kaizen, KaizenBlocked, Policy, Verdict

def attached(agent="deployed", **options):
    """A client of the server under test. This version takes its address and its key from the program that makes it."""
    options = {"base_url": os.environ["KAIZEN_API_URL"], "api_key": os.environ["KAIZEN_API_KEY"], **options}
    return Kaizen(agent=agent, **options)

def told(value):
    """One line for the test."""
    print(json.dumps(value, default=lambda verdict: verdict.to_dict()), flush=True)

def hold():
    """Stay until the test has seen enough: what this client has not sent when its process ends is lost.

    It reports and declares in the background.
    """
    sys.stdin.readline()
'''


class IndexUnreachable(Exception):
    """The public index did not answer; the message is what pip said last."""


def environment() -> Path:
    """The environment's folder, made when it is not there. Raises IndexUnreachable."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    home = Path(tempfile.gettempdir()) / f"kaizen-deployed-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    found = home.stat(follow_symlinks=False)
    assert stat.S_ISDIR(found.st_mode), f"{home} is no folder"
    assert found.st_uid == os.getuid(), f"{home} belongs to somebody else"
    place = home / f"0.2.0-python{version}"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "whole").exists():
            _install(place)
    return place


def _install(place: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True, capture_output=True)
    pip = [
        str(place / "bin/python"),
        "-I",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--retries",
        "1",
        "--timeout",
        "10",
    ]
    done = subprocess.run([*pip, "install", WANTED], capture_output=True, text=True, timeout=180)
    if done.returncode:
        if any(sign in done.stderr for sign in UNREACHABLE):
            raise IndexUnreachable(done.stderr.strip().splitlines()[-1])
        raise AssertionError(done.stderr)
    (place / "whole").touch()


def confined(url: str, key: str, agent: str = "") -> dict[str, str]:
    """Environment variables that point at ``url``; what goes anywhere else meets a closed port."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("KAIZEN_", "PYTHON"))}
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    ours = {
        "KAIZEN_API_URL": url,
        "KAIZEN_BASE_URL": url,
        "KAIZEN_API_KEY": key,
        "no_proxy": "127.0.0.1",
        "NO_PROXY": "127.0.0.1",
    }
    return {**kept, **nowhere, **ours, **({"KAIZEN_AGENT": agent} if agent else {})}


class Program:
    """A program of somebody's that uses the deployed client; ``code`` follows ``PREAMBLE``."""

    def __init__(self, place: Path, code: str, url: str, key: str) -> None:
        self.process = subprocess.Popen(
            [str(place / "bin/python"), "-I", "-c", PREAMBLE + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=confined(url, key),
        )

    def __enter__(self) -> Program:
        return self

    def answer(self):
        """The next thing that it told. Raises AssertionError when it ended instead."""
        line = self.process.stdout.readline()
        assert line, f"it ended with {self.process.wait(60)}"
        return json.loads(line)

    def go_on(self) -> None:
        """Let it go on after ``hold``."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self.process.kill()
        self.process.communicate("\n", timeout=30)
        assert error[0] is not None or self.process.returncode == 0, f"it ended with {self.process.returncode}"
