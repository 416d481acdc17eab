"""Servers that the gateway starts: what they send by themselves, and who gets it."""

from __future__ import annotations

import asyncio
import sys

from kaizen_security.mcp.hosted import MAX_KEPT, MAX_KEPT_BYTES, Hosted

TALKATIVE = """
import sys
for line in sys.stdin:
    if "initialize" in line:
        print('{"jsonrpc":"2.0","id":0,"result":{}}', flush=True)
    else:
        many, _, long = line.partition("say-")[2].partition('"')[0].partition("x")
        for n in range(int(many)):
            print('{"jsonrpc":"2.0","method":"notifications/said","params":{"n":%d,"s":"%s"}}' % (n, "." * int(long)))
        print('{"jsonrpc":"2.0","id":1,"result":{}}', flush=True)
"""
"""A server that sends as many messages by itself, and as long ones, as it is asked for, and then answers."""


def talking(test):
    """Run ``test(send)`` against a server; ``send`` is within a session."""

    async def run():
        hosted = Hosted([sys.executable, "-c", TALKATIVE], {})
        opened = await hosted.send("POST", {}, b'{"jsonrpc":"2.0","id":0,"method":"initialize"}')
        assert len([said async for said in opened.pieces()]) == 1

        async def send(method, body=None):
            return await hosted.send(method, {"mcp-session-id": opened.headers["mcp-session-id"]}, body)

        try:
            await asyncio.wait_for(test(send), 20)
        finally:
            await hosted.close()

    asyncio.run(run())


async def made_to_say(send, n, long=0):
    """Have it send ``n`` messages by itself. What comes in the answer's stream."""
    answer = await send("POST", b'{"jsonrpc":"2.0","id":1,"method":"say-%dx%d"}' % (n, long))
    return [said async for said in answer.pieces()]


def test_messages_to_a_client_that_does_not_take_them_are_bounded():
    async def test(send):
        slow = await send("GET")
        assert len(await made_to_say(send, 4 * MAX_KEPT)) == 1
        await send("GET")  # ends the stream before
        assert len([said async for said in slow.pieces()]) == MAX_KEPT

    talking(test)


def test_long_messages_are_bounded_by_their_bytes_too_until_they_are_taken():
    long = 900_000
    most = MAX_KEPT_BYTES // long

    async def test(send):
        slow = await send("GET")
        assert len(await made_to_say(send, most + 3, long)) == 1
        pieces = slow.pieces()
        for _ in range(most):
            assert len(await anext(pieces)) > long
        assert len(await made_to_say(send, 2, long)) == 1, "there is room again"
        await send("GET")  # ends the stream before
        assert len([said async for said in pieces]) == 2

    talking(test)


def test_what_comes_after_a_listener_has_left_is_for_the_next_one():
    async def test(send):
        (await send("GET")).close()
        came = await made_to_say(send, 1)
        again = await send("GET")
        await send("GET")
        came += [said async for said in again.pieces()]
        assert len(came) == 2

    talking(test)
