"""A verdict as one line of the console. Pure; the text in it is as the agent wrote it, the templates escape it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from urllib.parse import quote

from kaizen_security.contract.action import Json
from kaizen_security.server.acts import Act, Joined
from kaizen_security.server.console.visible import visible_text
from kaizen_security.server.console.words import (
    RUNG_MEANS,
    STATUS_WORD,
    Moment,
    Shown,
    moment,
    shown,
)
from kaizen_security.store.acts import act_of
from kaizen_security.store.base import Status, VerdictRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """``deed`` is the tool, or the kind of an action without one; ``said`` is what a screen reader is told of a new line;
    ``done`` what a person did with it, empty while it is open; ``told`` the tool that the agent told of, where another saw what it
    did; ``act`` what lines of one act have in common."""

    id: str
    href: str
    moment: Moment
    shown: Shown
    agent: str
    agent_href: str
    kind: str
    deed: str
    target: str
    reason: str
    source: str
    rung: int
    rung_label: str
    rung_means: str
    done: str
    said: str
    joined: str = ""
    joined_means: str = ""
    told: str = ""
    act: str = ""


def act_line(act: Act, now: float) -> Line:
    """The line of an act: its leading row's, with the deepest rung that saw it, what was told of it, and how the two agree."""
    deep = act.deepest.rung
    return replace(
        line(act.lead, now),
        rung=int(deep),
        rung_label=deep.label,
        rung_means=RUNG_MEANS[deep],
        joined="" if act.joined in (Joined.CALL, Joined.EFFECT) else act.joined.value,
        joined_means=act.joined.means,
        told="" if act.told is None else text_of(act.told.action.get("tool")),
        act=sha256("\0".join(act_of(act.lead)).encode()).hexdigest()[:16],
    )


def line(row: VerdictRow, now: float) -> Line:
    """The line of ``row``, looked at at ``now`` (Unix seconds)."""
    kind = text_of(row.action.get("kind")) or "tool_call"
    tool = text_of(row.action.get("tool"))
    target = text_of(row.action.get("target"))
    state = shown(row.decision, row.flagged)
    return Line(
        id=row.id,
        href=verdict_href(row.id),
        moment=moment(row.created_at, now),
        shown=state,
        agent=row.agent,
        agent_href=agent_href(row.agent),
        kind=kind if kind not in (tool, "tool_call") and tool else "",
        deed=tool or kind,
        target=target,
        reason=row.reason,
        source=row.source,
        rung=int(row.rung),
        rung_label=row.rung.label,
        rung_means=RUNG_MEANS[row.rung],
        done="" if row.status is Status.OPEN else STATUS_WORD[row.status],
        said=f"{state.word}: {visible_text(row.agent, 40)}, {visible_text(tool or kind, 40)} {visible_text(target, 60)}".rstrip(),
    )


def text_of(value: Json) -> str:
    """``value`` if it is text, else nothing: a stored document was valid once, but a page must never fail on one."""
    return value if isinstance(value, str) else ""


def verdict_href(verdict_id: str) -> str:
    """Where a verdict has its page."""
    return f"/verdicts/{quote(verdict_id, safe='')}"


def agent_href(name: str, path: str = "/agent") -> str:
    """Where an agent has its page. In the query, for a name may be ``..`` or hold a slash, which a path would lose."""
    return f"{path}?name={quote(name, safe='')}"
