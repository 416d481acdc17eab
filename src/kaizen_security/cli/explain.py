"""``kaizen explain``: why a verdict is what it is, and what happened around it."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import quote

from kaizen_security.cli.recorded.served import Served
from kaizen_security.cli.terminal.paint import json_text, plain, told, wants_colour
from kaizen_security.cli.terminal.timeline import joined, timeline
from kaizen_security.cli.terminal.verdict import contributions, origins, shown
from kaizen_security.contract.action import Json
from kaizen_security.contract.codec import decode_verdict
from kaizen_security.contract.errors import InvalidInput, Misconfigured, Refused, Unreachable
from kaizen_security.contract.fields import obj
from kaizen_security.runtime.retained import retained

MOST_ROWS = 1000
"""Rows of one run that are fetched: the latest."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "verdict", metavar="VERDICT_ID", help="the id of a verdict, as the console and `GET /v1/verdicts` show it"
    )
    parser.add_argument("--api-url", help="the control plane (KAIZEN_API_URL, else http://127.0.0.1:8000)")
    parser.add_argument(
        "--json",
        action="store_true",
        help="for machines: the row, the others of its action, its run, each contribution",
    )
    parser.epilog = (
        "The API key is read from KAIZEN_API_KEY. Exit status: 0 shown, 1 there is none, 2 used wrongly, 3 unreachable."
    )


def run(args: argparse.Namespace) -> int:
    """0 shown, 1 there is no such verdict, 2 used wrongly, 3 the control plane does not answer."""
    try:
        found = _fetched(args.api_url, args.verdict)
    except Misconfigured as err:
        return _failed(told(err), 2)
    except Refused as err:
        known = {401: "the control plane does not know this API key", 403: "this API key may not read that verdict"}
        return _failed(known.get(err.status, f"verdict {plain(args.verdict)}: {told(err)}"), 1)
    except Unreachable as err:
        start = "Start it with `kaizen server` (or `kaizen up`), or say where it is with --api-url or KAIZEN_API_URL."
        return _failed(f"{told(err)}\n{start}", 3)
    try:
        if args.json:
            print(json_text(_document(found)))
        else:
            # A pipe is given what fits a terminal of eighty columns; a wider terminal gets what it can show.
            width = max(60, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 80
            print("\n".join(_page(found, colour=wants_colour(sys.stdout), width=width)))
    except InvalidInput as err:
        return _failed(f"the control plane's answer cannot be read: {told(err)}", 3)
    return 0


def _failed(message: str, status: int) -> int:
    print(f"kaizen explain: {message}", file=sys.stderr)
    return status


class _Found(NamedTuple):
    """The row, all rows of the same action, and the rows of its run, oldest first; ``cut``: the run has more."""

    row: dict[str, Json]
    others: list[dict[str, Json]]
    run: list[dict[str, Json]]
    cut: bool


def _fetched(url: str | None, verdict: str) -> _Found:
    served = Served(url)

    def rows(**query: str | int) -> list[dict[str, Json]]:
        found = obj(served.get("/v1/verdicts", **query), "verdicts").get("verdicts")
        return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []

    try:
        row = obj(served.get(f"/v1/verdicts/{quote(verdict, safe='')}"), "verdict")
        agent, action, run = (_raw(row.get(name)) for name in ("agent", "action_id", "run_id"))
        others = rows(action_id=action, agent=agent) if action else []
        steps = rows(run_id=run, agent=agent, limit=MOST_ROWS) if run else []
    finally:
        served.close()
    return _Found(row, others, steps[::-1], len(steps) == MOST_ROWS)


def _raw(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _document(found: _Found) -> dict[str, Json]:
    score = decode_verdict(found.row).score
    document: dict[str, Json] = {"verdict": found.row, "same_action": [*found.others], "run": [*found.run]}
    if score is not None:
        document["contributions"] = [
            {
                "name": part.name,
                "weight": part.weight,
                "value": part.value,
                "points": round(part.points, 4),
                "share": round(score.share(part), 4),
            }
            for part in score.parts
        ]
    return document


def _page(found: _Found, *, colour: bool, width: int) -> Iterable[str]:
    row = found.row
    verdict = decode_verdict(row)
    yield shown(verdict, colour=colour)
    if verdict.score is not None:
        yield ""
        yield from contributions(verdict.score, colour=colour)
        if verdict.score.came:
            yield "where its values came from"
            yield from origins(verdict.score, width=width)
    yield ""
    yield from _known(row)
    rest = [other for other in found.others if other.get("id") != row.get("id")]
    if rest:
        yield ""
        yield "The same action, by others:"
        for other in rest:
            yield f"  {_text(other.get('decision'))}: {_text(other.get('reason'))} ({_word(other)}; {_text(other.get('id'))})"
    steps = joined([retained(one) for one in found.run])
    if len(steps) > 1:
        yield ""
        more = f", the latest {MOST_ROWS:,} rows of it" if found.cut else ""
        yield f"Its run, {len(steps)} actions{more} (nobody keeps the words of the request or of what was read):"
        yield from timeline(steps, _raw(row.get("action_id")), colour=colour, width=width)


def _known(row: Mapping[str, Json]) -> Iterable[str]:
    action = row.get("action")
    known = action if isinstance(action, dict) else {}
    for label, value in (
        ("agent", row.get("agent")),
        ("action", " ".join(filter(None, (_text(known.get(name)) for name in ("kind", "tool", "target"))))),
        ("seen by", f"{_text(row.get('source'))}, rung {_text(row.get('rung_number'))}: {_text(row.get('rung'))}"),
        ("when", row.get("created_at")),
        ("run", row.get("run_id")),
        ("policy", row.get("policy_version") or "not stated"),
        ("status", row.get("status")),
        ("whose word", _word(row)),
    ):
        if value:
            yield f"{label + ':':<12}{_text(value)}"


def _word(row: Mapping[str, Json]) -> str:
    """Whose word a row is."""
    return {
        "claim": "the client's claim, not evidence",
        "observer": "an observer's verdict",
        "server": "evaluated by the control plane",
    }.get(_text(row.get("origin")), "the client's claim, not evidence" if row.get("claimed") else "evaluated")


def _text(value: Json) -> str:
    return "" if value is None else plain(str(value))
