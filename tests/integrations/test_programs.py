"""Programs that a model writes, where a framework's own package runs them: seen whole, refused before they run, output noted.

LangChain's shells stand in environment ``a``, CrewAI's sandboxes in ``b``; a service's own part is played by a class that runs the
program here. CrewAI's older interpreter is in ``crewai-tools<1.10``, which wants an older CrewAI. To try it: ``uv pip install
--no-deps --target FOLDER 'crewai-tools<1.10' docker``, and ``PYTHONPATH`` with that folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from types import SimpleNamespace
from typing import Any

import pytest

from kaizen_security.testing.models import Call
from tests.integrations.agent import asks
from tests.integrations.suite import BLOCKED, PROMPT

ALLOWED = pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "refused"])


@pytest.fixture
def program(tmp_path):
    """It writes a file and says so."""
    return f"open({str(tmp_path / 'written')!r}, 'w').close(); print('it is ' + 'written')"


@pytest.fixture
def judged(attach, tmp_path, models):
    """A client that lets a tool through or does not; and what it then must have been asked, and have let happen."""
    seen = []

    def begin(tool: str, allowed: bool) -> Any:
        kaizen = attach(
            declare=False, on_verdict=lambda said, of: seen.append((of.tool, of.metadata["arguments"], said.blocked))
        )
        notes = []
        note = kaizen.note_brought
        kaizen.note_brought = lambda action, content, **more: (notes.append(content), note(action, content, **more))

        def over(arguments: dict[str, Any], *, output: bool = True) -> None:
            assert seen == [(tool, arguments, not allowed)]
            assert (tmp_path / "written").exists() is allowed
            assert ("it is written" in str(notes)) is (allowed and output)
            assert (BLOCKED in str(models.heard[-1].document)) is not allowed

        kaizen.declare(tools=[tool if allowed else "bill_read"])
        return kaizen, over

    return begin


class TestLangChain:
    """``PythonREPLTool``, and ``PythonAstREPLTool``, which evaluates the last line."""

    @ALLOWED
    @pytest.mark.parametrize("path", ["sync", "async", "stream"])
    @pytest.mark.parametrize("kind", ["PythonREPLTool", "PythonAstREPLTool"])
    def test_a_shell_of_python(self, kind, path, allowed, models, judged, program):
        tools = pytest.importorskip("langchain_experimental.tools")
        from langchain.agents import create_agent

        from kaizen_security.integrations import langchain
        from tests.integrations.test_langchain import model

        tool = getattr(tools, kind)()
        kaizen, over = judged(tool.name, allowed)
        models.say(asks(Call(tool=tool.name, arguments={"query": program})), "Done.")
        agent = create_agent(model(models.url), [tool])
        config = {"callbacks": [langchain.KaizenCallbackHandler(kaizen)]}
        given = {"messages": [("user", PROMPT)]}
        if path == "sync":
            agent.invoke(given, config)
        elif path == "async":
            asyncio.run(agent.ainvoke(given, config))
        else:
            list(agent.stream(given, config))
        over({"query": program})


class TestCrewAI:
    """Its interpreter, and what took its place."""

    @staticmethod
    def run(models: Any, kaizen: Any, tool: Any, called: Call) -> None:
        from crewai import Agent, Crew, Task

        from kaizen_security.integrations import crewai
        from tests.integrations.test_crewai import model

        crewai.attach(kaizen)
        try:
            models.say(asks(called), "Done.")
            agent = Agent(role="assistant", goal="help", backstory="none", llm=model(models.url), tools=[tool])
            task = Task(description=PROMPT, expected_output="the answer", agent=agent)
            assert str(Crew(agents=[agent], tasks=[task], cache=False).kickoff()) == "Done."
        finally:
            crewai._ATTACHED[0].detach()

    @ALLOWED
    def test_the_interpreter_of_older_packages(self, allowed, models, judged, program):
        tools = pytest.importorskip("crewai_tools")
        if not hasattr(tools, "CodeInterpreterTool"):
            pytest.skip("this version has sandboxes in its place")
        arguments = {"code": f"{program}; result = 'it is ' + 'written'", "libraries_used": []}
        kaizen, over = judged("code_interpreter", allowed)
        tool = tools.CodeInterpreterTool(unsafe_mode=True)
        self.run(models, kaizen, tool, Call(tool="code_interpreter", arguments=arguments))
        over(arguments)

    @ALLOWED
    def test_the_sandbox_of_a_service(self, allowed, models, judged, program):
        tools = pytest.importorskip("crewai_tools")
        if not hasattr(tools, "E2BPythonTool"):
            pytest.skip("this version has an interpreter in its place")
        began = []

        class Sandbox:
            @classmethod
            def create(cls, **given: Any) -> Any:
                began.append(cls())
                return began[-1]

            def run_code(self, code: str, **more: Any) -> Any:
                with contextlib.redirect_stdout(io.StringIO()) as said:
                    exec(code, {})
                return SimpleNamespace(logs=SimpleNamespace(stdout=[said.getvalue()], stderr=[]))

            def kill(self) -> None:
                pass

        tools.E2BPythonTool._ci_cache["Sandbox"] = Sandbox
        kaizen, over = judged("e2b_sandbox_python", allowed)
        tool = tools.E2BPythonTool(api_key="none")
        self.run(models, kaizen, tool, Call(tool="e2b_sandbox_python", arguments={"code": program}))
        over({"code": program})
        assert len(began) == allowed
