"""``kaizen replay``: recorded actions or runs once more through the Observer, or what other rules would change of verdicts."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator

from kaizen_security.cli.recorded import work
from kaizen_security.cli.recorded.rules import baseline_in, declaration_in, policies_in
from kaizen_security.cli.recorded.served import Served, moment
from kaizen_security.cli.terminal.difference import page
from kaizen_security.cli.terminal.paint import Progress, json_text, wants_colour
from kaizen_security.client.clock import now
from kaizen_security.contract.action import Json
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import NOTHING_DECLARED
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.verdict import Mode
from kaizen_security.runtime.counterfactual import Alternative, Change, FactsJudge, Point
from kaizen_security.runtime.difference import Difference

FAILS = {
    "new-blocks": (Change.NEWLY_BLOCKED,),
    "new-flags": (Change.NEWLY_FLAGGED,),
    "new-allows": (Change.NEWLY_ALLOWED, Change.NO_LONGER_FLAGGED),
    "any-change": tuple(change for change in Change if change not in (Change.SAME, Change.CANNOT_TELL)),
    "cannot-tell": (Change.CANNOT_TELL,),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="JSON lines, also .gz; - is standard input")
    parser.add_argument("--agent", default="", help="only this agent; lines that name none count as its")
    parser.add_argument("--policy", metavar="FILE", help='policies: {"policies": [...]} as JSON or TOML')
    parser.add_argument("--declaration", metavar="FILE", help="the declaration of every agent, as JSON or TOML")
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], help="of every agent (observe)")
    parser.add_argument("--baseline", metavar="FILE", help="the baseline that every agent starts from, as JSON")
    parser.add_argument(
        "--operating-point",
        type=_point,
        metavar="X",
        help="with --diff: flag calls from this score on, in log odds; +X or =-X: so much above each agent's own",
    )
    parser.add_argument(
        "--learn", action=argparse.BooleanOptionalAction, default=True, help="learn baselines on the way (default)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line a verdict, the summary last; or the changes")
    parser.add_argument("--all", action="store_true", help="every call of recorded runs; every group of changes")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, each with agents of its own (1)")
    change = parser.add_argument_group("what would change")
    change.add_argument(
        "--diff", action="store_true", help="compare --policy, --declaration, --mode, --baseline with what was recorded"
    )
    change.add_argument(
        "--against", metavar="FILE", help="the policies in force now, for lines that hold no verdict (implies --diff)"
    )
    change.add_argument(
        "--against-verdicts",
        metavar="FILE",
        help="compare with what another version or configuration printed with --json --all (implies --diff)",
    )
    change.add_argument(
        "--fail-on", action="append", default=[], choices=sorted(FAILS), help="end with 1 then; several times"
    )
    served = parser.add_argument_group("rows of the control plane (KAIZEN_API_KEY)")
    served.add_argument("--from-server", action="store_true", help="compare with its latest rows (implies --diff)")
    served.add_argument("--api-url", help="where it is (KAIZEN_API_URL, else http://127.0.0.1:8000)")
    served.add_argument("--since", default="", help="rows from then on: RFC 3339, or 90m, 24h, 7d ago")
    served.add_argument("--until", default="", help="rows before then")
    served.add_argument("--limit", type=int, default=100_000, metavar="N", help="at most so many rows (100,000)")
    parser.epilog = (
        "A line is an action about to run, a report (with its verdict), a step of a run, a whole recorded run; with --diff also a "
        "row or an answer of GET /v1/verdicts, or the body of a webhook. Exit status: 0, or 1 when a line could not be read or "
        "--fail-on holds."
    )


def _point(said: str) -> Point:
    value = float(said.removeprefix("="))
    if not -1000 <= value <= 1000:
        raise ValueError(said)
    return Point(value, relative=said[:1] in ("+", "="))


def run(args: argparse.Namespace) -> int:
    """Replay or compare, print, sum up."""
    comparing = args.diff or args.from_server or args.against or args.against_verdicts or args.fail_on
    _check(args, comparing=bool(comparing))
    asked = _work(args, comparing=bool(comparing))
    progress = Progress()
    if args.jobs > 1:
        done = work.apart(asked, args.files, args.jobs)
    else:
        found = _served(args, progress) if args.from_server else work.entries(args.files)
        done = work.here(asked, found, progress)
    progress.done()
    if comparing:
        return _compared(args, done, progress.seconds)
    print(done.shown.summary(progress.seconds, len(done.bad)))
    return 1 if done.bad else 0


def _check(args: argparse.Namespace, *, comparing: bool) -> None:
    if bool(args.files) == args.from_server:
        raise Misconfigured("give either FILEs or --from-server")
    if not 1 <= args.jobs <= 64:
        raise Misconfigured("--jobs must be from 1 to 64")
    if args.jobs > 1 and (args.from_server or "-" in args.files):
        raise Misconfigured("--jobs needs files: each process reads them")
    if not 1 <= args.limit <= 5_000_000:
        raise Misconfigured("--limit must be from 1 to 5,000,000")
    if not args.from_server and (args.since or args.until):
        raise Misconfigured("--since and --until choose rows of --from-server")
    if not comparing and args.operating_point:
        raise Misconfigured("--operating-point is compared with what was recorded: add --diff")
    if args.against_verdicts:
        if args.from_server or args.against or args.operating_point:
            raise Misconfigured("--against-verdicts compares lines with what was printed of them, and nothing else")
        return
    if comparing and not (args.policy or args.declaration or args.mode or args.baseline or args.operating_point):
        raise Misconfigured(
            "nothing would change: give --policy, --declaration, --mode, --baseline or --operating-point"
        )


def _work(args: argparse.Namespace, *, comparing: bool) -> work.Work:
    policies = policies_in(args.policy) if args.policy else None
    declaration = declaration_in(args.declaration) if args.declaration else None
    mode = Mode(args.mode) if args.mode else None
    baseline = baseline_in(args.baseline) if args.baseline else None
    common = {
        "only": args.agent,
        "learn": args.learn,
        "as_json": args.json,
        "everything": args.all,
        "colour": wants_colour(sys.stdout),
    }
    if comparing and not args.against_verdicts:
        alternative = Alternative(
            policies=policies, declaration=declaration, mode=mode, baseline=baseline, point=args.operating_point
        )
        FactsJudge(alternative)  # a rule that cannot be used is said before the first line is read
        now_ = Bundle(agent="", version=1, policies=policies_in(args.against) if args.against else ())
        return work.Work(now=now_, alternative=alternative, **common)
    bundle = Bundle(
        agent="",
        version=1,
        policies=policies or (),
        declaration=declaration or NOTHING_DECLARED,
        mode=mode or Mode.OBSERVE,
    )
    printed = work.printed_by(args.against_verdicts) if args.against_verdicts else None
    return work.Work(now=bundle, baseline=baseline, printed=printed, **common)


def _served(args: argparse.Namespace, progress: Progress) -> Iterator[work.Entry]:
    at = now()
    since = moment(args.since, at, "--since") if args.since else 0.0
    until = moment(args.until, at, "--until") if args.until else 0.0
    served = Served(args.api_url)
    try:
        rows = served.rows(
            agent=args.agent, since=since, until=until, most=args.limit, progress=lambda n: progress.at(n, "rows")
        )
        for row in rows:
            yield "a row", row
    finally:
        served.close()


def _compared(args: argparse.Namespace, done: work.Done, seconds: float) -> int:
    difference = done.difference
    rate = difference.actions / seconds * 60 if seconds else 0.0
    if args.json:
        told: dict[str, Json] = {
            **difference.to_json(),
            "mode_assumed_observe": [*sorted(done.assumed)[:1000]],
            "unread_lines": len(done.bad),
            "seconds": round(seconds, 3),
            "actions_per_minute": round(rate),
        }
        print(json_text(told, indent=1))
    else:
        width = max(60, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 132
        for line in page(difference, colour=wants_colour(sys.stdout), everything=args.all, width=width):
            print(line)
        _remarks(args, done)
        print(f"{seconds:.1f} s, {rate:,.0f} actions a minute")
    return 1 if done.bad or _fails(difference, args.fail_on) else 0


def _remarks(args: argparse.Namespace, done: work.Done) -> None:
    if done.assumed:
        print(f"No row tells the mode of {len(done.assumed)} agents: taken as observe (--mode says otherwise).")
    if args.from_server and args.policy:
        print("A sensitive read that lies before the first row is not known: no sequence is seen that began there.")
    if done.bad:
        print(f"{len(done.bad)} lines could not be read (named above)")


def _fails(difference: Difference, fail_on: list[str]) -> bool:
    return any(difference.counts[change] for name in fail_on for change in FAILS[name])
