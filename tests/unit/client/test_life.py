"""A client's life in its host: what it begins, what it leaves behind, and what it asks of the host's own objects."""

from __future__ import annotations

import atexit
import enum
import sys
import threading

import pytest

from kaizen_security import Kaizen
from kaizen_security.client.arguments import plain
from kaizen_security.client.beat import Beat
from kaizen_security.client.link import Link

KEY = "kz_live_" + "k" * 43


def test_clients_that_come_and_go_leave_nothing_registered_for_the_end(upstream):
    Kaizen(KEY, upstream.url).close()
    before = atexit._ncallbacks()
    for _ in range(3):
        Kaizen(KEY, upstream.url).close()
    assert atexit._ncallbacks() == before


def test_two_first_verdicts_at_once_begin_to_renew_policy_once(upstream):
    others = threading.enumerate()  # one of a client that is closed already may end at any moment
    with Kaizen(KEY, upstream.url) as kaizen:
        # Both have seen that nobody renews it yet.
        kaizen._rouse()
        kaizen._rouse()
        begun = [thread for thread in threading.enumerate() if thread not in others]
        assert [thread.name for thread in begun].count("kaizen-policy") == 1


def test_an_attach_point_that_comes_while_it_speaks_does_not_silence_it(upstream):
    link = Link(upstream.url, agent="a", headers={}, in_tenant=True, key=b"")
    beat = Beat(link, "a", "p")
    beat._sources["first"] = None

    def coming(frame, event, arg):
        frame.f_trace_opcodes = frame.f_code.co_filename.endswith("beat.py")
        if event == "opcode" and len(beat._sources) < 40:
            beat._sources[f"source {len(beat._sources)}"] = None
        return coming

    before = sys.gettrace()
    sys.settrace(coming)
    try:
        beat._say(5.0, leaving=False)
    finally:
        sys.settrace(before)
    assert [path for method, path, _, _ in upstream.seen if method == "POST"] == ["/v1/heartbeats"]
    link.close()


def proxy():
    """As one of a web framework outside of any request: even to be asked what it is raises."""

    class Proxy:
        @property
        def __class__(self):
            raise RuntimeError("there is no request")

    return Proxy()


def strict():
    class Meta(type):
        def __getattr__(cls, name):
            raise RuntimeError(name)

    return Meta("Strict", (), {"__module__": __name__})()


class Odd(enum.Enum):
    ONE = 1

    @property
    def value(self):
        raise RuntimeError("not that way")


class Number(int):
    def bit_length(self):
        raise RuntimeError("not that way")


class Piece(bytes):
    def __getitem__(self, key):
        raise RuntimeError("not that way")


@pytest.mark.parametrize(
    ("made", "document"),
    [
        (proxy, f"<{__name__}.proxy.<locals>.Proxy>"),
        (strict, f"<{__name__}.Strict>"),
        (lambda: Odd.ONE, 1),
        (lambda: Number(7), 7),
        (lambda: Piece(b"ab"), "ab"),
        (lambda: [{"a": proxy()}], [{"a": f"<{__name__}.proxy.<locals>.Proxy>"}]),
    ],
)
def test_whatever_a_tool_returns_runs_none_of_the_hosts_code(made, document):
    assert plain(made()) == document


def test_a_guarded_tool_may_return_what_cannot_be_looked_at(sidecar):
    with Kaizen(KEY, sidecar=sidecar.url, in_tenant=True, sync=False) as kaizen:
        found = kaizen.guard(proxy, tool="current_request")()
    assert type(found).__name__ == "Proxy"
