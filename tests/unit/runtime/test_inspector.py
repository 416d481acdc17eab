"""The Inspector: idempotent, bounded, one lane an agent, by mode when something breaks."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.step import End, Request, Result
from kaizen_security.contract.verdict import Mode
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.detection import About, Status
from kaizen_security.runtime.agents import AgentKey, Agents
from kaizen_security.runtime.inspector import Inspector


class Clock:
    """A clock that a test turns."""

    def __init__(self, at=1_000_000_000.0):
        self.at = at

    def __call__(self):
        return self.at


def bundle(agent="a", **changes):
    return Bundle(agent=agent, version=1, **changes)


def test_the_same_action_is_judged_once():
    inspector = Inspector(clock=Clock())
    action = Action(tool="search", id="one", agent="a")
    first = inspector.observe(action)
    inspector.configure("a", bundle(declaration=Declaration(tools=("other",))))
    assert inspector.observe(action) is first
    assert inspector.profile("a")["seen"] == 1


def test_an_id_that_was_allowed_once_does_not_outlive_a_new_deny():
    inspector = Inspector(clock=Clock())
    action = Action(kind="connect", target="attacker.example:443", id="one", agent="a", run_id="r")
    assert inspector.inspect(action).allowed
    assert inspector.inspect(action) is inspector.inspect(action)
    inspector.configure("a", bundle(policies=(Policy("blocklist", {"domains": ["attacker.example"]}, "deny"),)))
    refused = inspector.inspect(action)
    assert refused.blocked
    assert inspector.inspect(action) is refused


def test_an_id_that_was_allowed_before_a_sensitive_read_is_blocked_after_it():
    inspector = Inspector(clock=Clock())
    inspector.configure("a", bundle(policies=(Policy("correlation", {"risky_sequence": "read_then_connect"}, "seq"),)))
    out = Action(kind="connect", target="api.example:443", id="out", agent="a", run_id="r")
    assert inspector.inspect(out).allowed
    inspector.inspect(Action(tool="read", id="in", agent="a", run_id="r", metadata={"sensitive": True}))
    assert inspector.inspect(out).blocked


def test_asking_again_teaches_nothing():
    inspector = Inspector(clock=Clock())
    action = Action(tool="search", id="one", agent="a")
    for _ in range(5):
        inspector.inspect(action)
        inspector.observe(action)
    assert inspector.profile("a")["seen"] == 1


def test_the_same_id_on_another_deed_is_judged_for_itself():
    inspector = Inspector(clock=Clock())
    inspector.configure("a", bundle(declaration=Declaration(tools=("search",))))
    assert not inspector.inspect(Action(tool="search", id="one", agent="a")).flagged
    assert inspector.inspect(Action(tool="transfer", id="one", agent="a")).flagged
    assert inspector.inspect(Action(tool="search", id="one", agent="a", metadata={"arguments": {"q": 1}})).notes


def test_two_agents_may_use_the_same_id_and_two_organisations_the_same_name():
    inspector = Inspector(clock=Clock())
    inspector.configure("a", bundle(declaration=Declaration(tools=("search",))), organisation="one")
    assert inspector.inspect(Action(tool="x", id="i", agent="a", organisation="one")).flagged
    assert not inspector.inspect(Action(tool="x", id="i", agent="a", organisation="two")).flagged
    assert not inspector.inspect(Action(tool="x", id="i", agent="b", organisation="one")).flagged


def test_the_memory_of_verdicts_is_bounded():
    inspector = Inspector(clock=Clock(), remembered=10)
    for n in range(50):
        inspector.observe(Action(tool="t", id=f"i{n}", agent="a"))
    assert len(inspector._verdicts) == 10


def test_an_action_without_an_id_gets_one():
    assert Inspector().inspect(Action(tool="t")).action_id


def test_a_policy_that_cannot_be_used_is_refused_and_the_one_before_stays_in_force():
    inspector = Inspector(clock=Clock())
    inspector.configure("a", bundle(policies=(Policy("blocklist", {"domains": ["attacker.example"]}),)))
    with pytest.raises(Misconfigured):
        inspector.configure("a", bundle(policies=(Policy("nonsense", {}),)))
    assert inspector.inspect(Action(kind="connect", target="attacker.example:443", agent="a")).blocked


def test_a_stated_time_in_the_far_future_settles_nothing():
    inspector = Inspector(clock=Clock())
    inspector.inspect(Action(tool="t", agent="a"))
    inspector.inspect(Action(tool="u", agent="a", at=9_000_000_000.0))
    assert inspector.profile("a")["seen"] == 0


def test_the_time_of_an_agent_never_runs_backwards():
    clock = Clock()
    inspector = Inspector(clock=clock)
    first = inspector.inspect(Action(tool="t", agent="a", at=clock.at - 5))
    second = inspector.inspect(Action(tool="u", agent="a", at=clock.at - 50))
    assert second.at == first.at == clock.at - 5


def test_steps_reach_the_run_that_they_are_of():
    inspector = Inspector(clock=Clock())
    inspector.note(Request(run_id="r", agent="a", text="find it"))
    inspector.inspect(Action(tool="t", agent="a", run_id="r", id="one"))
    inspector.note(Result(run_id="r", agent="a", action_id="one"))
    inspector.note(End(run_id="r", agent="a"))
    inspector.note(Action(tool="u", agent="a"))
    assert inspector.profile("a")["learned"]["tool"] == [{"value": "t", "count": 1}, {"value": "u", "count": 1}]


class Shelf:
    """Keeps in memory what agents leave behind."""

    def __init__(self):
        self.kept = {}

    def load(self, key):
        return self.kept.get(key)

    def save(self, key, baseline):
        self.kept[key] = baseline

    def bundle(self, key):
        return bundle(key.agent, declaration=Declaration(tools=("t",)))


def test_agents_are_bounded_and_the_shelf_brings_them_back_as_they_were():
    shelf = Shelf()
    agents = Agents(most=3, shelf=shelf)
    inspector = Inspector(agents, clock=Clock())
    for n in range(5):
        inspector.observe(Action(tool="t", agent=f"a{n}"))
    assert (len(agents), agents.evicted, set(shelf.kept)) == (3, 2, {AgentKey("", "a0"), AgentKey("", "a1")})
    assert inspector.profile("a0")["learned"]["tool"] == [{"value": "t", "count": 1}]
    assert inspector.inspect(Action(tool="other", agent="a0")).flagged


def test_only_baselines_that_changed_are_saved():
    shelf = Shelf()
    agents = Agents(shelf=shelf)
    inspector = Inspector(agents, clock=Clock())
    inspector.observe(Action(tool="t", agent="a"))
    assert (agents.save(), agents.save()) == (1, 0)
    inspector.wake(inspector.agents.lane(AgentKey("", "a")).now)
    assert agents.save() == 0  # there was nothing to settle
    inspector.inspect(Action(tool="t", agent="a"))
    assert agents.save() == 1
    inspector.wake(inspector.agents.lane(AgentKey("", "a")).now + 100_000.0)
    assert agents.save() == 1  # what was let through has happened by now, and was learned


def broken(action, context):
    raise ZeroDivisionError


BROKEN = SimpleNamespace(ABOUT=About(name="broken", title="", says="", status=Status.STABLE), detect=broken)


@pytest.mark.parametrize(
    ("mode", "blocked", "reason"),
    [(Mode.OBSERVE, False, "no policy matched"), (Mode.ENFORCE, True, "engine error, failed closed")],
)
def test_a_detection_that_breaks_is_answered_by_mode_with_a_finding(mode, blocked, reason, caplog):
    inspector = Inspector(Agents(detections=[*BUILTIN, BROKEN]), clock=Clock())
    inspector.configure("a", bundle(mode=mode, policies=(Policy("blocklist", {"domains": ["attacker.example"]}),)))
    verdict = inspector.inspect(Action(tool="t", agent="a"))
    assert (verdict.blocked, verdict.reason) == (blocked, reason)
    assert [one.kind for one in verdict.evidence] == ["unprotected"]
    denied = inspector.inspect(Action(kind="connect", target="attacker.example:443", agent="a"))
    assert (denied.blocked, denied.reason) == (True, "blocked by policy: malicious domain")
    assert inspector.failures == 2
    assert inspector.profile("a")["seen"] == 0
    assert "ZeroDivisionError" in caplog.text


def test_threads_do_not_lose_observations():
    inspector = Inspector()
    go = threading.Barrier(4)

    def work(name):
        go.wait()
        for n in range(300):
            inspector.observe(Action(tool="t", agent="a", id=f"{name}{n}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in "wxyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inspector.profile("a")["seen"] == 1200


def test_times_that_are_over_are_over_too_for_an_agent_that_was_out_of_memory():
    # Else who has it evicted by naming others teaches large amounts days back, where they count as old and not as lately.
    shelf, clock = Shelf(), Clock()
    days = 20

    def run(inspector, number, size, at):
        action = Action(
            kind="http", agent="a", run_id=f"r{number}", id=f"{number}", target="https://api.example/", at=at
        )
        verdict = inspector.inspect(replace(action, metadata={"arguments": {"body": "x" * size}}))
        inspector.note(End(run_id=f"r{number}", agent="a", at=at))
        return verdict

    inspector = Inspector(Agents(shelf=shelf), clock=clock)
    for day in range(days):
        run(inspector, day, 1000, clock.at - (days - day) * 86_400)
    last = inspector.agents.lane(AgentKey("", "a")).now
    inspector.agents.save()
    inspector = Inspector(Agents(shelf=shelf), clock=clock)
    assert run(inspector, "late", 1000, clock.at - 10 * 86_400).at == pytest.approx(last, abs=1)
    clock.at -= 30 * 86_400  # a clock that was set back does not keep the agent in its future
    inspector = Inspector(Agents(shelf=shelf), clock=clock)
    assert run(inspector, "back", 1000, 0.0).at == clock.at
