"""The gap's shell: what people said of an agent holds for its gaps too, and a broken file of what was learned costs no start."""

from __future__ import annotations

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import boundary_key, outward, outward_verdict
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.suppression import signature
from kaizen_security.contract.verdict import Mode
from kaizen_security.observer.gap.expectation import read_expectation
from kaizen_security.runtime.agents import AgentKey, Agents
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.sandbox.gaps import Gaps
from kaizen_security.sandbox.run import Sandbox
from kaizen_security.sandbox.settings import Settings

KEY = boundary_key(b"k" * 32)


class Setting:
    def __init__(self, folder, **document):
        self.at = 1000.0
        self.inspector = Inspector(Agents(boundary=KEY), clock=lambda: self.at)
        self.reported = []
        lane = self.inspector.agents.lane(AgentKey("", "a"))
        self.gaps = Gaps(
            "a",
            read_expectation({"destinations": ["api.internal"], **document}),
            folder / "learned.json",
            lambda: self.at,
            report=lambda action, verdict: self.reported.append((action, verdict)),
            rules=lambda: lane.observer.rules,
        )

    def see(self, host, at=None):
        metadata = {"source": "egress"}
        self.gaps.note(Action("connect", target=f"{host}:443", metadata=metadata, agent="a", at=at or self.at))
        self.at += 90
        self.gaps.wake()

    def bundle(self, **said):
        self.inspector.configure("a", Bundle(agent="a", version=1, **said))


@pytest.fixture
def setting(tmp_path):
    return Setting(tmp_path)


def test_a_gap_is_reported_in_the_agents_mode(setting):
    setting.bundle(mode=Mode.ENFORCE)
    setting.see("attacker.example")
    ((action, verdict),) = setting.reported
    assert (action.target, verdict.blocked, verdict.confidence) == ("attacker.example:443", True, 0.95)


def test_what_a_person_called_a_false_positive_is_not_said_again(setting):
    setting.see("partner.example")
    ((action, verdict),) = setting.reported
    said = outward_verdict(verdict, KEY)
    setting.bundle(suppressed=(signature(outward(action, KEY), said.evidence),))
    setting.see("partner.example")
    setting.see("attacker.example")
    assert [action.target for action, _ in setting.reported[1:]] == ["attacker.example:443"]


def test_a_paused_agent_has_no_gaps(setting):
    setting.bundle(paused=True)
    setting.see("attacker.example")
    assert setting.reported == []


def test_a_time_far_ahead_is_not_believed(setting):
    setting.see("attacker.example", at=setting.at + 3600)
    assert setting.reported == []
    assert setting.gaps.health()["losses"] == {"steps with a time in the future": 1}


def test_a_broken_file_of_what_was_learned_is_learned_anew(tmp_path):
    for content in (b"{", b"[]", b"{}", b'{"seen": 1, "places": 7, "bytes": {}}'):
        (tmp_path / "learned.json").write_bytes(content)
        assert Setting(tmp_path, learn_runs=3).gaps.ledger.learned.seen == 0


def test_what_was_learned_is_kept(tmp_path):
    setting = Setting(tmp_path, learn_runs=3)
    setting.gaps.ledger.learned.run([("", "telemetry.example")], [])
    setting.gaps.save()
    assert Setting(tmp_path, learn_runs=3).gaps.ledger.learned.seen == 1


def test_where_nothing_is_declared_here_the_control_plane_says_what_is(tmp_path):
    declared = Declaration(tools=("work",), destinations=("api.internal",))
    sandbox = Sandbox(Settings(agent="a", data=tmp_path / "one"))
    sandbox.parts._on_bundle("b", Bundle(agent="b", version=1, declaration=declared))
    assert not sandbox.gaps.ledger.rules.permits("api.internal:443")
    sandbox.parts._on_bundle("a", Bundle(agent="a", version=1, declaration=declared))
    assert sandbox.gaps.ledger.rules.permits("api.internal:443")
    stated = Sandbox(Settings(agent="a", data=tmp_path / "two", declared=True))
    stated.parts._on_bundle("a", Bundle(agent="a", version=1, declaration=declared))
    assert not stated.gaps.ledger.rules.permits("api.internal:443")
    for one in (sandbox, stated):
        one.parts.uplink.stop()
