"""The egress proxy's parsers: a million hostile inputs without a crash or a hang.

Inputs are real ones that are cut, spliced, flipped and repeated, so that they get past the first check. Whatever a parser takes has
to stay within its promises: a head that is accepted is written anew in a form that it accepts itself and reads the same way. In the
full form a fuzzer that is guided by coverage tries as many again (``guided``).
"""

from __future__ import annotations

import gzip
import random
import ssl
import struct
import time
from contextlib import suppress

from kaizen_security.egress import body, dnswire, hello, http1, rewrite, usual
from kaizen_security.interception.documents import Documents
from kaizen_security.interception.messages import Messages, Unframed
from kaizen_security.interception.payload import Payload
from kaizen_security.interception.scan import Scanner
from kaizen_security.observer.canaries import Canaries
from tests.soak.guided import guided, run_atheris

FULL, SHORT = 1_000_000, 6_000
SLOW = 0.5
"""Seconds of CPU that no input may take: they are a few hundred bytes."""
SECONDS = 3600
"""That the guided tries may take, should a busy machine not have reached their number before."""

REQUESTS = [
    b"GET http://a.example/x?y=1 HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, x-y\r\nX-Y: 1\r\nAccept: */*",
    b"POST http://[2001:db8::1]:8080/ HTTP/1.1\r\nHost: b\r\nContent-Length: 10\r\nExpect: 100-continue",
    b"POST http://c.example HTTP/1.1\r\nHost: c.example\r\nTransfer-Encoding: chunked\r\nTrailer: X",
    b"CONNECT d.example:443 HTTP/1.1\r\nHost: d.example:443\r\nProxy-Authorization: Basic YTpi",
    b"GET http://e.example/ HTTP/1.1\r\nHost: e.example\r\nUpgrade: websocket\r\nConnection: Upgrade",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close",
    b"HTTP/1.0 304 Not Modified\r\nContent-Length: 5\r\ncontent-length: 5",
]
CHUNKS = [b"5;a=b\r\nhello\r\n0\r\nX-Digest: 1\r\n\r\n", b"1\r\na\r\n" * 5 + b"0\r\n\r\nGET", b"ffffffffff\r\n"]
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b":",
    b" ",
    b"\t",
    b"\0",
    b"Content-Length: 7",
    b"Transfer-Encoding: chunked",
    b"\x80",
    b"\x16\x03\x01",
    b"\xc0\x0c",
]
PIECES += [b"Host: z.example", b"@", b"#", b"[", b"]", b"%", b"\xff\xff"]


def real_hello():
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a.example").do_handshake()
    return outgoing.read()


HELLO = real_hello()
QUERY = struct.pack("!6H", 7, 256, 1, 0, 0, 0) + b"\x01a\x07example\0" + struct.pack("!2H", 1, 1)
REPLY = (
    struct.pack("!6H", 7, 0x8180, 1, 1, 0, 0) + QUERY[12:] + b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes(4)
)


def spoiled(chance, data):
    """``data`` with a few things done to it."""
    made = bytearray(data)
    for _ in range(chance.randint(0, 4)):
        at = chance.randrange(len(made) + 1)
        what = chance.randrange(5)
        if what == 0:
            made[at : at + chance.randint(1, 8)] = b""
        elif what == 1:
            made[at:at] = chance.choice(PIECES)
        elif what == 2 and at < len(made):
            made[at] = chance.randrange(256)
        elif what == 3:
            other = chance.randrange(len(made) + 1)
            made[at:at] = made[min(at, other) : max(at, other)]
        else:
            del made[at + chance.randint(0, 200) :]
    return bytes(made)


def request(data):
    """A head that is taken has one meaning, also once it was written anew, and however quickly it was read."""
    quick = usual.request(data)
    head = http1.request(data)
    assert quick is None or quick[1] == http1.destination(head)
    if quick is not None:
        assert http1.request_body(quick[0]) == http1.request_body(head), data
    where = http1.destination(head)
    length = http1.request_body(head)
    if head.method == b"CONNECT":
        return
    rewrite.other_host(head, where)
    onward = rewrite.request(head, where, websocket=rewrite.wants_websocket(head), via=False)
    assert onward.endswith(b"\r\n\r\n")
    again = http1.request(onward[:-4])
    assert http1.request_body(again) == length, (data, onward)
    assert again.values(b"host") == [
        where.name.removesuffix(":80").encode() if where.port == 80 else where.name.encode()
    ]


