"""An agent without root and without eBPF: the proxy is its only way out, and every other way ends at the namespace."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.launch.agents import SYSTEM_PYTHON, as_nobody, kaizen_run, proxy, server

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv") or not Path(SYSTEM_PYTHON).exists(),
    reason="becomes another user, which needs root, setpriv and a Python that everybody may run",
)
needs_nft = pytest.mark.skipif(not any(map(shutil.which, ("nft", "/usr/sbin/nft"))), reason="needs nft")

IGNORES_THE_PROXY = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
try:
    with socket.create_connection((host, port), timeout=60) as sock:
        sock.sendall(b"GET / HTTP/1.0\\r\\nHost: " + host.encode() + b"\\r\\n\\r\\n")
        answer = b""
        while chunk := sock.recv(4096):
            answer += chunk
        print(answer.decode().rpartition("\\r\\n")[2])
except OSError as err:
    print("refused", err.errno)
"""


def lines(done):
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.splitlines()


@pytest.mark.root
@needs_root
@needs_nft
def test_a_client_that_ignores_the_proxy_is_led_to_it_under_the_name_it_asked_for(tmp_path: Path):
    with server() as port, proxy(tmp_path / "p", {f"api.example:{port}": f"127.0.0.1:{port}"}) as url:
        words = [SYSTEM_PYTHON, "-c", IGNORES_THE_PROXY, "api.example", str(port)]
        done = as_nobody("--proxy", url, "--rung", "namespace", "--", *words, env={}, data=tmp_path)
    assert lines(done) == ["reached api.example"]
    assert "network namespace" in done.stderr


@pytest.mark.root
@needs_root
def test_udp_raw_vsock_and_the_hosts_loopback_are_shut(tmp_path: Path):
    code = """
import errno, socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(60); udp.connect(("192.0.2.7", 443)); udp.send(b"x")
try: udp.recv(10)
except OSError as err: print(errno.errorcode[err.errno])
for family, kind in ((socket.AF_VSOCK, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW)):
    try: socket.socket(family, kind)
    except OSError as err: print(errno.errorcode[err.errno])
try: socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60)
except OSError as err: print(errno.errorcode[err.errno])
"""
    with server() as port, proxy(tmp_path / "p", {}) as url:
        words = ["--rung", "namespace", "--proxy", url, "--", SYSTEM_PYTHON, "-c", code, str(port)]
        done = as_nobody(*words, env={}, data=tmp_path)
    assert lines(done) == ["ECONNREFUSED", "EACCES", "EACCES", "EACCES", "ECONNREFUSED"]
    assert "1 packets refused" in done.stderr


@pytest.mark.root
@needs_root
def test_where_namespaces_are_not_wanted_landlock_and_seccomp_leave_only_the_proxy(tmp_path: Path):
    code = """
import errno, socket, sys, urllib.request
print(urllib.request.urlopen("http://api.example:%s/" % sys.argv[1], timeout=60).read().decode())
for family, kind in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM)):
    try: socket.socket(family, kind).connect(("127.0.0.1", int(sys.argv[1])))
    except OSError as err: print(errno.errorcode[err.errno])
"""
    with server() as port, proxy(tmp_path / "p", {f"api.example:{port}": f"127.0.0.1:{port}"}) as url:
        words = ["--rung", "proxy", "--enforce", "--proxy", url, "--", SYSTEM_PYTHON, "-c", code, str(port)]
        done = as_nobody(*words, env={}, data=tmp_path)
    if "Landlock is not in force" in done.stderr:
        pytest.skip("this kernel's Landlock knows no ports")
    assert lines(done) == [f"reached api.example:{port}", "EACCES", "EACCES"]


def test_the_status_is_the_agents_own_and_what_it_left_running_ends(tmp_path: Path):
    with proxy(tmp_path / "p", {}) as url:
        words = ["--rung", "proxy", "--proxy", url, "--", "sh", "-c", "setsid sleep 300 & echo $!; exit 7"]
        done = kaizen_run(*words, env={}, data=tmp_path)
    assert done.returncode == 7
    assert not Path(f"/proc/{lines(done)[0]}").exists()


def test_a_program_that_is_not_there_is_the_shells_127(tmp_path: Path):
    with proxy(tmp_path / "p", {}) as url:
        done = kaizen_run("--rung", "proxy", "--proxy", url, "--", "/nonexistent", env={}, data=tmp_path)
    assert done.returncode == 127
    assert "No such file" in done.stderr
