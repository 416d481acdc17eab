"""A sidecar whose control plane is down for a day, by a clock that the test turns: what holds, what waits, what is asked again."""

from __future__ import annotations

import threading
import time

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import Unreachable
from kaizen_security.contract.policy import Policy
from kaizen_security.sidecar.identity import STALE
from kaizen_security.sidecar.run import Parts
from kaizen_security.sidecar.settings import Settings
from tests.e2e.sidecar_process import until
from tests.e2e.sidecar_upstream import AGENT, OWN, Upstream

DAY = 86_400.0
POLICY = Policy("blocklist", {"domains": ["attacker.example"]}, "list")


@pytest.fixture
def upstream():
    one = Upstream()
    one.template = Bundle(agent="", version=1, policies=(POLICY,), declaration=Declaration(tools=("search",)))
    yield one.start()
    one.stop()


class Clock:
    """Unix seconds; it starts ``behind`` seconds ago and goes on only when it is told."""

    def __init__(self, behind):
        self.at = time.time() - behind

    def __call__(self):
        return self.at


def parts(tmp_path, upstream, clock):
    settings = Settings(socket=tmp_path / "s", data=tmp_path / "data", api_url=upstream.url, api_key=OWN)
    made = Parts(settings, clock)
    made.uplink.start()
    return made


def attach(made, agent):
    """Fetch the agent's bundle, as its first action does."""
    arrived = threading.Event()
    in_force = made.uplink._on_bundle
    made.uplink._on_bundle = lambda name, bundle: (in_force(name, bundle), arrived.set())
    made.uplink.watch(agent)
    assert arrived.wait(20)


def act(made, agent, id_, **fields):
    action = Action(**({"tool": "search", "id": id_, "agent": agent} | fields))
    verdict = made.inspector.inspect(action)
    assert made.uplink.report(action, verdict), "the spool takes it"
    return verdict


def test_a_day_without_a_control_plane_costs_nothing_but_space(tmp_path, upstream):
    clock = Clock(DAY)
    made = parts(tmp_path, upstream, clock)
    attach(made, "a")
    identities = made.sidecar.identities
    assert identities.verify(AGENT).scope == "agent"
    upstream.stop()
    minutes = 24 * 60
    for minute in range(minutes):
        clock.at += 60.0
        verdict = act(made, "a", f"m{minute}")
        assert verdict.allowed, verdict
        made.inspector.wake(clock.at)
        if minute % 240 == 0:
            # The bundle has expired long ago; a policy that could not be renewed still holds.
            assert act(made, "a", f"x{minute}", kind="connect", tool="", target="attacker.example:443").blocked
            assert act(made, "a", f"u{minute}", tool="upload").flagged
            # A key that was known is known, and a key that nobody ever vouched for opens nothing.
            assert identities.verify(AGENT).scope == "agent"
            with pytest.raises(Unreachable):
                identities.verify("kz_live_" + "n" * 43)
    made.agents.save()
    assert made.uplink.state == "unreachable"
    assert made.uplink.spool.pending == minutes + 12
    made.uplink.stop()
    # A restart in the middle of it loses neither policy nor reports.
    made = parts(tmp_path, upstream, clock)
    assert act(made, "a", "after", kind="connect", tool="", target="attacker.example:443").blocked
    upstream.start()
    until(lambda: len(upstream.reports) == minutes + 13, "all that waited is sent", patience=60)
    ids = [report.action.id for report in upstream.reports]
    assert len(ids) == len(set(ids)) == minutes + 13
    assert ids[:3] == ["m0", "x0", "u0"], "in the order in which it happened"
    assert made.uplink.spool.lost == {}
    made.uplink.stop()


def test_a_key_that_nobody_could_be_asked_about_for_a_week_opens_nothing(tmp_path, upstream):
    clock = Clock(STALE + DAY)
    made = parts(tmp_path, upstream, clock)
    made.sidecar.identities.verify(AGENT)
    upstream.stop()
    clock.at += STALE - 60
    assert made.sidecar.identities.verify(AGENT).scope == "agent"
    clock.at += 120
    with pytest.raises(Unreachable):
        made.sidecar.identities.verify(AGENT)
    made.uplink.stop()
