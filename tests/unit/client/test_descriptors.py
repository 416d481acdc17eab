"""Room for connections."""

from __future__ import annotations

import sys

import pytest

from kaizen_security.client.descriptors import SPARE, make_room


@pytest.mark.skipif(sys.platform == "win32", reason="no limit there")
@pytest.mark.parametrize(
    ("limits", "wanted", "can", "now"),
    [
        ((1024, 4096), 512, 512, (1024, 4096)),
        ((1024, 4096), 2000, 2000, (2000 + SPARE, 4096)),
        ((1024, 4096), 9000, 4096 - SPARE, (4096, 4096)),
        ((1024, 1024), 9000, 1024 - SPARE, (1024, 1024)),
        ((1024, -1), 9000, 9000, (9000 + SPARE, -1)),
        ((-1, -1), 9000, 9000, (-1, -1)),
    ],
)
def test_there_is_a_descriptor_for_every_connection_as_far_as_the_system_permits(monkeypatch, limits, wanted, can, now):
    import resource

    there = {"now": limits}
    monkeypatch.setattr(resource, "getrlimit", lambda _: there["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: there.update(now=new))
    assert make_room(wanted) == can
    assert there["now"] == now
