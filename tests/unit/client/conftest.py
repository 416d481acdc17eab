"""Every test with a data directory and an environment of its own."""

from __future__ import annotations

import pytest

from kaizen_security.client.config import ENVIRONMENT
from tests.unit.client.upstream import Upstream


@pytest.fixture(autouse=True)
def own_environment(tmp_path, monkeypatch):
    for variables in ENVIRONMENT.values():
        for variable in variables:
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("KAIZEN_CONFIG", raising=False)
    monkeypatch.setenv("KAIZEN_DATA", str(tmp_path / "data"))


@pytest.fixture
def upstream():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def sidecar(tmp_path):
    with Upstream(unix=str(tmp_path / "kaizen.sock")) as sidecar:
        yield sidecar
