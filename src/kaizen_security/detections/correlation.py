"""Correlation: a sensitive read, then a connection outwards, in the same run."""

from __future__ import annotations

from dataclasses import replace

from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.observer.detection import About, Context, Example, Status

ABOUT = About(
    name="correlation",
    title="Sensitive read, then egress",
    says="A policy of mode correlation is in force, the run read something sensitive, and now it connects outwards.",
    status=Status.STABLE,
    attacks=("read-then-egress",),
    misses="A read that nobody marked as sensitive, and a connection in another run.",
    advice="Split the task so that what reads secrets does not talk to the network, or declare the read as not sensitive.",
)


def detect(action: Action, context: Context) -> tuple[Finding, ...]:
    """What the correlation said when the action was noted."""
    found = context.correlated
    if found is None or not context.rules.policy.correlates:
        return ()
    return (replace(found, detection="correlation", source=context.rules.correlating),)


_POLICY = (Policy("correlation", {"risky_sequence": "read_then_connect"}, "no secrets out"),)
_READ = Action(kind="file", tool="read_file", target="/srv/payroll.csv", run_id="r", metadata={"sensitive": True})
_SEND = Action(kind="connect", target="api.example:443", run_id="r")

FIRES = (
    Example(
        name="payroll read, then a connection in the same run",
        action=_SEND,
        before=(_READ,),
        policies=_POLICY,
        kinds=("risky sequence",),
    ),
)

SILENT = (
    Example(name="a connection in another run", action=replace(_SEND, run_id="s"), before=(_READ,), policies=_POLICY),
    Example(name="no such policy", action=_SEND, before=(_READ,)),
    Example(
        name="the file was not sensitive",
        action=_SEND,
        before=(replace(_READ, metadata={}),),
        policies=_POLICY,
    ),
)
