"""The judging process in a network where it could reach anybody: it reaches control plane and model, and nobody else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2"),
]

HOSTS = {"control": "10.98.0.2", "model": "10.98.0.3", "attacker": "10.98.0.4"}
SERVERS = """
import selectors, socket, sys
look = selectors.DefaultSelector()
for name, address in (pair.split("=") for pair in sys.argv[1:]):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        wire = socket.socket(socket.AF_INET, kind)
        wire.bind((address, 443))
        if kind == socket.SOCK_STREAM: wire.listen()
        look.register(wire, selectors.EVENT_READ, (name, kind))
print("up", flush=True)
while True:
    for key, _ in look.select():
        name, kind = key.data
        if kind == socket.SOCK_STREAM: key.fileobj.accept()[0].close()
        else: key.fileobj.recv(10)
        print(name, flush=True)
"""
JUDGE = """
import socket, sys
from kaizen_security.contract.errors import KaizenError
from kaizen_security.client.http import Connection
from kaizen_security.net import outbound
from kaizen_security.sandbox.confine import confine
control, model, attacker, fenced = sys.argv[1:]
if fenced == "yes":
    confine([(control, 443), (model, 443)])
def tried(what):
    try:
        what()
    except (OSError, KaizenError):
        pass
for host in (control, model, attacker):
    tried(lambda: socket.create_connection((host, 443), 2).close())
tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (attacker, 443)))
tried(lambda: Connection(f"http://{attacker}:443").json("GET", "/", None, {}, 2.0))
tried(lambda: outbound.send(outbound.Exchange(url=f"http://{attacker}:443/", body=b""), permitted=(attacker,), deadline=2.0))
"""


def reached(fenced):
    """Who was reached, in the order in which they were."""
    name, far = f"kf{os.getpid()}a", f"kf{os.getpid()}b"
    try:
        for words in (
            f"ip netns add {name}",
            f"ip netns add {far}",
            f"ip link add veth0 netns {name} type veth peer name veth0 netns {far}",
            f"ip -n {name} addr add 10.98.0.1/24 dev veth0",
            *(f"ip -n {far} addr add {address}/24 dev veth0" for address in HOSTS.values()),
            f"ip -n {name} link set veth0 up",
            f"ip -n {far} link set veth0 up",
            f"ip -n {name} link set lo up",
        ):
            subprocess.run(words.split(), check=True, timeout=10)
        pairs = [f"{host}={address}" for host, address in HOSTS.items()]
        words = ["ip", "netns", "exec", far, sys.executable, "-c", SERVERS, *pairs]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as servers:
            assert servers.stdout is not None
            assert servers.stdout.readline() == "up\n"
            judge = ["ip", "netns", "exec", name, sys.executable, "-c", JUDGE, *HOSTS.values(), fenced]
            subprocess.run(judge, check=True, timeout=60)
            servers.kill()
            return servers.stdout.read().split()
    finally:
        for one in (name, far):
            subprocess.run(["ip", "netns", "del", one], timeout=10, check=False)


def test_without_the_fence_everybody_is_reached_and_with_it_two():
    assert reached("no") == ["control", "model", *["attacker"] * 4]
    assert reached("yes") == ["control", "model"]
