"""The timeline of a run: every action of it that was kept, in order, with who saw it and what was said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kaizen_security.cli.terminal.paint import BOLD, DIM, GREEN, RED, YELLOW, painted, plain, shortened
from kaizen_security.contract.action import Action
from kaizen_security.contract.fields import rfc3339
from kaizen_security.runtime.retained import Joining, Retained

MOST = 200
"""Actions that are shown: those around the one that is explained."""


def joined(rows: Sequence[Retained]) -> list[Retained]:
    """One for each action, in the order in which they were first heard of."""
    joining = Joining(window=len(rows) + 1)
    loose = [ready for row in rows if (ready := joining.add(row)) is not None]
    return sorted([*loose, *joining.rest()], key=lambda one: (one.action.at or one.at, one.row))


def timeline(steps: Sequence[Retained], here: str, *, colour: bool, width: int) -> Iterator[str]:
    """The steps of a run; ``here`` is the id of the action that is explained."""
    at = next((i for i, one in enumerate(steps) if here and one.action.id == here), 0)
    first = max(0, min(at - MOST // 2, len(steps) - MOST))
    if first:
        yield f"  … {first} before"
    for one in steps[first : first + MOST]:
        yield from _step(one, bool(here) and one.action.id == here, colour, width)
    left = len(steps) - first - MOST
    if left > 0:
        yield f"  … {left} after"


def _step(one: Retained, is_here: bool, colour: bool, width: int) -> Iterator[str]:
    verdict, action = one.verdict, one.action
    word, paint = ("block", RED) if verdict.blocked else ("flag", YELLOW) if verdict.flagged else ("allow", GREEN)
    when = rfc3339(action.at or one.at)[11:19] or "--:--:--"
    score = verdict.score
    told = (
        "" if score is None else f" {score.value:+.1f}" + ("" if score.threshold is None else f"/{score.threshold:.1f}")
    )
    head = f"{'>' if is_here else ' '} {when}  {shortened(_seen_by(action), 14):<14} "
    room = max(10, width - len(head) - len(told) - 8)
    line = f"{head}{shortened(_what(action), room):<{room}} "
    yield (painted(line, BOLD, colour) if is_here else line) + painted(f"{word:<5}", paint, colour) + told
    for finding in verdict.evidence:
        yield painted(shortened(f"{'':<13}{plain(finding.kind)}: {plain(finding.value)}", width), DIM, colour)
    if score is not None and verdict.flagged:
        for came in score.came:
            if came.origin in ("text", "field", "unknown"):
                said = f"{'':<13}{plain(came.field)} from {plain(came.words)}"
                yield painted(shortened(said, width), DIM, colour)


def _seen_by(action: Action) -> str:
    return f"{int(action.rung)} {plain(action.source)}"


def _what(action: Action) -> str:
    return plain(" ".join(filter(None, (action.tool or action.kind, action.target))))
