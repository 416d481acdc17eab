"""Words in the messages of Semantic Kernel: what the caller asks, what an agent says, and a last word that is ours."""

from __future__ import annotations

from typing import Any

from kaizen_security.contract.errors import HookUnavailable

try:
    from semantic_kernel.agents import AgentResponseItem, ChatHistoryAgentThread
    from semantic_kernel.contents import StreamingChatMessageContent, TextContent
except ImportError as err:
    raise HookUnavailable("semantic_kernel: needs semantic-kernel 1.37 or newer (pip install semantic-kernel)") from err


def asked(args: tuple[Any, ...], kwargs: dict[str, Any], name: str = "messages") -> str:
    """What the caller asks: the last that a user said."""
    given = args[0] if args else kwargs.get(name)
    for one in reversed(given if isinstance(given, list) else [given]):
        role = getattr(getattr(one, "role", None), "value", "user")
        if one is not None and role == "user":
            return text(one)
    return ""


def text(said: Any) -> str:
    """The words of a message, of what an agent answers, or of a string."""
    message = getattr(said, "message", said)
    return message if isinstance(message, str) else str(getattr(message, "content", None) or "")


def voiced(answer: Any, word: str) -> None:
    """Put ``word`` into an answer without words: where a filter ends an agent, its answer is the results of functions."""
    if not text(answer):
        answer.message.items.append(TextContent(text=word))


def streamed(word: str, agent: str, thread: Any) -> Any:
    """``word`` as an item of a stream, which has none where a filter ends the agent."""
    message = StreamingChatMessageContent(role="assistant", choice_index=0, content=word, name=agent)
    return AgentResponseItem(message=message, thread=thread or ChatHistoryAgentThread())
