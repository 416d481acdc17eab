"""Names inside the namespace: one address each, and no question leaves."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.launch import names
from kaizen_security.launch.names import Malformed, Names, question


def packet(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def test_a_name_gets_one_address_that_leads_back_to_it():
    table = Names()
    reply = table.answer(packet("Api.Example.com"))
    assert reply[:2] == b"\0\x07"
    assert reply[-4:] == bytes([198, 18, 0, 1])
    assert table.name("198.18.0.1") == "api.example.com"
    assert table.answer(packet("api.example.com")) == table.answer(packet("api.example.com"))
    assert table.answer(packet("other.example"))[-4:] == bytes([198, 18, 0, 2])


def test_other_types_have_no_answer_and_take_no_room():
    table = Names()
    reply = table.answer(packet("data.attacker.example", 16))
    assert struct.unpack_from("!HHH", reply, 2) == (0x8180, 1, 0)
    assert len(table) == 0


def test_a_full_table_refuses_and_counts(monkeypatch):
    monkeypatch.setattr(names, "MOST", 1)
    table = Names()
    table.answer(packet("a.example"))
    assert table.answer(packet("b.example"))[3] & 15 == 2
    assert table.refused == 1


@given(st.binary(max_size=600))
def test_any_bytes_are_a_question_or_malformed(data: bytes):
    try:
        name, kind, asked = question(data)
    except Malformed:
        return
    assert 0 <= kind <= 65535
    assert len(name) <= 4 * 255
    assert asked == data[12 : 12 + len(asked)]


@pytest.mark.parametrize("cut", range(12, 33))
def test_a_cut_question_is_refused(cut: int):
    with pytest.raises(Malformed):
        question(packet("api.example.com")[:cut])
