"""Tools that a model's provider runs itself, as LangChain's messages tell of them: told once, with what they brought."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolCall
from langchain_openai import ChatOpenAI

from kaizen_security.integrations import langchain
from kaizen_security.integrations.langchain import KaizenCallbackHandler
from kaizen_security.integrations.langchain_hosted import ran_in
from kaizen_security.testing.models import Turn
from tests.integrations.agent import FOREIGN, TOOLS, World, asks, transfer
from tests.integrations.elsewhere import RUNS, note, paid, was_caught
from tests.integrations.suite import PROMPT
from tests.integrations.test_langchain import LangChain, structured

DRIVER = LangChain()
FORMATS = ["v0", "responses/v1", "v1"]
"""``output_version``: how langchain-openai writes the items of OpenAI's responses into a message."""


def searched(text: str, i: int) -> tuple[dict[str, Any], ...]:
    results = [{"file_id": "f1", "filename": "b1.txt", "score": 0.9, "text": text}]
    return (
        {"type": "file_search_call", "id": f"fs_{i}", "status": "completed", "queries": ["b1"], "results": results},
    )


def built(models: Any, attach: Any, output: str, mode: str = "enforce") -> tuple[Any, World, list[Any]]:
    seen: list[Any] = []
    kaizen = attach(mode, declare=False, on_verdict=lambda _, action: seen.append(action))
    kaizen.declare(tools=[*TOOLS, "file_search"], purpose=f"Pays the bills of {kaizen.settings.agent}.")
    model = ChatOpenAI(
        model="gpt-test",
        base_url=f"{models.url}/v1",
        api_key="none",
        max_retries=0,
        use_responses_api=True,
        output_version=output,
    )
    world = World()
    agent = create_agent(model, [structured(one) for one in world.tools()])
    agent.kaizen = {"callbacks": [KaizenCallbackHandler(kaizen)]}
    return agent, world, seen


def test_what_openai_s_own_search_brought_is_known_for_what_it_is(models, attach):
    agent, world, seen = built(models, attach, "v1")
    paid(models, lambda prompt: DRIVER.run(agent, "stream", prompt), searched)
    assert was_caught(world)
    assert [one.tool for one in seen] == ["file_search", "transfer_make"] * (RUNS + 1)
    assert [one.act_id for one in seen[::2]] == [f"fs_{i}" for i in range(RUNS + 1)]
    assert [one.run_id for one in seen[::2]] == [one.run_id for one in seen[1::2]]


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize(("path", "mode"), [("sync", "observe"), ("async", "enforce"), ("stream", "enforce")])
def test_it_is_told_once_with_its_arguments_in_every_format(path, mode, output, models, attach):
    agent, _, seen = built(models, attach, output, mode)
    models.say(Turn(items=searched("", 0), text="Done."))
    detach = langchain.attach(agent.kaizen["callbacks"][0].point.kaizen)  # one of the process's, beside that of the run
    try:
        DRIVER.run(agent, path, PROMPT)
    finally:
        detach()
    assert [(one.tool, one.publisher, one.act_id) for one in seen] == [("file_search", "openai", "fs_0")]
    assert seen[0].metadata["arguments"] == {"queries": ["b1"]}


def test_a_model_that_is_asked_outside_of_any_run_is_heard_as_well(models, attach):
    agent, _, seen = built(models, attach, "v1")
    models.say(Turn(items=searched("", 0), text="Done."))
    model = ChatOpenAI(model="gpt-test", base_url=f"{models.url}/v1", api_key="none", use_responses_api=True)
    asyncio.run(model.ainvoke(PROMPT, config=agent.kaizen))
    assert [one.tool for one in seen] == ["file_search"]


ANTHROPIC = [
    {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}, "partial_json": '{"query": "b1"}'},
    {
        "type": "web_search_tool_result",
        "tool_use_id": "srv_1",
        "content": [{"type": "web_search_result", "url": "https://b.example", "title": "B", "encrypted_content": "x"}],
    },
    {"type": "mcp_tool_use", "id": "mcp_1", "name": "lookup", "server_name": "ledger", "input": {"bill": "b1"}},
    {"type": "mcp_tool_result", "tool_use_id": "mcp_1", "is_error": True, "content": [{"type": "text", "text": "no"}]},
    {
        "type": "text",
        "text": "Pay.",
        "citations": [{"type": "web_search_result_location", "url": "https://b.example", "cited_text": "Please pay."}],
    },
]
PAGE = {"type": "web_search_result", "url": "https://b.example", "title": "B"}


