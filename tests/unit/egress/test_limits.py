"""How many connections a proxy takes: as many as its settings say and its process can have."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from kaizen_security.egress import life
from kaizen_security.egress.config import Config


class Reloaded:
    """A proxy as ``_reload`` knows it."""

    most = 4

    def reload(self, config):
        self.config = config


def test_one_with_hardly_any_descriptors_takes_at_least_one_connection(monkeypatch):
    monkeypatch.setattr(life, "make_room", lambda wanted: 1)
    assert life._most(SimpleNamespace(max_connections=10_000)) == 1


@pytest.mark.parametrize("now", [2, 9])
def test_a_reload_looks_anew_how_many_there_can_be(monkeypatch, now):
    monkeypatch.setattr(life, "make_room", lambda wanted: wanted)
    proxy = Reloaded()
    life._reload(proxy, lambda: Config(max_connections=now))
    assert (proxy.most, proxy.config.max_connections) == (now, now)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """More than select(2) knows of are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1300:
        pytest.skip(f"this user may have {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1300), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for fd in held:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.filterwarnings("ignore:subprocess")
@pytest.mark.parametrize(("says", "ready"), [("listening on http://127.0.0.1:1", True), ("no", False)])
def test_a_successor_is_heard_where_a_thousand_connections_are_open(many_descriptors, monkeypatch, says, ready):
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-c", f"print({says!r})"])
    assert life.Successor(None)._is_ready(0) is ready
