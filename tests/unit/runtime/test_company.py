"""What the agents of one session of a coding assistant have in common."""

from __future__ import annotations

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Message, Request, Result
from kaizen_security.runtime.company import MAX_RESULTS, MOST, MOST_ASKED, Company


def acts(agent, run="s1", source="claude-code", organisation=""):
    chain = (agent.partition("/")[0],) if "/" in agent else ()
    return Action(
        tool="Bash", agent=agent, run_id=run, delegation=chain, metadata={"source": source}, organisation=organisation
    )


def asked(text, agent="main", run="s1"):
    return Request(run_id=run, text=text, agent=agent)


def brought(content, agent="main", run="s1"):
    return Result(run_id=run, agent=agent, action_id="a1", content=content)


def test_a_sub_agent_that_joins_hears_what_was_asked_and_read_before_and_from_then_on_each_hears_the_others():
    company = Company()
    assert company.heard(asked("Tidy up.")) == ()
    assert company.joins(acts("main")) == ()
    assert company.heard(brought("the note")) == ()
    assert company.joins(acts("main/worker")) == (
        asked("Tidy up.", "main/worker"),
        brought("the note", "main/worker"),
    )
    assert company.joins(acts("main/worker")) == ()
    assert company.joins(acts("main/reviewer"))[0] == asked("Tidy up.", "main/reviewer")
    assert company.heard(brought("a page", "main/worker")) == (
        brought("a page", "main"),
        brought("a page", "main/reviewer"),
    )
    assert [one.agent for one in company.heard(asked("And now?"))] == ["main/reviewer", "main/worker"]


def test_the_main_agent_s_end_is_everybody_s_and_a_sub_agent_s_nobody_else_s():
    company = Company()
    for name in ("main", "main/worker"):
        company.joins(acts(name))
    assert company.heard(End(run_id="s1", agent="main/worker")) == ()
    assert company.heard(End(run_id="s1", agent="main")) == (End(run_id="s1", agent="main/worker"),)
    assert company.heard(brought("late", "main/worker")) == ()


def test_other_sessions_organisations_feeds_and_steps_have_no_part_in_it():
    company = Company()
    company.joins(acts("main"))
    company.joins(acts("main/worker"))
    company.joins(acts("other", source="langchain"))
    assert company.joins(acts("other/helper", source="langchain")) == ()
    for step in (brought("x", run="s2"), brought("x", run=""), Message(run_id="s1", text="x", agent="main")):
        assert company.heard(step) == ()
    assert company.heard(brought("x"), "another") == ()
    company.heard(brought("theirs"))
    assert company.joins(acts("main/worker", organisation="another")) == ()


def test_it_is_bounded():
    company = Company()
    for i in range(2 * MOST_ASKED):
        company.heard(asked("x", run=f"r{i}"))
    for i in range(2 * MOST):
        company.joins(acts("main", run=f"s{i}"))
        company.joins(acts("main/worker", run=f"s{i}"))
    assert (len(company._asked), len(company._sessions), len(company._of)) == (MOST_ASKED, MOST, 2 * MOST)
    last = f"s{2 * MOST - 1}"
    for _ in range(5):
        company.heard(brought("x" * (MAX_RESULTS // 2 - 10), run=last))
    assert len(company.joins(acts("main/reviewer", run=last))) == 2
