"""Items of OpenAI's Responses API that tell of tools which ran at the provider. Pure.

Source: OpenAI's API reference, "Responses", the output items; mappings, or the models of OpenAI's SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from kaizen_security.integrations.elsewhere import Ran, each, of, some, word

PROVIDER = "openai"


def ran_at_openai(items: Iterable[object]) -> Iterator[Ran]:
    """What ran there, in one answer of the model or in a conversation as it is kept."""
    items = list(items)
    found = {word(item, "call_id"): item for item in items if word(item, "type") in _ANSWERS.values()}
    said = _cited(items) if any(word(item, "type") == "web_search_call" for item in items) else []
    for item in items:
        kind = word(item, "type")
        if kind in _READERS:
            ran = _READERS[kind](item)
            if said and kind == "web_search_call":
                # Which search a citation is of is not said: it is told with the first one.
                ran = _with(ran, said)
                said = []
            yield ran
        elif kind in _ANSWERS:
            answer = found.pop(word(item, "call_id"), None)
            if answer is not None or kind == "program":  # a shell without an answer beside it is the host's to run
                yield _pair(kind, item, answer)
        elif kind in _ANSWERS.values() and word(item, "call_id") in found:
            yield Ran(id=word(item, "call_id"), content=of(item, "output") or of(item, "result"))
        elif kind == "mcp_list_tools":
            yield Ran(id=word(item, "id"), content=some(item, "server_label", "tools"))
        elif kind == "tool_search_output":
            yield Ran(id=word(item, "id"), content=some(item, "tools"))


def _failed(item: object) -> bool:
    return word(item, "status") == "failed"


def _web_search(item: object) -> Ran:
    action = of(item, "action")
    given = some(action, "type", "query", "queries", "url", "pattern")
    found = some(action, "sources") or None
    return Ran(
        tool="web_search",
        arguments=given,
        id=word(item, "id"),
        publisher=PROVIDER,
        content=found,
        failed=_failed(item),
    )


def _cited(items: Iterable[object]) -> list[object]:
    """Pages that the answer names, which a search brought; without ``include`` the search itself names none."""
    return [
        some(note, "url", "title")
        for item in items
        if word(item, "type") == "message"
        for part in each(item, "content")
        for note in each(part, "annotations")
        if word(note, "type") == "url_citation"
    ]


def _with(ran: Ran, cited: list[object]) -> Ran:
    content = ran.content if isinstance(ran.content, Mapping) else {}
    return replace(ran, content={**content, "cited": cited})


def _file_search(item: object) -> Ran:
    return Ran(
        tool="file_search",
        arguments=some(item, "queries"),
        id=word(item, "id"),
        publisher=PROVIDER,
        content=of(item, "results"),
        failed=_failed(item),
    )


def _code_interpreter(item: object) -> Ran:
    return Ran(
        tool="code_interpreter",
        arguments=some(item, "code"),
        id=word(item, "id"),
        publisher=PROVIDER,
        content=of(item, "outputs"),
        failed=_failed(item),
    )


def _image_generation(item: object) -> Ran:
    picture, given = of(item, "result"), some(item, "action", "size", "background")
    if prompt := word(item, "revised_prompt"):
        given["prompt"] = prompt
    return Ran(
        tool="image_generation",
        arguments=given,
        id=word(item, "id"),
        publisher=PROVIDER,
        content={"picture": len(picture)} if isinstance(picture, str) else None,  # of no use to anybody as text
        failed=_failed(item),
    )


def _mcp_call(item: object) -> Ran:
    error = of(item, "error")
    return Ran(
        tool=word(item, "name"),
        arguments=of(item, "arguments"),
        id=word(item, "id"),
        publisher=word(item, "server_label"),
        content=of(item, "output") if error is None else {"error": error},
        failed=error is not None or _failed(item),
        asked=word(item, "approval_request_id"),
    )


_READERS: Mapping[str, Callable[[object], Ran]] = {
    "web_search_call": _web_search,
    "file_search_call": _file_search,
    "code_interpreter_call": _code_interpreter,
    "image_generation_call": _image_generation,
    "mcp_call": _mcp_call,
}
_ANSWERS = {"shell_call": "shell_call_output", "program": "program_output"}
"""Items whose result is an item of its own."""


def _pair(kind: str, item: object, answer: object) -> Ran:
    given = some(of(item, "action"), "commands") if kind == "shell_call" else some(item, "code")
    return Ran(
        tool=kind.removesuffix("_call"),
        arguments=given,
        id=word(item, "call_id"),
        publisher=PROVIDER,
        content=of(answer, "output") if kind == "shell_call" else of(answer, "result"),
        failed=word(answer, "status") == "incomplete",
    )
