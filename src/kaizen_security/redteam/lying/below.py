"""The kernel's view of the lying agents: what their processes do past proxy and resolver (rung 4). Needs root and eBPF."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from kaizen_security.collectors.kernel.actions import Translator
from kaizen_security.collectors.kernel.collector import Collector
from kaizen_security.collectors.kernel.decode import Event
from kaizen_security.collectors.kernel.shapes import Agent
from kaizen_security.contract.action import Action
from kaizen_security.runtime.clock import new_id

LOOK = 0.2
"""Seconds between two signs of life: without them the programs take us for dead."""


class Kernel:
    """``tell`` gets every action; ``own`` are places of ours. Raises NotHere where eBPF is not to be had."""

    def __init__(self, tell: Callable[[Action], None], own: set[tuple[str, int]], together: int) -> None:
        self._tell = tell
        self._own = own
        self._collector = Collector.start()
        self._translators: dict[int, Translator] = {}
        self._free: SimpleQueue[int] = SimpleQueue()
        for number in range(together):
            self._free.put(number)
            self._collector.serve(number, flags=Agent(0))
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._live, name="stage-kernel", daemon=True)
        self._thread.start()

    def take(self, name: str, pid: int) -> int:
        """Process ``pid``, and what it starts, is that agent's from now on: a number to give back."""
        number = self._free.get()
        self._translators[number] = Translator(
            agent=name,
            run_id="",
            ids=new_id,
            name_of=lambda address: self._collector.name_of(address, number),
            own=self._own,
            resolve=False,
        )
        self._collector.mark(pid, number)
        return number

    def leave(self, number: int) -> None:
        """The agent has ended: what it did is read, then its number is free."""
        with self._lock:
            for event in self._collector.drain():
                self._told(event)
        self._free.put(number)

    def _live(self) -> None:
        while not self._stopping.wait(LOOK):
            self._collector.attend()

    def _told(self, event: Event) -> None:
        found = self._translators[event.agent].actions(event)
        if found is not None:
            self._tell(found[0])

    def close(self) -> None:
        """Detach."""
        self._stopping.set()
        self._thread.join(5.0)
        self._collector.close()
