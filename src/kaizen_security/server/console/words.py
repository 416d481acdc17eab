"""The words of the console: what each state is called and, in one plain sentence, what it means. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from kaizen_security.contract.depth import Rung
from kaizen_security.contract.verdict import Decision, Mode
from kaizen_security.store.base import Origin, Status


class Shown(StrEnum):
    """What a person reads off a verdict at first sight: a block, an allowed action with findings, or an action without."""

    BLOCK = "block"
    FLAG = "flag"
    ALLOW = "allow"

    @property
    def word(self) -> str:
        """The word beside the symbol."""
        return {Shown.BLOCK: "Blocked", Shown.FLAG: "Flagged", Shown.ALLOW: "Allowed"}[self]


def shown(decision: Decision, flagged: bool) -> Shown:
    """How a verdict is shown."""
    if decision is Decision.BLOCK:
        return Shown.BLOCK
    return Shown.FLAG if flagged else Shown.ALLOW


RUNG_SHORT: Final = {
    Rung.COOPERATIVE: "its own word",
    Rung.CHOKEPOINT: "seen where tool calls pass",
    Rung.EGRESS: "seen on the network",
    Rung.KERNEL: "seen by the kernel",
}
RUNG_MEANS: Final = {
    Rung.COOPERATIVE: "The agent's own process reports it. A hijacked agent could stay silent or lie.",
    Rung.CHOKEPOINT: (
        "Seen where its tool calls pass through, outside the agent. "
        "It cannot lie about these calls, but it may act around them."
    ),
    Rung.EGRESS: "Seen on the network by the proxy that its connections pass, whatever the agent itself says.",
    Rung.KERNEL: "Seen by the kernel as it happens, whatever the agent itself says.",
}

STATUS_WORD: Final = {
    Status.OPEN: "Open",
    Status.ACKNOWLEDGED: "Acknowledged",
    Status.RESOLVED: "Resolved",
    Status.FALSE_POSITIVE: "False positive",
}
STATUS_MEANS: Final = {
    Status.OPEN: "",
    Status.ACKNOWLEDGED: "Somebody is looking at it.",
    Status.RESOLVED: "Nothing is left to do.",
    Status.FALSE_POSITIVE: "The same finding on the same target is not flagged again for this agent, until this is opened again.",
}
ACCEPTED: Final = "Accepted"
ACCEPTED_MEANS: Final = (
    "Shims and gateways of this agent let this definition in as soon as they hear of it, within seconds."
)

DECIDED_BY: Final = {
    Origin.CLAIM: (
        "The reporting client, by the policy that it holds. "
        "What this server found in the same action is a row of its own."
    ),
    Origin.OBSERVER: "The Observer beside the agent, with policy, declaration and baseline.",
    Origin.SERVER: "This server, which evaluated what the client had reported.",
}
ORIGIN_WORD: Final = {Origin.CLAIM: "claimed", Origin.OBSERVER: "evaluated", Origin.SERVER: "evaluated"}

MODE_WORD: Final = {Mode.OBSERVE: "Observe", Mode.ENFORCE: "Enforce"}
MODE_MEANS: Final = {
    Mode.OBSERVE: "Observe: policy blocks; everything else that is found is flagged and let through.",
    Mode.ENFORCE: "Enforce: policy blocks, undeclared actions are blocked, and so is everything when nobody can answer.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TriageStep:
    """One button of the drawer: it posts ``value`` to ``/verdicts/{id}/{path}``."""

    path: str
    value: str
    word: str
    means: str


_ACKNOWLEDGE = TriageStep(path="status", value="acknowledged", word="Acknowledge", means="I am looking at it")
_RESOLVE = TriageStep(path="status", value="resolved", word="Resolve", means="Nothing is left to do")
_FALSE = TriageStep(
    path="status", value="false_positive", word="False positive", means="Do not flag this again for this agent"
)
_ACCEPT = TriageStep(
    path="status",
    value="false_positive",
    word="Accept this definition",
    means="It is right as it is now: let it in at every shim and gateway of this agent",
)
_LEARN = TriageStep(
    path="learn", value="", word="Learn", means="This is normal: add it to the agent's declaration and baseline"
)
_REOPEN = TriageStep(path="status", value="open", word="Reopen", means="Somebody should look again")


def triage_steps(status: Status, *, releasable: bool, acceptable: bool) -> tuple[TriageStep, ...]:
    """What a person may do next with a verdict.

    ``releasable``: its findings may be called false or normal; ``acceptable``: it holds a changed definition back
    """
    flagged = (_ACCEPT,) if acceptable else (_FALSE, _LEARN) if releasable else ()
    match status:
        case Status.OPEN:
            return (_ACKNOWLEDGE, _RESOLVE, *flagged)
        case Status.ACKNOWLEDGED:
            return (_RESOLVE, *flagged, _REOPEN)
        case _:
            return (_REOPEN,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """An instant as it is shown, in UTC: ``day`` is empty for today; ``iso`` is RFC 3339 with milliseconds."""

    iso: str
    day: str
    clock: str


def moment(at: float, now: float) -> Moment:
    """``at`` as seen at ``now`` (both Unix seconds)."""
    when = datetime.fromtimestamp(at, UTC)
    today = datetime.fromtimestamp(now, UTC)
    if when.date() == today.date():
        day = ""
    else:
        day = f"{when.day} {_MONTHS[when.month - 1]}" + (f" {when.year}" if when.year != today.year else "")
    iso = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Moment(iso=iso, day=day, clock=when.strftime("%H:%M:%S"))


# Not strftime's, which speak the language of the server's locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def ago(at: float, now: float) -> str:
    """How long before ``now``, in words; ``never`` for 0.0."""
    if not at:
        return "never"
    seconds = max(0.0, now - at)
    for size, word in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        count = int(seconds // size)
        if count:
            return f"{count} {word}{'s' if count > 1 else ''} ago"
    return "just now"
