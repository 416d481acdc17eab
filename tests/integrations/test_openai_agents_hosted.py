"""Tools that OpenAI runs itself for an agent of its SDK: told afterwards, once, with what they brought."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("agents")

from agents import (
    Agent,
    CodeInterpreterTool,
    FileSearchTool,
    HostedMCPTool,
    ImageGenerationTool,
    RunContextWrapper,
    Runner,
    WebSearchTool,
    function_tool,
)

from kaizen_security.integrations.openai_agents import KaizenHooks
from kaizen_security.testing.models import Call, Turn
from tests.integrations.agent import FOREIGN, TOOLS, World, asks, transfer
from tests.integrations.elsewhere import RUNS, note, paid, was_caught
from tests.integrations.suite import BLOCKED, PROMPT
from tests.integrations.test_openai_agents import OpenAIAgents

DRIVER = OpenAIAgents()
HOSTED = ("web_search", "file_search", "code_interpreter", "image_generation", "lookup", "shell")
MCP: Any = {"type": "mcp", "server_label": "ledger", "server_url": "https://ledger.example/mcp"}
SEARCH = {"type": "search", "query": "bill b1"}


def web_search(text: str, i: int) -> dict[str, Any]:
    source = {"type": "url", "url": f"https://bills.example/b1?{text}"}
    return {
        "type": "web_search_call",
        "id": f"ws_{i}",
        "status": "completed",
        "action": {**SEARCH, "sources": [source]},
    }


def file_search(text: str, i: int) -> dict[str, Any]:
    result = {"file_id": "f1", "filename": "b1.txt", "score": 0.9, "text": text}
    return {
        "type": "file_search_call",
        "id": f"fs_{i}",
        "status": "completed",
        "queries": ["bill b1"],
        "results": [result],
    }


def code_interpreter(text: str, i: int) -> dict[str, Any]:
    return {
        "type": "code_interpreter_call",
        "id": f"ci_{i}",
        "status": "completed",
        "container_id": "c1",
        "code": "print(open('b1').read())",
        "outputs": [{"type": "logs", "logs": text}],
    }


def mcp_call(text: str, i: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "mcp_call",
        "id": f"mcp_{i}",
        "server_label": "ledger",
        "name": "lookup",
        "arguments": '{"bill": "b1"}',
        "output": text,
        "error": None,
        **more,
    }


def picture(text: str, i: int) -> dict[str, Any]:
    return {
        "type": "image_generation_call",
        "id": f"ig_{i}",
        "status": "completed",
        "result": "iVBORw0KGgo=",
        "revised_prompt": text,
    }


def approval(i: int, name: str = "lookup") -> dict[str, Any]:
    return {
        "type": "mcp_approval_request",
        "id": f"mcpr_{i}",
        "server_label": "ledger",
        "name": name,
        "arguments": '{"bill": "b1"}',
    }


def built(models: Any, attach: Any, *, mode: str = "enforce", hosted: Any = None) -> tuple[Any, World, list[Any]]:
    """An agent that may use OpenAI's tools, its world, and what was reported."""
    seen: list[Any] = []
    kaizen = attach(mode, declare=False, on_verdict=lambda verdict, action: seen.append((verdict, action)))
    # A purpose of its own: agents of one purpose are compared, and each of these tests uses another tool.
    kaizen.declare(tools=[*TOOLS, *HOSTED], purpose=f"Pays the bills of {kaizen.settings.agent}.")
    world = World()
    agent = DRIVER.build(models.url, world.tools(), kaizen)
    agent.agent.tools += hosted or [
        WebSearchTool(),
        FileSearchTool(vector_store_ids=["v1"]),
        CodeInterpreterTool(tool_config={"type": "code_interpreter", "container": {"type": "auto"}}),
        ImageGenerationTool(tool_config={"type": "image_generation"}),
        HostedMCPTool(tool_config={**MCP, "require_approval": "never"}),
    ]
    return agent, world, seen


