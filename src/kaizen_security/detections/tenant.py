"""Tenant: another account, repository, bucket or workspace behind a host that the agent uses."""

from __future__ import annotations

from kaizen_security.contract.action import Action
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.step import Request, Step
from kaizen_security.observer.detection import About, Abstention, Context, Example, Said, Status
from kaizen_security.observer.load import Stranger

ABOUT = About(
    name="tenant",
    title="Another account behind a known host",
    says=(
        "The agent has worked with the same few accounts of a service (owners, buckets, workspaces, webhooks), and this one is not "
        "among them, nor did the user name it."
    ),
    status=Status.STABLE,
    attacks=("allowed-host", "read-then-egress"),
    misses=(
        "A service that is not in its table and no argument that says an account; fewer than ten runs with the service; an agent "
        "whose accounts vary, for which it stays silent; an agent whose requests are not heard; what is inside TLS, where only the "
        "proxy looks."
    ),
    advice="Ask whose account it is. If it is yours, fold the action into the baseline.",
)


def detect(action: Action, context: Context) -> tuple[Said, ...]:
    """A finding for each tenant that is new where new ones are rare. An abstention where the user's request is not heard: it may
    well name the account. What ground truth saw was not asked for in words.
    """
    if context.load is None or not context.load.strangers:
        return ()
    if action.rung < Rung.EGRESS and (context.run is None or not context.run.origins.asked.words):
        return (
            Abstention("tenant abstains: whether the user named this account is not known, for no request was heard"),
        )
    return tuple(map(_finding, context.load.strangers))


def _finding(stranger: Stranger) -> Finding:
    tenant = stranger.tenant
    return Finding(
        kind="new tenant",
        value=f"{tenant.service}: {tenant.name}"[:512],
        source="baseline",
        detection="tenant",
        field=tenant.field[:256],
        expected="an account that this agent works with, or that the user named",
        observed=f"{tenant.name[:128]} at {tenant.service}: {stranger.why}"[:512],
        advice=ABOUT.advice,
        attack="allowed-host",
    )


# --- examples ---------------------------------------------------------------------------------------------------------------


def _put(bucket: str, run: str = "now") -> Action:
    target = f"https://{bucket}.s3.eu-west-1.amazonaws.com/report.csv"
    return Action(kind="http", tool="put_report", target=target, id=f"{run}-put", run_id=run)


_WEEKS: tuple[tuple[Step, ...], ...] = tuple((_put(("sales", "stock")[n % 2], f"week-{n}"),) for n in range(20))
_TRAVELS: tuple[tuple[Step, ...], ...] = tuple((_put(f"shop-{n}", f"week-{n}"),) for n in range(20))

_ASKED: tuple[Step, ...] = (Request(run_id="now", text="Keep the report, please."),)

FIRES = (
    Example(
        name="another bucket behind the same host",
        runs=_WEEKS,
        run=_ASKED,
        action=_put("drop-zone"),
        kinds=("new tenant",),
    ),
    Example(
        name="another account, said by an argument",
        runs=tuple(
            (
                Action(
                    tool="share",
                    target="https://api.github.com/gists",
                    id=f"r{n}-a",
                    run_id=f"r{n}",
                    metadata={"arguments": {"account": "our-team", "text": str(n)}},
                ),
            )
            for n in range(14)
        ),
        run=_ASKED,
        action=Action(
            tool="share",
            target="https://api.github.com/gists",
            run_id="now",
            metadata={"arguments": {"account": "someone-else", "text": "15"}},
        ),
        kinds=("new tenant",),
    ),
)

SILENT = (
    Example(name="a bucket that is used", runs=_WEEKS, action=_put("stock")),
    Example(name="too few runs", runs=_WEEKS[:6], run=_ASKED, action=_put("drop-zone")),
    Example(name="nobody heard what was asked", runs=_WEEKS, action=_put("drop-zone")),
    Example(name="an agent that goes to another bucket each week", runs=_TRAVELS, run=_ASKED, action=_put("shop-99")),
    Example(
        name="a bucket that the user names",
        runs=_WEEKS,
        run=(Request(run_id="now", text="Put the report into the bucket drop-zone."),),
        action=_put("drop-zone"),
    ),
)
