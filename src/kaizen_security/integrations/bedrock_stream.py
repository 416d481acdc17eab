"""The host's event stream of a Bedrock agent: what is refused is taken out of it, and answered in the host's place."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any, Protocol

MAX_ROUNDS = 8
"""Times that a stream is taken up again because all that control was returned for was refused; after those it ends."""


class Attached(Protocol):
    """The client that the stream is of (``integrations.bedrock``). ``asked`` are the parameters of its invocation."""

    def turns(self, asked: Mapping[str, Any]) -> None: ...
    def heard(self, asked: Mapping[str, Any], part: Mapping[str, Any]) -> None: ...
    def returned(
        self, asked: Mapping[str, Any], control: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[dict[str, Any]], str]: ...
    def again(
        self, operation: str, asked: Mapping[str, Any], invocation: str, refusals: list[dict[str, Any]]
    ) -> Any: ...
    def over(self, asked: Mapping[str, Any], *, completed: bool) -> None: ...


class Stream:
    """The host's event stream. Everything but iteration is the one of botocore below."""

    def __init__(
        self, attached: Attached, operation: str, asked: Mapping[str, Any], events: Any, *, traced: bool
    ) -> None:
        self._attached = attached
        self._operation = operation
        self._asked = asked
        self._events = events
        self._traced = traced
        self._returned = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        completed = False
        try:
            for _ in range(MAX_ROUNDS):
                self._attached.turns(self._asked)
                refusals = yield from self._events_of_one_call()
                if refusals is None:
                    break
                self._events.close()
                below = self._attached.again(self._operation, self._asked, *refusals)
                # The client is attached, so what it gives is a stream like this one: go on with what is below it.
                self._events = below._events if isinstance(below, Stream) else below
            completed = True
        except GeneratorExit:
            completed = True  # whoever reads it has enough
            raise
        finally:
            if not self._returned:
                self._attached.over(self._asked, completed=completed)

    def _events_of_one_call(self) -> Generator[dict[str, Any], None, tuple[str, list[dict[str, Any]]] | None]:
        """The events that are the host's; gives the invocation and its answers when all that was returned was refused."""
        refused = None
        for event in self._events:
            if "trace" in event:
                self._attached.heard(self._asked, event["trace"])
                if not self._traced:
                    continue
            elif "returnControl" in event:
                control, refusals, word = self._attached.returned(self._asked, event["returnControl"])
                if word:
                    # The model goes on asking for it: nobody answers it, and the host gets the refusal as its last words.
                    yield {"chunk": {"bytes": word.encode()}}
                    return None
                if refusals:
                    refused = (str(event["returnControl"].get("invocationId") or ""), refusals)
                    continue
                event, self._returned = {**event, "returnControl": control}, True
            yield event
        return refused
