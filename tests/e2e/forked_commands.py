"""Run many ``kaizen`` commands, each in a fork of one process that has loaded them all: a hundred take as long as two starts.

Read from standard input: a JSON list of ``{"argv": […], "env": {…}, "stdin": "…", "seconds": n}``; written: a JSON list of
``{"status", "said"}``, with status None for one that had to be ended.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback

from kaizen_security import cli


def _child(case: dict, into: int) -> None:
    """Never comes back."""
    status = 70
    try:
        os.setsid()
        with tempfile.TemporaryFile() as said:
            said.write(case.get("stdin", "").encode())
            said.seek(0)
            os.dup2(said.fileno(), 0)
        os.dup2(into, 1)
        os.dup2(into, 2)
        for name in [name for name in os.environ if name.startswith("KAIZEN_")]:
            del os.environ[name]
        os.environ.update(case["env"])
        status = cli.main(case["argv"])
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except Exception:  # noqa: BLE001 - what falls over is what is looked for
        traceback.print_exc()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _ended(pid: int, seconds: float) -> int | None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def main() -> None:
    for name in cli.COMMANDS:
        importlib.import_module(f"kaizen_security.cli.{name}")
    answers = []
    for case in json.load(sys.stdin):
        with tempfile.TemporaryFile() as said:
            pid = os.fork()
            if pid == 0:
                _child(case, said.fileno())
            status = _ended(pid, case.get("seconds", 30))
            said.seek(0)
            answers.append({"status": status, "said": said.read(1 << 20).decode("utf-8", "replace")})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
