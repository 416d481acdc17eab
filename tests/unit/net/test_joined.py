"""A head goes out with what follows it at once, and alone when nothing does."""

from __future__ import annotations

import asyncio

import pytest

from kaizen_security.net.joined import MOST, Joined

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


class Written(asyncio.Transport):
    """Keeps what was written, write by write."""

    def __init__(self):
        super().__init__()
        self.writes = []
        self.closed = False

    def write(self, data):
        self.writes.append(bytes(data))

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed


def written(*steps):
    """What each write of the transport was; a step of None lets the loop go round."""

    async def go():
        below = Written()
        joined = Joined(below, asyncio.get_running_loop())
        for step in steps:
            if step is None:
                await asyncio.sleep(0)
            elif step == "close":
                joined.close()
            else:
                joined.write(step)
        await asyncio.sleep(0)
        assert joined.is_closing() == below.closed
        return below.writes

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("steps", "writes"),
    [
        ((HEAD, b"body"), [HEAD + b"body"]),
        ((HEAD, b""), [HEAD]),
        ((HEAD,), [HEAD]),
        ((HEAD, None, b"data: 1\n\n"), [HEAD, b"data: 1\n\n"]),
        ((HEAD, "close"), [HEAD]),
        ((HEAD, b"a", b"b", HEAD, b"c"), [HEAD + b"a", b"b", HEAD + b"c"]),
        ((HEAD, HEAD, b"body"), [HEAD + HEAD, b"body"]),
        ((HEAD, b"x" * (MOST + 1)), [HEAD, b"x" * (MOST + 1)]),
    ],
)
def test_a_head_is_written_with_what_follows_it_in_the_same_turn(steps, writes):
    assert written(*steps) == writes
