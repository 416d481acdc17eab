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
        ((256, 256), 9000, 128, (256, 256)),
        ((64, 300), 9000, 150, (300, 300)),
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


@pytest.mark.skipif(sys.platform == "win32", reason="no limit there")
@pytest.mark.parametrize(
    ("err", "limits"),
    [
        pytest.param(ValueError("current limit exceeds maximum limit"), (1024, -1), id="macOS, above what it can have"),
        pytest.param(PermissionError(1, "Operation not permitted"), (1024, 4096), id="a sandbox that refuses the call"),
    ],
)
def test_a_system_that_does_not_let_the_limit_be_raised_stops_nobody(monkeypatch, err, limits):
    import resource

    def refused(*_):
        raise err

    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", refused)
    assert make_room(20_000) == 1024 - SPARE
    assert make_room(900) == 1024 - SPARE
