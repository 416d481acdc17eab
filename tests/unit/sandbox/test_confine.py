"""The judging process reaches control plane and model, and nothing else. A hook stays, so each case is a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kaizen_security.reasoners.choice import Choice, Provider
from kaizen_security.reasoners.config import Configured, read_config
from kaizen_security.sandbox.confine import Confined, Fence, places

CASE = """
import socket, subprocess, sys, threading, http.server
from kaizen_security.sandbox.confine import Confined, confine
server = socket.create_server(("127.0.0.1", 0)); port = server.getsockname()[1]
other = socket.create_server(("127.0.0.1", 0)); elsewhere = other.getsockname()[1]
fence = confine([("localhost", port)])
def tried(what):
    try:
        what()
    except Confined:
        return "refused"
    return "done"
"""


def case(body):
    done = subprocess.run([sys.executable, "-c", CASE + body], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_listed_place_is_reached_and_no_other_port_or_address():
    assert case(
        "print(tried(lambda: socket.create_connection(('localhost', port)).close()))\n"
        "print(tried(lambda: socket.create_connection(('127.0.0.1', port)).close()))\n"
        "print(tried(lambda: socket.create_connection(('127.0.0.1', elsewhere)).close()))\n"
        "print(tried(lambda: socket.create_connection(('192.0.2.1', port), 0.1).close()))\n"
        "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "print(tried(lambda: u.sendto(b'x', ('127.0.0.1', elsewhere))))\n"
        "print(tried(lambda: u.sendmsg([b'x'], [], 0, ('127.0.0.1', elsewhere))))\n"
        "print(fence.refused)"
    ) == ["done", "done", "refused", "refused", "refused", "refused", "4"]


def test_no_name_is_looked_up_and_no_process_started():
    assert (
        case(
            "import os\n"
            "print(tried(lambda: socket.getaddrinfo('data.attacker.example', 80)))\n"
            "print(tried(lambda: socket.gethostbyname('attacker.example')))\n"
            "print(tried(lambda: subprocess.run(['true'])))\n"
            "print(tried(lambda: os.system('true')))\n"
            "print(tried(lambda: os.fork()))\n"
            "x = socket.socket(socket.AF_UNIX)\n"
            "print(tried(lambda: x.connect('/var/run/docker.sock')))\n"
        )
        == ["refused"] * 6
    )


def test_no_name_is_looked_up_by_an_address_or_by_another_way_of_asking():
    assert (
        case(
            "print(tried(lambda: socket.gethostbyaddr('data.attacker.example')))\n"
            "print(tried(lambda: socket.gethostbyaddr('192.0.2.1')))\n"
            "print(tried(lambda: socket.getnameinfo(('192.0.2.1', 80), 0)))\n"
            "print(tried(lambda: socket.gethostbyname_ex('data.attacker.example')))\n"
        )
        == ["refused"] * 4
    )


def test_a_name_is_refused_while_another_thread_looks_a_listed_one_up():
    """The fence itself asks for the addresses of what is listed. Meanwhile nobody else may ask for anything."""
    assert case(
        "entered, over = threading.Event(), threading.Event()\n"
        "def hanging(event, args):\n"
        "    if event == 'socket.getaddrinfo' and threading.current_thread().name == 'slow':\n"
        "        entered.set(); over.wait(20)\n"
        "sys.addaudithook(hanging)\n"
        "fence._addresses.clear()\n"
        "slow = threading.Thread(target=fence._of, args=('localhost',), name='slow')\n"
        "slow.start(); entered.wait(20)\n"
        "print(tried(lambda: socket.getaddrinfo('data.attacker.example', 80)))\n"
        "over.set(); slow.join()\n"
    ) == ["refused"]


def test_who_connects_to_us_is_still_answered():
    assert case(
        "import asyncio\n"
        "async def serve():\n"
        "    async def handle(r, w):\n"
        "        w.write(await r.read(2)); await w.drain(); w.close()\n"
        "    s = await asyncio.start_server(handle, sock=server)\n"
        "    r, w = await asyncio.open_connection('localhost', port)\n"
        "    w.write(b'ok'); print((await r.read()).decode()); w.close(); s.close()\n"
        "asyncio.run(serve())\n"
    ) == ["ok"]


def test_what_has_to_be_reached_follows_from_the_configuration():
    openai = Choice(provider=Provider.OPENAI, model="m", key="k")
    assert places("https://kaizen.example", Configured(choice=openai)) == [
        ("kaizen.example", 443),
        ("api.openai.com", 443),
    ]
    assert places("", Configured()) == []
    named = {"KZ_MODEL_BACKEND": "azure", "KZ_MODEL": "m", "KAIZEN_MODEL_URL": "https://n.openai.azure.com"}
    managed = read_config({**named, "KAIZEN_MODEL_IDENTITY": "managed"})
    assert places("", managed) == [("169.254.169.254", 80), ("n.openai.azure.com", 443)]
    role = places("", Configured(choice=Choice(provider=Provider.BEDROCK, model="m", region="eu-central-1")))
    assert ("bedrock-runtime.eu-central-1.amazonaws.com", 443) in role
    assert ("169.254.170.2", 80) in role


@pytest.mark.parametrize("address", [None, ("::1", 1, 0, 0), ("127.0.0.1", 2)])
def test_an_answer_on_an_open_connection_has_no_address(address):
    fence = Fence([("127.0.0.1", 1)])
    if address is None:
        fence.hook("socket.sendmsg", (object(), address))
    else:
        with pytest.raises(Confined):
            fence.hook("socket.connect", (object(), address))
