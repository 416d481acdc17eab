"""Messages of LangChain that tell of tools which ran at the model's provider: content blocks of LangChain's own
(``server_tool_call`` and ``server_tool_result``), of OpenAI's, of Anthropic's and of Google's.

Sources: ``langchain_core.messages.content``; the providers' API references.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from kaizen_security.contract.errors import HookUnavailable
from kaizen_security.integrations.base import AttachPoint
from kaizen_security.integrations.elsewhere import Ran, each, of, some, tell, unwrapped, word
from kaizen_security.integrations.elsewhere_google import grounded
from kaizen_security.integrations.elsewhere_openai import ran_at_openai
from kaizen_security.integrations.langchain_messages import messages
from kaizen_security.integrations.runs import Running

try:
    from langchain_core.messages import AIMessage, ToolMessage
except ImportError as err:
    raise HookUnavailable("LangChain is not installed, or too old: pip install 'langchain-core>=1'") from err

CALLS = frozenset({"server_tool_call", "server_tool_use", "mcp_tool_use", "executable_code"})
SEALED = frozenset({"encrypted_content", "encrypted_index", "encrypted_stdout"})
"""What Anthropic seals, so that nobody but its models reads it."""
PAGES = frozenset({"web_search", "web_fetch"})
MOST = 10_000
"""Answers of models that are remembered."""

_HEARD: OrderedDict[UUID, None] = OrderedDict()
"""Answers that were heard of: a handler of the run's own and that of ``attach`` hear of the same ones."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a run something happens: the run, the agents down to the one that acts, and that one's name."""

    running: Running
    agents: tuple[str, ...]
    name: str


def tell_answer(point: AttachPoint, place: Place | None, response: Any, run_id: UUID) -> None:
    """Tell what ran on the way to an answer (``LLMResult``): the first of our handlers that hears of it does.

    ``place`` None: outside of any run that was heard of.
    """
    if run_id in _HEARD:
        return
    _HEARD[run_id] = None
    if len(_HEARD) > MOST:
        _HEARD.popitem(last=False)
    agents, running = ((), None) if place is None else (place.agents, place.running)
    for generation in (one for several in response.generations for one in several):
        tell(point, agents, running, ran_in(getattr(generation, "message", None)))


def brought_before(given: Any) -> Iterator[tuple[str, object]]:
    """What tools brought in earlier runs of a conversation, here or at the provider, with the ids of their calls."""
    for message in messages(given):
        if isinstance(message, ToolMessage):
            yield str(message.tool_call_id or ""), message.content
        elif isinstance(message, AIMessage):
            for ran in ran_in(message):
                if ran.content is not None:
                    yield ran.id, ran.content


def ran_in(message: Any) -> Iterator[Ran]:
    """What ran there on the way to this message of a model."""
    about = getattr(message, "response_metadata", None)
    provider = word(about, "model_provider")
    blocks = [one for one in _blocks(message) if isinstance(one, Mapping)]
    if not blocks and not of(about, "grounding_metadata"):
        return
    yield from ran_at_openai(_openai(blocks))
    cited = [note for block in blocks for note in _cited(block)]
    for ran in _paired(blocks, provider):
        if cited and ran.tool in PAGES:
            # Which search a citation is of is not said: it is told with the first one.
            ran, cited = replace(ran, content={"result": ran.content, "cited": cited}), []
        yield ran
    grounding = of(about, "grounding_metadata")
    if grounding is not None:
        yield from grounded(grounding, provider)


def _blocks(message: Any) -> list[object]:
    """The blocks of its content, and those that older versions of langchain-openai put beside it."""
    return [*each(message, "content"), *each(getattr(message, "additional_kwargs", None), "tool_outputs")]


def _openai(blocks: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """As OpenAI's items: its citations stand in a message of their own."""
    for block in blocks:
        yield {"type": "message", "content": [block]} if word(block, "type") == "text" else block


def _paired(blocks: list[Mapping[str, Any]], provider: str) -> Iterator[Ran]:
    results = {_answers(block): block for block in blocks if _answers(block)}
    for block in blocks:
        if word(block, "type") in CALLS:
            ran = _call(block, provider)
            answer = results.pop(ran.id, None)
            yield ran if answer is None else replace(ran, content=_brought(answer), failed=_failed(answer))
    for id_, answer in results.items():
        yield Ran(id=id_, content=_brought(answer))


def _call(block: Mapping[str, Any], provider: str) -> Ran:
    if word(block, "type") == "executable_code":
        code = {"code": block.get("executable_code")}
        return Ran(tool="code_execution", arguments=code, id=word(block, "id"), publisher=provider)
    extras = of(block, "extras")
    given = of(block, "args") or of(block, "input") or unwrapped(of(block, "partial_json")) or {}
    return Ran(
        # LangChain calls every MCP server's tool by one name, and says beside it what it is.
        tool=word(extras, "tool_name") or word(block, "name"),
        arguments=given,
        id=word(block, "id"),
        publisher=word(block, "server_name") or word(extras, "server_name") or word(extras, "server_label") or provider,
    )


def _answers(block: Mapping[str, Any]) -> str:
    """The id of the call whose result it is; empty for any other block."""
    kind = word(block, "type")
    if kind in ("server_tool_result", "code_execution_result"):
        return word(block, "tool_call_id")
    return word(block, "tool_use_id") if kind.endswith("_tool_result") else ""


def _brought(block: Mapping[str, Any]) -> object:
    for name in ("output", "content", "code_execution_result"):
        if block.get(name) is not None:
            return _open(block[name])
    return None


def _failed(block: Mapping[str, Any]) -> bool:
    error = word(of(block, "content"), "type").endswith("_error")
    return error or block.get("is_error") is True or block.get("status") == "error"


def _open(content: object) -> object:
    """Without what is sealed, which is long and tells nobody anything."""
    if isinstance(content, list):
        return [_open(one) for one in content]
    if isinstance(content, Mapping):
        return {name: value for name, value in content.items() if name not in SEALED}
    return content


def _cited(block: Mapping[str, Any]) -> list[object]:
    """Pages that a text names, with the words of theirs that it rests on. OpenAI's are read with its own items."""
    notes = each(block, "citations") + each(block, "annotations")
    found = (some(note, "url", "title", "cited_text") for note in notes if word(note, "type") != "url_citation")
    return [note for note in found if note.get("url")]
