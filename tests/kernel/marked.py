"""Programs that run as an agent's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from kaizen_security.collectors.kernel.collector import Collector
from kaizen_security.collectors.kernel.decode import Event


class Marked:
    """Starts programs that are marked before their first instruction."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def run(self, *words: str, timeout: float = 300.0, number: int = 0) -> subprocess.CompletedProcess[str]:
        """One program to its end."""
        return subprocess.run(words, capture_output=True, text=True, timeout=timeout, preexec_fn=self._marks(number))

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """One program that goes on."""
        return subprocess.Popen(words, preexec_fn=self._marks(0))  # noqa: PLW1509 - one system call, before anything runs

    def python(self, code: str, *words: str, timeout: float = 300.0) -> str:
        """What a Python program prints."""
        done = self.run(sys.executable, "-S", "-c", code, *words, timeout=timeout)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _marks(self, number: int) -> Callable[[], None]:
        def mark() -> None:
            self.collector.mark(os.getpid(), number)

        return mark

    def events(self) -> list[Event]:
        """What the ring holds now."""
        return list(self.collector.drain())
