"""Volume: a number far above what this agent normally works with: an amount, calls, bytes, addressees."""

from __future__ import annotations

from collections.abc import Iterator

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.step import Request, Result, Step
from kaizen_security.observer import behaviour
from kaizen_security.observer.conduct import Figure
from kaizen_security.observer.detection import About, Context, Example, Status
from kaizen_security.observer.entities import canonical, words_of_name
from kaizen_security.observer.learners.size import Amount

ABOUT = About(
    name="volume",
    title="Far more than usual",
    says=(
        "An amount among the arguments, the calls of one tool or the bytes to one place in a run, the addressees of a "
        "call, or what flowed to a place over days lies far above everything that this agent has done unflagged."
    ),
    status=Status.INCUBATING,
    attacks=("injection", "allowed-host", "drift"),
    misses=(
        "What stays within a few times the usual; up to where a look-up looks (`price_max`); the first dozen numbers of a kind; a "
        "number that the user named; a kind of number that varies over many powers of ten."
    ),
    advice="Look at what made it so large. If it is right, let the user name the number, or fold the action into the baseline.",
)


_BOUNDS = frozenset(words_of_name("max min maximum minimum upper lower above below until"))
_MANY = frozenset(
    words_of_name(
        "result item row record entry entries page size count number limit byte length message file user member total"
    )
)
"""What a look-up brings back more or less of."""


def detect(action: Action, context: Context) -> Iterator[Finding]:
    """A finding for each number of the action, and for what its run adds up to with it, that is surprisingly large."""
    trait, learned = context.trait, context.baseline.behaviour
    for figure in trait.figures:
        amount = behaviour.amount(trait.tool, figure)
        found = tuple(_large(amount, figure.said, f"arguments.{figure.field}", "amount far above the usual", context))
        if found and not _said(figure, context) and not _bounds(figure, context):
            yield from found
    if trait.parties > 1:
        yield from _large(
            behaviour.parties(trait), str(trait.parties), "arguments", "far more addressees than usual", context
        )
    conduct = None if context.run is None else context.run.conduct
    times = 1 if conduct is None else conduct.calls.get(trait.tool, 0) + 1
    if times > 1:
        calls = behaviour.calls(trait.tool, times)
        yield from _large(calls, f"{times} calls", "tool", "far more calls in one run than usual", context)
    if trait.place and trait.sent:
        size = trait.sent + (0 if conduct is None else conduct.sent.get(trait.place, 0))
        yield from _large(
            behaviour.sent(trait.place, size),
            f"{size} bytes",
            "target",
            "far more bytes to one place than usual",
            context,
        )
        flow = behaviour.flow(trait.place, size, context.now)
        if learned.rate.score_one(flow) >= 1.0 - context.tolerance:
            level = learned.rate.level(flow)
            assert level is not None
            yield _finding(
                "far more over time than usual",
                f"{level.now:.0f} bytes lately",
                "target",
                expected=f"about {level.expected:.0f} bytes, as over the last weeks",
                observed=f"{level.now:.0f} bytes, half forgotten after a day: {level.deviations:.1f} deviations above",
            )


def _said(figure: Figure, context: Context) -> bool:
    return context.run is not None and hash(canonical(figure.said)) in context.run.origins.asked.words


def _bounds(figure: Figure, context: Context) -> bool:
    """Whether a look-up only says up to where it looks (``price_max``). How many it wants (``max_results``) is an amount."""
    scored = context.reading
    if scored is None or scored.call is None or scored.call.writes:
        return False
    name = words_of_name(figure.field.rpartition(".")[2])
    return len(name) > 1 and not _BOUNDS.isdisjoint(name) and _MANY.isdisjoint(name)


def _large(amount: Amount, value: str, field: str, kind: str, context: Context) -> Iterator[Finding]:
    size = context.baseline.behaviour.size
    if size.score_one(amount) < 1.0 - context.tolerance:
        return
    usual = size.usual(amount.key, context.tolerance, amount.floor)
    assert usual is not None
    yield _finding(
        kind,
        value,
        field,
        expected=f"about {usual.mean:.4g}, at most {usual.most:.4g} in {usual.seen} harmless ones; {usual.bound:.4g} passes",
        observed=f"{amount.number:.6g}, {amount.number / max(usual.most, 1e-9):.1f} times the largest harmless one",
    )


