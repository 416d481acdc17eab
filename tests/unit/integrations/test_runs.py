"""Runs as adapters keep them, where a framework calls from many threads, or keeps nothing itself."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

from kaizen_security.integrations import runs
from kaizen_security.integrations.runs import Running, beside


class Slow(dict):
    """What another thread gets between."""

    def get(self, key, default):
        found = super().get(key, default)
        time.sleep(0.002)
        return found


def test_refusals_of_many_threads_of_one_run_are_counted_each(attach):
    running = Running(attach()[0])
    running._insisted = Slow()
    threads = [threading.Thread(target=running.insists, args=("wipe", "wipe /srv")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert running._insisted == {"wipe": (0, 8), "wipe /srv": (0, 8)}


def test_what_ends_a_run_goes_on_though_nobody_else_keeps_it():
    ended = []

    async def end(event):
        await event.wait()
        ended.append(True)

    async def host():
        event = asyncio.Event()
        beside(end(event))
        await asyncio.sleep(0)
        gc.collect()
        event.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(host())
    assert ended == [True]
    assert not runs._ENDING
