"""Payload inspection: tunnels opened behind an authority of ours, with real clients and origins in TLS."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import zlib
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from kaizen_security.cli import main
from kaizen_security.observer.credential_rules import crc32_base62
from tests.e2e.egress.peers import ControlPlane, Origin, Running, Script, read_all, read_head, running, until
from tests.e2e.egress.test_clients import files, needs, ran, wheel
from tests.e2e.egress.test_more_clients import FETCH, WEBSOCKET, node, node_origin  # noqa: F401 - a fixture
from tests.e2e.sidecar_process import Process
from tests.e2e.typescript.conftest import sdk  # noqa: F401 - a fixture

pytest.importorskip("cryptography")

_BODY = "7Qw2Zk9Lm4Xc8Vb1Nn5Jh3Gf6Dd0Ss"
TOKEN = f"ghp_{_BODY}000000"[:-6] + crc32_base62(_BODY)  # nobody's: its sum is right, and nobody issued it


class Opened:
    """What a proxy that opens TLS needs, and what its clients need."""

    def __init__(self, folder: Path, port: int, authority: tuple[trustme.CA, Path]) -> None:
        self.authority = authority
        self.ca = folder / "inspect-ca.pem"
        self.bundle = folder / "bundle.pem"
        assert main(["egress", "ca", "--cert", str(self.ca), "--key", str(folder / "inspect-ca.key")]) == 0
        self.hosts = {"api.internal:443": f"127.0.0.1:{port}", "other.internal:443": f"127.0.0.1:{port}"}
        self.table = {
            "ca_cert": str(self.ca),
            "ca_key": str(folder / "inspect-ca.key"),
            "extra_ca": [str(authority[1])],
        }

    def settings(self, **more: object) -> dict[str, object]:
        return {"hosts": self.hosts, "inspect": {**self.table, **more}}


@pytest.fixture
def opened(tmp_path: Path, secure: Origin, authority) -> Opened:
    return Opened(tmp_path, secure.port, authority)


@pytest.fixture
def canary(tmp_path: Path, capsys) -> tuple[str, str]:
    """A canary and the file that knows it."""
    path = str(tmp_path / "canaries.json")
    capsys.readouterr()
    assert main(["canary", "new", "--file", path, "--name", "old passwords"]) == 0
    return capsys.readouterr().out.strip(), path


def handshake(
    proxy: Running, ca: Path, *, host: str = "api.internal", sni: str = "", alpn: tuple[str, ...] = ()
) -> ssl.SSLSocket:
    """A client in TLS through a tunnel; it trusts ``ca`` alone."""
    raw, head = proxy.tunnel(f"{host}:443")
    assert head.startswith(b"HTTP/1.1 200 "), head
    context = ssl.create_default_context(cafile=str(ca))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context.wrap_socket(raw, server_hostname=sni or host)


def exchange(
    proxy: Running, ca: Path, *parts: bytes, host: str = "api.internal"
) -> tuple[int, dict[str, object], bytes]:
    """Send a request in those parts, each a write of its own: status, document, the answer whole."""
    with handshake(proxy, ca, host=host) as client:
        try:
            for part in parts:
                client.sendall(part)
            answer = read_all(client)
        except (ConnectionError, ssl.SSLError):
            answer = read_all(client)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body), answer


def request(path: str = "/", *fields: str, method: str = "POST", host: str = "api.internal") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n".encode()


def post(body: bytes, *fields: str) -> bytes:
    return request("/", f"Content-Length: {len(body)}", *fields) + body


def raw_origin(opened: Opened, got: list[bytes]) -> Script:
    """An origin in TLS that keeps every byte."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    opened.authority[0].issue_cert("api.internal").configure_cert(context)

    def act(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            while part := secured.recv(65536):
                got.append(part)

    return Script(act)


def begun(proxy: Running, target: str) -> bytes:
    """The answer to a CONNECT."""
    client, head = proxy.tunnel(target)
    client.close()
    return head


def of_kind(plane: ControlPlane, kind: str) -> list[dict[str, object]]:
    """Reports with a finding of that kind."""
    return [
        report
        for report in list(plane.reports)
        if any(finding["kind"] == kind for finding in report["verdict"]["evidence"])  # type: ignore[index]
    ]


def test_a_tunnel_is_opened_and_each_request_is_an_action(
    tmp_path: Path, plane: ControlPlane, opened: Opened, secure: Origin
):
    with running(tmp_path / "proxy", plane, **opened.settings()) as proxy:
        with handshake(proxy, opened.ca, alpn=("h2", "http/1.1")) as client:
            assert client.selected_alpn_protocol() == "http/1.1"
            names = client.getpeercert()["subjectAltName"]  # type: ignore[index]
            assert names == (("DNS", "api.internal"),)
            for number in range(3):
                client.sendall(f"GET /{number} HTTP/1.1\r\nHost: api.internal\r\n\r\n".encode())
                answer = b""
                while not answer.endswith(b"}"):
                    answer += client.recv(65536)
                assert b" 200 " in answer[:20]
        actions = until(
            lambda: (
                found
                if len(found := [a for a in plane.actions("api.internal:443") if a["metadata"].get("phase") == "end"])
                == 4
                else None
            )
        )
        kinds = sorted(action["kind"] for action in actions)  # type: ignore[attr-defined]
        assert kinds == ["connect", "http", "http", "http"]
        assert {action["metadata"]["inspected"] for action in actions} == {"all"}  # type: ignore[attr-defined]
        statuses = {action["metadata"].get("status") for action in actions if action["kind"] == "http"}  # type: ignore[attr-defined]
        assert statuses == {200}
    assert len({one[3] for one in secure.seen}) == 1, "the connection to the origin is kept"


SPOKEN = {
    "plain": TOKEN.encode(),
    "percent": quote(TOKEN.replace("_", "%5F")).replace("%255F", "%5F").encode(),
    "base64": base64.b64encode(f"the token is {TOKEN}, use it".encode()),
    "hex": TOKEN.encode().hex().encode(),
    "json": json.dumps({"text": f"it is {TOKEN}"}).encode(),
    "base64 of gzip": base64.b64encode(gzip.compress(f"the token is {TOKEN}".encode())),
}


def test_a_credential_in_a_body_does_not_leave_in_enforce_mode(
    tmp_path: Path, plane: ControlPlane, opened: Opened, secure: Origin
):
    with running(tmp_path / "proxy", plane, mode="enforce", **opened.settings()) as proxy:
        for form, said in SPOKEN.items():
            status, document, whole = exchange(proxy, opened.ca, post(b"note=" + said))
            assert status == 403, form
            assert document["error"]["code"] == "payload"  # type: ignore[index]
            assert document["error"]["rules"][0]["kind"] == "credential leaves"  # type: ignore[index]
            assert document["error"]["what_to_do"]  # type: ignore[index]
            assert TOKEN.encode() not in whole
        reports = until(lambda: found if len(found := of_kind(plane, "credential leaves")) == len(SPOKEN) else None)
        assert {report["verdict"]["decision"] for report in reports} == {"block"}  # type: ignore[attr-defined]
        assert _BODY not in json.dumps(plane.reports)
    assert not secure.seen


def test_in_observe_mode_it_is_flagged_and_leaves(tmp_path: Path, plane: ControlPlane, opened: Opened, secure: Origin):
    with running(tmp_path / "proxy", plane, **opened.settings()) as proxy:
        assert exchange(proxy, opened.ca, post(SPOKEN["json"]))[0] == 200
        report = until(lambda: of_kind(plane, "credential leaves"))
        assert report[0]["verdict"]["decision"] == "allow"  # type: ignore[index]
    assert len(secure.seen) == 1


def test_a_credential_where_credentials_belong_leaves(
    tmp_path: Path, plane: ControlPlane, opened: Opened, secure: Origin
):
    basic = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    with running(tmp_path / "proxy", plane, mode="enforce", **opened.settings()) as proxy:
        for field in (f"Authorization: Bearer {TOKEN}", f"Authorization: Basic {basic}", f"X-Api-Key: {TOKEN}"):
            assert exchange(proxy, opened.ca, post(b"{}", field))[0] == 200
        assert exchange(proxy, opened.ca, post(json.dumps({"access_token": TOKEN}).encode()))[0] == 200
        # Another's token at this host is to be seen all the same.
        until(lambda: of_kind(plane, "credential leaves"))
        assert exchange(proxy, opened.ca, post(b"{}", f"X-Note: {TOKEN}"))[0] == 403
    assert len(secure.seen) == 4


PLACES = {
    "field": lambda value: (request("/", f"X-Note: {value}", "Content-Length: 0"),),
    "field, base64": lambda value: (
        request("/", f"X-Note: {base64.b64encode(value.encode()).decode()}", "Content-Length: 0"),
    ),
    "authorization": lambda value: (request("/", f"Authorization: Bearer {value}", "Content-Length: 0"),),
    "path": lambda value: (request(f"/found/{value}", method="GET"),),
    "query, percent": lambda value: (request(f"/?q={''.join(f'%{ord(char):02x}' for char in value)}", method="GET"),),
    "body": lambda value: (post(f"so: {value}.".encode()),),
    "body, upper case": lambda value: (post(f"so: {value.upper()}.".encode()),),
    "body, reversed": lambda value: (post(f"so: {value[::-1]}.".encode()),),
    "body, gzip": lambda value: (post(gzip.compress(f"so: {value}.".encode()), "Content-Encoding: gzip"),),
    "body, deflate": lambda value: (post(zlib.compress(f"so: {value}.".encode()), "Content-Encoding: deflate"),),
    "chunks": lambda value: (
        request("/", "Transfer-Encoding: chunked"),
        *(b"1\r\n%c\r\n" % byte for byte in f"so: {value}.".encode()),
        b"0\r\n\r\n",
    ),
    "chunks, base64": lambda value: (
        request("/", "Transfer-Encoding: chunked"),
        *(b"3\r\n%b\r\n" % part for part in re.findall(b"...", base64.b64encode(f"so it is {value}!!".encode()))),
        b"0\r\n\r\n",
    ),
    "trailer": lambda value: (
        request("/", "Transfer-Encoding: chunked"),
        f"4\r\nbody\r\n0\r\nX-Sum: {value}\r\n\r\n".encode(),
    ),
}


def test_a_canary_leaves_nowhere_in_observe_mode_neither(
    tmp_path: Path, plane: ControlPlane, opened: Opened, secure: Origin, canary
):
    value, path = canary
    with running(tmp_path / "proxy", plane, **opened.settings(canaries=path)) as proxy:
        for place, parts in PLACES.items():
            status, document, whole = exchange(proxy, opened.ca, *parts(value))
            assert (status, document["decision"]) == (403, "block"), place
            assert document["error"]["rules"][0]["value"] == "canary old passwords"  # type: ignore[index]
            assert value.encode() not in whole
        until(lambda: len(of_kind(plane, "canary")) == len(PLACES))
    assert not secure.seen


def test_wherever_in_a_long_body_it_stands_it_is_seen_before_it_has_left(
    tmp_path: Path, plane: ControlPlane, opened: Opened, canary
):
    """The origin is a raw one that keeps what arrives, so that half a canary would be seen."""
    value, path = canary
    filler = (b"the plain words of a body " * 12_000)[:300_000]
    got: list[bytes] = []
    origin = raw_origin(opened, got)
    settings = opened.settings(canaries=path)
    settings["hosts"] = {"api.internal:443": f"127.0.0.1:{origin.port}"}
    with running(tmp_path / "proxy", plane, **settings) as proxy:
        for at, packed in [
            (0, False),
            (12_000, True),
            (16_380, False),
            (20_470, True),
            (40_000, False),
            (299_950, True),
        ]:
            got.clear()
            body = filler[:at] + b" " + value.encode() + b" " + filler[at:]
            if packed:
                body = gzip.compress(body, 1)
            pieces = [body[cut : cut + 7000] for cut in range(0, len(body), 7000)]
            fields = ("Content-Encoding: gzip",) if packed else ()
            head = request("/", f"Content-Length: {len(body)}", *fields)
            assert exchange(proxy, opened.ca, head, *pieces)[0] == 403
            sent = b"".join(got).partition(b"\r\n\r\n")[2]
            assert value[:8].encode() not in (zlib.decompressobj(31).decompress(sent) if packed else sent)
    origin.stop()


def test_a_bomb_is_not_unpacked_and_refused_where_the_unreadable_is(
    tmp_path: Path, plane: ControlPlane, opened: Opened
):
    bomb = gzip.compress(bytes(64 << 20))
    with running(tmp_path / "proxy", plane, **opened.settings(unreadable="refuse")) as proxy:
        status, document, _ = exchange(proxy, opened.ca, post(bomb, "Content-Encoding: gzip"))
        assert (status, document["error"]["code"]) == (403, "not-inspectable")  # type: ignore[index]
        status, document, _ = exchange(proxy, opened.ca, post(b"\x0b\x02\x80abc\x03", "Content-Encoding: br"))
        assert (status, document["error"]["rules"][0]["value"]) == (403, "encoding")  # type: ignore[index]


def test_beyond_the_cap_it_is_said_that_nobody_looked(
    tmp_path: Path, plane: ControlPlane, opened: Opened, secure: Origin
):
    body = b"the plain words of a body " * 20_000
    with running(tmp_path / "proxy", plane, **opened.settings(bytes=100_000)) as proxy:
        status, document, _ = exchange(proxy, opened.ca, post(body))
        assert (status, document["digest"]) == (200, hashlib.sha256(body).hexdigest())
        until(lambda: [a for a in plane.actions("api.internal:443") if a["metadata"].get("inspected") == "bytes"])


@pytest.fixture
def plans(tmp_path: Path) -> Path:
    """The file that knows a document which must not leave."""
    text = tmp_path / "plans.txt"
    text.write_text(
        "The ceiling for the Aurora purchase is nine million; walk away above that, whatever Mr. Quist says.\n" * 3
    )
    path = tmp_path / "documents.json"
    assert main(["egress", "documents", "--file", str(path), str(text)]) == 0
    assert "nine" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    return path


def test_words_of_a_document_do_not_leave(
    tmp_path: Path, plane: ControlPlane, opened: Opened, secure: Origin, plans: Path
):
    said = b"FYI: walk away above that, whatever MR. QUIST says (they told me)"
    with running(tmp_path / "proxy", plane, mode="enforce", **opened.settings(documents=str(plans))) as proxy:
        assert exchange(proxy, opened.ca, post(b"Mr. Quist says hello, and walk away"))[0] == 200
        status, document, _ = exchange(proxy, opened.ca, post(said))
        assert (status, document["error"]["rules"][0]["kind"]) == (403, "document leaves")  # type: ignore[index]
        assert exchange(proxy, opened.ca, post(base64.b64encode(said)))[0] == 403
    assert len(secure.seen) == 1


def digest(count: int, seed: int) -> tuple[bytes, str]:
    data = hashlib.shake_128(bytes([seed])).digest(1 << 20) * count
    return data, hashlib.sha256(data).hexdigest()


def rss(proxy: Running) -> int:
    """Kilobytes of resident memory, the highest so far."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{proxy.process.pid}/status").read_text())
    assert found
    return int(found[1])


def test_thirty_megabytes_both_ways_arrive_whole_in_flat_memory(tmp_path: Path, plane: ControlPlane, opened: Opened):
    data, expected = digest(30, 7)

    def both(connection: socket.socket) -> None:
        """Answers with what it is sent, while it is being sent."""
        with context.wrap_socket(connection, server_side=True) as secured:
            head = b""
            while b"\r\n\r\n" not in head:
                head += secured.recv(65536)
            body = head.partition(b"\r\n\r\n")[2]
            secured.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode())
            left = len(data)
            while body:
                secured.sendall(body)
                left -= len(body)
                body = secured.recv(65536) if left else b""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    opened.authority[0].issue_cert("api.internal").configure_cert(context)
    origin = Script(both)
    settings = opened.settings()
    settings["hosts"] = {"api.internal:443": f"127.0.0.1:{origin.port}"}
    with running(tmp_path / "proxy", plane, **settings) as proxy:
        before = rss(proxy)
        upload = tmp_path / "up.bin"
        upload.write_bytes(data)
        curl = ["curl", "-q", "-sS", "-m", "120", "--noproxy", ""]
        done = subprocess.run(
            [*curl, "-x", proxy.url, "--cacert", opened.ca, "-H", "Expect:", "-T", upload, "https://api.internal/up"],
            capture_output=True,
            timeout=130,
        )
        assert done.returncode == 0, done.stderr
        assert hashlib.sha256(done.stdout).hexdigest() == expected
        assert rss(proxy) - before < 16 << 10
    origin.stop()


def test_an_origin_that_nobody_vouches_for_is_not_reached(
    tmp_path: Path, plane: ControlPlane, secure: Origin, authority
):
    other = trustme.CA()
    path = tmp_path / "other.pem"
    other.cert_pem.write_to_path(str(path))
    opened = Opened(tmp_path, secure.port, (authority[0], path))
    with running(tmp_path / "proxy", plane, **opened.settings()) as proxy:
        status, document, _ = exchange(proxy, opened.ca, post(b"{}"))
        assert status == 502
        assert "certificate of api.internal does not hold" in document["error"]["message"]  # type: ignore[index]
    assert not secure.seen


def test_an_origin_with_another_names_certificate_is_not_reached(
    tmp_path: Path, plane: ControlPlane, opened: Opened, secure: Origin
):
    settings = opened.settings()
    settings["hosts"] = {"elsewhere.internal:443": f"127.0.0.1:{secure.port}"}
    with running(tmp_path / "proxy", plane, **settings) as proxy:
        assert exchange(proxy, opened.ca, request(host="elsewhere.internal"), host="elsewhere.internal")[0] == 502
    assert not secure.seen


def test_an_address_gets_a_certificate_for_it(tmp_path: Path, plane: ControlPlane, opened: Opened, authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("127.0.0.1").configure_cert(context)
    origin = Origin(context)
    with running(tmp_path / "proxy", plane, allow_loopback=True, **opened.settings()) as proxy:
        raw, _ = proxy.tunnel(f"127.0.0.1:{origin.port}")
        with ssl.create_default_context(cafile=str(opened.ca)).wrap_socket(raw, server_hostname="127.0.0.1") as client:
            assert client.getpeercert()["subjectAltName"] == (("IP Address", "127.0.0.1"),)  # type: ignore[index]
            client.sendall(request("/", method="GET", host=f"127.0.0.1:{origin.port}"))
            assert read_all(client).startswith(b"HTTP/1.1 200 ")
    origin.stop()


def test_bypassed_hosts_and_what_is_not_tls_stay_closed(
    tmp_path: Path, plane: ControlPlane, opened: Opened, secure: Origin, authority
):
    with running(tmp_path / "proxy", plane, **opened.settings(bypass=["api.internal"])) as proxy:
        # The origin's own certificate arrives, which the authority of the proxy did not sign.
        with handshake(proxy, authority[1]) as client:
            client.sendall(post(TOKEN.encode()))
            assert read_all(client).startswith(b"HTTP/1.1 200 ")
        until(lambda: [a for a in plane.actions("api.internal:443") if a["metadata"].get("inspected") == "bypassed"])
        # Its name in a hello to another destination is no way past.
        with handshake(proxy, opened.ca, host="other.internal", sni="api.internal"):
            pass


def test_a_client_that_pins_is_named_and_passes_only_where_that_is_declared(
    tmp_path: Path, plane: ControlPlane, opened: Opened, authority
):
    for pinned in ("refuse", "bypass"):
        plane.reports.clear()
        with running(tmp_path / pinned, plane, **opened.settings(pinned=pinned)) as proxy:
            with pytest.raises(ssl.SSLError):
                handshake(proxy, authority[1])
            report = until(lambda: of_kind(plane, "client does not trust"))
            assert "unknown ca" in report[0]["verdict"]["evidence"][0]["observed"]  # type: ignore[index]
            if pinned == "refuse":
                with pytest.raises(ssl.SSLError):
                    handshake(proxy, authority[1])
                with handshake(proxy, opened.ca):
                    pass  # a client that does trust is not kept out by one that does not
            else:
                with handshake(proxy, authority[1]) as client:
                    client.sendall(post(b"{}"))
                    assert read_all(client).startswith(b"HTTP/1.1 200 ")
                until(
                    lambda: [a for a in plane.actions("api.internal:443") if a["metadata"].get("inspected") == "pinned"]
                )


def test_a_client_that_speaks_http_2_alone_is_not_opened(
    tmp_path: Path, plane: ControlPlane, opened: Opened, authority
):
    with running(tmp_path / "proxy", plane, **opened.settings()) as proxy:
        with handshake(proxy, authority[1], alpn=("h2",)):
            pass
        until(lambda: [a for a in plane.actions("api.internal:443") if a["metadata"].get("inspected") == "http2-only"])
    with running(tmp_path / "strict", plane, **opened.settings(unreadable="refuse")) as proxy:
        with pytest.raises(ssl.SSLError):
            handshake(proxy, authority[1], alpn=("h2",))
        until(lambda: of_kind(plane, "not inspectable"))


def test_a_host_field_for_another_site_is_fronting(tmp_path: Path, plane: ControlPlane, opened: Opened, secure: Origin):
    plane.policies = [{"mode": "blocklist", "rules": {"domains": ["attacker.example"]}, "name": "x", "enabled": True}]
    with running(tmp_path / "proxy", plane, **opened.settings()) as proxy:
        assert exchange(proxy, opened.ca, request(host="attacker.example", method="GET"))[0] == 403
        assert exchange(proxy, opened.ca, request(host="cdn.example", method="GET"))[0] == 200
        until(lambda: of_kind(plane, "domain fronting"))
    assert [dict(one[2])["Host"] for one in secure.seen] == ["cdn.example"]


def test_a_policy_that_changes_holds_for_the_next_request_of_an_open_tunnel(
    tmp_path: Path, plane: ControlPlane, opened: Opened
):
    with running(tmp_path / "proxy", plane, **opened.settings()) as proxy, handshake(proxy, opened.ca) as client:
        client.sendall(b"GET /1 HTTP/1.1\r\nHost: api.internal\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        plane.policies = [{"mode": "blocklist", "rules": {"domains": ["api.internal"]}, "name": "x", "enabled": True}]
        until(lambda: begun(proxy, "api.internal:443").startswith(b"HTTP/1.1 403 "))
        client.sendall(b"GET /2 HTTP/1.1\r\nHost: api.internal\r\n\r\n")
        assert b" 403 " in read_all(client)


# --- clients as they are ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path, plane: ControlPlane, authority):  # type: ignore[no-untyped-def]
    """A folder that is served as https://api.internal, an opening proxy before it, and the environment of an agent behind that."""
    folder = tmp_path / "shop"
    folder.mkdir()
    with files(folder, authority) as port:
        opened = Opened(tmp_path, port, authority)
        with running(tmp_path / "proxy", plane, **opened.settings()) as proxy:
            yield folder, trusting(proxy, opened, tmp_path)
            found = until(lambda: [a for a in plane.actions("api.internal:443") if a["kind"] == "http"])
            assert found[0]["metadata"]["inspected"] == "all"  # type: ignore[index]


def trusting(proxy: Running, opened: Opened, home: Path) -> dict[str, str]:
    """What ``kaizen egress trust`` says, on top of nothing but PATH and the proxy."""
    command = [sys.executable, "-m", "kaizen_security.cli", "egress", "trust"]
    done = subprocess.run(
        [*command, "--ca", str(opened.ca), "--bundle", str(opened.bundle)], capture_output=True, text=True, check=True
    )
    said = dict(line.removeprefix("export ").split("=", 1) for line in done.stdout.splitlines())
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    return env | said | dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy.url)


