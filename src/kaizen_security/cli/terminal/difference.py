"""What would change, for people."""

from __future__ import annotations

from collections.abc import Iterator

from kaizen_security.cli.terminal.paint import BOLD, DIM, GREEN, RED, YELLOW, painted, plain, shortened
from kaizen_security.contract.fields import rfc3339
from kaizen_security.runtime.counterfactual import Change
from kaizen_security.runtime.difference import Difference, Group

SHOWN = 20
"""Groups of one kind that are shown unless all are asked for."""
_PAINT = {
    Change.NEWLY_BLOCKED: RED,
    Change.NEWLY_ALLOWED: GREEN,
    Change.NEWLY_FLAGGED: YELLOW,
    Change.NO_LONGER_FLAGGED: GREEN,
    Change.CANNOT_TELL: DIM,
}
_MEANS = {
    Change.NEWLY_BLOCKED: "let through then, would be blocked",
    Change.NEWLY_ALLOWED: "blocked then, would be let through",
    Change.NEWLY_FLAGGED: "would carry a finding",
    Change.NO_LONGER_FLAGGED: "would carry none any more",
    Change.CANNOT_TELL: "a fact that this needs was not kept",
}


def page(difference: Difference, *, colour: bool, everything: bool = False, width: int = 80) -> Iterator[str]:
    """The whole comparison in lines of about ``width`` characters."""
    if not difference.actions:
        yield "No action to compare."
        return
    for change, paint in _PAINT.items():
        count = difference.counts[change]
        if not count:
            continue
        yield f"{painted(f'{change.value}: {count:,}', paint, colour)}  {painted(_MEANS[change], DIM, colour)}"
        groups = list(difference.groups(change))
        for group in groups if everything else groups[:SHOWN]:
            yield from _group(group, colour, width)
        left = len(groups) - SHOWN
        if left > 0 and not everything:
            yield f"  and {left:,} more groups (--all shows them, --json too)"
        if difference.further[change]:
            yield f"  and {difference.further[change]:,} actions of further groups"
        yield ""
    yield _sum(difference, colour)
    if difference.missing:
        facts = ", ".join(f"{name} ({n:,})" for name, n in difference.missing.most_common())
        yield f"Facts that were not kept: {facts}."


def _group(group: Group, colour: bool, width: int) -> Iterator[str]:
    one = group.example
    what = " ".join(plain(part) for part in (group.tool or one.action.kind, group.destination) if part)
    yield shortened(f"  {group.count:6,}  {plain(group.agent)}  {what}", width)
    when = rfc3339(one.at)[:19].replace("T", " ")
    said = " ".join(filter(None, (when, plain(one.row))))
    for label, text in (
        ("such as", said),
        ("then", plain(one.before.reason)),
        ("would be", plain(one.after.reason) if one.change is not Change.CANNOT_TELL else ""),
        ("missing", ", ".join(one.missing)),
    ):
        if text:
            yield painted(shortened(f"          {label + ':':<9} {text}", width), DIM, colour)


def _sum(difference: Difference, colour: bool) -> str:
    changed = difference.changed
    told = f"{changed:,} of {difference.actions:,} verdicts would change"
    unknown = difference.counts[Change.CANNOT_TELL]
    if unknown:
        told += f", of {unknown:,} nobody can tell"
    return painted(told + ".", BOLD, colour)