def test_what_openai_s_own_search_brought_is_known_for_what_it_is(models, attach):
    agent, world, seen = built(models, attach)
    said = paid(models, lambda prompt: DRIVER.run(agent, "stream", prompt), lambda text, i: (web_search(text, i),))
    assert said == ["Done."] * (RUNS + 1)
    assert was_caught(world)
    assert BLOCKED in DRIVER.results(json.loads(models.heard[-1].body))[-1]
    told = [action for _, action in seen if action.tool == "web_search"]
    assert [one.act_id for one in told] == [f"ws_{i}" for i in range(RUNS + 1)]
    assert [one.run_id for one in told] == [action.run_id for _, action in seen if action.tool == "transfer_make"]


@pytest.mark.parametrize(("path", "mode"), [("sync", "enforce"), ("async", "observe"), ("stream", "enforce")])
def test_each_call_that_ran_at_openai_is_told_once_with_its_arguments(path, mode, models, attach):
    agent, _, seen = built(models, attach, mode=mode)
    items = (
        {"type": "mcp_list_tools", "id": "l1", "server_label": "ledger", "tools": [{"name": "x", "input_schema": {}}]},
        web_search("", 0),
        file_search("", 0),
        code_interpreter("", 0),
        picture("a bill", 0),
        mcp_call("", 0),
    )
    models.say(Turn(items=items, text="Wait.", calls=()), Turn(text="Done."))
    DRIVER.run(agent, path, PROMPT)
    found = [
        (one.kind, one.tool, one.publisher, one.act_id, {**one.metadata["arguments"]})  # type: ignore[dict-item]
        for _, one in seen
    ]
    assert found == [
        ("tool_call", "web_search", "openai", "ws_0", SEARCH),
        ("tool_call", "file_search", "openai", "fs_0", {"queries": ["bill b1"]}),
        ("exec", "code_interpreter", "openai", "ci_0", {"code": "print(open('b1').read())"}),
        ("tool_call", "image_generation", "openai", "ig_0", {"prompt": "a bill"}),
        ("tool_call", "lookup", "ledger", "mcp_0", {"bill": "b1"}),
    ]


def test_what_was_never_declared_and_ran_at_openai_is_reported_and_the_run_goes_on(models, attach):
    agent, world, seen = built(models, attach)
    models.say(Turn(items=(mcp_call("gone", 0, name="wipe"),), text="Done."))
    assert DRIVER.run(agent, "async", PROMPT) == "Done."
    assert [(one.tool, one.publisher) for _, one in seen] == [("wipe", "ledger")]
    assert world.ran == []


@pytest.mark.parametrize(
    ("path", "mode", "name"),
    [
        ("sync", "enforce", "lookup"),
        ("async", "enforce", "wipe"),
        ("stream", "enforce", "wipe"),
        ("stream", "observe", "wipe"),
    ],
)
def test_a_call_that_openai_asks_about_is_judged_before_and_told_once(name, mode, path, models, attach):
    asked: list[str] = []

    async def approve(request: Any) -> Any:
        asked.append(request.data.name)
        return {"approve": True}

    hosted = [HostedMCPTool(tool_config={**MCP, "require_approval": "always"}, on_approval_request=approve)]
    agent, world, seen = built(models, attach, mode=mode, hosted=hosted)
    ran = mcp_call(note(FOREIGN), 0, name=name, approval_request_id="mcpr_0")
    allowed = mode == "observe" or name == "lookup"
    models.say(Turn(items=(approval(0, name),)), Turn(items=(ran,) if allowed else (), text="Done."))
    assert DRIVER.run(agent, path, PROMPT) == "Done."
    assert asked == ([name] if allowed else [])
    answers = [one for one in json.loads(models.heard[-1].body)["input"] if one.get("type") == "mcp_approval_response"]
    assert [one["approve"] for one in answers] == [allowed]
    assert [BLOCKED in one.get("reason", "") for one in answers] == [not allowed]
    assert [(one.tool, one.publisher) for _, one in seen] == [(name, "ledger")]
    assert world.ran == []