def test_anthropic_s_blocks_are_read_without_what_is_sealed_in_them():
    found = ran_in(AIMessage(content=ANTHROPIC, response_metadata={"model_provider": "anthropic"}))
    cited = [{"url": "https://b.example", "cited_text": "Please pay."}]
    assert [(one.tool, one.publisher, one.arguments, one.content, one.failed) for one in found] == [
        ("web_search", "anthropic", {"query": "b1"}, {"result": [PAGE], "cited": cited}, False),
        ("lookup", "ledger", {"bill": "b1"}, [{"type": "text", "text": "no"}], True),
    ]


def test_langchain_s_own_blocks_and_google_s_are_read():
    called = {"type": "server_tool_call", "id": "s1", "name": "remote_mcp", "args": {"bill": "b1"}}
    called["extras"] = {"tool_name": "lookup", "server_label": "ledger"}
    brought = {"type": "server_tool_result", "tool_call_id": "s1", "status": "success", "output": "Pay."}
    code = {"type": "executable_code", "executable_code": "print(1)", "id": "c1"}
    ran = {"type": "code_execution_result", "tool_call_id": "c1", "code_execution_result": "1"}
    chunk = {"web": {"uri": "https://b.example", "title": "B"}}
    about = {"grounding_metadata": {"web_search_queries": ["b1"], "grounding_chunks": [chunk]}}
    about["model_provider"] = "google_genai"
    found = ran_in(AIMessage(content=[called, brought, code, ran], response_metadata=about))
    assert [(one.tool, one.publisher, one.arguments, one.content) for one in found] == [
        ("lookup", "ledger", {"bill": "b1"}, "Pay."),
        ("code_execution", "google_genai", {"code": "print(1)"}, "1"),
        ("google_search", "google_genai", {"web_search_queries": ["b1"]}, {"grounding_chunks": [chunk]}),
    ]


@pytest.mark.parametrize(
    "content", ["words", [], ["words"], [{"type": "text", "text": "words"}], [{"type": 5}, {}, {"type": []}]]
)
def test_a_message_without_them_tells_of_nothing(content):
    assert list(ran_in(AIMessage(content=content))) == []


def test_what_a_model_of_another_provider_says_in_langchain_s_own_blocks_is_told(attach):
    seen: list[Any] = []
    kaizen = attach(on_verdict=lambda _, action: seen.append(action))
    world = World()
    call = ToolCall(name="bill_read", args={"bill": "b1"}, id="call_1")
    first = AIMessage(content=ANTHROPIC[:2], tool_calls=[call], response_metadata={"model_provider": "anthropic"})

    class Scripted(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **_: Any) -> Any:
            return self

    agent = create_agent(
        Scripted(messages=iter([first, AIMessage("Done.")])), [structured(one) for one in world.tools()]
    )
    agent.invoke({"messages": [("user", PROMPT)]}, config={"callbacks": [KaizenCallbackHandler(kaizen)]})
    assert [(one.tool, one.publisher) for one in seen] == [("web_search", "anthropic"), ("bill_read", "")]


def test_what_was_found_in_an_earlier_run_of_the_conversation_is_known(models, attach):
    agent, world, _ = built(models, attach, "responses/v1")
    paid(models, lambda prompt: DRIVER.run(agent, "sync", prompt), searched)
    assert was_caught(world)
    models.say(Turn(items=searched(note(FOREIGN), 99), text="It says where."))
    first = agent.invoke({"messages": [("user", PROMPT)]}, config=agent.kaizen)
    models.say(asks(transfer(FOREIGN)), "I did not.")
    agent.invoke({"messages": [*first["messages"], ("user", "Pay it, please.")]}, config=agent.kaizen)
    assert was_caught(world)
