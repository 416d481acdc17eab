"""Transparent mode and the DNS sidecar, in a network namespace with the rules that the documentation gives."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode
from tests.e2e.egress.namespace import Namespace, namespace, needs_namespaces
from tests.e2e.egress.peers import DEADLINE, ControlPlane, Origin, Running, Script, read_all, running, until

pytestmark = [pytest.mark.root, needs_namespaces]

PLACE, RESOLVER, SIX = "198.51.100.10", "198.51.100.53", "2001:db8::10"
AGENT = 65534
"""The user whose connections are redirected; the proxy runs as root here, as another user in a pod."""
RULES = """
table inet kaizen {{
  chain output {{
    type nat hook output priority -100;
    meta skuid != {agent} return
    oifname "lo" ip daddr 127.0.0.0/8 return
    oifname "lo" ip6 daddr ::1 return
    meta l4proto tcp redirect to :{port}
    udp dport 53 redirect to :{dns}
  }}
  chain filter {{
    type filter hook output priority 0;
    meta skuid != {agent} return
    udp dport 443 reject with icmpx admin-prohibited
  }}
}}
"""


@dataclass
class Pod:
    space: Namespace
    plane: ControlPlane
    origin: Origin
    secure: Origin
    proxy: Running
    ca: Path

    def agent(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """A command of the agent: as another user, without proxy variables."""
        command = [*self.space.command, "setpriv", f"--reuid={AGENT}", "--regid=65534", "--clear-groups", *words]
        return subprocess.run(command, capture_output=True, timeout=60)

    def curl(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return self.agent("curl", "-q", "-sS", "-m", "15", "--noproxy", "*", *words)

    def health(self) -> dict[str, object]:
        return self.space.do(self.proxy.health)

    def actions(self, target: str) -> list[dict[str, object]]:
        return [action for action in self.plane.actions(target) if action["metadata"].get("phase") == "end"]


def reply(query: bytes, address: str, *, status: int = 0) -> bytes:
    """What a resolver says that knows one address (RFC 1035)."""
    end = query.index(b"\0", 12) + 5
    kind = struct.unpack_from("!H", query, end - 4)[0]
    answers = 1 if not status and kind == 1 else 0
    head = query[:2] + struct.pack("!5H", 0x8180 | status, 1, answers, 0, 0)
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
    return head + query[12:end] + (record if answers else b"")


class Resolver:
    """A real resolver on UDP and TCP that knows every name to be at one address."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((RESOLVER, 53))
        self.tcp = socket.create_server((RESOLVER, 53))

    def serve_streams(self) -> None:
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            with connection:
                size = struct.unpack("!H", connection.recv(2))[0]
                answer = reply(connection.recv(size), PLACE)
                connection.sendall(struct.pack("!H", len(answer)) + answer)

    def serve(self) -> None:
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            self.asked.append(query)
            if b"silent" not in query:
                self.udp.sendto(reply(query, PLACE), peer)


