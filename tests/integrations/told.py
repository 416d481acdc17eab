"""``python -m tests.integrations.told WHAT HOW AGENT SOCKET DATA``: spans, or Claude's hooks, in a process of their own.

``ends``: one call is told, and the process just ends. ``forks``: a child that was forked off tells one, then its parent does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from kaizen_security import Kaizen

BOUND = 60.0
SPAN = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "bill_read",
    "gen_ai.tool.call.arguments": '{"bill": "b1"}',
}


def spans(kaizen: Any) -> Any:
    """What writes one trace with one call, by the id of that."""
    from opentelemetry.sdk.trace import TracerProvider

    from kaizen_security.integrations.otel import KaizenSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(KaizenSpanProcessor(kaizen))
    tracer = provider.get_tracer("host")

    def one(call_id: str) -> None:
        with tracer.start_as_current_span("invoke_agent", attributes={"gen_ai.operation.name": "invoke_agent"}):
            attributes = {**SPAN, "gen_ai.tool.call.id": call_id}
            with tracer.start_as_current_span("execute_tool bill_read", attributes=attributes) as span:
                span.set_attribute("gen_ai.tool.call.result", "Please pay.")

    return one


async def heard(hooks: Any, call_id: str, tool: str = "bill_read", session: str = "s") -> dict[str, Any]:
    """One call of Claude Code, as its hooks hear of it; what they answer before it runs."""
    about = {"session_id": session, "tool_name": tool, "tool_input": {"bill": "b1"}, "tool_use_id": call_id}
    answer: dict[str, Any] = await hooks.heard({"hook_event_name": "PreToolUse", **about}, call_id, None)
    if not answer:
        await hooks.heard({"hook_event_name": "PostToolUse", "tool_response": "Please pay.", **about}, call_id, None)
    return answer


def prompt(session: str = "s") -> dict[str, Any]:
    """The user says something."""
    return {"hook_event_name": "UserPromptSubmit", "session_id": session, "prompt": "Look at bill b1."}


def stop(session: str = "s") -> dict[str, Any]:
    """Claude Code is done."""
    return {"hook_event_name": "Stop", "session_id": session, "last_assistant_message": "Done."}


def calls(kaizen: Any) -> Any:
    """The same for the hooks of the Claude Agent SDK."""
    from kaizen_security.integrations.claude_agent import KaizenHooks

    hooks = KaizenHooks(kaizen)

    async def session(call_id: str) -> None:
        await hooks.heard(prompt(), None, None)
        await heard(hooks, call_id)
        await hooks.heard(stop(), None, None)

    def one(call_id: str) -> None:
        asyncio.run(session(call_id))

    return one


def main(what: str, how: str, agent: str, socket: str, data: str) -> int:
    """0 when all was as it should be."""
    kaizen = Kaizen(agent=agent, sidecar=f"unix://{socket}", data=data, deadline=BOUND)
    one = {"spans": spans, "calls": calls}[what](kaizen)
    if how == "ends":
        one("call_1")
        return 0
    kaizen.inspect(tool="bill_read", arguments={"bill": "b0"})  # there are threads and connections when the fork comes
    child = os.fork()
    if child == 0:
        one("call_child")
        os._exit(0 if kaizen.flush(BOUND) and kaizen.lost == {} else 3)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    one("call_parent")
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
