"""``kaizen model``: whether the reasoning model answers, and what asking it has cost."""

from __future__ import annotations

import argparse
import os
import secrets
from typing import TYPE_CHECKING

from kaizen_security.cli.terminal.paint import json_text, plain
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured

if TYPE_CHECKING:
    from kaizen_security.reasoners.trial import Trial

_DEADLINE = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    actions = parser.add_subparsers(dest="action", metavar="test|usage", required=True)
    test = actions.add_parser("test", help="ask one made-up question, as a sidecar of this configuration would")
    test.add_argument(
        "--model-config", metavar="FILE", help="the configuration (KAIZEN_MODEL_CONFIG, and the environment over it)"
    )
    usage = actions.add_parser("usage", help="what a sidecar, or the control plane, has asked today and this week")
    where = usage.add_mutually_exclusive_group()
    where.add_argument("--sidecar", help="its address (KAIZEN_SIDECAR, else its socket in the data directory)")
    where.add_argument("--api-url", help="the control plane instead; needs a key in KAIZEN_API_KEY")
    for command in (test, usage):
        command.add_argument("--json", action="store_true", help="for machines")
    parser.epilog = "Exit status: 0 answered, 1 no answer or nobody is asked. A key is never shown."


def run(args: argparse.Namespace) -> int:
    """0 answered, 1 no answer or nobody is asked."""
    return _test(args) if args.action == "test" else _usage(args)


def _test(args: argparse.Namespace) -> int:
    from kaizen_security.reasoners.choice import shown
    from kaizen_security.reasoners.config import judge_from, read_config
    from kaizen_security.reasoners.trial import trial
    from kaizen_security.runtime.clock import now

    configured = read_config(os.environ, args.model_config or "")
    judge = judge_from(configured, secrets.token_bytes(32), chance=lambda: 0.5, clock=now)
    if judge is None:
        raise Misconfigured(
            f"nobody is asked: {configured.origin}; state a model with --model-config or KZ_MODEL_BACKEND"
        )
    found = trial(judge, configured.choice.deadline)
    document = {"model": shown(configured.choice), "stated_by": configured.origin, **found.to_json()}
    print(json_text(document) if args.json else _told(document, found))
    return 0 if found.answered else 1


def _told(document: dict[str, Json], found: Trial) -> str:
    model = document["model"]
    assert isinstance(model, dict)
    name = " ".join(str(part) for part in (model["provider"], model["model"]) if part)
    lines = [
        f"asked {name}" + (f" at {model['place']}" if model["place"] else "") + f", as {document['stated_by']} says"
    ]
    answer = found.attempt.answer
    if answer is not None:
        lines.append(f"answer: {answer.word.value}, confidence {answer.confidence:g}: {plain(answer.why)}")
    else:
        lines.append(f"no answer ({found.attempt.outcome.value}): {plain(found.attempt.problem)}")
    spent = f"{found.attempt.input_tokens} tokens in, {found.attempt.output_tokens} out"
    return "\n".join([*lines, f"{found.seconds:.2f} s, {spent}"])


def _usage(args: argparse.Namespace) -> int:
    from kaizen_security.client.config import default_sidecar, load
    from kaizen_security.client.dial import check_key_may_go
    from kaizen_security.client.http import Connection

    settings = load({"sidecar": args.sidecar})
    url = args.api_url or settings.sidecar or default_sidecar(settings)
    headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    check_key_may_go(url, settings.api_key)
    connection = Connection(url)
    try:
        document = connection.json("GET", "/v1/judge/usage", headers=headers, deadline=_DEADLINE)
    finally:
        connection.close()
    if not isinstance(document, dict):
        raise Misconfigured(f"{url} does not answer as Kaizen does")
    print(json_text(document) if args.json else _table(document))
    state = document.get("state")
    return 1 if isinstance(state, dict) and state.get("provider") == "off" else 0


def _table(document: dict[str, Json]) -> str:
    today, week, left = (_counts(document.get(name)) for name in ("today", "this_week", "left_today"))
    state = _counts(document.get("state"))
    rows = [("", "today", "this week")]
    rows += [(name.replace("_", " "), _said(today[name]), _said(week.get(name))) for name in today]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    lines.append("left today: " + ", ".join(f"{_said(n)} {name}" for name, n in left.items()))
    rests = "; it rests after failures" if state.get("resting") is True else ""
    problem = f"; last problem: {plain(str(state['problem']))}" if state.get("problem") else ""
    return "\n".join([*lines, f"asks: {plain(str(state.get('provider', 'nobody')))}{rests}{problem}"])


def _counts(found: Json) -> dict[str, Json]:
    return found if isinstance(found, dict) else {}


def _said(value: Json) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value if value is not None else "")