@pytest.fixture
def pod(tmp_path: Path, authority) -> Iterator[Pod]:  # type: ignore[no-untyped-def]
    ca, ca_file = authority
    # Where another user may read it; pytest's own folders are this user's alone.
    readable = tempfile.mkdtemp()
    Path(readable).chmod(0o755)
    shared = Path(readable) / "ca.pem"
    shared.write_bytes(ca_file.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("api.internal", "attacker.example", "undeclared.internal").configure_cert(context)
    with namespace(f"{PLACE}/32", f"{RESOLVER}/32", f"{SIX}/128") as space:
        plane = space.do(ControlPlane)
        origin, secure = space.do(Origin), space.do(lambda: Origin(context))
        here = {"api.internal:443": f"127.0.0.1:{secure.port}", "web.internal:80": f"127.0.0.1:{origin.port}"}
        here |= {"undeclared.internal": f"127.0.0.1:{origin.port}"}
        policy = Policy("blocklist", {"domains": ["attacker.example"]}, "no exfiltration")
        plane.bundles["egress-agent"] = Bundle(agent="egress-agent", version=1, policies=(policy,))
        with running(
            tmp_path / "proxy",
            plane,
            prefix=tuple(space.command),
            hosts=here,
            transparent_host="::",
            transparent_port=0,
            dns_port=0,
            dns_upstream=RESOLVER,
            dns_label_bytes=1000,
        ) as proxy:
            until(lambda: space.do(proxy.health)["policy"]["with_policy"], "the first policy")  # type: ignore[index]
            about = proxy.log.read_text()
            port, dns = (
                int(re.search(rf"{what} on \S+ port (\d+)", about)[1]) for what in ("redirected connections", "queries")
            )  # type: ignore[index]
            space.run("nft", "-f", "-", data=RULES.format(agent=AGENT, port=port, dns=dns))
            yield Pod(space, plane, origin, secure, proxy, shared)
        plane.stop()
        origin.stop()
        secure.stop()
    shutil.rmtree(readable)


def test_a_client_that_knows_no_proxy_is_seen_by_its_tls_name(pod: Pod):
    done = pod.curl("--cacert", str(pod.ca), "--resolve", f"api.internal:443:{PLACE}", "https://api.internal/204")
    assert done.returncode == 0, done.stderr
    metadata = until(lambda: pod.actions("api.internal:443"))[0]["metadata"]  # type: ignore[index]
    assert (metadata["sni"], metadata["tls"], metadata["address"]) == ("api.internal", "hello", "127.0.0.1")
    assert metadata["bytes_down"] > 500
    assert pod.health()["counts"]["connect"] == 1  # type: ignore[index]


def test_a_plain_request_goes_where_its_host_says_and_is_seen_as_http(pod: Pod):
    done = pod.curl("--resolve", f"web.internal:80:{PLACE}", "http://web.internal/204", "-w", "%{http_code}")
    assert done.stdout.endswith(b"204"), done.stderr
    until(lambda: pod.actions("web.internal:80"))
    method, path, _, _ = pod.origin.seen[0]
    assert (method, path) == ("GET", "/204")


def test_a_denied_name_is_refused_whatever_address_the_client_chose(pod: Pod):
    words = ("--resolve", f"attacker.example:443:{PLACE}", "--cacert", str(pod.ca), "https://attacker.example/")
    done = pod.curl(*words)
    assert done.returncode == 35, done.stderr
    assert b"access denied" in done.stderr or b"alert" in done.stderr
    done = pod.curl("--resolve", f"attacker.example:80:{PLACE}", "http://attacker.example/")
    assert b'"code": "policy"' in done.stdout
    assert not pod.secure.seen


def test_an_enforced_agent_reaches_what_it_declared_and_nothing_else(pod: Pod):
    pod.plane.bundles["egress-agent"] = Bundle(
        agent="egress-agent",
        version=2,
        mode=Mode.ENFORCE,
        declaration=Declaration(destinations=("api.internal",)),
    )
    name = f"undeclared.internal:80:{PLACE}"
    until(lambda: b'"undeclared"' in pod.curl("--resolve", name, "http://undeclared.internal/").stdout)
    done = pod.curl("--cacert", str(pod.ca), "--resolve", f"api.internal:443:{PLACE}", "https://api.internal/204")
    assert done.returncode == 0, done.stderr
    code = (
        "import socket,sys\n"
        "s=socket.create_connection((sys.argv[1],int(sys.argv[2])),timeout=10)\n"
        "try: s.sendall(b'\\0raw'); print(s.recv(9))\n"
        "except ConnectionResetError: print('reset')"
    )
    script = pod.space.do(lambda: Script(lambda connection: connection.sendall(b"reached")))
    assert b"reset" in pod.agent(sys.executable, "-c", code, PLACE, str(script.port)).stdout
    assert script.accepted == 0
    script.stop()


def test_a_denied_tls_name_that_comes_after_a_silence_is_refused_too(pod: Pod):
    code = (
        "import select,socket,ssl,sys\n"
        "out=ssl.MemoryBIO()\n"
        "tls=ssl.create_default_context().wrap_bio(ssl.MemoryBIO(),out,server_hostname='attacker.example')\n"
        "try: tls.do_handshake()\n"
        "except ssl.SSLWantReadError: hello=out.read()\n"
        "s=socket.create_connection((sys.argv[1],443),timeout=30)\n"
        "select.select([s],[],[],30)\n"  # the server's greeting comes when the proxy has dialled
        "s.recv(1), s.sendall(hello)\n"
        "print(s.recv(1).hex())"
    )
    heard: list[bytes] = []
    listener = pod.space.do(lambda: socket.create_server((PLACE, 443)))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"!")
            heard.append(connection.recv(99))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    done = pod.agent(sys.executable, "-c", code, PLACE)
    assert done.stdout.strip() == b"15", (done.stdout, done.stderr)
    thread.join(DEADLINE)
    listener.close()
    assert heard == [b""]


