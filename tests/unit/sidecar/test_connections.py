"""Connections on which no request comes, and requests that are answered at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
import uvicorn

from kaizen_security.sidecar import connections
from kaizen_security.sidecar.connections import Protocol


class Hasty(Protocol):
    """A deadline that a test can wait for."""

    head_deadline = 0.05


async def _answer(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _exchange(path, *pieces):
    """What comes back, up to the end of the connection, when ``pieces`` are sent one by one, each after an answer to the last."""
    server = uvicorn.Server(uvicorn.Config(_answer, http=Hasty, uds=str(path), lifespan="off", log_level="critical"))
    serving = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.005)
            reader, writer = await asyncio.open_unix_connection(str(path))
            for n, piece in enumerate(pieces):
                writer.write(piece)
                if n < len(pieces) - 1:
                    await reader.readuntil(b"\r\n\r\n")
            rest = await reader.read()
            writer.close()
            return rest
    finally:
        server.should_exit = True
        await serving


WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("pieces", [(b"",), (b"GET / HT",), (WHOLE, b"GET / HT")])
def test_a_head_that_does_not_come_ends_the_connection(tmp_path, pieces):
    assert asyncio.run(_exchange(tmp_path / "s", *pieces)) == b""


def test_a_whole_head_is_answered_and_its_deadline_is_over(tmp_path):
    closing = WHOLE.replace(b"Host: x", b"Host: x\r\nConnection: close")
    assert asyncio.run(_exchange(tmp_path / "s", WHOLE, closing)).startswith(b"HTTP/1.1 204")


BODY = b'{"agent": "a"}'


def post(
    body: bytes = BODY, *, length: int | None = None, more: bytes = b"", start: bytes = b"POST /v1/inspect HTTP/1.1"
) -> bytes:
    return (
        start + b"\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n" % (len(body) if length is None else length, more) + body
    )


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (post(), (b"/v1/inspect", BODY, "")),
        (post(b""), (b"/v1/inspect", b"", "")),
        (post(more=b"Authorization:  Bearer kz \r\n"), (b"/v1/inspect", BODY, "Bearer kz")),
        (post(more=b"CONNECTION: Keep-Alive\r\nUser-Agent: k\r\n"), (b"/v1/inspect", BODY, "")),
        (post(start=b"POST /v1/steps?x HTTP/1.1"), (b"/v1/steps?x", BODY, "")),
    ],
)
def test_a_plain_request_is_understood_without_a_parser(data, found):
    assert connections.plain_post(data) == found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        post()[:20],
        post()[:-1],
        post() + b" ",
        post() + post(),
        b"\r\n" + post(),
        post(length=3),
        post().replace(b"Content-Length: 14", b"Content-Length: +14"),
        post().replace(b"Content-Length: 14", b"Content-Length: 14, 14"),
        post().replace(b"Content-Length: 14\r\n", b""),
        post(more=b"Content-Length: 14\r\n"),
        post(more=b"Content-Length : 14\r\n"),
        post(more=b"Transfer-Encoding: chunked\r\n"),
        post(more=b"Expect: 100-continue\r\n"),
        post(more=b"Connection: close\r\n"),
        post(more=b"Upgrade: websocket\r\n"),
        post(more=b"X-Forwarded-For: 10.0.0.1\r\n"),
        post(more=b"Accept: a\n b\r\n"),
        post(more=b" folded\r\n"),
        post(more=b"Accept\r\n"),
        post(more=b"User-Agent: a\rTransfer-Encoding: chunked\r\n"),
        post(more=b"User-Agent: a\nTransfer-Encoding: chunked\r\n"),
        *(post(more=b"User-Agent: a%cb\r\n" % char) for char in (0, 9, 11, 127, 160)),
        post().replace(b"\r\n", b"\n"),
        post(start=b"POST /v1/inspect HTTP/1.0"),
        post(start=b"POST  /v1/inspect HTTP/1.1"),
        post(start=b"GET /v1/inspect HTTP/1.1"),
        post(start=b"post /v1/inspect HTTP/1.1"),
    ],
)
def test_whatever_is_unusual_about_a_request_is_for_the_parser(data):
    assert connections.plain_post(data) is None


class Ready(connections.Answers):
    """Answers what is asked of ``/v1/inspect``, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def answer(self, path, body, authorization, *, stranger):
        self.asked.append((path, authorization, stranger))
        if body == b"defect":
            raise ZeroDivisionError
        return (500 if body == b"failed" else 200, b"[1]") if path == b"/v1/inspect" else None


