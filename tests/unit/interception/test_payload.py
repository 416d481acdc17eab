"""Bodies that are looked at on their way: whatever the cuts, all of it goes on, and the end of it last."""

from __future__ import annotations

import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaizen_security.egress import http1
from kaizen_security.interception.documents import Documents
from kaizen_security.interception.payload import Payload, readable
from kaizen_security.interception.scan import HOLD, WINDOW, Scanner
from kaizen_security.observer.canaries import from_json, row

KEY = bytes(32)
CANARY = "Zq7Lm4Xc8Vb1Nn5Jh3Gf6Dd0"
BAIT = from_json({"key": KEY.hex(), "canaries": [row(KEY, "bait", CANARY)]})


def payload(*fields: str, most: int = 1 << 30) -> Payload:
    lines = "".join(f"{field}\r\n" for field in ("Host: a", *fields))
    head = http1.request(f"POST / HTTP/1.1\r\n{lines}".encode().removesuffix(b"\r\n"))
    return Payload(head, Scanner(BAIT, Documents()).start("a.example"), most=most)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


CUTS = st.lists(st.integers(0, 1 << 20), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3 * (HOLD + WINDOW)), CUTS, st.booleans())
def test_what_goes_on_is_what_came_whatever_the_cuts(data: bytes, cuts: list[int], packed: bool):
    body = gzip.compress(data, 1) if packed else data
    one = payload(f"Content-Length: {len(body)}", *(("Content-Encoding: gzip",) if packed else ()))
    sent = b""
    for part in cut(body, cuts):
        taken, ready = one.take(part)
        assert taken == len(part)
        sent += ready
        assert one.done or not sent or len(body) - len(sent) >= min(HOLD, len(body) - len(sent))
    if not body:
        sent += one.take(b"")[1]
    assert one.done
    assert sent == body
    assert not one.unread


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=9000), max_size=5), CUTS)
def test_chunks_go_on_with_the_same_content_and_trailers(chunks: list[bytes], cuts: list[int]):
    body = b"".join(b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nX-Sum: 1\r\n\r\n"
    one = payload("Transfer-Encoding: chunked")
    sent = b"".join(one.take(part)[1] for part in cut(body, cuts))
    assert one.done
    again = payload("Transfer-Encoding: chunked")
    taken, _ = again.take(sent)
    assert (taken, again.done) == (len(sent), True)
    assert again.came == one.came == sum(map(len, chunks))
    assert sent.endswith(b"0\r\nX-Sum: 1\r\n\r\n")


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 3 * WINDOW), st.integers(0, 3 * WINDOW), CUTS, st.sampled_from(["", "gzip", "deflate"]))
def test_a_canary_is_found_before_any_of_it_goes_on(before: int, after: int, cuts: list[int], coding: str):
    plain = b"w" * before + b" " + CANARY.encode() + b" " + b"w" * after
    body = {"": plain, "gzip": gzip.compress(plain, 1), "deflate": zlib.compress(plain, 1)}[coding]
    one = payload(f"Content-Length: {len(body)}", *((f"Content-Encoding: {coding}",) if coding else ()))
    sent = b""
    for part in cut(body, cuts):
        ready = one.take(part)[1]
        if one.leaks:
            break
        sent += ready
    assert [leak.name for leak in one.leaks] == ["canary bait"]
    left = zlib.decompressobj(47).decompress(sent) if coding else sent
    assert CANARY.encode()[:6] not in left


def test_what_is_held_does_not_grow():
    one = payload(f"Content-Length: {64 << 20}")
    for _ in range(200):
        one.take(bytes(65536))
        assert len(one._held) <= 2 * (HOLD + WINDOW)


def test_empty_blocks_do_not_push_what_was_not_seen_out_of_what_is_held():
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    first = packer.compress(b"so: " + CANARY[:-4].encode()) + packer.flush(zlib.Z_FULL_FLUSH)
    one = payload("Content-Encoding: gzip", "Content-Length: 1000000")
    assert not one.take(first + b"\x00\x00\x00\xff\xff" * 2000)[1].endswith(first)
    one.take(packer.compress(CANARY[-4:].encode() + b" ") + packer.flush(zlib.Z_FULL_FLUSH))
    assert [leak.name for leak in one.leaks] == ["canary bait"]


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "zstd"])
def test_what_cannot_be_unpacked_is_said(coding: str):
    one = payload(f"Content-Encoding: {coding}", "Content-Length: 4")
    assert one.take(b"abcd") == (4, b"abcd")
    assert one.unread == "encoding"


def test_a_second_packed_stream_is_said():
    body = gzip.compress(b"one") + gzip.compress(CANARY.encode())
    one = payload("Content-Encoding: gzip", f"Content-Length: {len(body)}")
    one.take(body)
    assert one.unread == "encoding"


@given(st.text(min_size=8), st.integers(0, 3), st.integers(0, 3))
def test_text_is_read_though_its_ends_are_cut(text: str, front: int, back: int):
    data = text.encode("utf-8", "ignore")
    inner = data[front : len(data) - back]
    read = readable(inner)
    assert read in text or read.isascii()


def test_other_bytes_leave_what_is_ascii():
    assert CANARY in readable(b"\xff\xfe\x00" + CANARY.encode() + b"\x80\x81")
