"""A Unix socket that more knock at than it has room for: asked again until the deadline, in threads and in event loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from time import monotonic

import pytest

from kaizen_security.client.dial import dial_unix, place
from kaizen_security.client.streams import _dialled


@pytest.fixture
def full(tmp_path):
    """A listening socket whose queue is full, and what fills it."""
    path = str(tmp_path / "s.sock")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(path)
        server.listen(0)
        while True:
            one = stack.enter_context(socket.socket(socket.AF_UNIX))
            one.setblocking(False)
            try:
                one.connect(path)
            except BlockingIOError:
                break
        yield server, path


def test_a_thread_gets_in_as_soon_as_there_is_room(full):
    server, path = full
    made = []
    thread = threading.Thread(target=lambda: made.append(dial_unix(path, monotonic() + 10)))
    thread.start()
    assert made == []
    server.accept()[0].close()
    thread.join(60)
    made[0].close()


def test_a_thread_gives_up_at_its_deadline(full):
    with pytest.raises(TimeoutError):
        dial_unix(full[1], monotonic() + 0.1)


def test_a_task_gets_in_as_soon_as_there_is_room_and_the_loop_goes_on(full):
    server, path = full

    async def main():
        task = asyncio.create_task(_dialled(asyncio.get_running_loop(), place(f"unix://{path}")))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        server.accept()[0].close()
        async with asyncio.timeout(10):
            held = await task
        held.getpeername()
        held.close()

    asyncio.run(main())
