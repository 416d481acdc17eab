"""What was learned is told in boundary form, once for each change, and never twice at the same price."""

from __future__ import annotations

import json
from itertools import count

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import boundary_key
from kaizen_security.contract.errors import Unreachable
from kaizen_security.contract.verdict import Verdict
from kaizen_security.runtime.agents import Agents
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.server.setup import mint_key
from kaizen_security.sidecar.profiles import Profiles, outward
from kaizen_security.store.base import Scope
from tests.unit.console.site import running

KEY = boundary_key(b"s" * 32)
SECRET = "/home/alice/offer for Bob.txt"


@pytest.fixture
def inspector():
    return Inspector(Agents(), clock=count(1_000_000.0).__next__)


def learns(inspector, agent, tool="search", target="api.example:443"):
    inspector.observe(Action(agent=agent, tool=tool, target=target, metadata={"source": "egress"}))


@pytest.fixture
def site(tmp_path):
    with running(tmp_path) as started:
        yield started


def profiles(site, inspector, scope=Scope.OBSERVER, admit=lambda connection: None, url=None):
    token = mint_key(site.store, name="side", scope=scope)
    return Profiles(
        api_url=url or site.url, api_key=token, sidecar="one", boundary=KEY, inspector=inspector, admit=admit
    )


def known(site, agent):
    return site.store.profiles.of(site.organisation, agent)


def test_what_was_learned_is_told_once_for_each_change(site, inspector):
    site.keep(Action(agent="a", tool="search"), Verdict())
    told = profiles(site, inspector)
    assert told.report() == 0
    learns(inspector, "a")
    learns(inspector, "unknown there")
    assert (told.report(), told.report()) == (1, 0)
    [said] = known(site, "a")
    assert (said.sidecar, said.document["seen"]) == ("one", 1)
    assert said.document["learned"]["tool"] == [{"value": "search", "count": 1}]
    assert known(site, "unknown there") == ()
    learns(inspector, "a")
    assert told.report() == 1
    assert [one.document["seen"] for one in known(site, "a")] == [2]


def test_it_is_told_later_when_nobody_answers_or_it_may_not_be(site, inspector):
    site.keep(Action(agent="a", tool="search"), Verdict())
    learns(inspector, "a")

    def foreign(connection):
        raise Unreachable("another organisation's")

    assert profiles(site, inspector, url="http://127.0.0.1:1").report() == 0
    assert profiles(site, inspector, admit=foreign).report() == 0
    assert profiles(site, inspector, scope=Scope.AGENT).report() == 0
    assert known(site, "a") == ()
    assert profiles(site, inspector).report() == 1


def test_nothing_but_boundary_fields_leaves(inspector):
    learns(inspector, "a", target=f"https://api.example/files/{SECRET}?q=5521")
    learns(inspector, "a", tool="read", target=SECRET)
    said = json.dumps(outward(inspector.profile("a"), KEY))
    assert "api.example" in said
    assert "Bob" not in said
    assert "5521" not in said