def test_what_an_approved_call_brought_is_known_for_what_it_is(models, attach):
    hosted = [
        HostedMCPTool(
            tool_config={**MCP, "require_approval": "always"}, on_approval_request=lambda request: {"approve": True}
        )
    ]
    agent, world, seen = built(models, attach, hosted=hosted)
    turns = iter(range(RUNS + 1))

    def run(prompt: str) -> str:
        i = next(turns)
        models._lines.appendleft(Turn(items=(approval(i),)))
        return DRIVER.run(agent, "async", prompt)

    paid(models, run, lambda text, i: (mcp_call(text, i, approval_request_id=f"mcpr_{i}"),))
    assert was_caught(world)
    assert [one.tool for _, one in seen] == ["lookup", "transfer_make"] * (RUNS + 1)


@pytest.mark.skipif(not hasattr(RunContextWrapper, "reject_tool"), reason="the host answers by hand in its next run")
@pytest.mark.parametrize("name", ["lookup", "wipe"])
def test_a_person_is_not_asked_to_approve_what_is_blocked(name, models, attach):
    agent, _, seen = built(models, attach, hosted=[HostedMCPTool(tool_config={**MCP, "require_approval": "always"})])
    ran = mcp_call("", 0, name=name, approval_request_id="mcpr_0")
    models.say(Turn(items=(approval(0, name),)), Turn(items=(ran,) if name == "lookup" else (), text="Done."))

    async def main() -> str:
        result = await Runner.run(agent.agent, PROMPT, hooks=agent.hooks)
        assert [one.tool_name for one in result.interruptions] == ([name] if name == "lookup" else [])
        if result.interruptions:
            state = result.to_state()
            state.approve(result.interruptions[0])
            result = await Runner.run(agent.agent, state, hooks=agent.hooks)
        return str(result.final_output)

    assert asyncio.run(main()) == "Done."
    answers = [one for one in json.loads(models.heard[-1].body)["input"] if one.get("type") == "mcp_approval_response"]
    assert [(one["approve"], BLOCKED in one.get("reason", "")) for one in answers] == [
        (name == "lookup", name != "lookup")
    ]
    assert [one.tool for _, one in seen] == [name]


def test_what_openai_s_tools_brought_in_an_earlier_run_of_the_conversation_is_known(models, attach):
    agent, world, _ = built(models, attach)
    paid(models, lambda prompt: DRIVER.run(agent, "async", prompt), lambda text, i: (file_search(text, i),))
    assert was_caught(world)
    models.say(Turn(items=(file_search(note(FOREIGN), 99),), text="It says where."))
    first = agent.loop.run(Runner.run(agent.agent, PROMPT, hooks=agent.hooks))
    again = [*first.to_input_list(), {"role": "user", "content": "Pay it, please."}]
    models.say(Turn(calls=(transfer(FOREIGN),)), "I did not.")
    agent.loop.run(Runner.run(agent.agent, again, hooks=agent.hooks))
    assert was_caught(world)


def test_a_sub_agent_s_own_tools_are_told_as_the_sub_agent_s(models, attach):
    seen: list[Any] = []
    kaizen = attach(declare=False, on_verdict=lambda _, action: seen.append(action))
    worker = Agent(name="searcher", model=DRIVER.model(models.url), tools=[WebSearchTool()])
    chief = Agent(
        name="chief",
        model=DRIVER.model(models.url),
        tools=[worker.as_tool("search", "Search."), *map(function_tool, World().tools())],
    )
    models.say(
        asks(Call(tool="search", arguments={"input": "b1"}, id="call_s")),
        Turn(items=(web_search("", 0),), text="Found."),
        "Done.",
    )
    kaizen.declare(tools=["search"])
    kaizen.named("searcher").declare(tools=["web_search"])
    asyncio.run(Runner.run(chief, PROMPT, hooks=KaizenHooks(kaizen)))
    (told,) = [one for one in seen if one.tool == "web_search"]
    assert told.agent == f"{kaizen.settings.agent}/searcher"
    assert told.delegation == (kaizen.settings.agent,)