def test_node_fetches_and_carries_a_websocket(tmp_path: Path, plane: ControlPlane, node_origin: int, authority):  # noqa: F811
    opened = Opened(tmp_path, node_origin, authority)
    with running(tmp_path / "proxy", plane, **opened.settings()) as proxy:
        assert json.loads(node(FETCH, proxy=proxy, ca=opened.ca))["version"] == "1.1"
        assert node(WEBSOCKET, proxy=proxy, ca=opened.ca) == "echo hello"
        until(lambda: [a for a in plane.actions("api.internal:443") if a["metadata"].get("status") == 101])
    with running(tmp_path / "strict", plane, mode="enforce", **opened.settings()) as proxy:
        secret = WEBSOCKET.replace("'hello'", repr(f"it is {TOKEN}")).replace("process.exit(1)", "process.exit(0)")
        assert node(
            secret + "socket.addEventListener('close', () => console.log('cut'));", proxy=proxy, ca=opened.ca
        ) in ("", "cut")
        found = until(lambda: [r for r in of_kind(plane, "credential leaves") if r["verdict"]["decision"] == "block"])
        assert found[0]["verdict"]["evidence"][0]["field"] == "message"  # type: ignore[index]


def test_clients_that_speak_tls_to_the_proxy_itself(
    tmp_path: Path, plane: ControlPlane, opened: Opened, secure: Origin, authority
):
    pem = tmp_path / "proxy.pem"
    authority[0].issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    proxy = Running(tmp_path / "proxy", plane.url, tls_cert=str(pem), **opened.settings())
    body = tmp_path / "body.bin"
    body.write_bytes(os.urandom(1 << 20))
    command = ["curl", "-q", "-sS", "-m", "60", "--noproxy", "", "-x", f"https://127.0.0.1:{proxy.port}"]
    command += [
        "--proxy-cacert",
        str(authority[1]),
        "--cacert",
        str(opened.ca),
        "-T",
        str(body),
        "https://api.internal/up",
    ]
    done = subprocess.run(command, capture_output=True, timeout=70)
    assert proxy.terminate() == 0
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == hashlib.sha256(body.read_bytes()).hexdigest()