def response(data):
    """The same for an answer."""
    quick = usual.response(data)
    head = http1.response(data)
    length = http1.response_body(head, b"GET")
    assert quick is None or http1.response_body(quick, b"GET") == length, data
    onward = rewrite.answer(head, close=False)
    again = http1.response(onward[:-4])
    assert http1.response_body(again, b"GET") == length, (data, onward)


def chunks(data):
    """Chunks are read the same however they are cut."""
    whole, pieces = body.Chunked(), body.Chunked()
    try:
        taken = whole.take(data)
    except http1.Bad:
        taken = -1
    try:
        piecewise = sum(pieces.take(data[at : at + 1]) for at in range(len(data)) if not pieces.done)
    except http1.Bad:
        piecewise = -1
    assert taken == piecewise or (taken == len(data) and not whole.done), data


def tls(data):
    """A name, nothing, or ValueError; and the same when it comes byte by byte."""
    found = hello.parse(data)
    if found is not None:
        assert found.sni == found.sni.lower()
        assert len(found.sni) < 256


def dns(data):
    """A question, or ValueError."""
    dnswire.question(data)


def reply(data):
    """Addresses, or ValueError."""
    dnswire.addresses(data)


def payload(data):
    """A body that is looked into goes on as it came, however it was cut, and what is held of it stays bounded."""
    how, _, sent = data.partition(b"\0")
    packed = b"\r\nContent-Encoding: gzip" if how[:1] == b"g" else b""
    head = http1.request(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d%b" % (len(sent), packed))
    one = Payload(head, NOTHING.start("a.example"), most=1 << 20)
    step = 1 + len(how)
    went = b"".join([one.take(sent[at : at + step])[1] for at in range(0, len(sent), step)] or [one.take(b"")[1]])
    assert went == sent, data
    assert one.done


def messages(data):
    """Frames go on as they came, however they are cut, and what is held of them stays bounded."""
    one = Messages(NOTHING.start("a.example"), lambda leaks: None)
    step = 1 + len(data) % 7
    try:
        went = b"".join([one.take(data[at : at + step]) for at in range(0, len(data), step)])
    except Unframed as err:
        raise ValueError from err
    assert data.startswith(went), data


NOTHING = Scanner(Canaries(), Documents())
BODIES = [b"g\0" + gzip.compress(b"the token is in here"), b"plain\0text=a%20b&c=" + b"QUJD" * 20]
FRAMES = [b"\x81\x85abcd" + bytes(5) + b"\x89\x80abcd", b"\x82\xfe\x00\xc8abcd" + b"QUJD" * 50]
TARGETS = [
    (payload, BODIES),
    (messages, FRAMES),
    (request, REQUESTS),
    (response, RESPONSES),
    (chunks, CHUNKS),
    (tls, [HELLO]),
    (dns, [QUERY]),
    (reply, [REPLY]),
]


def soak(amount, directory):
    """See the module."""
    chance = random.Random(amount)
    taken = dict.fromkeys((target.__name__ for target, _ in TARGETS), 0)
    slowest = 0.0
    for number in range(amount):
        target, samples = TARGETS[number % len(TARGETS)]
        data = spoiled(chance, chance.choice(samples))
        began = time.thread_time()
        with suppress(ValueError):
            target(data)
            taken[target.__name__] += 1
        slowest = max(slowest, time.thread_time() - began)
    assert slowest < SLOW, f"{slowest} s"
    assert all(taken.values()), f"nothing got through to {taken}"
    figures = {"inputs": amount, "taken": taken, "slowest_ms": round(slowest * 1000, 2)}
    if amount < FULL:
        return figures
    return figures | guided(directory, "tests.soak.egress_parsers", seeds(), seconds=SECONDS, runs=FULL)


def one(data):
    """One input of the fuzzer: its first byte says which parser is meant."""
    target, _ = TARGETS[(data[0] if data else 0) % len(TARGETS)]
    with suppress(ValueError):
        target(data[1:])


def seeds():
    """What the fuzzer begins with."""
    return [bytes([number]) + sample for number, (_, samples) in enumerate(TARGETS) for sample in samples]


if __name__ == "__main__":
    run_atheris(one)
