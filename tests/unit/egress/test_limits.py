"""How many connections a proxy takes: as many as its settings say and its process can have."""

from __future__ import annotations

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
