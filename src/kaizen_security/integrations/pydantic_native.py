"""Tools of Pydantic AI that the model's provider runs itself (its interpreter, its search): its messages show them afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kaizen_security.contract.errors import HookUnavailable
from kaizen_security.integrations.elsewhere import Ran

try:
    from pydantic_ai.messages import NativeToolCallPart, NativeToolReturnPart
except ImportError as err:
    raise HookUnavailable("Pydantic AI is not installed, or older than 2: pip install 'pydantic-ai-slim>=2'") from err


def ran_elsewhere(parts: Iterable[Any]) -> Iterator[Ran]:
    """What was run elsewhere on the way to one answer of the model, and what it brought."""
    parts = list(parts)
    brought = {part.tool_call_id: part.content for part in parts if isinstance(part, NativeToolReturnPart)}
    for part in parts:
        if isinstance(part, NativeToolCallPart):
            yield Ran(
                tool=str(part.tool_name),
                arguments=part.args,
                id=str(part.tool_call_id or ""),
                publisher=str(part.provider_name or ""),
                content=brought.get(part.tool_call_id),
            )
