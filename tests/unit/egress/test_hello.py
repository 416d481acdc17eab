"""The TLS hello: real ones are read, cut and noisy ones give a name, nothing, or ValueError."""

from __future__ import annotations

import ssl
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.egress.hello import MAX_HELD, MAX_HELLO, Hello, parse
from kaizen_security.egress.peek import Peek


def real(name: str | None = "api.example", alpn: tuple[str, ...] = ("h2", "http/1.1")) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


REAL = real()


def in_records(hello: bytes, size: int) -> bytes:
    """The same handshake message cut into records of ``size`` bytes."""
    message = hello[5:]
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


def test_a_real_hello_is_read():
    assert parse(REAL) == Hello(sni="api.example", alpn=("h2", "http/1.1"))


def test_a_protocol_that_is_no_text_is_shown_as_text():
    hello = parse(REAL.replace(b"\x02h2\x08http/1.1", b"\x02h\x00\x08http\xff1.1"))
    assert hello is not None
    assert hello.alpn == ("h\\x00", "http\\xff1.1")


def test_a_hello_without_a_name_is_read():
    assert parse(real(None, ())) == Hello()


def test_the_name_is_lower_case():
    assert parse(real("API.Example")) == Hello(sni="api.example", alpn=("h2", "http/1.1"))


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100])
def test_a_hello_split_over_records_is_read(size):
    assert parse(in_records(REAL, size)) == parse(REAL)


@given(st.integers(0, len(REAL) - 1))
def test_a_cut_hello_needs_more(cut):
    assert parse(REAL[:cut]) is None


@given(st.binary(max_size=300))
def test_any_bytes_give_a_name_nothing_or_value_error(data):
    with suppress(ValueError):
        assert parse(data) is None or isinstance(parse(data), Hello)


@given(st.integers(0, len(REAL) - 1), st.integers(0, 255), st.integers(0, len(REAL)))
def test_a_noisy_hello_gives_a_name_nothing_or_value_error(at, byte, cut):
    data = bytearray(REAL)
    data[at] = byte
    try:
        hello = parse(bytes(data[:cut]))
    except ValueError:
        return
    assert hello is None or hello.sni.isascii()


def test_more_bytes_after_the_hello_do_not_matter():
    assert parse(REAL + b"\x14\x03\x03\x00\x01\x01") == parse(REAL)


def test_a_hello_longer_than_its_bound_is_no_hello():
    message = b"\x01" + (MAX_HELLO).to_bytes(3, "big")
    with pytest.raises(ValueError):
        parse(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"\x80\x2e\x01\x03\x01", b"\x16\x03\x01\x40\x01", b"x"]
)
def test_what_is_not_tls_is_said_to_be_not(data):
    with pytest.raises(ValueError):
        parse(data)


def test_peek_lets_everything_go_that_is_no_tls():
    peek = Peek()
    assert peek.see(b"SSH-2.0-x\r\n") == b"SSH-2.0-x\r\n"
    assert peek.hello is None
    assert not peek.unreadable


def test_peek_holds_a_hello_back_until_it_is_whole():
    peek = Peek()
    assert peek.see(REAL[:100]) is None
    assert peek.see(REAL[100:] + b"more") == REAL + b"more"
    assert peek.hello is not None
    assert peek.hello.sni == "api.example"


def test_peek_lets_a_hello_that_is_none_go_and_says_so():
    peek = Peek()
    bad = b"\x16\x03\x01\x00\x05\x02aaaa"
    assert peek.see(bad) == bad
    assert peek.unreadable


def records(size: int, *, empty: bool = False, padding: int = 0) -> bytes:
    """REAL in records of ``size`` bytes, ``padding`` bytes longer by an extension (RFC 7685), with empty records among them."""
    message = REAL[5:]
    if padding:
        at = 4 + 34
        at += 1 + message[at]
        at += 2 + int.from_bytes(message[at : at + 2], "big")
        at += 1 + message[at]
        extensions = struct.pack(">HH", 21, padding) + bytes(padding) + message[at + 2 :]
        body = message[4:at] + struct.pack(">H", len(extensions)) + extensions
        message = b"\x01" + len(body).to_bytes(3, "big") + body
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    if empty:
        parts = [one for part in parts for one in (b"", part)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part for part in parts)


@pytest.mark.parametrize("size", [1, 3, 100, 1 << 14])
@pytest.mark.parametrize("empty", [False, True], ids=["full", "with empty ones"])
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_a_hello_is_read_however_it_is_cut(size: int, empty: bool, piece: int):
    data = records(size, empty=empty)
    assert parse(data) == parse(REAL)
    peek = Peek()
    let_go = [peek.see(data[at : at + piece]) for at in range(0, len(data), piece)]
    assert let_go[:-1] == [None] * (len(let_go) - 1)
    assert let_go[-1] == data
    assert peek.hello == parse(REAL)


def test_a_hello_that_is_too_much_to_hold_back_is_not_readable():
    """30 KB in records of one byte are 180 KB, which servers take."""
    data = records(1, padding=30_000)
    peek = Peek()
    assert peek.see(data[:MAX_HELD]) is None
    assert peek.see(data[MAX_HELD : MAX_HELD + 1]) == data[: MAX_HELD + 1]
    assert peek.hello is None
    assert peek.unreadable


def test_peek_lets_a_cut_hello_go_when_the_client_has_ended():
    peek = Peek()
    assert peek.see(REAL[:50]) is None
    assert peek.see(b"") == REAL[:50]
