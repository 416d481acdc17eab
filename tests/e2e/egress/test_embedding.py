"""The proxy inside another program, or on a socket that its parent made; the agent by the address of its peer."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trustme

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.egress.config import from_values
from kaizen_security.egress.door import inherited
from kaizen_security.egress.proxy import Proxy
from tests.e2e.egress.peers import DEADLINE, ControlPlane, Origin, read_all, running, until

GET = b"GET http://web.internal/204 HTTP/1.1\r\nHost: web.internal\r\nConnection: close\r\n\r\n"


def ask(address: tuple[str, int], *, source: str = "127.0.0.1") -> bytes:
    with socket.create_connection(address, timeout=DEADLINE, source_address=(source, 0)) as client:
        client.sendall(GET)
        return read_all(client)


def settings(tmp_path: Path, plane: ControlPlane, origin: Origin, **more: object) -> dict[str, object]:
    hosts = {"web.internal": f"127.0.0.1:{origin.port}"}
    about = {"port": 0, "data": str(tmp_path / "data"), "api_url": plane.url, "api_key": "kz_test"}
    return {**about, "hosts": hosts, **more}


def test_a_program_runs_it_on_a_thread_and_a_socket_of_its_own_and_is_shown_what_it_sees(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    seen = []
    proxy = Proxy(from_values(settings(tmp_path, plane, origin, agent="billing-bot")), saw=seen.append)
    listener = socket.create_server(("127.0.0.1", 0))
    where = proxy.start(listener)
    assert where == listener.getsockname()
    thread = threading.Thread(target=proxy.run)
    thread.start()
    assert ask(where).startswith(b"HTTP/1.1 204 ")
    until(lambda: seen and seen[-1].ended)
    proxy.stop()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    record = seen[-1]
    assert (record.agent, record.target, record.ended) == ("billing-bot", "web.internal:80", "closed")
    assert record.down > 0
    assert plane.actions("web.internal:80")


def test_a_listener_that_raises_is_counted_and_takes_no_report_with_it(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    def breaks(record: object) -> None:
        raise ValueError("of the embedding program")

    proxy = Proxy(from_values(settings(tmp_path, plane, origin)), saw=breaks)
    where = proxy.start()
    thread = threading.Thread(target=proxy.run)
    thread.start()
    ask(where)
    until(lambda: proxy.health()["reports"]["lost"])
    assert set(proxy.health()["reports"]["lost"]) == {"listener failed"}
    proxy.stop()
    thread.join(DEADLINE)
    assert plane.actions("web.internal:80")


def test_a_client_that_resets_before_its_handshake_begins_is_no_mistake_of_ours(
    tmp_path: Path, plane: ControlPlane, origin: Origin, authority: tuple[trustme.CA, Path]
):
    pem = tmp_path / "proxy.pem"
    authority[0].issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    proxy = Proxy(from_values(settings(tmp_path, plane, origin, tls_cert=str(pem))))
    where = proxy.start()
    with socket.create_connection(where, timeout=DEADLINE) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    thread = threading.Thread(target=proxy.run)
    thread.start()
    until(lambda: proxy.counts["handshakes failed"] + proxy.counts["internal errors"])
    proxy.stop()
    thread.join(DEADLINE)
    assert proxy.counts["internal errors"] == 0


def test_a_process_serves_on_the_socket_that_its_parent_left_open(tmp_path: Path):
    listener = socket.create_server(("127.0.0.1", 0))
    command = [sys.executable, "-m", "kaizen_security.cli", "egress", "--listen-fd", str(listener.fileno())]
    process = subprocess.Popen(
        [*command, "--data", str(tmp_path / "data")],
        pass_fds=[listener.fileno()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"listening on http://127.0.0.1:{listener.getsockname()[1]}\n"
    with socket.create_connection(listener.getsockname(), timeout=DEADLINE) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b'"status": "ok"' in read_all(client)
    listener.close()
    process.terminate()
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 0


def test_a_descriptor_that_is_no_listening_socket_is_named():
    one, other = socket.socketpair()
    with one, other, pytest.raises(Misconfigured, match="listen_fd"):
        inherited(one.fileno())
    with pytest.raises(Misconfigured, match="listen_fd"):
        inherited(1 << 20)


def test_the_agent_is_named_by_the_address_of_its_peer(tmp_path: Path, plane: ControlPlane, origin: Origin):
    sources = {"127.0.0.0/8": "wide", "127.0.0.64/26": "narrow", "::1/128": "six"}
    with running(
        tmp_path, plane, hosts={"web.internal": f"127.0.0.1:{origin.port}"}, sources=sources, agent="none"
    ) as proxy:
        for source in ("127.0.0.1", "127.0.0.70"):
            assert ask((proxy.host, proxy.port), source=source).startswith(b"HTTP/1.1 204 ")
        until(lambda: {report["agent"] for report in list(plane.reports)} == {"wide", "narrow"})
        assert {"wide", "narrow", "six"} <= plane.agents_asked