def raw(pod: Pod, address: str, port: int, said: str) -> bytes:
    code = (
        "import socket,sys\n"
        "s=socket.create_connection((sys.argv[1],int(sys.argv[2])),timeout=10)\n"
        "s.sendall(sys.argv[3].encode()); s.shutdown(1)\n"
        "data=b''\n"
        "while part:=s.recv(999): data+=part\n"
        "print(data.decode())"
    )
    done = pod.agent(sys.executable, "-c", code, address, str(port), said)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("address", [PLACE, SIX])
def test_what_has_no_name_is_reached_and_seen_by_its_address(pod: Pod, address: str):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def listen() -> socket.socket:
        return socket.create_server((address, 7777), family=family)

    listener = pod.space.do(listen)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(DEADLINE)
            connection.sendall(b"heard " + read_all(connection))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert raw(pod, address, 7777, "\x01binary") == b"heard \x01binary"
    thread.join(DEADLINE)
    listener.close()
    shown = f"[{address}]" if ":" in address else address
    assert until(lambda: pod.actions(f"{shown}:7777"))


def test_a_server_that_speaks_first_is_heard(pod: Pod):
    listener = pod.space.do(lambda: socket.create_server((PLACE, 2222)))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(DEADLINE)
            connection.sendall(b"220 ready ")
            connection.sendall(read_all(connection))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    code = (
        "import socket,sys\n"
        "s=socket.create_connection((sys.argv[1],2222),timeout=10)\n"
        "print(s.recv(10).decode()); s.sendall(b'x'); s.shutdown(1); print(s.recv(9).decode())"
    )
    assert pod.agent(sys.executable, "-c", code, PLACE).stdout.split() == [b"220", b"ready", b"x"]
    thread.join(DEADLINE)
    listener.close()


QUERY = (
    "import socket,sys,struct,os\n"
    "name=sys.argv[1]; kind=int(sys.argv[2]); tcp=sys.argv[3]=='tcp'\n"
    "q=os.urandom(2)+struct.pack('!5H',0x100,1,0,0,0)\n"
    "q+=b''.join(bytes([len(l)])+l.encode() for l in name.split('.'))+b'\\0'+struct.pack('!2H',kind,1)\n"
    "s=socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM); s.settimeout(10)\n"
    "s.connect((sys.argv[4],int(sys.argv[5])))\n"
    "s.sendall(struct.pack('!H',len(q))+q if tcp else q)\n"
    "a=s.recv(4096); a=a[2:] if tcp else a\n"
    "assert a[:2]==q[:2]; print(struct.unpack('!H',a[2:4])[0]&15, struct.unpack('!H',a[6:8])[0])"
)


def ask(pod: Pod, name: str, *, kind: int = 1, tcp: bool = False) -> tuple[int, int]:
    """Status and number of answers; over UDP to the resolver's own address, from where it is redirected."""
    where = (RESOLVER, "53")
    if tcp:
        about = re.search(r"queries on (\S+) port (\d+)", pod.proxy.log.read_text())
        assert about is not None
        where = (about[1], about[2])
    done = pod.agent(sys.executable, "-c", QUERY, name, str(kind), "tcp" if tcp else "udp", *where)
    assert done.returncode == 0, done.stderr
    status, answers = done.stdout.split()
    return int(status), int(answers)


@pytest.fixture
def resolver(pod: Pod) -> Iterator[Resolver]:
    found = pod.space.do(Resolver)
    for serve in (found.serve, found.serve_streams):
        threading.Thread(target=serve, daemon=True).start()
    yield found
    found.tcp.shutdown(socket.SHUT_RDWR)
    found.tcp.close()
    found.udp.close()


def dns_reports(pod: Pod, name: str) -> list[dict[str, object]]:
    return [r for r in list(pod.plane.reports) if r["action"]["kind"] == "dns" and r["action"]["target"] == name]  # type: ignore[index]


