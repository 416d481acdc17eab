"""A real control plane, and programs that use the deployed client against it."""

from __future__ import annotations

import time
from functools import partial

import pytest

from tests.e2e.deployed.published import IndexUnreachable, Program, environment
from tests.e2e.server.running import Running

DEADLINE = 20.0
"""Seconds in which a report that was sent must be in the list."""


@pytest.fixture(scope="session")
def place():
    """The environment with the published client; without the index these tests are skipped."""
    try:
        return environment()
    except IndexUnreachable as err:
        pytest.skip(f"the public index cannot be reached: {err}")


@pytest.fixture(scope="module")
def server(tmp_path_factory, place):
    running = Running(tmp_path_factory.mktemp("server") / "data")
    yield running
    status, rest = running.stop()
    assert status == 0, rest
    assert "Traceback" not in rest, rest


@pytest.fixture(scope="module")
def key(server):
    return server.key()


@pytest.fixture(scope="module")
def person(server):
    with server.person() as caller:
        yield caller


@pytest.fixture
def organisation(person):
    """Puts a policy of the organisation in force; afterwards none is."""
    yield lambda **policy: person.post("/v1/org-policy", json=policy).raise_for_status()
    person.post("/v1/org-policy", json={"mode": "off"}).raise_for_status()
    for policy in person.get("/v1/policies").json()["policies"]:
        person.delete(f"/v1/policies/{policy['name']}").raise_for_status()


@pytest.fixture
def program(place, server, key):
    """``with program(code) as running``"""
    return partial(Program, place, url=server.url, key=key)


@pytest.fixture
def rows(server):
    """The rows of an agent, oldest first, as soon as there are ``least`` of them."""
    with server.call() as call:

        def read(agent, least):
            end = time.monotonic() + DEADLINE
            while True:
                found = call.get("/v1/verdicts", params={"agent": agent, "limit": 1000}).json()["verdicts"]
                if len(found) >= least or time.monotonic() > end:
                    return found[::-1]
                time.sleep(0.05)

        yield read


@pytest.fixture
def declared(person):
    """Tools and destinations that an agent declared, as soon as it declared so many tools."""

    def read(agent, tools):
        end = time.monotonic() + DEADLINE
        while True:
            found = person.get(f"/v1/agents/{agent}/profile").json().get("declaration")
            if time.monotonic() > end or (found and len(found["tools"]) == tools):
                return found["tools"], found["destinations"]
            time.sleep(0.05)

    return read
