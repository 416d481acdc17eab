"""Claude Agent SDK: ``query(prompt=…, options=options(kaizen, ClaudeAgentOptions(…)))``.

Claude Code itself, which runs the tools, asks its hooks before each one, built-in tools, MCP servers and sub-agents alike, and
gives the reason of a denial to the model. For Claude Code without the SDK see ``integrations.hook``.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from kaizen_security.client.aio import AsyncKaizen
from kaizen_security.client.client import Kaizen
from kaizen_security.contract.errors import HookUnavailable
from kaizen_security.integrations import coding
from kaizen_security.integrations.base import Allowed, Call, Refused, attach_point
from kaizen_security.integrations.runs import Running

try:
    from claude_agent_sdk import ClaudeAgentOptions, HookMatcher
except ImportError as err:
    raise HookUnavailable("the Claude Agent SDK is not installed: pip install claude-agent-sdk") from err

SOURCE = "claude-agent"
EVENTS = ("PreToolUse", "PostToolUse", "PostToolUseFailure", "UserPromptSubmit", "Stop")
MOST = 1000
"""Sessions, and calls under way, that are remembered."""


class KaizenHooks:
    """The hooks for one agent. ``identity`` and ``always_ask`` as for ``base.AttachPoint``.

    Each prompt is a run; what earlier ones of the session read is known in it.
    Pickled, they are for the other process's own client.
    """

    def __init__(
        self, kaizen: Kaizen | AsyncKaizen | None = None, *, identity: bool = True, always_ask: bool = False
    ) -> None:
        self.point = attach_point(kaizen, SOURCE, identity=identity, always_ask=always_ask)
        self._sessions: OrderedDict[str, Running] = OrderedDict()
        self._under_way: OrderedDict[str, Allowed] = OrderedDict()

    def __reduce__(self) -> tuple[Callable[..., KaizenHooks], tuple[bool, bool]]:
        return _again, (self.point.identity, self.point.always_ask)

    def __copy__(self) -> KaizenHooks:
        return self  # sessions are told apart in it, so a copy would know none

    def __deepcopy__(self, memo: object) -> KaizenHooks:
        return self

    def hooks(self) -> dict[str, list[Any]]:
        """For ``ClaudeAgentOptions.hooks``. A call that is held for a person is waited for."""
        settings = self.point.kaizen.settings
        patience = settings.hold_seconds + settings.deadline + 10
        return {name: [HookMatcher(matcher=None, hooks=[self.heard], timeout=patience)] for name in EVENTS}

    async def heard(self, given: Any, tool_use_id: str | None, context: Any) -> dict[str, Any]:
        """One event of Claude Code, and the answer to it."""
        said = coding.event(given)
        said.id = said.id or tool_use_id or ""  # older ones give it beside the event
        if said.name == "Stop":
            running = self._sessions.get(said.run_id)
            if running is not None:
                running.message(str(given.get("last_assistant_message") or ""))
                running.end()
        elif said.what == coding.REQUEST:
            self._begin(said.run_id, said.text)
        elif said.what == coding.CALL:
            return await self._asked(said)
        elif said.what == coding.RESULT and said.name == "UserPromptSubmit":
            self._begin(said.run_id, "").read(said.content)  # a task in the background has something to tell
        elif said.what == coding.RESULT:
            allowed = self._under_way.pop(said.id, None)
            if allowed is not None:
                self.point.after(allowed, said.content, failed=said.failed)
        return {}

    async def _asked(self, said: coding.Event) -> dict[str, Any]:
        running = self._sessions.get(said.run_id) or self._begin(said.run_id, "")
        verdict = await self.point.abefore(
            Call(
                tool=said.tool,
                arguments=said.arguments,
                id=said.id,
                agents=(said.agent,) if said.agent else (),
                run=running,
                kind=said.kind,
                target=said.target,
                publisher=said.publisher,
            )
        )
        if isinstance(verdict, Refused):
            # The model goes on asking for it: Claude Code ends the turn, and tells its user why.
            ends = {"continue_": False, "stopReason": verdict.text} if verdict.ends else {}
            return {**coding.denial(said, verdict.text), **ends}
        self._under_way[said.id] = verdict
        if len(self._under_way) > MOST:
            self._under_way.popitem(last=False)
        return {}

    def _begin(self, session: str, request: str) -> Running:
        before = self._sessions.pop(session, None)
        running = self.point.run(request).begin() if before is None else before.followed(request)
        self._sessions[session] = running
        if len(self._sessions) > MOST:
            self._sessions.popitem(last=False)[1].end(completed=False)
        return running


def _again(identity: bool, always_ask: bool) -> KaizenHooks:
    return KaizenHooks(identity=identity, always_ask=always_ask)


def options(
    kaizen: Kaizen | AsyncKaizen | None = None,
    options: ClaudeAgentOptions | None = None,
    *,
    identity: bool = True,
    always_ask: bool = False,
) -> ClaudeAgentOptions:
    """Your options with Kaizen's hooks before your own."""
    given = options or ClaudeAgentOptions()
    hooks = dict(given.hooks or {})
    for name, ours in KaizenHooks(kaizen, identity=identity, always_ask=always_ask).hooks().items():
        hooks[name] = [*ours, *hooks.get(name, ())]
    return dataclasses.replace(given, hooks=hooks)
