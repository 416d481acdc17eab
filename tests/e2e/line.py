"""A real line for tests: `kaizen up` in a process of its own, on free ports, with a data directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

READY = 60.0
"""Seconds that starting three processes may take on two busy cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """``environment`` is what `kaizen up` writes for the user's shell; ``process`` is `kaizen up` itself; ``sign_in`` is the link
    that signs its administrator in, once, and ``password`` (of its first start) does so as often as wanted.
    """

    data: Path
    environment: dict[str, str]
    sign_in: str
    password: str
    process: subprocess.Popen[str]

    @classmethod
    @contextlib.contextmanager
    def started(cls, data: Path, *options: str, environ: Mapping[str, str] | None = None) -> Iterator[Self]:
        """Start, wait until it says that it is up, and end it in order. ``environ`` is set for it beside what is."""
        ports = ("--port", "0", "--sidecar-port", "0", "--proxy-port", "0")
        words = [sys.executable, "-m", "kaizen_security.cli", "up", "--json", "--data", str(data), *ports, *options]
        given = {**os.environ, **(environ or {})}
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=given)
        said: list[str] = []
        ready = threading.Event()

        def read() -> None:
            for text in process.stdout or ():
                said.append(text)
                if '"console"' in text:
                    ready.set()
            ready.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            assert ready.wait(READY), "not up in time"
            assert process.poll() is None, "".join(said)
            up = next(json.loads(text) for text in said if '"console"' in text)
            first = next((json.loads(text) for text in said if '"password"' in text), {})
            yield cls(
                data=data,
                environment=_environment(data / "env"),
                sign_in=up["sign_in"],
                password=first.get("password", ""),
                process=process,
            )
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(15)
            reader.join(5)
            if process.stdout:
                process.stdout.close()


def _environment(path: Path) -> dict[str, str]:
    exports = (line.removeprefix("export ") for line in path.read_text().splitlines() if line.startswith("export "))
    return dict(pair.split("=", 1) for pair in exports)
