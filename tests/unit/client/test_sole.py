"""The lock for threads and event loops: nobody looks again and again, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kaizen_security.client.sole import Sole


class Counted(Sole):
    """Counts how often it was tried."""

    __slots__ = ("tried",)

    def __init__(self):
        super().__init__()
        self.tried = 0

    def acquire(self, within=0.0):
        self.tried += 1
        return super().acquire(within)


async def waiting(sole):
    """Until somebody waits for it on a loop."""
    while not sole._waiting:
        await asyncio.sleep(0)


def test_who_waits_on_a_loop_is_woken_when_a_thread_lets_go_and_does_not_look_before():
    sole, held, may = Counted(), threading.Event(), threading.Event()

    def holder():
        assert sole.acquire()
        held.set()
        may.wait(10)
        sole.release()

    async def scene():
        thread = threading.Thread(target=holder)
        thread.start()
        await asyncio.to_thread(held.wait, 10)
        mine = asyncio.create_task(sole.wait(10))
        await waiting(sole)
        tried = sole.tried
        for _ in range(1000):
            await asyncio.sleep(0)
        assert sole.tried == tried
        may.set()
        assert await mine
        assert sole.tried == tried + 1
        thread.join()
        sole.release()
        assert sole.acquire()

    asyncio.run(scene())


@pytest.mark.parametrize("within", [0.0, 0.001])
def test_the_time_is_over(within):
    sole = Sole()
    assert sole.acquire()
    assert not asyncio.run(sole.wait(within))
    assert not sole.acquire(within)
    sole.release()
    assert sole.acquire(within)


def test_one_that_was_called_and_is_cancelled_hands_it_on():
    async def scene():
        sole = Sole()
        assert sole.acquire()
        first = asyncio.create_task(sole.wait(10))
        await waiting(sole)
        second = asyncio.create_task(sole.wait(10))
        await asyncio.sleep(0)
        sole.release()
        first.cancel()
        assert await second
        assert first.cancelled()

    asyncio.run(scene())


def test_one_whose_loop_is_closed_is_passed_over():
    sole = Sole()
    assert sole.acquire()
    gone = asyncio.new_event_loop()
    sole._waiting.append((gone, gone.create_future()))
    gone.close()

    async def scene():
        mine = asyncio.create_task(sole.wait(10))
        while len(sole._waiting) < 2:
            await asyncio.sleep(0)
        sole.release()
        assert await mine

    asyncio.run(scene())


def test_loops_and_threads_hold_it_one_at_a_time_and_each_has_its_turn():
    sole, done, within = Sole(), [], []

    def inside(who):
        within.append(who)
        assert len(within) == 1
        within.pop()
        done.append(who)
        sole.release()

    async def turns(who):
        for _ in range(100):
            assert await sole.wait(10)
            inside(who)
            await asyncio.sleep(0)

    async def loop(who):
        await asyncio.gather(turns(who), turns(who))

    def thread(who):
        for _ in range(200):
            assert sole.acquire(10)
            inside(who)

    everybody = [threading.Thread(target=lambda n=n: asyncio.run(loop(n))) for n in range(2)]
    everybody += [threading.Thread(target=thread, args=(n,)) for n in range(2, 4)]
    for one in everybody:
        one.start()
    for one in everybody:
        one.join(20)
    assert sorted(done) == sorted(list(range(4)) * 200)
    assert sole.acquire()
