"""A real sidecar, an agent attached to it, and an attach point."""

from __future__ import annotations

import pytest

from kaizen_security import Kaizen
from kaizen_security.integrations.base import attach_point
from tests.e2e.sidecar_process import Process


@pytest.fixture(scope="session")
def sidecars(tmp_path_factory):
    """Sidecars by mode, started when they are first asked for."""
    made = {}

    def start(mode):
        if mode not in made:
            data = tmp_path_factory.mktemp(mode)
            made[mode] = Process(data, more=("--before-bundle", mode, "--hold-seconds", "0")).start()
        return made[mode]

    yield start
    for one in made.values():
        one.stop()


@pytest.fixture
def attach(sidecars, tmp_path, request):
    """Attach an agent of the test's own name to the sidecar of that mode: client and attach point."""
    clients = []

    def made(mode="enforce", agent="", source="langchain", point=None, **settings):
        name = agent or f"{request.node.name[:80]}-{len(clients)}"
        # A busy machine must not look like a sidecar that does not answer.
        settings = {"deadline": 20.0, **settings}
        kaizen = Kaizen(agent=name, sidecar=f"unix://{sidecars(mode).socket}", data=tmp_path / "client", **settings)
        clients.append(kaizen)
        return kaizen, attach_point(kaizen, source, **(point or {}))

    yield made
    for kaizen in clients:
        kaizen.close()
