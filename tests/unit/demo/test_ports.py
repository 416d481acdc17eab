"""Ports: the wanted one, or the next one and the name of who has it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.demo.line import choose_ports
from kaizen_security.demo.ports import STARTING, choose, holder


def listener():
    server = socket.create_server(("127.0.0.1", 0))
    return closing(server), server.getsockname()[1]


def test_a_free_port_is_taken_as_wanted():
    held, number = listener()
    held.thing.close()
    port = choose(number)
    assert (port.number, port.moved, port.holder) == (number, False, "")


def test_a_busy_port_is_moved_and_its_holder_named():
    held, number = listener()
    with held:
        port = choose(number)
        assert port.moved
        assert port.number > number
        assert f"pid {os.getpid()}" in port.holder


def test_the_holder_in_another_process_is_named_with_its_command():
    code = "import socket,sys; s=socket.create_server(('127.0.0.1',0)); print(s.getsockname()[1], flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        number = int(other.stdout.readline())
        said = holder(number)
        other.communicate("")
    assert f"pid {other.pid} (" in said
    assert "python" in said


def test_a_port_nobody_listens_on_has_no_name():
    held, number = listener()
    held.thing.close()
    assert holder(number) == "another process"


def test_two_that_start_in_the_same_second_do_not_choose_the_same():
    held, number = listener()
    held.thing.close()
    code = (
        "import sys; from kaizen_security.demo.ports import choose;"
        f"print(choose({number}).number, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert int(other.stdout.readline()) == number
        mine = choose(number)
        assert mine.number > number
        assert mine.holder == STARTING
        other.communicate("")
    # A claim ends with its process.
    assert choose(number).number == number


def test_a_moved_part_does_not_take_the_place_that_another_one_wants():
    held, number = listener()
    with held:
        ports = choose_ports(number, number + 1, 0)
    assert ports.control.moved
    assert ports.control.number not in (number, number + 1)
    assert len({ports.control.number, ports.sidecar.number, ports.egress.number}) == 3


def test_the_same_port_for_two_parts_is_sorted_out():
    held, number = listener()
    held.thing.close()
    ports = choose_ports(number, number, number)
    assert len({ports.control.number, ports.sidecar.number, ports.egress.number}) == 3


def test_zero_is_any_free_port():
    port = choose(0)
    assert port.number > 0
    assert not port.moved


@pytest.mark.parametrize("wrong", [-1, 65536, 100000])
def test_what_is_no_port_is_refused_by_name(wrong):
    with pytest.raises(Misconfigured, match=str(wrong)):
        choose(wrong)
