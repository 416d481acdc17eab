"""The loop: readiness, deadlines, calls from other threads, and mistakes that stay with their connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kaizen_security.egress.loop import READ, WRITE, Loop

BOTH = pytest.mark.parametrize("epoll", [True, False], ids=["epoll", "selectors"])


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    one.setblocking(False)
    with one, other:
        yield one, other


@BOTH
def test_a_descriptor_is_ready_to_be_written_and_read(epoll: bool):
    loop = Loop(epoll=epoll)
    seen: list[int] = []
    with pair() as (one, other):

        def readable(events: int) -> None:
            seen.append(events)
            loop.remove(one.fileno())
            loop.stop()

        def writable(events: int) -> None:
            seen.append(events)
            loop.change(one.fileno(), READ)
            loop.turn(one.fileno(), readable)
            other.send(b"x")

        loop.add(one.fileno(), READ | WRITE, writable)
        loop.run()
    loop.close()
    assert seen == [WRITE, READ]


@BOTH
def test_a_call_from_another_thread_runs_on_the_loops(epoll: bool):
    loop = Loop(epoll=epoll)
    ran: list[str] = []
    thread = threading.Thread(
        target=lambda: (loop.post(lambda: ran.append(threading.current_thread().name)), loop.stop())
    )
    thread.start()
    loop.run()
    thread.join()
    loop.close()
    assert ran == [threading.current_thread().name]


class Late:
    def __init__(self, loop: Loop, *, wrong: bool = False) -> None:
        self.loop = loop
        self.due = loop.now + 0.05
        self.wrong = wrong
        self.calls = 0

    def expire(self, now: float) -> None:
        self.calls += 1
        if self.wrong:
            raise RuntimeError("a mistake")
        self.loop.stop()


def test_a_deadline_that_has_passed_is_told():
    loop = Loop()
    late = Late(loop)
    loop.watch(late)
    forgotten = Late(loop)
    loop.watch(forgotten)
    loop.forget(forgotten)
    loop.run()
    loop.close()
    assert (late.calls, forgotten.calls) == (1, 0)


@BOTH
def test_a_mistake_on_one_connection_does_not_end_the_others(epoll: bool):
    failed: list[tuple[int, str]] = []
    loop = Loop(epoll=epoll, failed=lambda fd, err: failed.append((fd, str(err))))

    def wrong(events: int) -> None:
        raise RuntimeError("on a connection")

    def wrong_call() -> None:
        raise RuntimeError("in a call")

    late = Late(loop, wrong=True)
    loop.watch(late)
    with pair() as (bad, other), pair() as (good, _):
        other.send(b"x")
        fd = bad.fileno()
        loop.add(fd, READ, wrong)
        loop.post(wrong_call)
        loop.post(lambda: loop.add(good.fileno(), WRITE, lambda events: (loop.remove(good.fileno()), None)[1]))
        stopper = Late(loop)
        stopper.due += 0.6
        loop.watch(stopper)
        loop.run()
    loop.close()
    assert sorted(failed) == sorted([(fd, "on a connection"), (-1, "in a call"), (-1, "a mistake")])
    assert (late.calls, stopper.calls) == (1, 1)


def test_a_closed_descriptor_that_was_dropped_can_be_watched_again():
    loop = Loop()
    seen: list[str] = []
    with pair() as (one, _):
        fd = one.fileno()
        loop.add(fd, READ, lambda events: seen.append("old"))
        loop.drop(fd)
        one.close()
        again, peer = socket.socketpair()
        with again, peer:
            peer.send(b"x")
            loop.add(
                again.fileno(),
                READ,
                lambda events: (seen.append("new"), loop.remove(again.fileno()), loop.stop(), None)[3],
            )
            loop.run()
    loop.close()
    assert seen == ["new"]
