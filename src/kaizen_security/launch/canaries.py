"""The agent of ``kaizen doctor --coverage``: one harmless message out through each way that there is, and what became of it.

Started as ``python -m kaizen_security.launch.canaries`` with the places of the listener as JSON in its first argument; prints one
JSON object a line: which canary, and ``sent``, ``refused`` or ``failed``. What really arrived, only the listener knows.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from kaizen_security.launch import uring

PATIENCE = 5.0
"""Seconds that a canary may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one canary goes. ``token`` is what it carries; ``path`` is for the unix socket only."""

    host: str
    port: int
    token: str
    path: str = ""


def _proxied(place: Place) -> None:
    with urllib.request.urlopen(f"http://{place.host}:{place.port}/{place.token}", timeout=PATIENCE):
        return


def _ignoring(place: Place) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{place.host}:{place.port}/{place.token}", timeout=PATIENCE):
        return


def _noproxy(place: Place) -> None:
    curl = shutil.which("curl")
    if curl is None:
        raise FileNotFoundError("curl is not installed")
    words = [curl, "-sS", "-m", str(PATIENCE), "--noproxy", "*", f"http://{place.host}:{place.port}/{place.token}"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise PermissionError(done.stderr.strip())


def _tcp(place: Place) -> None:
    with socket.create_connection((place.host, place.port), timeout=PATIENCE) as sock:
        sock.sendall(place.token.encode())
        if not sock.recv(1):
            raise ConnectionRefusedError("closed without an answer")


def _mapped(place: Place) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect((f"::ffff:{place.host}", place.port))
        sock.sendall(place.token.encode())
        if not sock.recv(1):
            raise ConnectionRefusedError("closed without an answer")


def _udp(place: Place) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect((place.host, place.port))
        sock.send(place.token.encode())
        sock.recv(1)


def _quic(place: Place) -> None:
    """The first packet of a QUIC connection, as far as anyone on the way can tell (RFC 9000, section 17.2.2)."""
    initial = b"\xc3\0\0\0\1\x08" + place.token.encode()[:8] + b"\0\0" + struct.pack("!H", 0x4000 | 1180)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect((place.host, place.port))
        sock.send(initial.ljust(1200, b"\0"))
        sock.recv(1)


def _labels(place: Place) -> None:
    name = b"".join(bytes([len(one)]) + one.encode() for one in (place.token, "kaizen-canary", "invalid"))
    question = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + name + b"\0" + struct.pack("!HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.sendto(question, (place.host, place.port))
        sock.recv(1)


def _doh(place: Place) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((place.host, place.port), timeout=PATIENCE) as sock:
        try:
            context.wrap_socket(sock, server_hostname=f"{place.token}.kaizen-canary.invalid")
        except ssl.SSLError:
            return  # the listener has heard the name, and speaks no TLS
        except TimeoutError as err:
            raise ConnectionRefusedError("no answer") from err


def _unix(place: Place) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(place.path)
        sock.sendall(place.token.encode())
        sock.recv(1)


def _child(place: Place) -> None:
    code = (
        "import socket,sys;s=socket.create_connection((sys.argv[1],int(sys.argv[2])),timeout=5);"
        "s.sendall(sys.argv[3].encode());sys.exit(not s.recv(1))"
    )
    words = [sys.executable, "-S", "-c", code, place.host, str(place.port), place.token]
    if subprocess.run(words, env={}, stderr=subprocess.DEVNULL, start_new_session=True).returncode:
        raise PermissionError("the child could not connect")


def _io_uring(place: Place) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        uring.connect(sock, place.host, place.port)
        sock.settimeout(PATIENCE)
        sock.sendall(place.token.encode())
        if not sock.recv(1):
            raise ConnectionRefusedError("closed without an answer")


CANARIES: dict[str, tuple[str, Callable[[Place], None]]] = {
    "proxied": ("a client that obeys the proxy variables", _proxied),
    "ignoring": ("a client that ignores them", _ignoring),
    "noproxy": ("curl --noproxy", _noproxy),
    "raw-ip": ("a raw address, IPv4 mapped into IPv6", _mapped),
    "ipv6": ("IPv6", _tcp),
    "udp": ("UDP", _udp),
    "quic": ("QUIC (UDP/443)", _quic),
    "dns-labels": ("data in DNS labels", _labels),
    "doh": ("DNS over HTTPS at an undeclared host", _doh),
    "unix": ("a unix socket of another program", _unix),
    "child": ("a child in a session of its own, with a clean environment", _child),
    "io_uring": ("connect by io_uring", _io_uring),
}
"""Every way out, what people call it, and how it is tried."""


def main(argv: list[str]) -> int:
    """Try every canary of the document; always 0."""
    for name, place in json.loads(argv[1]).items():
        try:
            CANARIES[name][1](Place(**place))
            became = "sent"
        except (OSError, ssl.SSLError, urllib.error.URLError) as err:
            became = f"refused: {type(err).__name__}"
        print(json.dumps({"canary": name, "became": became}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
