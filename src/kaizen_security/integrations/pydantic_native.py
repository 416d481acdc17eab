"""Tools of Pydantic AI that the model's provider runs itself (its interpreter, its search): its messages show them afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kaizen_security.contract.errors import HookUnavailable
from kaizen_security.integrations.base import Allowed, AttachPoint, Call
from kaizen_security.integrations.runs import Running

try:
    from pydantic_ai.messages import NativeToolCallPart, NativeToolReturnPart
except ImportError as err:
    raise HookUnavailable("Pydantic AI is not installed, or older than 2: pip install 'pydantic-ai-slim>=2'") from err


def ran_elsewhere(point: AttachPoint, agents: tuple[str, ...], run: Running, parts: Iterable[Any]) -> None:
    """Tell what was run elsewhere on the way to one answer of the model, and what it brought."""
    told = {}
    for part in parts:
        if isinstance(part, NativeToolCallPart):
            name = str(part.tool_name)
            call = Call(
                tool=name,
                arguments=part.args,
                id=str(part.tool_call_id or ""),
                agents=agents,
                run=run,
                kind="exec" if name == "code_execution" else "tool_call",
                publisher=str(part.provider_name or ""),
            )
            told[part.tool_call_id] = point.told(call).action
        elif isinstance(part, NativeToolReturnPart) and part.tool_call_id in told:
            # Whatever the verdict on it is: it was run, and the model has read what it brought.
            ran = Allowed(action=told[part.tool_call_id], kaizen=point.agent(agents), run=run)
            point.after(ran, part.content)
