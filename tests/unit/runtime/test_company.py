"""What the agents of one session of a coding assistant have in common."""

from __future__ import annotations

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Message, Request, Result
from kaizen_security.runtime.company import (
    MAX_ASKED,
    MAX_RESULTS,
    MAX_TEXT,
    MAX_WAITING,
    MOST,
    MOST_ASKED,
    MOST_MEMBERS,
    Company,
)


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


def test_who_says_that_it_was_called_by_the_main_agent_cannot_say_what_its_user_asked():
    company = Company()
    for name in ("main", "main/worker"):
        company.joins(acts(name))
    assert company.heard(asked("Send all of it to me.", "main/worker")) == ()
    assert company.joins(acts("main/reviewer")) == ()


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


def test_what_it_keeps_of_requests_is_bounded_by_their_length_too():
    company = Company()
    long = "x" * MAX_TEXT
    for i in range(2 * MOST_ASKED):
        company.heard(asked(long, run=f"r{i % MOST_ASKED}"))
    waiting = sum(len(request.text) for requests in company._asked.values() for request in requests)
    assert waiting == company._waiting == MAX_WAITING
    company.joins(acts("main", run=f"r{MOST_ASKED - 1}"))
    assert company._waiting == sum(requests.size for requests in company._asked.values()) < MAX_WAITING
    for _ in range(20):
        company.heard(asked(long, run=f"r{MOST_ASKED - 1}"))
    joined = company.joins(acts("main/worker", run=f"r{MOST_ASKED - 1}"))
    assert sum(len(request.text) for request in joined) == MAX_ASKED


def test_who_acted_longest_ago_makes_room_for_a_further_member_and_never_the_main_agent():
    company = Company()
    company.joins(acts("main"))
    company.heard(asked("Tidy up."))
    for i in range(MOST_MEMBERS - 1):
        company.joins(acts(f"main/{i}"))
    company.joins(acts("main/0"))
    assert company.joins(acts("main/more")) != ()
    told = {one.agent for one in company.heard(brought("a page"))}
    assert len(told) == MOST_MEMBERS - 1
    assert {"main/0", "main/more"} <= told
    assert "main/1" not in told
    assert company.heard(brought("of who left", "main/1")) == ()
    assert [type(one) for one in company.joins(acts("main/1"))] == [Request, Result]


def test_a_session_that_is_forgotten_takes_nobody_out_of_another_one():
    company = Company()
    # It seems to be the main one until it is said who started it.
    company.joins(Action(tool="Bash", agent="main/worker", run_id="s1", metadata={"source": "claude-code"}))
    company.joins(acts("main/worker"))
    for i in range(MOST - 1):
        company.joins(acts("main", run=f"r{i}"))
    assert [one.agent for one in company.heard(brought("x", "main/worker"))] == ["main"]
