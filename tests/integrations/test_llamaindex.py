"""LlamaIndex: agents and workflows on their own runtime, with its own client of OpenAI's chat completions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("llama_index.core")
pytest.importorskip("llama_index.llms.openai")

from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent
from llama_index.core.tools import FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.tools.calling import call_tool
from llama_index.core.tools.types import BaseTool, adapt_to_async_tool
from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step
from llama_index.llms.openai import OpenAI

from kaizen_security import KaizenBlocked
from kaizen_security.integrations import llamaindex
from kaizen_security.testing.models import Call
from tests.integrations import chat
from tests.integrations.agent import NoSuchBill, World, asks, read, wipe
from tests.integrations.suite import BLOCKED, PROMPT, Suite


def model(url: str) -> OpenAI:
    return OpenAI(model="gpt-4o-mini", api_base=f"{url}/v1", api_key="none", max_retries=0)


class LlamaIndex:
    """``FunctionAgent.run``; its tools are called on an event loop whatever they are."""

    name = "LlamaIndex"
    package = "llama-index-core"
    paths = ("async", "stream")

    def build(self, url: str, tools: list[Any], kaizen: Any) -> FunctionAgent:
        agent = FunctionAgent(name="assistant", tools=tools, llm=model(url))
        if kaizen is not None:
            llamaindex.attach(kaizen, agent)
        return agent

    def run(self, agent: FunctionAgent, path: str, prompt: str) -> str:
        agent.streaming = path == "stream"
        agent.llm = model(agent.llm.api_base.removesuffix("/v1"))  # its client belongs to one event loop
        return asyncio.run(self._streamed(agent, prompt) if path == "stream" else self.arun(agent, prompt))

    async def arun(self, agent: FunctionAgent, prompt: str) -> str:
        handler = agent.run(user_msg=prompt)
        try:
            return str(await handler)
        except asyncio.CancelledError:
            await handler.cancel_run()
            raise

    async def _streamed(self, agent: FunctionAgent, prompt: str) -> str:
        handler = agent.run(user_msg=prompt)
        async for _ in handler.stream_events():
            pass
        return str(await handler)

    def results(self, body: dict[str, Any]) -> list[str]:
        return chat.results(body)

    def schemas(self, body: dict[str, Any]) -> Any:
        return body["tools"]


class TestLlamaIndex(Suite):
    driver = LlamaIndex()

    def test_once_for_the_whole_process(self, models, attach):
        world = World()
        agent = self.driver.build(models.url, world.tools(), None)
        llamaindex.attach(attach())
        try:
            for _ in range(2):
                models.say(asks(wipe()), "Done.")
                assert self.driver.run(agent, "async", PROMPT) == "Done."
            assert world.ran == []
        finally:
            llamaindex.detach()
        models.say(asks(wipe()), "Done.")
        self.driver.run(agent, "async", PROMPT)
        assert world.names == ["wipe"]

    def test_who_is_handed_the_work_has_an_identity_of_its_own_and_the_chain(self, models, attach):
        world, seen = World(), []
        kaizen = attach(on_verdict=lambda _, action: seen.append(action))
        kaizen.named("third").declare(tools=["bill_read"])
        names = ("first", "second", "third")
        members = [
            FunctionAgent(name=name, description=name, tools=world.tools(), llm=model(models.url)) for name in names
        ]
        workflow = AgentWorkflow(agents=members, root_agent="first")
        llamaindex.attach(kaizen, workflow)
        hands = [
            asks(Call(tool="handoff", arguments={"to_agent": name, "reason": "yours"}, id=name))
            for name in ("second", "third")
        ]
        models.say(*hands, asks(read(), wipe()), "Done.")
        assert asyncio.run(_whole(workflow, PROMPT)) == "Done."
        assert world.names == ["bill_read"]
        assert {action.delegation for action in seen} == {(kaizen.settings.agent, "second")}
        assert len({action.run_id for action in seen}) == 1

    def test_an_agent_that_is_called_as_a_tool(self, models, attach):
        world, seen = World(), []
        kaizen = attach(declare=False, on_verdict=lambda _, action: seen.append(action))
        kaizen.named("helper").declare(tools=["bill_read"])
        helper = FunctionAgent(name="helper", description="reads", tools=world.tools(), llm=model(models.url))

        async def ask_helper(question: str) -> str:
            """Ask the helper."""
            return str(await helper.run(user_msg=question))

        agent = FunctionAgent(name="assistant", tools=[ask_helper], llm=model(models.url))
        llamaindex.attach(kaizen, agent, helper)
        models.say(asks(Call(tool="ask_helper", arguments={"question": "b1?"})), asks(read(), wipe()), "Read.", "Done.")
        assert self.driver.run(agent, "async", PROMPT) == "Done."
        assert world.names == ["bill_read"]
        assert [action.delegation for action in seen] == [(), (kaizen.settings.agent,), (kaizen.settings.agent,)]
        assert len({action.run_id for action in seen}) == 1

    @pytest.mark.shows("block", "refuse")
    def test_an_agent_that_writes_its_calls_as_text(self, models, attach):
        world = World()
        agent = ReActAgent(name="assistant", tools=world.tools(), llm=model(models.url))
        llamaindex.attach(attach(), agent)
        models.say('Thought: hm\nAction: wipe\nAction Input: {"path": "/"}', "Thought: well\nAnswer: I could not.")
        assert asyncio.run(_whole(agent, PROMPT)) == "I could not."
        assert world.ran == []
        assert BLOCKED in str(models.heard[-1].document)

    @pytest.mark.shows("block", "refuse")
    def test_a_program_that_the_model_writes(self, models, attach):
        ran = []
        agent = CodeActAgent(name="assistant", code_execute_fn=ran.append, llm=model(models.url))
        llamaindex.attach(attach(), agent)
        models.say("<execute>\nprint(1)\n</execute>", "I could not.")
        assert asyncio.run(_whole(agent, PROMPT)) == "I could not."
        assert ran == []

    @pytest.mark.shows("block")
    def test_a_guarded_tool_is_judged_by_whomever_it_is_called(self, attach):
        world = World()
        kaizen = attach()
        _, _, wiping, _ = world.tools()
        _, _, awiping, _ = world.tools(coroutine=True)
        guarded = llamaindex.guard_tool(kaizen, FunctionTool.from_defaults(wiping))
        acoroutine = llamaindex.guard_tool(kaizen, FunctionTool.from_defaults(async_fn=awiping))
        again = llamaindex.guard_tool(kaizen, guarded)
        assert again is guarded
        for output in (
            guarded.call(path="/"),
            guarded(path="/"),
            guarded("/"),
            call_tool(guarded, {"path": "/"}),
            asyncio.run(guarded.acall(path="/")),
            asyncio.run(acoroutine.acall(path="/")),
        ):
            assert output.is_error
            assert output.content.startswith(BLOCKED)
        for take in (lambda: guarded.fn("/"), lambda: asyncio.run(acoroutine.async_fn(path="/"))):
            with pytest.raises(KaizenBlocked):
                take()
        assert world.ran == []
        assert guarded.metadata.get_parameters_dict()["properties"].keys() == {"path"}

    def test_a_guarded_tool_gives_what_it_gave_before(self, attach):
        world = World()
        plain, guarded = (FunctionTool.from_defaults(world.tools()[0]) for _ in range(2))
        llamaindex.guard_tool(attach(), guarded)
        assert guarded.call(bill="b1") == plain.call(bill="b1")
        assert asyncio.run(guarded.acall(bill="b1")) == asyncio.run(plain.acall(bill="b1"))
        failing = llamaindex.guard_tool(attach(), FunctionTool.from_defaults(world.tools()[3]))
        with pytest.raises(NoSuchBill, match="no bill b0"):
            failing.call(bill="b0")

    @pytest.mark.shows("block")
    def test_a_tool_that_is_no_function_is_guarded_as_well(self, attach):
        class Wipe(BaseTool):
            ran = 0

            @property
            def metadata(self) -> ToolMetadata:
                return ToolMetadata(name="wipe", description="Delete.")

            def __call__(self, input: str) -> ToolOutput:  # noqa: A002
                self.ran += 1
                return ToolOutput(content="gone", tool_name="wipe", raw_input={"input": input}, raw_output="gone")

        tool = llamaindex.guard_tool(attach(), Wipe())
        assert tool("/").content.startswith(BLOCKED)
        assert asyncio.run(adapt_to_async_tool(tool).acall("/")).content.startswith(BLOCKED)
        assert tool.ran == 0
        assert isinstance(tool, Wipe)

    def test_in_an_attached_agent_a_guarded_tool_is_told_once(self, models, attach):
        world, seen = World(), []
        kaizen = attach(on_verdict=lambda _, action: seen.append(action.tool))
        tools = [llamaindex.guard_tool(kaizen, FunctionTool.from_defaults(one)) for one in world.tools()]
        agent = self.driver.build(models.url, tools, kaizen)
        models.say(asks(read(), wipe()), "Done.")
        self.driver.run(agent, "async", PROMPT)
        assert sorted(seen) == ["bill_read", "wipe"]

    def test_the_run_of_a_plain_workflow_reaches_the_tools_in_its_steps(self, attach):
        world, seen = World(), []
        kaizen = attach(on_verdict=lambda _, action: seen.append(action))
        tool = llamaindex.guard_tool(kaizen, FunctionTool.from_defaults(world.tools()[0]))

        class Reading(Workflow):
            @step
            async def read(self, event: StartEvent) -> StopEvent:
                first, second = tool.call(bill="b1"), await tool.acall(bill="b2")
                return StopEvent(result=first.content + second.content)

        workflow = Reading()
        llamaindex.attach(kaizen, workflow)

        async def main() -> str:
            return str(await workflow.run(topic=PROMPT))

        assert asyncio.run(main()) == world.note * 2
        assert len({action.run_id for action in seen}) == 1
        assert seen[0].run_id


async def _whole(workflow: Any, prompt: str) -> str:
    return str(await workflow.run(user_msg=prompt))