@asynccontextmanager
async def _served(answers, kind=Protocol, **where):
    """A server whose connections, of that kind, ask ``answers`` first."""
    made = type("Asking", (kind,), {"at_once": answers})
    server = uvicorn.Server(uvicorn.Config(_answer, http=made, lifespan="off", log_level="critical", **where))
    serving = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.005)
            yield server
    finally:
        server.should_exit = True
        await serving


async def _answered(reader):
    """Status and body of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return int(head.split(b" ")[1]), await reader.readexactly(int(length or 0))


AT_ONCE, AS_OTHERS = (200, b"[1]"), (204, b"")
OTHER = post(start=b"POST /v1/other HTTP/1.1")


def test_what_can_be_answered_at_once_is_and_all_else_goes_the_way_of_all_others(tmp_path):
    ready = Ready()

    async def main():
        async with _served(ready, uds=str(tmp_path / "s")) as server:
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            for piece, found in (
                (post(), AT_ONCE),
                (post(more=b"Authorization: Bearer k\r\n"), AT_ONCE),
                (OTHER, AS_OTHERS),
                (post(), AT_ONCE),
                (WHOLE, AS_OTHERS),
                (post() + OTHER, AS_OTHERS),  # two at once are the parser's, and answered in their order
                (b"", AS_OTHERS),
                (post(), AT_ONCE),
                (post(b"failed"), (500, b"[1]")),
                (post(), AT_ONCE),
            ):
                writer.write(piece)
                assert await _answered(reader) == found, piece
            # One that comes in pieces is the parser's from the first to the last of them.
            (connection,) = server.server_state.connections
            for begun in (post()[:30], post()[:-1]):
                writer.write(begun)
                while not connection._in_message:
                    await asyncio.sleep(0.001)
                writer.write(post()[len(begun) :])
                assert await _answered(reader) == AS_OTHERS
                while connection._in_message:
                    await asyncio.sleep(0.001)
            writer.write(post())
            assert await _answered(reader) == AT_ONCE
            assert server.server_state.total_requests == 13
            writer.close()

    asyncio.run(main())
    assert [path for path, *_ in ready.asked] == [b"/v1/inspect"] * 2 + [b"/v1/other"] + [b"/v1/inspect"] * 5
    assert [authorization for _, authorization, _ in ready.asked] == ["", "Bearer k", *[""] * 6]
    assert not any(stranger for _, _, stranger in ready.asked)


def test_the_head_after_an_answer_at_once_has_its_deadline_too(tmp_path):
    async def main():
        class Patient(Protocol):
            """Hasty once it has answered: the first request may take its time on a machine that has much to do."""

        async with _served(Ready(), Patient, uds=str(tmp_path / "s")):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writer.write(post())
            assert await _answered(reader) == AT_ONCE
            Patient.head_deadline = Hasty.head_deadline
            writer.write(b"POST /v1/ins")
            assert await reader.read() == b""
            writer.close()

    asyncio.run(main())


def test_a_defect_in_an_answer_at_once_ends_that_connection_and_no_other(tmp_path):
    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        async with _served(Ready(), uds=str(tmp_path / "s")):
            broken, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            reader, other = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writer.write(post(b"defect"))
            assert await broken.read() == b""
            other.write(post())
            assert await _answered(reader) == AT_ONCE
            writer.close()
            other.close()

    asyncio.run(main())


def test_who_comes_over_loopback_is_never_answered_without_its_key_having_been_looked_at():
    ready = Ready()

    async def main():
        async with _served(ready, host="127.0.0.1", port=0) as server:
            port = server.servers[0].sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post())
            assert await _answered(reader) == AS_OTHERS
            writer.close()

    asyncio.run(main())
    assert ready.asked == []


def test_a_connection_on_the_socket_is_kept_while_a_model_thinks(tmp_path):
    async def main():
        async with _served(Ready(), uds=str(tmp_path / "s")) as server:
            _, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            while not server.server_state.connections:
                await asyncio.sleep(0.001)
            (connection,) = server.server_state.connections
            assert connection.timeout_keep_alive == connections.KEPT
            writer.close()

    asyncio.run(main())
