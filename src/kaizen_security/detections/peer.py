"""Peer: one worker does what the others of its role hardly ever do."""

from __future__ import annotations

from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.observer.detection import About, Context, Example, Status
from kaizen_security.observer.effects import only_reads
from kaizen_security.observer.entities import fingerprint, words_of_name
from kaizen_security.observer.peers import ENOUGH, FEWEST, Habit, Peers, habit, share, tail

ABOUT = About(
    name="peer",
    title="Unlike the others of its role",
    says=(
        "The run calls a tool that changes something far more often, among all such calls, than the other agents of the role and "
        "than this agent itself have done."
    ),
    status=Status.INCUBATING,
    attacks=("swarm",),
    misses=(
        "The first few such calls, and the first dozen that change something after a tool was declared; a group that has turned "
        "as a whole; agents whose role is not clear from what they declare or from a number at the end of their name; groups "
        "that are spread over several sidecars."
    ),
    advice="Compare the run with those of the other workers. If it is right, fold the action into the baseline.",
)


def detect(action: Action, context: Context) -> tuple[Finding, ...]:
    """Speaks when neither the group's nor the agent's own share of the tool makes so many calls of it likely."""
    run, tool = context.run, context.trait.tool
    words = words_of_name(action.tool)
    if run is None or not words or only_reads(words):
        return ()
    usual = context.peers.share(tool)
    if usual is None:
        return ()
    times = run.conduct.calls.get(tool, 0) + 1
    of = 1 + sum(count for one, count in run.conduct.calls.items() if one == tool or one in context.peers.writes)
    likely = tail(times, of, usual)
    if likely > context.tolerance:
        return ()
    own = share(habit(context.baseline, context.rules.declaration), tool)
    if own is not None and tail(times, of, own) > context.tolerance:
        return ()
    return (
        Finding(
            kind="unlike its peers",
            value=action.tool[:512],
            source="baseline",
            detection=ABOUT.name,
            field="tool",
            expected=f"about {usual:.0%} of the calls that change something, as with {context.peers.members} others of its role",
            observed=f"{times} of {of} in this run; a harmless run comes to that with a probability of {likely:.2%}",
            advice=ABOUT.advice,
            attack="swarm",
        ),
    )


# --- examples ---------------------------------------------------------------------------------------------------------------


def _act(tool: str, n: int) -> Action:
    return Action(tool=tool, id=f"now-{n}", run_id="now", metadata={"source": "sdk", "arguments": {"case": str(n)}})


_GROUP = Peers.of(
    Habit(runs=20, writes={fingerprint("reject_case"): 18.0, fingerprint("grant_case"): 2.0}) for _ in range(FEWEST + 1)
)
_SMALL = Peers.of([Habit(runs=3, writes={fingerprint("reject_case"): float(ENOUGH)})])

FIRES = (
    Example(
        name="the third grant in a run, where others grant one in ten",
        peers=_GROUP,
        run=tuple(_act("grant_case", n) for n in range(2)),
        action=_act("grant_case", 9),
        kinds=("unlike its peers",),
    ),
)

SILENT = (
    Example(name="the first grant", peers=_GROUP, run=(_act("reject_case", 1),), action=_act("grant_case", 9)),
    Example(
        name="many rejections, as with everybody",
        peers=_GROUP,
        run=tuple(_act("reject_case", n) for n in range(9)),
        action=_act("reject_case", 99),
    ),
    Example(
        name="no group to compare with",
        peers=_SMALL,
        run=tuple(_act("grant_case", n) for n in range(4)),
        action=_act("grant_case", 9),
    ),
)
