"""``kaizen holds``: what Kaizen asks, and the answers (docs/how-to/answer-what-kaizen-asks.md)."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from kaizen_security.cli.terminal.paint import BOLD, DIM, YELLOW, json_text, painted, plain, told, wants_colour
from kaizen_security.client.config import default_sidecar, load
from kaizen_security.client.dial import check_key_may_go
from kaizen_security.client.dial import place as place_of
from kaizen_security.client.http import Connection
from kaizen_security.contract.action import ARGUMENTS, Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured, Refused, Unreachable
from kaizen_security.contract.fields import array, obj, text
from kaizen_security.contract.hold import Hold, HoldAnswer, decode_hold, encode_hold

DEADLINE = 5.0
LOOK = 1.0
"""Seconds between two looks of ``watch``."""
_KEYS = {
    "o": HoldAnswer.ALLOW_ONCE,
    "r": HoldAnswer.ALLOW_RUN,
    "l": HoldAnswer.LEARN,
    "b": HoldAnswer.BLOCK,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("do", nargs="?", default="list", choices=("list", "allow", "block", "watch"))
    parser.add_argument("id", nargs="?", default="", help="the hold, or its first characters (allow, block)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--run", action="store_true", help="allow each such call of this run")
    how.add_argument("--learn", action="store_true", help="allow it, and do not ask about it again")
    parser.add_argument("--all", action="store_true", help="list the settled ones too")
    parser.add_argument("--agent", default="", help="of this agent only")
    parser.add_argument("--sidecar", help="the sidecar's socket (KAIZEN_SIDECAR, else the one in the data directory)")
    parser.add_argument(
        "--operator", metavar="FILE", help="the operator's secret (default: operator.secret beside the socket)"
    )
    parser.add_argument("--api-url", help="ask the control plane instead of a sidecar, signed in as --user")
    parser.add_argument("--user", default="admin", help="who signs in there; the password is asked for (admin)")
    parser.add_argument("--json", action="store_true", help="for machines; watch prints a line for each change")
    parser.epilog = (
        "A session's token for the control plane may stand in KAIZEN_TOKEN (or KAIZEN_SESSION). "
        "Exit status: 0 done, nothing waits; 1 something waits, or it was refused; 2 used wrongly; 3 nobody answered."
    )


def run(args: argparse.Namespace) -> int:
    """0 done or nothing waits, 1 something waits or refused, 2 used wrongly, 3 nobody answered."""
    try:
        desk = _control_plane(args) if args.api_url else _sidecar(args)
        if args.do == "watch":
            return _watch(desk, args)
        if args.do == "list":
            return _list(desk, args)
        return _answer(desk, args)
    except (Misconfigured, InvalidInput) as err:
        print(f"kaizen holds: {told(err)}", file=sys.stderr)
        return 2
    except Refused as err:
        print(f"kaizen holds: {told(err)}", file=sys.stderr)
        return 1
    except Unreachable as err:
        print(f"kaizen holds: {told(err)}", file=sys.stderr)
        return 3


class Desk:
    """Where holds are, and what opens it. ``whole``: who asks sees the arguments too."""

    def __init__(self, url: str, token: str, *, whole: bool) -> None:
        self.url = url
        self.whole = whole
        self._connection = Connection(url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def listing(self, agent: str, *, settled: bool = False) -> list[Hold]:
        """Those that wait, the oldest first; with ``settled`` also the others."""
        found: dict[str, Hold] = {}
        for state in ("waiting", *(("released", "blocked", "expired") if settled else ())):
            path = f"/v1/holds?state={state}&agent={quote(agent, safe='')}"
            document = obj(self._connection.json("GET", path, headers=self._headers, deadline=DEADLINE), "answer")
            for i, one in enumerate(array(document, "holds", "answer.")):
                hold = decode_hold(one, field=f"holds[{i}]")
                found[hold.id] = hold
        return sorted(found.values(), key=lambda hold: hold.created_at)

    def answer(self, hold_id: str, said: HoldAnswer) -> Hold:
        """Say it. Raises Refused: not allowed to, settled before, unknown."""
        path = f"/v1/holds/{quote(hold_id, safe='')}"
        document: Json = {"answer": said.value, "by": getpass.getuser()}
        return decode_hold(self._connection.json("POST", path, document, self._headers, DEADLINE, idempotent=False))


def _sidecar(args: argparse.Namespace) -> Desk:
    settings = load({"sidecar": args.sidecar})
    url = settings.sidecar or default_sidecar(settings)
    places = [Path(args.operator)] if args.operator else _secrets(url, settings.data)
    for place in places:
        try:
            secret = place.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        check_key_may_go(url, secret)
        return Desk(url, secret, whole=True)
    if args.operator or args.do in ("allow", "block"):
        looked = " or ".join(map(str, places))
        raise Misconfigured(f"the operator's secret cannot be read ({looked}): only the sidecar's own user may answer")
    return Desk(url, "", whole=False)


def _secrets(url: str, data: str) -> list[Path]:
    """Where a sidecar keeps it: beside its socket, or in its part of the data directory."""
    beside = [Path(url.removeprefix("unix://")).parent] if url.startswith("unix://") else []
    return [place / "operator.secret" for place in (*beside, Path(data or ".") / "sidecar")]


def _control_plane(args: argparse.Namespace) -> Desk:
    token = os.environ.get("KAIZEN_TOKEN") or os.environ.get("KAIZEN_SESSION", "")
    if not token:
        asked = str(place_of(args.api_url))
        try:
            password = getpass.getpass(f"Password of {args.user} at {asked}: ")
        except EOFError as err:
            raise Misconfigured("nobody is there to type the password: set KAIZEN_TOKEN or KAIZEN_SESSION") from err
        check_key_may_go(args.api_url, password)
        document: Json = {"user": args.user, "password": password}
        said = Connection(args.api_url).json("POST", "/v1/sessions", document, deadline=DEADLINE)
        token = text(obj(said, "answer"), "token", "answer.")
    check_key_may_go(args.api_url, token)
    return Desk(args.api_url, token, whole=False)


# --- list, allow, block ------------------------------------------------------------------------------------------------


def _list(desk: Desk, args: argparse.Namespace) -> int:
    found = desk.listing(args.agent, settled=args.all)
    if args.json:
        print(json_text({"holds": [encode_hold(hold) for hold in found]}))
    elif not found:
        print("Nothing waits.")
    for hold in () if args.json else found:
        print("\n".join(shown(hold, time.time(), colour=wants_colour(sys.stdout), whole=desk.whole)))
    return 1 if any(hold.waiting for hold in found) else 0


def _answer(desk: Desk, args: argparse.Namespace) -> int:
    if not args.id:
        raise Misconfigured(f"name the hold: kaizen holds {args.do} ID")
    if args.do == "block" and (args.run or args.learn):
        raise Misconfigured("--run and --learn belong to allow")
    said = HoldAnswer.BLOCK
    if args.do == "allow":
        said = HoldAnswer.ALLOW_RUN if args.run else HoldAnswer.LEARN if args.learn else HoldAnswer.ALLOW_ONCE
    hold = desk.answer(_named(desk, args.id), said)
    if args.json:
        print(json_text(encode_hold(hold)))
    else:
        print(f"{plain(hold.id[:12])}: {hold.state.value} ({said.value})")
    return 0


def _named(desk: Desk, said: str) -> str:
    """The id that begins so, among those that wait; as it was said when none does, so that the other side says why not."""
    found = [hold.id for hold in desk.listing("") if hold.id.startswith(said)]
    if len(found) > 1 and said not in found:
        raise Misconfigured(f"{len(found)} holds begin with {said}: say more of it")
    return found[0] if len(found) == 1 else said


# --- watch ----------------------------------------------------------------------------------------------------------------


def _watch(desk: Desk, args: argparse.Namespace) -> int:
    known: dict[str, Hold] = {}
    asks = not args.json and sys.stdin.isatty() and sys.stdout.isatty()
    if asks:
        print(painted(f"Watching {desk.url}. Ctrl-C ends it.", DIM, wants_colour(sys.stdout)))
    away = ""
    while True:
        try:
            found = {hold.id: hold for hold in desk.listing(args.agent, settled=bool(known))}
            away = ""
        except Unreachable as err:
            if str(err) != away:
                print(f"kaizen holds: {told(err)}", file=sys.stderr)
            away = str(err)
            time.sleep(LOOK)
            continue
        for hold in found.values():
            before = known.get(hold.id)
            if before is None and not hold.waiting:
                continue
            if before is not None and (before.state, before.calls, before.notes) == (
                hold.state,
                hold.calls,
                hold.notes,
            ):
                continue
            known[hold.id] = hold
            _told(desk, hold, args, ask=asks and before is None)
        known = {hold_id: hold for hold_id, hold in known.items() if hold_id in found}
        time.sleep(LOOK)


def _told(desk: Desk, hold: Hold, args: argparse.Namespace, *, ask: bool) -> None:
    if args.json:
        print(json_text(encode_hold(hold)), flush=True)
        return
    print("\n".join(shown(hold, time.time(), colour=wants_colour(sys.stdout), whole=desk.whole)), flush=True)
    if not ask:
        return
    said = _asked(hold, input)
    if said is None:
        return
    try:
        print(desk.answer(hold.id, said).state.value)
    except (Refused, Unreachable) as err:
        print(f"kaizen holds: {told(err)}", file=sys.stderr)


def _asked(hold: Hold, read: Callable[[str], str]) -> HoldAnswer | None:
    """What the person at the terminal says; None to leave it waiting."""
    run = ", [r]un" if hold.action.run_id else ""
    try:
        said = read(f"  allow [o]nce{run}, [l]earn, [b]lock, or Enter to leave it: ").strip().lower()[:1]
    except EOFError:
        return None
    return _KEYS.get(said) if said != "r" or run else None


# --- words ----------------------------------------------------------------------------------------------------------------


def shown(hold: Hold, now: float, *, colour: bool, whole: bool) -> Iterator[str]:
    """One hold for people. ``now`` in Unix seconds; ``whole``: its arguments are what they are, no hashes."""
    action = hold.action
    what = " ".join(plain(part) for part in (action.tool or action.kind, action.target) if part)
    state = f"blocked in {max(0, int(hold.expires_at - now))} s" if hold.waiting else _came_to(hold)
    yield f"{painted(plain(hold.id[:12]), BOLD, colour)}  {plain(hold.agent)}  {painted(what, YELLOW, colour)}  {state}"
    times = f", tried {hold.calls} times" if hold.calls > 1 else ""
    run = f", run {plain(action.run_id)}" if action.run_id else ""
    yield f"  {plain(hold.verdict.reason)}{times}{run}"
    for finding in hold.verdict.evidence:
        if finding.observed:
            yield painted(f"  {plain(finding.kind)}: {plain(finding.observed)}", DIM, colour)
    for name in ARGUMENTS:
        found = action.metadata.get(name)
        if found and whole:
            yield f"  {name}: {plain(json.dumps(found, ensure_ascii=False))[:2000]}"
    for note in hold.notes:
        yield f"  {plain(note)}"


def _came_to(hold: Hold) -> str:
    answer = f" ({hold.answer.value})" if hold.answer is not None else ""
    return f"{hold.state.value}{answer}" + (f" by {plain(hold.answered_by)}" if hold.answered_by else "")
