"""Names whose owner answers differently each time, against the system's own resolver: what is dialled is what was looked at."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.egress.namespace import namespace, needs_namespaces
from tests.e2e.egress.peers import ControlPlane, Running, running, until

pytestmark = [pytest.mark.root, needs_namespaces]

PUBLIC, PUBLIC6, RESOLVER = "198.51.100.10", "2001:db8::10", "198.51.100.53"
INWARD = ("127.0.0.1", "127.9.9.9", "169.254.169.254", "::1", "fd00:ec2::254")
PORT = 7000
CNAME, A, AAAA = 5, 1, 28

FIRST: dict[str, tuple[str, ...]] = {
    "loopback": ("127.0.0.1",),
    "anywhere": ("0.0.0.0",),
    "other-loopback": ("127.9.9.9",),
    "metadata": ("169.254.169.254",),
    "loopback6": ("::1",),
    "anywhere6": ("::",),
    "metadata6": ("fd00:ec2::254",),
    "mapped": ("::ffff:127.0.0.1",),
    "mapped-metadata": ("::ffff:169.254.169.254",),
    "compatible": ("::127.0.0.1",),
    "nat64": ("64:ff9b::7f00:1",),
    "own-nat64": ("64:ff9b:1::a9fe:a9fe",),
    "6to4": ("2002:a9fe:a9fe::",),
    "link-local": ("fe80::1",),
    "multicast": ("224.0.0.1",),
    "all-of-them": ("127.0.0.1", "169.254.169.254", "::1", "0.0.0.0"),
}
"""Names that lead inwards only."""
MIXED: dict[str, tuple[str, ...]] = {
    "public-first": (PUBLIC, "127.0.0.1"),
    "public-last": ("127.0.0.1", "169.254.169.254", PUBLIC),
    "by-families": (PUBLIC, "::1"),
    "by-families-6": ("127.0.0.1", PUBLIC6),
}


def name_of(query: bytes) -> tuple[str, bytes, int]:
    end = query.index(b"\0", 12) + 5
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    return ".".join(labels), query[12:end], struct.unpack_from("!H", query, end - 4)[0]


def wire_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


@dataclass
class Attacker:
    """A name server of the attacker's, all of whose answers may be forgotten at once (TTL 0)."""

    asked: list[str] = field(default_factory=list)
    turns: Iterator[int] = field(default_factory=count)

    def answers(self, name: str) -> list[tuple[str, str]]:
        """Owner and address, or owner and another name."""
        label = name.split(".")[0]
        if label.startswith("turns"):  # another address at every question
            turn = next(self.turns)
            return [(name, (PUBLIC, *INWARD)[turn % (1 + len(INWARD))])]
        if label == "chain":
            return [(name, "one.example"), ("one.example", "two.example"), ("two.example", "127.0.0.1")]
        if label == "chain-to-localhost":
            return [(name, "localhost"), ("localhost", "127.0.0.1")]
        if label == "poison":  # an address for somebody else's name in the same answer
            return [("good.example", "127.0.0.1"), (name, PUBLIC)]
        return [(name, address) for address in {**FIRST, **MIXED, "good": (PUBLIC,)}.get(label, ())]

    def reply(self, query: bytes) -> bytes:
        name, question, kind = name_of(query)
        self.asked.append(name)
        records = b""
        number = 0
        for owner, what in self.answers(name):
            try:
                packed = ip_address(what).packed
            except ValueError:
                packed, made = wire_name(what), CNAME
            else:
                made = A if len(packed) == 4 else AAAA
            if made in (kind, CNAME):
                records += wire_name(owner) + struct.pack("!HHIH", made, 1, 0, len(packed)) + packed
                number += 1
        return query[:2] + struct.pack("!5H", 0x8180, 1, number, 0, 0) + question + records


def serve_names(attacker: Attacker, udp: socket.socket) -> None:
    while True:
        try:
            query, peer = udp.recvfrom(4096)
        except OSError:
            return
        udp.sendto(attacker.reply(query), peer)


def accept(listener: socket.socket, heard: Callable[[], None]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        heard()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


@dataclass
class Site:
    proxy: Running
    plane: ControlPlane
    attacker: Attacker
    reached: list[str]
    do: Callable[[Callable[[], bytes]], bytes]

    def get(self, label: str) -> bytes:
        where = f"{label}.example:{PORT}"
        return self.do(
            lambda: self.proxy.raw(
                f"GET http://{where}/ HTTP/1.1\r\nHost: {where}\r\nConnection: close\r\n\r\n".encode()
            )
        )

    def tunnel(self, label: str) -> bytes:
        where = f"{label}.example:{PORT}"

        def connect() -> bytes:
            client, head = self.proxy.tunnel(where)
            client.close()
            return head

        return self.do(connect)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    addresses = [f"{one}/128" if ":" in one else f"{one}/32" for one in (PUBLIC, RESOLVER, PUBLIC6, *INWARD[2:])]
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(f"nameserver {RESOLVER}\noptions timeout:5 attempts:1\n")
    # The proxy's resolver is the system's, which is told of the attacker's server in a mount namespace of its own.
    mounted = ("unshare", "-m", "sh", "-c", f'mount --bind {resolv} /etc/resolv.conf && exec "$@"', "sh")
    attacker, reached, open_ = Attacker(), [], []
    with namespace(*(one for one in addresses if one != "::1/128")) as space:
        udp = space.do(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind((RESOLVER, 53))
        open_.append(udp)
        threading.Thread(target=serve_names, args=(attacker, udp), daemon=True).start()
        for one in (PUBLIC, PUBLIC6, *INWARD):
            family = socket.AF_INET6 if ":" in one else socket.AF_INET
            listener = space.do(lambda one=one, family=family: socket.create_server((one, PORT), family=family))
            open_.append(listener)
            threading.Thread(target=accept, args=(listener, lambda one=one: reached.append(one)), daemon=True).start()
        plane = space.do(ControlPlane)
        with running(tmp_path / "proxy", plane, prefix=(*space.command, *mounted)) as proxy:
            yield Site(proxy, plane, attacker, reached, space.do)
        plane.stop()
        for one in open_:
            one.close()


def test_no_answer_of_a_names_owner_leads_inwards(site: Site):
    for label in (*FIRST, "chain", "chain-to-localhost"):
        for said in (site.get(label), site.tunnel(label)):
            assert said.split(b" ")[1] in (b"403", b"502"), (label, said)
    for label in (*MIXED, "poison", "good"):
        for said in (site.get(label), site.tunnel(label)):
            assert said.split(b" ")[1] in (b"200", b"204"), (label, said)
    for number in range(24):
        site.get(f"turns{number}")
        site.tunnel(f"turns{number}")
    assert {"metadata.example", "public-first.example", "turns23.example"} <= set(site.attacker.asked)
    assert set(site.reached) == {PUBLIC, PUBLIC6}

    def told() -> list[object]:
        ended = [action["metadata"] for action in site.plane.actions(f"public-last.example:{PORT}")]
        return [said.get("address") for said in ended if said.get("phase") == "end"]

    assert set(until(told)) == {PUBLIC}  # type: ignore[call-overload]
