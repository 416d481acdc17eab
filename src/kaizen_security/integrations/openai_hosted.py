"""Tools that OpenAI runs itself for an agent of its SDK. What ran is told; where a call of an MCP server that OpenAI reaches is put
up for approval (``mcp_approval_request``), it is judged before it runs.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kaizen_security.integrations.base import Allowed, Call, Refused
from kaizen_security.integrations.elsewhere import Ran, tell, word
from kaizen_security.integrations.elsewhere_openai import ran_at_openai
from kaizen_security.integrations.openai_local import awaited, marked
from kaizen_security.integrations.openai_session import SESSION, Session

MOST = 1000
"""Calls that were allowed and are remembered until what they brought is told."""


class Approved:
    """By the id of the request: calls that were judged before they ran, over several runs, since a person may have to approve."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, Allowed] = OrderedDict()

    def add(self, request_id: str, allowed: Allowed) -> None:
        """Remember it; the oldest is forgotten beyond ``MOST``, and would be told once more."""
        self._calls[request_id] = allowed
        if len(self._calls) > MOST:
            self._calls.popitem(last=False)

    def take(self, request_id: str) -> Allowed | None:
        """The call, which is not there the next time."""
        return self._calls.pop(request_id, None)


def guard(agent: Any) -> None:
    """See to it that who approves calls of hosted MCP servers is asked after us. Once for a tool."""
    for tool in getattr(agent, "tools", ()):
        given = getattr(tool, "on_approval_request", None)
        if given is not None and not hasattr(given, "__kaizen_judged__"):
            tool.on_approval_request = _approving(given)


def _approving(given: Callable[[Any], Any]) -> Any:
    @functools.wraps(given)
    async def approve(request: Any) -> Any:
        session = SESSION.get()
        if session is None:
            return await awaited(given(request))
        said = await _judged(session, request.data)
        if isinstance(said, Refused):
            return {"approve": False, "reason": said.text}
        found = await awaited(given(request))
        if not found["approve"]:
            session.hooks.approved.take(word(request.data, "id"))
        return found

    return marked(approve)


async def heard(session: Session, context: Any, agent: Any, output: Iterable[Any]) -> None:
    """Tell what ran on the way to this answer of the model, and judge what nobody but a person approves."""
    tell(session.point, session.chain, session.running, _new(session, ran_at_openai(output)))
    for item in output:
        if word(item, "type") == "mcp_approval_request" and _is_open(agent, word(item, "server_label")):
            await _before_a_person(session, context, agent, item)


def _new(session: Session, ran: Iterable[Ran]) -> Iterator[Ran]:
    """What is not told yet. Of a call that was judged before it ran, what it brought is."""
    for one in ran:
        if one.id in session.told:
            continue
        session.told.add(one.id)
        allowed = session.hooks.approved.take(one.asked) if one.asked else None
        if allowed is None:
            yield one
        elif allowed.run is session.running:
            session.point.after(allowed, one.content, failed=one.failed)
        else:  # approved between two runs
            yield Ran(id=allowed.action.id, content=one.content)


def _is_open(agent: Any, label: str) -> bool:
    """Whether calls of this server are put up to the host, and no function of its own approves them."""
    for tool in getattr(agent, "tools", ()):
        if word(getattr(tool, "tool_config", None), "server_label") == label:
            return getattr(tool, "on_approval_request", True) is None
    return False


async def _before_a_person(session: Session, context: Any, agent: Any, item: Any) -> None:
    reject = getattr(context, "reject_tool", None)
    if reject is None:
        return  # older versions leave it to the host to answer by hand in its next run
    said = await _judged(session, item)
    if isinstance(said, Refused):
        from agents.items import ToolApprovalItem

        held = ToolApprovalItem(agent=agent, raw_item=item, tool_name=word(item, "name"))
        reject(held, rejection_message=said.text)


async def _judged(session: Session, item: Any) -> Allowed | Refused:
    call = Call(
        tool=word(item, "name"),
        arguments=word(item, "arguments"),
        id=word(item, "id"),
        agents=session.chain,
        run=session.running,
        publisher=word(item, "server_label"),
    )
    said = await session.point.abefore(call)
    if isinstance(said, Allowed):
        session.hooks.approved.add(call.id, said)
    return said
