"""Answers of Google's models that tell of tools which ran at the provider: programs and their output, searches by what an answer
rests on (``groundingMetadata``), and calls of tools that newer models tell of themselves. Pure.

Source: Gemini API reference, "Generating content"; mappings, or the models of Google's SDK.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from kaizen_security.integrations.elsewhere import Ran, each, of, some, word

PROVIDER = "google"
_QUERIES = {
    "web_search_queries": "google_search",
    "image_search_queries": "google_search",
    "retrieval_queries": "retrieval",
}
"""Which tool asked what."""


def ran_at_google(parts: Iterable[object], grounding: object = None, *, programs: bool = True) -> Iterator[Ran]:
    """What ran there: by the parts of an answer, and by what it says that it rests on.

    ``programs`` False: the host runs those that the model writes, and answers in the same shape.
    """
    parts = list(parts)
    yield from _tools(parts)
    if programs:
        yield from _programs(parts)
    if grounding is not None:
        told = any(_name(of(part, "tool_call")).startswith("google_search") for part in parts)
        yield from grounded(grounding, told=told)


def grounded(grounding: object, provider: str = PROVIDER, *, told: bool = False) -> Iterator[Ran]:
    """A search, by what an answer rests on. ``told``: its call was told of beside."""
    brought = some(grounding, "grounding_chunks", "grounding_supports") or None
    asked = {name: each(grounding, name) for name in _QUERIES if each(grounding, name)}
    if told or not asked:
        if brought is not None:
            yield Ran(tool="" if told else "grounding", publisher=provider, content=brought)
        return
    yield Ran(tool=_QUERIES[next(iter(asked))], arguments=asked, publisher=provider, content=brought)


def _programs(parts: list[object]) -> Iterator[Ran]:
    """A program and its output stand one behind the other; streamed, each may come alone."""
    begun: Ran | None = None
    for part in parts:
        code, done = of(part, "executable_code"), of(part, "code_execution_result")
        if code is not None:
            if begun is not None:
                yield begun
            begun = Ran(tool="code_execution", arguments=some(code, "code"), id=word(code, "id"), publisher=PROVIDER)
        elif done is not None:
            ran = begun or Ran(id=word(done, "id"))
            yield replace(ran, content=of(done, "output"), failed=_outcome(done) not in ("", "OUTCOME_OK"))
            begun = None
    if begun is not None:
        yield begun


def _tools(parts: list[object]) -> Iterator[Ran]:
    answers = {word(done, "id"): done for part in parts if (done := of(part, "tool_response")) is not None}
    for part in parts:
        call = of(part, "tool_call")
        if call is None:
            continue
        done = answers.pop(word(call, "id"), None)
        yield Ran(
            tool=_name(call),
            arguments=of(call, "args"),
            id=word(call, "id"),
            publisher=PROVIDER,
            content=of(done, "response"),
        )
    for id_, done in answers.items():
        yield Ran(id=id_, content=of(done, "response"))


def _name(call: object) -> str:
    """Google's own names are enumerated, in capitals."""
    kind = of(call, "tool_type")
    return str(getattr(kind, "value", kind) or "").lower()


def _outcome(done: object) -> str:
    found = of(done, "outcome")
    return str(getattr(found, "value", found) or "")
