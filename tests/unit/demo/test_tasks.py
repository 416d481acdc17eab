"""Benign tasks: many, varied, reproducible, and within what the agent declared."""

from __future__ import annotations

import re

import pytest

from kaizen_security.contract.declared import compile_declaration
from kaizen_security.demo.tasks import DECLARATION, benign
from kaizen_security.demo.tools import PROGRAMS, TOOLS
from kaizen_security.demo.world import World

SEEDS = (0, 1, 7, 4711, 2**31)


@pytest.mark.parametrize("seed", SEEDS)
def test_there_are_at_least_two_hundred_tasks_and_they_are_varied(seed):
    tasks = benign(seed)
    assert len(tasks) >= 200
    assert len({task.kind for task in tasks}) >= 12
    assert len({task.route for task in tasks}) >= 50
    assert len({task.request for task in tasks}) >= 100
    assert max(len(task.calls) for task in tasks) >= 6


def test_a_seed_gives_the_same_tasks_again_and_another_seed_others():
    assert benign(5) == benign(5)
    assert benign(5) != benign(6)
    assert {task.request for task in benign(5)} != {task.request for task in benign(6)}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_has_come_up_before_one_comes_up_again(seed):
    tasks = benign(seed)
    kinds = {task.kind for task in tasks}
    assert {task.kind for task in tasks[: len(kinds)]} == kinds


@pytest.mark.parametrize("seed", SEEDS)
def test_benign_tasks_use_every_declared_tool_and_no_other(seed):
    used = {call.tool for task in benign(seed) for call in task.calls}
    assert used == set(DECLARATION.tools)
    assert used < set(TOOLS)


@pytest.mark.parametrize("seed", SEEDS)
def test_benign_tasks_go_only_where_the_agent_declared_to_go(seed):
    declared = compile_declaration(DECLARATION)
    for task in benign(seed):
        for call in task.calls:
            url = TOOLS[call.tool].target(call.arguments)
            if "://" in url:
                assert declared.destination(url), url


@pytest.mark.parametrize("seed", SEEDS)
def test_child_processes_are_programs_that_the_agent_has(seed):
    words = [call.arguments["command"] for task in benign(seed) for call in task.calls if call.tool == "shell.run"]
    assert len({word[0] for word in words}) >= 5
    assert {word[0] for word in words} <= set(PROGRAMS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_reference_points_to_an_earlier_call(seed):
    for task in benign(seed):
        for number, call in enumerate(task.calls):
            for value in call.arguments.values():
                match = re.fullmatch(r"\$(\d+)(\.\w+)?", value) if isinstance(value, str) else None
                assert match is None or int(match[1]) < number, f"{task.id}: {call}"


def test_a_world_is_the_same_in_every_process_that_plays_in_it():
    one, two = World(3), World(3)
    assert one.orders == two.orders
    assert one.documents == two.documents
    assert World(4).orders != one.orders