def test_an_expected_body_is_waited_for(tmp_path: Path, plane: ControlPlane, opened: Opened):
    """The origin says 100, and only then the client sends; what it sends then is looked at."""
    got: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    opened.authority[0].issue_cert("api.internal").configure_cert(context)

    def act(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            got.append(read_head(secured))
            secured.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            got.append(secured.recv(5))
            secured.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    origin = Script(act)
    settings = opened.settings()
    settings["hosts"] = {"api.internal:443": f"127.0.0.1:{origin.port}"}
    with running(tmp_path / "proxy", plane, **settings) as proxy, handshake(proxy, opened.ca) as client:
        client.sendall(request("/", "Expect: 100-continue", "Content-Length: 5"))
        assert read_head(client) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        assert read_all(client).startswith(b"HTTP/1.1 204 ")
    origin.stop()
    assert got[1] == b"hello"


def test_what_cannot_be_used_keeps_it_from_starting_and_is_named(tmp_path: Path, opened: Opened):
    file = tmp_path / "egress.json"
    for name, said in (("ca_cert", "none.pem"), ("extra_ca", ["none"])):
        file.write_text(json.dumps({"inspect": {**opened.table, name: said}, "port": 0}))
        command = [sys.executable, "-m", "kaizen_security.cli", "egress", "--config", str(file)]
        done = subprocess.run([*command, "--data", str(tmp_path / "data")], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert f"inspect.{name}" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_the_proxy_that_is_python_alone_says_what_it_needs(tmp_path: Path, opened: Opened):
    file = tmp_path / "egress.json"
    file.write_text(json.dumps({"inspect": opened.table, "port": 0}))
    script = Path(__file__).parents[3] / "egress/proxy.py"
    command = [sys.executable, script, "--config", file, "--data", tmp_path / "data"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip install '.[inspect]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_bundle_holds_what_was_trusted_before(tmp_path: Path, opened: Opened, capsys):
    capsys.readouterr()
    assert main(["egress", "trust", "--ca", str(opened.ca), "--bundle", str(opened.bundle)]) == 0
    own = ssl.PEM_cert_to_DER_cert(opened.ca.read_text())
    system = ssl.create_default_context()
    both = ssl.create_default_context(cafile=str(opened.bundle))
    trusted = set(both.get_ca_certs(binary_form=True))
    assert own in trusted
    assert trusted > set(system.get_ca_certs(binary_form=True))
    assert len(trusted) > 20


def test_curl(shop):
    folder, env = shop
    (folder / "a.txt").write_text("hello")
    assert ran("curl", "-sS", "https://api.internal/a.txt", env=env) == "hello"
    assert ran("curl", "-sS", "--http2", "https://api.internal/a.txt", env=env) == "hello"


def test_requests_httpx_urllib_and_aiohttp(shop):
    folder, env = shop
    (folder / "a.txt").write_text("hello")
    ask = "https://api.internal/a.txt"
    for code in (
        f"import requests; print(requests.get({ask!r}, timeout=30).text)",
        f"import httpx; print(httpx.get({ask!r}, timeout=30).text)",
        f"import urllib.request as u; print(u.urlopen({ask!r}, timeout=30).read().decode())",
    ):
        assert ran(sys.executable, "-c", code, env=env).strip() == "hello"


def test_git_clones(shop, tmp_path: Path):
    needs("git")
    folder, env = shop
    work = tmp_path / "work"
    work.mkdir()
    env |= {f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    ran("git", "init", "-q", "-b", "main", env=env, cwd=work)
    (work / "big.bin").write_bytes(os.urandom(1 << 20))
    ran("git", "add", ".", env=env, cwd=work)
    ran("git", "commit", "-qm", "one", env=env, cwd=work)
    ran("git", "clone", "-q", "--bare", work, folder / "repo.git", env=env)
    ran("git", "update-server-info", env=env, cwd=folder / "repo.git")
    ran("git", "clone", "-q", "https://api.internal/repo.git", tmp_path / "copy", env=env)
    assert (tmp_path / "copy/big.bin").read_bytes() == (work / "big.bin").read_bytes()


def test_pip_downloads(shop, tmp_path: Path):
    folder, env = shop
    place = folder / "simple/kzdemo"
    place.mkdir(parents=True)
    wheel(place)
    (place / "index.html").write_text('<a href="kzdemo-1.0-py3-none-any.whl">kzdemo-1.0-py3-none-any.whl</a>')
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-cache-dir"]
    ran(
        *pip,
        "--index-url",
        "https://api.internal/simple",
        "-d",
        tmp_path,
        "kzdemo",
        env=env | {"PIP_CONFIG_FILE": os.devnull},
    )
    assert (tmp_path / "kzdemo-1.0-py3-none-any.whl").is_file()


def test_what_the_run_has_read_is_known_from_the_sidecar(tmp_path: Path, opened: Opened, secure: Origin):
    """A real sidecar hears of a sensitive reading; the proxy sees its words leave in a request that no client has told of."""
    (tmp_path / "sidecar").mkdir()
    sidecar = Process(tmp_path / "sidecar").start()
    said = "Anna Olsen earns 58211 and Bert Quist earns 61877 a year"
    settings = opened.settings(readings=True)
    settings |= {"sidecar": f"unix://{sidecar.socket}", "api_key": ""}
    ids = map(str, count())
    try:
        with running(tmp_path / "proxy", "http://127.0.0.1:9", **settings) as proxy:

            def flagged() -> bool:
                # Until the proxy has asked for the first time, nothing is kept: so the agent reads again.
                of = {"run_id": "r", "agent": "egress-agent"}
                reading = {"tool": "read", "id": next(ids), "metadata": {"source": "sdk", "sensitive": True}, **of}
                result = {"step": "result", "action_id": reading["id"], "content": said, **of}
                assert sidecar.ask("POST", "/v1/inspect", {"action": reading, "agent": "egress-agent"})[0] == 200
                assert sidecar.ask("POST", "/v1/steps", {"agent": "egress-agent", "steps": [result]})[0] == 200
                assert exchange(proxy, opened.ca, post(f"fyi: {said}".encode()))[0] == 200
                return bool(proxy.health()["counts"].get("reading leaves"))  # type: ignore[attr-defined]

            until(flagged, seconds=60)
    finally:
        sidecar.stop()
