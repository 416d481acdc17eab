"""Names inside the namespace: one address each, and no question leaves."""

from __future__ import annotations

import struct

from kaizen_security.egress.dnswire import question
from kaizen_security.launch import names
from kaizen_security.launch.names import Names


def packet(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def answer(table: Names, packet: bytes) -> bytes:
    return table.answer(packet, question(packet))


def test_a_name_gets_one_address_that_leads_back_to_it():
    table = Names()
    reply = answer(table, packet("Api.Example.com"))
    assert reply[:2] == b"\0\x07"
    assert reply[-4:] == bytes([198, 18, 0, 1])
    assert table.name("198.18.0.1") == "api.example.com"
    assert answer(table, packet("api.example.com")) == answer(table, packet("api.example.com"))
    assert answer(table, packet("other.example"))[-4:] == bytes([198, 18, 0, 2])


def test_other_types_have_no_answer_and_take_no_room():
    table = Names()
    reply = answer(table, packet("data.attacker.example", 16))
    assert struct.unpack_from("!HHH", reply, 2) == (0x8180, 1, 0)
    assert len(table) == 0


def test_a_full_table_refuses_and_counts(monkeypatch):
    monkeypatch.setattr(names, "MOST", 1)
    table = Names()
    answer(table, packet("a.example"))
    assert answer(table, packet("b.example"))[3] & 15 == 2
    assert table.refused == 1