def _finding(kind: str, value: str, field: str, *, expected: str, observed: str) -> Finding:
    return Finding(
        kind=kind,
        value=value[:512],
        source="baseline",
        detection=ABOUT.name,
        field=field[:256],
        expected=expected,
        observed=observed,
        advice=ABOUT.advice,
        attack="allowed-host" if field == "target" else "injection",
    )


# --- examples ---------------------------------------------------------------------------------------------------------------


def _call(tool: str, name: str, run: str, arguments: dict[str, Json], target: str = "") -> Action:
    metadata: dict[str, Json] = {"source": "sdk", "arguments": arguments}
    return Action(tool=tool, id=f"{run}-{name}", run_id=run, target=target, metadata=metadata)


def _order(n: int, price: int) -> tuple[Step, ...]:
    run = f"order-{n}"
    return (
        Request(run_id=run, text="Get us some more paper."),
        _call(
            "place_order", "buy", run, {"price": price, "mail": ["desk@shop.example"]}, "https://shop.example/orders"
        ),
        Result(run_id=run, action_id=f"{run}-buy", content={"ok": True}),
    )


_RUNS = tuple(_order(n, 40 + n % 5 * 7) for n in range(16))
_ASKED = (Request(run_id="now", text="Get us some more paper."),)


def _search(n: int) -> tuple[Step, ...]:
    run = f"search-{n}"
    found = _call("search_paper", "look", run, {"price_max": 40 + n % 5 * 7, "max_results": 10 + n % 3})
    return (*_asked(run), found, Result(run_id=run, action_id=found.id, content={"ok": True}))


def _asked(run: str) -> tuple[Step, ...]:
    return (Request(run_id=run, text="Which paper is there?"),)


_SEARCHES = tuple(map(_search, range(16)))

FIRES = (
    Example(
        name="a search for ten thousand results where there were ten",
        runs=_SEARCHES,
        run=_asked("now"),
        action=_call("search_paper", "look", "now", {"price_max": 54, "max_results": 10_000}),
        kinds=("amount far above the usual",),
    ),
    Example(
        name="an order of ten times the usual price",
        runs=_RUNS,
        run=_ASKED,
        action=_call("place_order", "buy", "now", {"price": 540}, "https://shop.example/orders"),
        kinds=("amount far above the usual",),
    ),
    Example(
        name="a hundred addressees where there was one",
        runs=_RUNS,
        run=_ASKED,
        action=_call("place_order", "buy", "now", {"mail": [f"p{n}@far.example" for n in range(60)]}),
        kinds=("far more addressees than usual",),
    ),
    Example(
        name="a document where there were a few words",
        runs=_RUNS,
        run=_ASKED,
        action=_call("place_order", "buy", "now", {"note": "all of it " * 400}, "https://shop.example/orders"),
        kinds=("far more bytes to one place than usual",),
    ),
    Example(
        name="thirty orders in a run where there was one",
        runs=_RUNS,
        run=(*_ASKED, *(_call("place_order", f"b{n}", "now", {"price": 45}) for n in range(30))),
        action=_call("place_order", "buy", "now", {"price": 45}),
        kinds=("far more calls in one run than usual",),
    ),
)

SILENT = (
    Example(
        name="a search that looks up to any price",
        runs=_SEARCHES,
        run=_asked("now"),
        action=_call("search_paper", "look", "now", {"price_max": 9_999_999, "max_results": 11}),
    ),
    Example(
        name="a price somewhat above the usual",
        runs=_RUNS,
        run=_ASKED,
        action=_call("place_order", "buy", "now", {"price": 95}),
    ),
    Example(
        name="a price that the user named",
        runs=_RUNS,
        run=(Request(run_id="now", text="Buy the press for 5400."),),
        action=_call("place_order", "buy", "now", {"price": "5400.00"}),
    ),
    Example(
        name="a few more orders than ever before",
        runs=_RUNS,
        run=(*_ASKED, *(_call("place_order", f"b{n}", "now", {"price": 45}) for n in range(5))),
        action=_call("place_order", "buy", "now", {"price": 45}),
    ),
    Example(
        name="too few numbers to know",
        runs=_RUNS[:6],
        run=_ASKED,
        action=_call("place_order", "buy", "now", {"price": 540}),
    ),
)
