"""One control plane for each file of tests."""

from __future__ import annotations

import pytest

from tests.e2e.server.running import Running


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("server") / "data")
    yield running
    status, rest = running.stop()
    assert status == 0, rest
    assert "Traceback" not in rest, rest


@pytest.fixture(scope="module")
def person(server):
    with server.person() as caller:
        yield caller


@pytest.fixture
def call(server):
    with server.call() as caller:
        yield caller


@pytest.fixture
def observer(server):
    with server.call("observer") as caller:
        yield caller
