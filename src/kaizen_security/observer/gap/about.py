"""The gap's own page, and examples of both kinds: what is told, what is seen, what is said."""

from __future__ import annotations

from dataclasses import dataclass

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.step import End, Result, Step
from kaizen_security.observer.detection import About, Status
from kaizen_security.observer.gap.expectation import Expectation, Reach
from kaizen_security.observer.gap.ledger import Ledger
from kaizen_security.observer.gap.words import DETECTION, GapKind

ABOUT = About(
    name=DETECTION,
    title="What was reported and what was seen do not match",
    says=(
        "The agent's own account of a run is compared with ground truth, in place, time and size: seen and not reported, "
        "reported and not seen, reported as A and seen at B, more sent than reported, after the run. Only in the sandbox, which "
        "has both."
    ),
    status=Status.STABLE,
    attacks=("allowed-host", "scope-creep"),
    misses=(
        "A lie whose effect looks like what was reported; what goes to infrastructure; another port of a host that is stated "
        "without one; what is no longer than a redirect, at another declared host. The page of limits has the whole list."
    ),
    advice="Each kind of gap has its own; see the verdict's evidence.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``steps`` come at their own times; ``kinds`` of the gaps that they must give, in order; empty: it stays silent."""

    name: str
    steps: tuple[Step, ...]
    kinds: tuple[str, ...] = ()

    def said(self) -> tuple[str, ...]:
        """The kinds that the gap gives."""
        ledger = Ledger("support", SUPPORT)
        for step in self.steps:
            ledger.note(step, step.at)
        return tuple(gap.kind.value for gap in ledger.wake(self.steps[-1].at + SUPPORT.patience + 60.0))


SUPPORT = Expectation(
    declaration=Declaration(tools=("lookup_order", "send_mail"), destinations=("api.internal", "mail.internal")),
    infrastructure=("model.internal",),
    reach={
        "lookup_order": Reach(hosts=("api.internal",), always=True),
        "send_mail": Reach(hosts=("mail.internal",), most_bytes_up=50_000),
    },
)
"""What the agent of the examples is for."""


def _told(at: float, tool: str) -> tuple[Step, Step]:
    call = Action(tool=tool, id=f"c{at:g}", run_id="r", at=at, metadata={"source": "bedrock-trace"})
    return call, Result(run_id="r", action_id=call.id, content="ok", at=at + 2.0)


def _seen(at: float, target: str, up: int = 600) -> Action:
    sent: dict[str, Json] = {"source": "egress", "phase": "end", "bytes_up": up, "duration_ms": 100.0}
    return Action("connect", target=target, id=f"e{at:g}", at=at, metadata=sent)


def _case(name: str, tool: str, *effects: Action, kinds: tuple[GapKind, ...] = ()) -> Case:
    call, result = _told(1000.0, tool)
    during = tuple(one for one in effects if one.at < 1002.0)
    after = tuple(one for one in effects if one.at >= 1002.0)
    end = End(run_id="r", at=1003.0)
    return Case(name=name, steps=(call, *during, result, end, *after), kinds=tuple(kind.value for kind in kinds))


FIRES = (
    _case(
        "told of a lookup, went elsewhere",
        "lookup_order",
        _seen(1001.0, "attacker.example:443"),
        kinds=(GapKind.ELSEWHERE,),
    ),
    _case(
        "a connection beside the right one",
        "lookup_order",
        _seen(1001.0, "api.internal:443"),
        _seen(1001.5, "attacker.example:443"),
        kinds=(GapKind.UNREPORTED,),
    ),
    _case("a call that nobody saw", "lookup_order", kinds=(GapKind.MISSING,)),
    _case(
        "a connection without a byte", "lookup_order", _seen(1001.0, "api.internal:443", 0), kinds=(GapKind.MISSING,)
    ),
    _case("more than its tool sends", "send_mail", _seen(1001.0, "mail.internal:443", 400_000), kinds=(GapKind.BYTES,)),
    _case(
        "minutes after the run",
        "lookup_order",
        _seen(1001.0, "api.internal:443"),
        _seen(1200.0, "api.internal:443"),
        kinds=(GapKind.LATE,),
    ),
)
SILENT = (
    _case("told and seen", "lookup_order", _seen(1001.0, "api.internal:443")),
    _case("a second try", "lookup_order", _seen(1000.5, "api.internal:443", 0), _seen(1001.0, "api.internal:443")),
    _case(
        "the model is asked as well",
        "lookup_order",
        _seen(1000.5, "model.internal:443", 90_000),
        _seen(1001.0, "api.internal:443"),
    ),
    _case("a mail as long as is stated", "send_mail", _seen(1001.0, "mail.internal:443", 40_000)),
)