def test_queries_are_passed_on_and_reported(pod: Pod, resolver: Resolver):
    assert ask(pod, "somewhere.internal") == (0, 1)
    report = until(lambda: dns_reports(pod, "somewhere.internal"))[0]  # type: ignore[index]
    metadata = report["action"]["metadata"]
    assert (metadata["method"], metadata["status"], metadata["ended"]) == ("A", 0, "closed")
    assert ask(pod, "again.internal", tcp=True) == (0, 1)
    until(lambda: dns_reports(pod, "again.internal"))


def test_a_denied_name_does_not_exist(pod: Pod, resolver: Resolver):
    assert ask(pod, "x.attacker.example")[0] == 3
    assert not [query for query in resolver.asked if b"attacker" in query]
    report = until(lambda: dns_reports(pod, "x.attacker.example"))[0]  # type: ignore[index]
    assert report["verdict"]["decision"] == "block"


def test_data_in_labels_is_flagged_and_refused_for_enforced_agents(pod: Pod, resolver: Resolver):
    def pour(domain: str, n: int) -> set[int]:
        return {ask(pod, f"{i:02d}{'ab' * 29}.{domain}", kind=16)[0] for i in range(n)}

    assert pour("leak.example", 20) == {0}
    found = until(
        lambda: [r for r in list(pod.plane.reports) if r["action"]["kind"] == "dns" and r["verdict"]["evidence"]]  # type: ignore[index]
    )
    finding = found[0]["verdict"]["evidence"][0]  # type: ignore[index]
    assert (finding["kind"], finding["value"]) == ("data in dns labels", "leak.example")
    pod.plane.bundles["egress-agent"] = Bundle(
        agent="egress-agent",
        version=2,
        mode=Mode.ENFORCE,
        declaration=Declaration(destinations=("*.leaks.example",)),
    )
    until(lambda: ask(pod, "undeclared.example")[0] == 3)
    assert pour("leaks.example", 20) == {0, 3}


def test_a_name_from_dns_names_a_connection_that_names_nothing_itself(pod: Pod, resolver: Resolver):
    listener = pod.space.do(lambda: socket.create_server((PLACE, 5432)))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(DEADLINE)
            read_all(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ask(pod, "web.internal") == (0, 1)
    until(lambda: dns_reports(pod, "web.internal"))
    raw(pod, PLACE, 80, "\x01\x02")
    assert until(lambda: pod.actions("web.internal:80"))
    socket_inside = pod.space.do(lambda: socket.create_connection((PLACE, 5432)))
    socket_inside.close()
    thread.join(DEADLINE)
    listener.close()


def test_who_owns_a_name_that_once_led_to_an_address_does_not_get_the_connections_to_it(pod: Pod, resolver: Resolver):
    """Rebinding: the name led to a database when it was looked up, and leads to its owner when somebody connects there."""
    listener = pod.space.do(lambda: socket.create_server((PLACE, 6543)))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"the database")
            connection.settimeout(DEADLINE)
            read_all(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ask(pod, "owned.attackers.example") == (0, 1)
    until(lambda: dns_reports(pod, "owned.attackers.example"))
    assert raw(pod, PLACE, 6543, "\x01\x02") == b"the database"
    thread.join(DEADLINE)
    listener.close()
    action = until(lambda: pod.actions("owned.attackers.example:6543"))[0]  # type: ignore[index]
    assert action["metadata"]["address"] == PLACE


def test_a_resolver_that_is_silent_is_a_failure_and_a_loop_goes_nowhere(pod: Pod, resolver: Resolver):
    assert ask(pod, "silent.internal")[0] == 2
    about = re.search(r"redirected connections on (\S+) port (\d+)", pod.proxy.log.read_text())
    assert about is not None
    port = int(about[2])
    with pod.space.do(lambda: socket.create_connection((PLACE, port), timeout=DEADLINE)) as direct:
        assert direct.recv(1) == b"", "nobody redirected it, so it goes nowhere"
    assert pod.health()["counts"]["not redirected"] == 1  # type: ignore[index]


def test_quic_is_refused_by_the_documented_rules(pod: Pod):
    code = (
        "import socket\n"
        "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.connect(('198.51.100.10',443))\n"
        "try: s.send(b'x'); s.send(b'x'); print('sent')\n"
        "except OSError as e: print('refused')"
    )
    assert pod.agent(sys.executable, "-c", code).stdout.strip() == b"refused"
