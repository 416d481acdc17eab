"""Programs that ran, against the commands that were told of."""

from __future__ import annotations

import pytest

from kaizen_security.observer.gap import words
from tests.unit.observer.gap.test_gap import Story

CODER = {"tools": ["run"], "programs": ["uname"]}


class Machine(Story):
    """Programs have a process and a parent; 1 is the agent's."""

    def ran(self, file, pid=2, parent=1):
        return self.see(file, kind="exec", source="ebpf", up=None, pid=pid, ppid=parent)


def told(command="git status", **more):
    return Machine(CODER).ask().call("run", **{"command": command, **more})


def test_the_program_that_was_told_of_is_no_gap():
    assert told().ran("/usr/bin/git").back().end().gaps == []
    assert told(["git", "status"]).ran("/usr/bin/git").back().end().gaps == []


def test_another_program_than_the_told_one_is_a_gap():
    story = told().ran("/usr/bin/curl").back().end()
    assert story.kinds == ["unreported program"]
    assert story.gaps[0].confidence == 0.95
    assert story.reasons == [
        "Trace-vs-egress gap: the agent reported only a run call, but the real egress shows that it ran a program that its "
        "command does not name."
    ]
    action = words.action(story.gaps[0])
    assert (action.kind, action.target, action.tool) == ("exec", "/usr/bin/curl", "run")


def test_a_shell_explains_itself_and_not_what_it_starts():
    story = told().ran("/bin/sh").ran("/usr/bin/git", 3, 2).ran("/usr/bin/curl", 4, 2)
    assert [gap.target for gap in story.back().end().gaps] == ["/usr/bin/curl"]


def test_what_a_told_program_starts_is_its_own_affair():
    story = (
        told("make test").ran("/usr/bin/make").ran("/bin/sh", 3, 2).ran("/usr/bin/cc", 4, 2).ran("/usr/bin/as", 5, 4)
    )
    assert story.back().end().gaps == []


def test_a_program_that_becomes_another_in_the_same_process():
    assert told("npm ci").ran("/usr/bin/npm").ran("/usr/bin/env").ran("/usr/bin/node").back().end().gaps == []
    story = told().ran("/bin/sh").ran("/usr/bin/nc")
    assert [gap.target for gap in story.back().end().gaps] == ["/usr/bin/nc"]


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("python -m pytest", "/usr/bin/python3.11"),
        ("./build.sh --all", "/home/dev/project/build.sh"),
        ("cd x && FOO=1 cargo build | tee log", "/root/.cargo/bin/cargo"),
        ("g++ a.cc", "/usr/bin/g++"),
        ("anything", "/usr/bin/uname"),
    ],
)
def test_names_of_programs(command, file):
    assert told(command).ran(file).back().end().gaps == []


def test_where_no_command_is_told_nothing_is_compared():
    story = Machine(CODER).ask().call("lookup_order", order="1").ran("/usr/bin/curl").back().end()
    assert story.gaps == []
    assert story.ledger.counts["programs beside no command"] == 1


def test_the_agents_own_start_just_before_its_call_is_no_gap():
    story = Machine(CODER).ran("/usr/bin/python3").ask().call("run", command="git status").back().end()
    assert story.ran("/usr/bin/python3").ask("s").call("run", "s", command="git log").back(run="s").end("s").gaps == []


def test_local_services_of_the_c_library_need_no_call_and_others_do():
    library = told().see("unix:/var/run/nscd/socket", source="ebpf", up=None).back().end()
    assert library.gaps == []
    engine = told().see("unix:/run/docker.sock", source="ebpf", up=None).back().end()
    assert [gap.target for gap in engine.gaps] == ["unix:/run/docker.sock"]


def test_a_command_that_is_told_after_it_ran_explains_it():
    story = Machine(CODER).ask()
    story.ledger.note(story_exec("/usr/bin/git", story.now), story.now)
    assert story.call("run", command="git status").back().end().gaps == []


def story_exec(file, at):
    from kaizen_security.contract.action import Action

    return Action("exec", target=file, at=at, metadata={"source": "ebpf", "pid": 2, "ppid": 1}, id="e")


def test_chains_of_programs_are_bounded():
    story = told("sh -c loop")
    for number in range(5000):
        story.ledger.note(story_exec(f"/bin/p{number}", story.now), story.now)
    story.back().end()
    assert len(story.ledger._programs) == 1
    assert all(one.above is None for one in story.ledger._effects.values() if one.settled)
