"""How an event loop carries talks with the sidecar: who may talk at once, and how long is waited for an answer."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from kaizen_security.client.streams import AT_ONCE, Streams, _Places
from kaizen_security.client.talk import Exchange
from kaizen_security.contract.errors import Unreachable

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + b'{"noted": 12}'


class Port(asyncio.SelectorEventLoop):
    """A loop without readers, as a completion port is one."""

    def add_reader(self, fd, callback, *args):
        raise NotImplementedError


@asynccontextmanager
async def answered(path, *pieces):
    """A server that sends these pieces, each by itself, for every request, and then keeps still."""

    async def answer(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)

    async def quietly(reader, writer):
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    async with await asyncio.start_unix_server(quietly, path):
        yield


def ask(within=10.0, document=None):
    return (yield Exchange(method="POST", path="/v1/steps", document=document, within=within))


@pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, Port])
@pytest.mark.parametrize("pieces", [(ANSWER,), (ANSWER[:10], ANSWER[10:40], ANSWER[40:])])
def test_an_answer_is_read_whole_however_it_comes_with_readers_and_without(tmp_path, loop, pieces):
    async def main():
        async with answered(tmp_path / "s", *pieces):
            streams = Streams(f"unix://{tmp_path / 's'}", {})
            found = [await streams.carry(ask()) for _ in range(3)]
            streams.close()
            return found

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(main()) == [{"noted": 12}] * 3


@pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, Port])
def test_an_answer_of_which_the_end_does_not_come_is_given_up_in_time(tmp_path, loop):
    async def main():
        async with answered(tmp_path / "s", ANSWER[:-1]):
            streams = Streams(f"unix://{tmp_path / 's'}", {})
            with pytest.raises(Unreachable, match=r"within 0\.05 s") as raised:
                await streams.carry(ask(0.05))
            streams.close()
            return raised.value.__cause__

    with asyncio.Runner(loop_factory=loop) as runner:
        assert isinstance(runner.run(main()), TimeoutError)


@pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, Port])
def test_an_answer_that_drips_is_given_up_in_time_though_something_of_it_is_always_there(tmp_path, loop):
    body = b" " * 50_000 + b'{"noted": 12}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def main():
        async with answered(tmp_path / "s", head, *(body[n : n + 1] for n in range(len(body)))):
            streams = Streams(f"unix://{tmp_path / 's'}", {})
            with pytest.raises(Unreachable, match=r"within 0\.05 s"):
                await streams.carry(ask(0.05))
            streams.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_a_question_that_is_too_long_for_the_sockets_buffer_is_sent_whole(tmp_path):
    sent = []

    async def take(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        sent.append(len(await reader.readexactly(length)) == length)
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    async def main():
        async with await asyncio.start_unix_server(take, tmp_path / "s"):
            streams = Streams(f"unix://{tmp_path / 's'}", {})
            assert await streams.carry(ask(document={"text": "x" * (3 << 20)})) == {"noted": 12}
            streams.close()

    asyncio.run(main())
    assert sent == [True]


def test_places_are_handed_on_to_the_first_who_waits_and_none_is_lost_with_who_gives_up():
    async def main():
        loop, places = asyncio.get_running_loop(), _Places()
        assert [places.is_taken() for _ in range(AT_ONCE + 1)] == [True] * AT_ONCE + [False]
        waiting = [asyncio.create_task(places.wait(loop)) for _ in range(4)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        places.give()  # for the second, who gives up before it hears of it
        waiting[1].cancel()
        await asyncio.wait(waiting[:3])
        assert [task.cancelled() for task in waiting[:3]] == [True, True, False]
        assert not waiting[3].done()
        assert not places.is_taken()
        for _ in range(AT_ONCE + 1):
            places.give()
        await waiting[3]
        assert [places.is_taken() for _ in range(AT_ONCE + 1)] == [True] * AT_ONCE + [False]

    asyncio.run(main())
