"""Which attach points are there is told to the control plane, which shows where one has fallen silent."""

from __future__ import annotations

import httpx
import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import Unreachable
from kaizen_security.contract.verdict import Verdict
from kaizen_security.runtime import clock as time
from kaizen_security.server.setup import mint_key
from kaizen_security.sidecar.attached import Attached, counted
from kaizen_security.sidecar.heartbeats import SILENCE, Heartbeats
from kaizen_security.store.base import Scope
from kaizen_security.store.profiles import Profile
from tests.unit.console.site import running


class Clock:
    def __init__(self):
        self.now = time.now()

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(tmp_path_factory.mktemp("site")) as started:
        yield started


@pytest.fixture
def agent(site, request):
    name = request.node.name[:60]
    site.keep(Action(tool="t", agent=name, id="1"), Verdict())
    return name


@pytest.fixture
def beats():
    clock = Clock()
    return Heartbeats(clock, lambda: "id", lambda action, verdict: True, None, None), clock


def telling(site, beats, *, scope=Scope.OBSERVER, url="", admit=lambda connection: None, sidecar="one"):
    token = mint_key(site.store, name="side", scope=scope)
    return Attached(
        api_url=url or site.url, api_key=token, sidecar=sidecar, heartbeats=beats[0], clock=beats[1], admit=admit
    )


def said(site, agent):
    """What the API answers: state and processes of each feed."""
    headers = {"Authorization": f"Bearer {mint_key(site.store, name='reads', scope=Scope.AGENT)}"}
    answered = httpx.get(f"{site.url}/v1/agents/{agent}/attach-points", headers=headers, timeout=60)
    assert answered.status_code == 200, answered.text
    return {one["source"]: (one["state"], one["alive"], one["dark"], one["left"]) for one in answered.json()["points"]}


def test_alive_dark_and_left_reach_the_control_plane(site, agent, beats):
    heard, clock = beats
    told = telling(site, beats)
    heard.beat(agent, "p", ("langchain", "mcp"), leaving=False)
    heard.beat(agent, "q", ("langchain",), leaving=False)
    heard.beat("nobody there knows it", "p", ("langchain",), leaving=False)
    assert told.report() == 1
    assert said(site, agent) == {"langchain": ("alive", 2, 0, 0), "mcp": ("alive", 1, 0, 0)}
    clock.now += SILENCE + 1
    heard.beat(agent, "q", ("langchain",), leaving=False)
    heard.beat(agent, "p", ("mcp",), leaving=True)
    heard.settle()
    assert told.report() == 1
    assert said(site, agent) == {"langchain": ("dark", 1, 1, 0), "mcp": ("left", 0, 0, 1)}


def test_what_has_said_goodbye_is_told_once_more_and_no_further(site, agent, beats):
    heard, _ = beats
    told = telling(site, beats)
    heard.beat(agent, "p", ("crewai",), leaving=True)
    assert (told.report(), told.report()) == (1, 0)
    heard.beat(agent, "p", ("crewai",), leaving=False)
    assert (told.report(), told.report()) == (1, 1)


def test_only_an_observer_says_so_and_what_cannot_be_told_is_told_later(site, agent, beats):
    heard, _ = beats
    heard.beat(agent, "p", ("crewai",), leaving=False)

    def foreign(connection):
        raise Unreachable("another organisation's")

    assert telling(site, beats, scope=Scope.AGENT).report() == 0
    assert telling(site, beats, url="http://127.0.0.1:1").report() == 0
    assert telling(site, beats, admit=foreign).report() == 0
    assert said(site, agent) == {}
    assert telling(site, beats).report() == 1


def test_no_process_is_named(beats):
    heard, clock = beats
    heard.beat("a", "host-of-bob-4711", ("crewai",), leaving=False)
    clock.now += 7
    found = counted(heard.shown(), clock.now)
    assert found == {"a": [{"source": "crewai", "alive": 1, "dark": 0, "left": 0, "silent": 7.0}]}


def test_the_pages_name_what_is_silent(site, agent, beats):
    heard, clock = beats
    with site.client() as client:
        assert "No sidecar hears of one" in client.get(f"/agent?name={agent}").text
        heard.beat(agent, "p", ("langchain",), leaving=False)
        telling(site, beats).report()
        assert "alive in 1 process" in client.get(f"/agent?name={agent}").text
        before = client.get("/agents").text.count("silent: ")
        clock.now += SILENCE + 1
        heard.settle()
        telling(site, beats).report()
        page = client.get(f"/agent?name={agent}").text
        assert "silent in 1 process without a goodbye, last heard 1 minute ago" in page
        assert client.get("/agents").text.count("silent: <bdi>langchain</bdi>") == before + 1
        document = client.get(f"/agent?name={agent}&format=json").json()["attach_points"]
        assert [(one["source"], one["state"], one["sidecar"]) for one in document] == [("langchain", "dark", "one")]
        site.store.attached.put(site.organisation, agent, Profile(sidecar="one", at=clock.now, document={"points": []}))


def test_a_sidecar_that_falls_silent_itself_leaves_nobody_alive(site, agent):
    points = {"points": [{"source": "langchain", "alive": 1, "dark": 0, "left": 0, "silent": 3.0}]}
    for ago, state in ((10.0, "alive"), (600.0, "unheard")):
        told = Profile(sidecar="one", at=time.now() - ago, document=points)
        assert site.store.attached.put(site.organisation, agent, told)
        assert said(site, agent) == {"langchain": (state, 1, 0, 0)}
    with site.client() as client:
        page = client.get(f"/agent?name={agent}").text
    assert "nobody knows: its sidecar one has said nothing since 10 minutes ago" in page
    assert site.store.attached.put(
        site.organisation, agent, Profile(sidecar="one", at=time.now() - 90_000, document=points)
    )
    assert said(site, agent) == {}


def test_it_goes_with_the_agent(site, agent):
    site.store.attached.put(site.organisation, agent, Profile(sidecar="one", at=time.now(), document={"points": []}))
    assert site.store.delete_agent(site.organisation, agent) is not None
    assert site.store.attached.of(site.organisation, agent) == ()
