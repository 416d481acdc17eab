"""A gap, and how it is said: closed values in, the sentence of the wire contract out. No argument, result or rationale is in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.observer.gap.seen import What
from kaizen_security.observer.weigh import blocks

DETECTION = "gap"
FORM = "Trace-vs-egress gap: the agent reported only {told}, but the real egress shows {seen}."
"""The reason's form, an interface (``wire.md``)."""
NAMED = 3
"""Calls that are named in a sentence; more are counted."""
UNFORCED = 0.8
"""Confidence in what was not seen, where the agent's traffic need not pass where it would be seen."""

_TOOL = re.compile(r"[A-Za-z_][\w.:/-]{0,63}")
_HOST = re.compile(r"\[?[\w.:*-]{1,253}\]?(?::[0-9]{1,5})?")


class GapKind(StrEnum):
    """What is wrong; the kinds of the findings."""

    UNREPORTED = "unreported connection"
    ELSEWHERE = "connection elsewhere"
    LATE = "connection after the run"
    MISSING = "reported but not seen"
    BYTES = "more bytes than reported"
    NAME = "unreported name lookup"
    FILE = "unreported file"
    PROGRAM = "unreported program"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A call as the sentence names it: the tool, and where it was said to go."""

    tool: str
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One gap. ``effect`` is empty when nothing was seen, which is the gap then.

    ``reported``  calls of the run at that time, ``more`` how many beyond these
    ``target``    host with port, or path; ``size`` bytes sent; ``most`` bytes that were expected at most
    ``late``      seconds after the end of the run; ``unrun``: no run was told of at all
    ``tool``      whose effect it seems to be, ``""`` when nobody can say
    """

    kind: GapKind
    agent: str
    at: float
    id: str
    rung: Rung
    confidence: float
    run_id: str = ""
    reported: tuple[Reported, ...] = ()
    more: int = 0
    what: What = What.CONNECTION
    target: str = ""
    tool: str = ""
    size: int = 0
    most: int = 0
    late: float = 0.0
    refused: bool = False
    absent: tuple[str, ...] = ()


def reason(gap: Gap) -> str:
    """The sentence."""
    return FORM.format(told=_told(gap), seen=_seen(gap))


def verdict(gap: Gap, mode: Mode, policy_version: str = "") -> Verdict:
    """Blocks as its row in ``weigh.TABLE`` says: in enforce mode, since it should not have happened."""
    observed, expected = _seen(gap), _told(gap)
    finding = Finding(
        gap.kind.value,
        gap.target[:512],
        "egress" if gap.rung is Rung.EGRESS else "ebpf" if gap.rung is Rung.KERNEL else "observer",
        detection=DETECTION,
        field="effect",
        expected=f"what was reported: {expected}"[:1024],
        observed=observed[:1024],
        advice=_ADVISED[gap.kind],
        attack=_ATTACK[gap.kind],
    )
    return Verdict(
        decision=Decision.BLOCK if blocks(DETECTION, mode) else Decision.ALLOW,
        reason=reason(gap),
        evidence=(finding,),
        confidence=gap.confidence,
        action_id=gap.id,
        policy_version=policy_version,
        at=gap.at,
    )


def action(gap: Gap) -> Action:
    """The action that the verdict is about: the effect, or the call of which there was none."""
    kinds = {What.CONNECTION: "connect", What.NAME: "dns", What.FILE: "file", What.PROGRAM: "exec"}
    missing = gap.kind is GapKind.MISSING
    metadata: dict[str, Json] = {"source": "sandbox" if gap.rung >= Rung.EGRESS else "sdk"}
    if gap.size:
        metadata["bytes_up"] = gap.size
    return Action(
        kind="tool_call" if missing else kinds[gap.what],
        tool=gap.tool,
        target=gap.absent[0] if missing and gap.absent else gap.target,
        metadata=metadata,
        id=gap.id,
        run_id=gap.run_id,
        agent=gap.agent,
        at=gap.at,
    )


def _told(gap: Gap) -> str:
    calls = [_call(one) for one in gap.reported[:NAMED]]
    more = len(gap.reported) - len(calls) + gap.more
    if more:
        calls.append(f"{more} more call{'s' if more > 1 else ''}")
    return _listed(calls) or "an empty trace"


def _call(one: Reported) -> str:
    name = one.tool if _TOOL.fullmatch(one.tool) else "tool"
    article = "an" if name[:1].lower() in "aeiou" else "a"
    where = _listed([host for host in one.hosts if _HOST.fullmatch(host)])
    return f"{article} {name} call" + (f" to {where}" if where else "")


def _seen(gap: Gap) -> str:
    if gap.kind is GapKind.MISSING:
        where = _listed([host for host in gap.absent if _HOST.fullmatch(host)])
        return f"no connection to {where}" if where else "no connection"
    if gap.what is What.PROGRAM:
        return "that it ran a program that its command does not name"
    if gap.what is What.FILE:
        return "that it touched a file that was not told of"
    place = gap.target if _HOST.fullmatch(gap.target) else "a place that is no host"
    if gap.what is What.NAME:
        said = f"that the name {place} was asked for"
    else:
        said = f"an attempt to connect to {place}, which was refused" if gap.refused else f"a connection to {place}"
    if gap.kind is GapKind.BYTES:
        said = f"{_bytes(gap.size)} sent to {place}, where {_bytes(gap.most)} would do"
    elif gap.size:
        said += f" with {_bytes(gap.size)} sent"
    if gap.late:
        said += f" {_duration(gap.late)} after the run"
    where = _listed([host for host in gap.absent if _HOST.fullmatch(host)])
    return said + (f", and none to {where}" if where else "")


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1] if parts else ""


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


_UNSAID = (
    "If the agent needs this, let its trace tell of it, or declare it as infrastructure or as the tool's reach; "
    "else contain it."
)
_ADVISED = {
    GapKind.UNREPORTED: _UNSAID,
    GapKind.ELSEWHERE: "The call went elsewhere than was reported: look at what runs behind the tool.",
    GapKind.LATE: "Something of the agent goes on after its run: look for what it left behind.",
    GapKind.MISSING: "The call was made up, or went where nobody looks: compare the tool's own records.",
    GapKind.BYTES: "Look at what the tool sends; if it is right, state most_bytes_up of its reach.",
    GapKind.NAME: _UNSAID,
    GapKind.PROGRAM: "Look at what ran instead; if the runtime starts it by itself, declare it under programs.",
    GapKind.FILE: "If the tool needs this file, let its trace name it, or declare it under files; else contain it.",
}
ADVICE = frozenset(_ADVISED.values())
"""What is said to people beside a gap."""
_ATTACK = {
    GapKind.UNREPORTED: "allowed-host",
    GapKind.ELSEWHERE: "allowed-host",
    GapKind.LATE: "allowed-host",
    GapKind.MISSING: "",
    GapKind.BYTES: "allowed-host",
    GapKind.NAME: "allowed-host",
    GapKind.FILE: "scope-creep",
    GapKind.PROGRAM: "scope-creep",
}
