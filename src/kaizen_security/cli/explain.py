"""``kaizen explain``: why a verdict is what it is."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO
from urllib.parse import quote

from kaizen_security.client.config import load
from kaizen_security.client.dial import check_key_may_go
from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Json
from kaizen_security.contract.attacks import ATTACKS
from kaizen_security.contract.codec import decode_verdict
from kaizen_security.contract.errors import Misconfigured, Refused, Unreachable
from kaizen_security.contract.fields import obj
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Verdict

DEADLINE = 10.0
_RED, _YELLOW, _GREEN, _DIM, _OFF = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[0m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "verdict", metavar="VERDICT_ID", help="the id of a verdict, as the console and `GET /v1/verdicts` show it"
    )
    parser.add_argument("--api-url", help="the control plane (KAIZEN_API_URL, else http://127.0.0.1:8000)")
    parser.add_argument(
        "--json", action="store_true", help="for machines: the row, and the other rows of the same action"
    )
    parser.epilog = (
        "The API key is read from KAIZEN_API_KEY. Exit status: 0 shown, 1 there is none, 2 used wrongly, 3 unreachable."
    )


def run(args: argparse.Namespace) -> int:
    """0 shown, 1 there is no such verdict, 2 used wrongly, 3 the control plane does not answer."""
    try:
        settings = load({"base_url": args.api_url})
        check_key_may_go(settings.base_url, settings.api_key)
        if not settings.api_key:
            raise Misconfigured("set KAIZEN_API_KEY: the control plane shows verdicts to the owner of a key only")
        row, others = _fetched(settings.base_url, settings.api_key, args.verdict)
    except Misconfigured as err:
        return _failed(str(err), 2)
    except Refused as err:
        known = {401: "the control plane does not know this API key", 403: "this API key may not read that verdict"}
        return _failed(known.get(err.status, f"verdict {_clean(args.verdict)}: {err}"), 1)
    except Unreachable as err:
        start = "Start it with `kaizen server` (or `kaizen up`), or say where it is with --api-url or KAIZEN_API_URL."
        return _failed(f"{err}\n{start}", 3)
    if args.json:
        print(json.dumps({"verdict": row, "same_action": others}, ensure_ascii=False))
    else:
        print("\n".join(_page(row, others, colour=wants_colour(sys.stdout))))
    return 0


def _failed(message: str, status: int) -> int:
    print(f"kaizen explain: {message}", file=sys.stderr)
    return status


def _fetched(url: str, key: str, verdict: str) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    connection = Connection(url)
    headers = {"Authorization": f"Bearer {key}"}
    try:
        row = obj(connection.json("GET", f"/v1/verdicts/{quote(verdict, safe='')}", None, headers, DEADLINE), "verdict")
        action = row.get("action_id")
        if not isinstance(action, str) or not action:
            return row, []
        answer = connection.json("GET", f"/v1/verdicts?action_id={quote(action, safe='')}", None, headers, DEADLINE)
        found = obj(answer, "verdicts").get("verdicts")
    finally:
        connection.close()
    return row, [other for other in found if isinstance(other, dict)] if isinstance(found, list) else []


def _page(row: Mapping[str, Json], others: list[dict[str, Json]], *, colour: bool) -> Iterable[str]:
    verdict = decode_verdict({**row, "at": None})
    action = row.get("action")
    known = action if isinstance(action, dict) else {}
    yield shown(verdict, colour=colour)
    yield ""
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
    rest = [other for other in others if other.get("id") != row.get("id")]
    if rest:
        yield ""
        yield "The same action, by others:"
        for other in rest:
            yield f"  {_text(other.get('decision'))}: {_text(other.get('reason'))} ({_word(other)}; {_text(other.get('id'))})"


def _word(row: Mapping[str, Json]) -> str:
    """Whose word a row is."""
    return {
        "claim": "the client's claim, not evidence",
        "observer": "an observer's verdict",
        "server": "evaluated by the control plane",
    }.get(_text(row.get("origin")), "the client's claim, not evidence" if row.get("claimed") else "evaluated")


# --- verdicts for people, here and in ``kaizen inspect`` ------------------------------------------------------------------------


def wants_colour(out: TextIO) -> bool:
    """A terminal, and nobody who asked for none (no-color.org)."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def shown(verdict: Verdict, *, colour: bool) -> str:
    """A verdict with its findings, in lines."""
    word, paint = (
        ("BLOCK", _RED) if verdict.blocked else ("ALLOW, flagged", _YELLOW) if verdict.flagged else ("ALLOW", _GREEN)
    )
    lines = [f"{_painted(word, paint, colour)}  {_clean(verdict.reason)}"]
    if verdict.confidence is not None:
        lines.append(f"confidence {verdict.confidence:.2f}")
    for finding in verdict.evidence:
        lines += _finding(finding, colour)
    lines += [_painted(f"note: {_clean(note)}", _DIM, colour) for note in verdict.notes]
    if verdict.pending is not None:
        lines.append(f"waits for a person: hold {_clean(verdict.pending.id)}")
    return "\n".join(lines)


def _finding(finding: Finding, colour: bool) -> Iterable[str]:
    yield f"- {_painted(_clean(finding.kind), _YELLOW, colour)}: {_clean(finding.value)}"
    attack = ATTACKS.get(finding.attack)
    ids = f"{attack.title} ({' '.join((*attack.owasp, *attack.atlas))})" if attack else finding.attack
    for label, value in (
        ("says", f"{finding.detection}, {finding.source}" if finding.detection else finding.source),
        ("field", finding.field),
        ("expected", finding.expected),
        ("seen", finding.observed),
        ("what to do", finding.advice),
        ("attack", ids),
    ):
        if value:
            yield f"    {label + ':':<12}{_clean(value)}"


def _painted(text: str, paint: str, colour: bool) -> str:
    return f"{paint}{text}{_OFF}" if colour else text


def _text(value: Json) -> str:
    return "" if value is None else _clean(str(value))


def _clean(text: str) -> str:
    """What an agent wrote must not steer the terminal that it is read on."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
