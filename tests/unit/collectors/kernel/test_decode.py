"""Decoding, on bytes that the ring of a real kernel held (6.18; recorded.json: base64, a record each)."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.collectors.kernel.decode import Malformed, decode
from kaizen_security.collectors.kernel.shapes import HEAD, Kind, Reason

RECORDS = [base64.b64decode(one) for one in json.loads((Path(__file__).parent / "recorded.json").read_text())]


def test_a_recorded_run_reads_as_what_was_done():
    network = [event for event in map(decode, RECORDS) if event.kind not in (Kind.EXEC, Kind.UNIX)]
    seen = [(e.kind, e.protocol, e.address, e.port if e.port < 32768 else 0, e.name) for e in network]
    assert seen == [
        (Kind.CONNECT, "tcp", "127.0.0.1", 18443, ""),
        (Kind.CONNECT, "tcp", "::1", 18444, ""),
        (Kind.SEND, "udp", "192.0.2.7", 443, ""),
        (Kind.SOCKET, "icmp", "::", 0, ""),
        (Kind.CONNECT, "udp", "127.0.0.1", 53, ""),
        (Kind.QUESTION, "udp", "127.0.0.1", 53, "api.example.com"),
        (Kind.SEND, "udp", "127.0.0.1", 0, ""),
        (Kind.ANSWER, "udp", "127.0.0.1", 53, "api.example.com"),
        (Kind.CONNECT, "tcp", "127.0.0.1", 443, ""),
        (Kind.HELLO, "tcp", "127.0.0.1", 443, "www.example.org"),
    ]
    assert {decode(record).reason for record in RECORDS} == {Reason.PASSED, Reason.PASSED_OWN}


def test_a_unix_socket_has_its_path_or_its_abstract_name():
    assert [e.name for e in map(decode, RECORDS) if e.kind is Kind.UNIX] == ["/tmp/kz-rec.sock", "@kz-rec"]


def test_an_execution_has_its_program_and_its_arguments_apart():
    event = decode(RECORDS[0], began=1000.0)
    assert event.kind is Kind.EXEC
    assert event.file == "/usr/bin/printf"
    assert event.args == ("/usr/bin/printf", "%s", "hello", "--token=abc")
    assert event.pid == event.tid != event.parent
    assert event.at == pytest.approx(1000.0 + HEAD.unpack_from(RECORDS[0])[0] / 1e9)


def test_events_of_one_connection_share_their_cookie():
    connect, hello = decode(RECORDS[-4]), decode(RECORDS[-3])
    assert (connect.kind, hello.kind) == (Kind.CONNECT, Kind.HELLO)
    assert connect.cookie == hello.cookie != 0


@pytest.mark.parametrize("record", RECORDS, ids=[f"{n}-{decode(r).kind.name}" for n, r in enumerate(RECORDS)])
def test_a_record_that_was_cut_is_no_event(record: bytes):
    for length in range(0, len(record) - 8, 7):
        with pytest.raises(Malformed):
            decode(record[:length])


@given(st.sampled_from(RECORDS), st.data())
def test_whatever_bytes_are_broken_it_is_an_event_or_malformed(record: bytes, data: st.DataObject):
    at = data.draw(st.integers(0, len(record) - 1))
    broken = record[:at] + bytes([data.draw(st.integers(0, 255))]) + record[at + 1 :]
    try:
        event = decode(broken)
    except Malformed:
        return
    assert 0 <= event.port <= 65535
    assert len(event.name) <= 4 * 256
    assert len(event.args) <= 768
