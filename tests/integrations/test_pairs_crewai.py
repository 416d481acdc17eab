"""CrewAI around tools of LangChain, both attached."""

from __future__ import annotations

import os
from typing import Any

import pytest

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", OTEL_SDK_DISABLED="true")
pytest.importorskip("crewai")
pytest.importorskip("langchain_core")

from crewai import Agent
from crewai.tools import BaseTool
from crewai.tools.base_tool import Tool
from langchain_core.tools import StructuredTool

from kaizen_security.integrations import crewai, langchain
from tests.integrations.agent import World, asks, read, wipe
from tests.integrations.suite import PROMPT
from tests.integrations.test_crewai import CrewAI, model


def wrapped(inner: StructuredTool) -> BaseTool:
    """CrewAI's tool whose body is LangChain's."""

    class Wrapped(BaseTool):
        name: str = inner.name
        description: str = inner.description
        args_schema: Any = inner.args_schema

        def _run(self, **given: Any) -> Any:
            return inner.invoke(given)

    return Wrapped()


@pytest.mark.parametrize("mode", ["observe", "enforce"])
@pytest.mark.parametrize("how", ["CrewAI's own conversion", "a guarded tool", "both frameworks attached"])
def test_a_call_of_crewai_s_that_ends_in_a_tool_of_langchain_s_is_told_once(how, mode, models, attach):
    world, seen = World(), []
    kaizen = attach(mode, on_verdict=lambda _, action: seen.append((action.source, action.tool)))
    crewai.attach(kaizen)
    detach = langchain.attach(kaizen) if how == "both frameworks attached" else None
    inner = [StructuredTool.from_function(one) for one in world.tools()]
    if how == "a guarded tool":
        inner = [langchain.guard_tool(kaizen, one) for one in inner]
    made = [Tool.from_langchain(one) if how == "CrewAI's own conversion" else wrapped(one) for one in inner]
    agent = Agent(role="assistant", goal="help", backstory="none", llm=model(models.url), tools=made, cache=False)
    models.say(asks(read(), wipe()), "Done.")
    try:
        assert CrewAI().run(agent, "sync", PROMPT) == "Done."
    finally:
        if detach is not None:
            detach()
        while crewai._ATTACHED:
            crewai._ATTACHED[0].detach()
    assert sorted(seen) == [("crewai", "bill_read"), ("crewai", "wipe")]
    assert sorted(world.names) == (["bill_read"] if mode == "enforce" else ["bill_read", "wipe"])
