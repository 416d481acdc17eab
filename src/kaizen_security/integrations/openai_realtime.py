"""Realtime sessions of the OpenAI Agents SDK, which no runner runs and no hooks hear: with ``openai_agents.attach(kaizen)`` each
is a run, from its first event to its end. What the user says is the request, spoken (as it is transcribed) or sent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakKeyDictionary

_LIVE: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""By the SDK's session: ours."""


def install(
    begin: Callable[[Any], Any], within: Callable[[Any], AbstractContextManager[Any]], judged: Callable[[Any], None]
) -> None:
    """Let each realtime session that ``begin``, given its agent, has a session of ours for have its calls judged in that. Once.

    ``within`` makes it the current one, ``judged`` sees to a tool. Where the SDK has no realtime sessions nothing is done.
    """
    try:
        from agents.realtime import RealtimeAgent
        from agents.realtime.session import RealtimeSession
    except ImportError:
        return
    if hasattr(RealtimeSession.on_event, "__kaizen_judged__"):
        return
    on_event, send_message = RealtimeSession.on_event, RealtimeSession.send_message
    RealtimeSession.on_event = _heard(on_event, begin, within)
    RealtimeSession.send_message = _sent(send_message, begin)
    RealtimeSession.close = _closed(RealtimeSession.close)
    RealtimeAgent.get_all_tools = _tools(RealtimeAgent.get_all_tools, judged)


def _live(session: Any, begin: Callable[[Any], Any]) -> Any:
    ours = _LIVE.get(session)
    if ours is None:
        ours = begin(session._current_agent)
        if ours is not None:
            _LIVE[session] = ours
    return ours


def _heard(on_event: Any, begin: Callable[[Any], Any], within: Callable[[Any], AbstractContextManager[Any]]) -> Any:
    @functools.wraps(on_event)
    async def heard(self: Any, event: Any) -> None:
        ours = _live(self, begin)
        if ours is None:
            await on_event(self, event)
            return
        ours.continues(self._current_agent)
        with within(ours):
            if event.type == "input_audio_transcription_completed":
                ours.running.request(str(event.transcript or ""))
            await on_event(self, event)

    heard.__kaizen_judged__ = True  # type: ignore[attr-defined]
    return heard


def _sent(send_message: Any, begin: Callable[[Any], Any]) -> Any:
    @functools.wraps(send_message)
    async def sent(self: Any, message: Any) -> None:
        ours = _live(self, begin)
        if ours is not None:
            ours.running.request(_words(message))
        await send_message(self, message)

    return sent


def _closed(close: Any) -> Any:
    @functools.wraps(close)
    async def closed(self: Any) -> None:
        try:
            await close(self)
        finally:
            ours = _LIVE.pop(self, None)
            if ours is not None:
                ours.running.end()

    return closed


def _tools(get_all_tools: Any, judged: Callable[[Any], None]) -> Any:
    @functools.wraps(get_all_tools)
    async def tools(self: Any, run_context: Any) -> Any:
        found = await get_all_tools(self, run_context)
        for tool in found:
            judged(tool)
        return found

    return tools


def _words(message: Any) -> str:
    if isinstance(message, str):
        return message
    parts = message.get("content") if isinstance(message, dict) else None
    return "\n".join(str(part["text"]) for part in parts or () if isinstance(part, dict) and part.get("text"))
