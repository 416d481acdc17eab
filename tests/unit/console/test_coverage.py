"""What `kaizen doctor --coverage` measured is on the agent's page, told by who is no agent."""

from __future__ import annotations

import httpx
import pytest

from kaizen_security import cli
from kaizen_security.contract.action import Action
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.launch.coverage import Canary, Coverage
from kaizen_security.launch.plan import Way
from kaizen_security.server.setup import mint_key
from kaizen_security.store.base import Scope

SEEN = {"seen": True, "stopped": False}
MISSED = {"seen": False, "stopped": False}
RUNGS = [
    {"rung": "kernel", "mode": "observe", "good": 2, "tried": 2, "canaries": {"udp": SEEN, "io_uring": SEEN}},
    {"rung": "proxy", "mode": "observe", "good": 1, "tried": 2, "canaries": {"udp": MISSED, "proxied": SEEN}},
    {
        "rung": "proxy",
        "mode": "enforce",
        "good": 2,
        "tried": 2,
        "canaries": {"udp": {"seen": False, "stopped": True}, "proxied": SEEN, "noproxy": {**MISSED, "tried": False}},
    },
    {"rung": "namespace", "mode": "observe", "why": "no user namespaces", "canaries": {}},
]


def tell(site, agent: str, scope: Scope = Scope.OBSERVER, **document):
    key = mint_key(site.store, name=f"doctor-{agent}", scope=scope)
    document = {"machine": "build-7", "rungs": RUNGS, **document}
    return httpx.post(
        f"{site.url}/v1/agents/{agent}/coverage", json=document, headers={"Authorization": f"Bearer {key}"}
    )


@pytest.fixture
def agent(site, request) -> str:
    name = f"covered-{request.node.name[:40]}".replace("[", "-").replace("]", "")
    site.keep(Action(tool="t", agent=name, id="1"), Verdict(decision=Decision.ALLOW, reason="ok"))
    return name


def test_it_is_on_the_agents_page_with_what_is_open(site, agent):
    with site.client() as client:
        assert "Nobody has measured its ways out" in client.get(f"/agent?name={agent}").text
        assert tell(site, agent).json() == {"agent": agent, "kept": True}
        page = client.get(f"/agent?name={agent}").text
        assert "2 of 2 seen" in page
        assert "1 of 2 seen" in page
        assert "not: <bdi" in page
        assert page.count("not: <bdi") == 1, "what is stopped in enforce mode, or was not tried, is not open"
        assert "2 of 2 seen or stopped" in page
        assert "no user namespaces" in page
        assert "build-7" in page
        document = client.get(f"/agent?name={agent}&format=json").json()["coverage"]
    assert (document["machine"], document["rungs"][0]["canaries"]["udp"]) == ("build-7", {**SEEN, "tried": True})
    assert [one["rung"] for one in document["rungs"]] == ["kernel", "proxy", "proxy", "namespace"]


def test_the_newest_measure_counts_and_it_goes_with_the_agent(site, agent):
    assert tell(site, agent).status_code == 200
    assert tell(site, agent, machine="build-8").status_code == 200
    assert site.store.coverage.of(site.organisation, agent).machine == "build-8"
    site.store.delete_agent(site.organisation, agent)
    assert site.store.coverage.of(site.organisation, agent) is None


@pytest.mark.parametrize("scope", [Scope.AGENT, Scope.SDK])
def test_an_agent_does_not_say_how_well_it_is_watched(site, agent, scope):
    assert tell(site, agent, scope).status_code == 403
    assert site.store.coverage.of(site.organisation, agent) is None


def test_an_agent_that_nobody_knows_is_none(site):
    assert tell(site, "nobody-knows-it").status_code == 404


def measured(seen: bool) -> list[Coverage]:
    canaries = tuple(Canary(name=name, seen=seen, stopped=False) for name in ("udp", "child"))
    return [
        Coverage(way=Way.KERNEL, mode=Mode.OBSERVE, canaries=canaries),
        Coverage(way=Way.PROXY, mode=Mode.ENFORCE, why="no"),
    ]


def test_what_the_doctor_measured_is_what_the_control_plane_takes(site, agent, monkeypatch):
    monkeypatch.setattr("kaizen_security.launch.coverage.everything", lambda ways, environ, said: measured(seen=True))
    monkeypatch.setenv("KAIZEN_API_URL", site.url)
    monkeypatch.setenv("KAIZEN_API_KEY", mint_key(site.store, name="doctor", scope=Scope.OBSERVER))
    monkeypatch.delenv("KAIZEN_SIDECAR", raising=False)
    assert cli.main(["doctor", "--coverage", "--report", agent]) == 1  # no rung in enforce mode was measured
    kept = site.store.coverage.of(site.organisation, agent)
    assert [(one["rung"], one["mode"], one["good"], one["tried"], one["why"]) for one in kept.rungs] == [
        ("kernel", "observe", 2, 2, ""),
        ("proxy", "enforce", 0, 0, "no"),
    ]


def test_a_refusal_of_the_control_plane_is_said(site, monkeypatch, capsys):
    monkeypatch.setattr("kaizen_security.launch.coverage.everything", lambda ways, environ, said: measured(seen=True))
    monkeypatch.setenv("KAIZEN_API_URL", site.url)
    monkeypatch.setenv("KAIZEN_API_KEY", mint_key(site.store, name="doctor-2", scope=Scope.AGENT))
    assert cli.main(["doctor", "--coverage", "--report", "whoever"]) == 1
    assert "does not take it: 403" in capsys.readouterr().err
