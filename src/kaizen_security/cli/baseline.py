"""``kaizen baseline``: what an agent normally does, as its sidecar has learned it (docs/how-to/baselines.md)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from urllib.parse import quote

from kaizen_security.cli.recorded import work
from kaizen_security.cli.recorded.lines import MAX_LINE
from kaizen_security.cli.terminal.paint import json_text, plain, told
from kaizen_security.client.config import load
from kaizen_security.client.files import write_whole
from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Json
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.errors import InvalidInput, Misconfigured, Refused, Unreachable
from kaizen_security.contract.fields import obj, parse
from kaizen_security.observer.baseline import DIMENSIONS, Baseline
from kaizen_security.observer.weigh import TOLERANCE
from kaizen_security.runtime.agents import AgentKey
from kaizen_security.runtime.clock import now
from kaizen_security.runtime.replay import Replayer
from kaizen_security.sidecar.shelf import MAX_BASELINE, DiskShelf, read

DEADLINE = 5.0
MOST_SHOWN = 12
AHEAD = 86_400.0
"""Seconds by which clocks may differ."""
LONG_AFTER = 1e12
"""Seconds after which every run is over and every lone action has completed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument("do", choices=("show", "diff", "learn", "reset", "export", "import"))
    parser.add_argument("files", nargs="*", metavar="FILE", help="baselines (diff, import), actions to learn (learn)")
    parser.add_argument("--agent", default="", help="whose; of a data directory that holds one agent, that one")
    parser.add_argument("--data", help="the sidecar's data directory (default: that of this machine's sidecar)")
    parser.add_argument("--sidecar", help="show: ask a running sidecar at this address instead")
    parser.add_argument("--output", metavar="FILE", help="export: write there instead of printing")
    parser.add_argument("--start", action="store_true", help="import: as what a new agent of the same role starts from")
    parser.add_argument(
        "--yes", action="store_true", help="reset, learn, import: do it; without, say what it would change"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.epilog = (
        "learn, reset and import write the data directory, so the sidecar must be stopped: a running one would write over it. "
        "Exit status: 0 done; 1 there is a difference, or nothing was written; 2 used wrongly; 3 nobody answered."
    )


def run(args: argparse.Namespace) -> int:
    """0 done, 1 a difference or nothing written, 2 used wrongly, 3 nobody answered."""
    try:
        return {"show": _show, "diff": _diff, "export": _export}.get(args.do, _change)(args)
    except (Misconfigured, InvalidInput, Refused) as err:
        print(f"kaizen baseline: {told(err)}", file=sys.stderr)
        return 2
    except Unreachable as err:
        print(f"kaizen baseline: {told(err)}", file=sys.stderr)
        return 3


# --- where baselines are --------------------------------------------------------------------------------------------------------


def _data(args: argparse.Namespace) -> Path:
    place = Path(args.data) if args.data else Path(load({}).data or ".kaizen") / "sidecar"
    if not (place / "agents").is_dir():
        raise Misconfigured(f"{place} is no sidecar's data directory: name it with --data")
    return place


def _shelf(args: argparse.Namespace) -> DiskShelf:
    return DiskShelf(_data(args), "")


def _agent(args: argparse.Namespace) -> str:
    if args.agent:
        return str(args.agent)
    names = sorted(path.read_text(encoding="utf-8") for path in _data(args).glob("agents/*/name"))
    if len(names) != 1:
        raise Misconfigured(f"name the agent with --agent: there are {len(names)} ({', '.join(map(plain, names[:8]))})")
    return names[0]


def _kept(args: argparse.Namespace) -> Baseline:
    shelf, agent = _shelf(args), _agent(args)
    document = shelf.load(AgentKey("", agent))
    if document is None:
        return Baseline(replica=shelf.replica)
    return Baseline.from_json(document, replica=shelf.replica)


def _in(path: str) -> Baseline:
    data = read(Path(path))
    if data is None:
        raise Misconfigured(f"{path}: there is no such file")
    try:
        return Baseline.from_json(parse(data, limit=MAX_BASELINE), replica="read")
    except InvalidInput as err:
        raise Misconfigured(f"{path}: {err}") from err


def _nobody_runs(args: argparse.Namespace) -> None:
    socket = _data(args) / "kaizen.sock"
    if not socket.exists():
        return
    try:
        Connection(f"unix://{socket}").json("GET", "/healthz", deadline=DEADLINE)
    except (Unreachable, Refused, InvalidInput):
        return
    raise Misconfigured(f"a sidecar runs on {_data(args)}: stop it first, it would write over what is changed here")


# --- show, diff, export -----------------------------------------------------------------------------------------------------------


def about(baseline: Baseline) -> dict[str, Json]:
    """What a baseline holds, and what moving it would cost."""
    budget: dict[str, Json] = {name: dict(row) for name, row in baseline.poisoning_budget(TOLERANCE).items()}
    budget["told.amounts"] = dict(baseline.behaviour.poisoning(TOLERANCE))
    behaviour = baseline.behaviour
    return {
        "seen": baseline.seen,
        "bytes": len(json.dumps(baseline.to_json(), ensure_ascii=False).encode("utf-8", "surrogatepass")),
        "runs": baseline.habits.runs,
        "calls": baseline.habits.calls,
        "amounts": len(behaviour.size.whole.rows),
        "places_over_time": len(behaviour.rate.whole.rows),
        "forgotten": baseline.forgotten,
        "learned": baseline.profile(),
        "poisoning_budget": budget,
    }


def _show(args: argparse.Namespace) -> int:
    if args.sidecar:
        agent = args.agent or "default"
        url = load({"sidecar": args.sidecar}).sidecar
        path = f"/v1/agents/{quote(agent, safe='')}/profile"
        found = obj(
            obj(Connection(url).json("GET", path, deadline=DEADLINE), "answer").get("profile"), "answer.profile"
        )
    else:
        agent = _agent(args)
        found = about(_kept(args))
    if args.json:
        print(json_text({"agent": agent, **found}))
        return 0
    print(f"{plain(agent)}: {found['seen']} observations")
    for name in ("runs", "calls", "bytes", "forgotten"):
        if name in found:
            print(f"  {name:12} {found[name]}")
    for dimension, rows in obj(found.get("learned", {}), "learned").items():
        values = [obj(row, "learned") for row in rows] if isinstance(rows, list) else []
        shown = [f"{plain(str(row.get('value')))} ({row.get('count')})" for row in values[:MOST_SHOWN]]
        more = f" and {len(values) - MOST_SHOWN} more" if len(values) > MOST_SHOWN else ""
        print(f"  {dimension:12} {', '.join(shown) or 'nothing'}{more}")
    print("What it costs to move a boundary by one (crafted, unflagged actions):")
    for dimension, row in obj(found.get("poisoning_budget", {}), "poisoning_budget").items():
        print(f"  {dimension:18} {_cost(obj(row, 'poisoning_budget'))}")
    return 0


def _cost(row: dict[str, Json]) -> str:
    if "doubling" in row:
        doubling = f"{row['doubling']} to double what passes, of the easiest of {row['known']} kinds of number"
        return doubling if row["known"] else "no kind of number is known well enough to say that one is large"
    if row.get("actions") is None:
        excused = f"; {row['excused']} that are declared or asked for make it abstain" if row.get("excused") else ""
        return "a new value is flagged, and what is flagged is never learned" + excused
    return f"{row['actions']}; it abstains for {row.get('until')} more observations"


def _diff(args: argparse.Namespace) -> int:
    if len(args.files) != 2:
        raise Misconfigured("diff takes two files: kaizen baseline export makes them")
    one, two = (_in(path) for path in args.files)
    found = difference(one, two)
    if args.json:
        print(json_text(found))
    else:
        print("\n".join(_signed(found)) or "Both know the same values.")
    return 1 if any(any(sides.values()) for sides in found.values()) else 0


def difference(one: Baseline, two: Baseline) -> dict[str, dict[str, list[str]]]:
    """The values that only one of two baselines knows, by dimension."""
    known = [
        {dimension: {str(row["value"]) for row in _rows(baseline, dimension)} for dimension in DIMENSIONS}
        for baseline in (one, two)
    ]
    return {
        dimension: {
            "only_first": sorted(known[0][dimension] - known[1][dimension]),
            "only_second": sorted(known[1][dimension] - known[0][dimension]),
        }
        for dimension in DIMENSIONS
    }


def _signed(found: dict[str, dict[str, list[str]]]) -> list[str]:
    sides = (("-", "only_first"), ("+", "only_second"))
    return [
        f"{sign} {name} {plain(value)}" for name, one in found.items() for sign, side in sides for value in one[side]
    ]


def _rows(baseline: Baseline, dimension: str) -> list[dict[str, Json]]:
    rows = baseline.profile()[dimension]
    return [obj(row, dimension) for row in rows] if isinstance(rows, list) else []


def _export(args: argparse.Namespace) -> int:
    text = json_text(_kept(args).to_json())
    if args.output:
        write_whole(Path(args.output), text.encode("utf-8", "surrogatepass"))
    else:
        print(text)
    return 0


# --- learn, reset, import ---------------------------------------------------------------------------------------------------


def _change(args: argparse.Namespace) -> int:
    """Say what would change; with ``--yes``, change it."""
    _nobody_runs(args)
    shelf, agent, before = _shelf(args), _agent(args), _kept(args)
    after = _after(args, agent, before)
    if after.behaviour.latest > max(now() + AHEAD, before.behaviour.latest):
        # What counts is what came lately: beside a time that is still to come nothing would, for as long.
        raise Misconfigured("what is read in states times that are still to come")
    if args.yes:
        shelf.save(AgentKey("", agent), after.to_json())
        if shelf.problem:
            raise Misconfigured(f"nothing was written: {shelf.problem}")
    found = difference(before, after)
    if args.json:
        document: dict[str, Json] = {
            "agent": agent,
            "done": bool(args.yes),
            "observations": {"before": before.seen, "after": after.seen},
            "forgotten": {name: list(sides["only_first"]) for name, sides in found.items()},
            "learned": {name: list(sides["only_second"]) for name, sides in found.items()},
        }
        print(json_text(document))
    else:
        print(f"{plain(agent)}: {before.seen} observations before, {after.seen} after")
        print("\n".join(_signed(found)) or "No value is new or gone.")
        if not args.yes:
            print("Nothing was written. Say --yes to do it.")
    return 0 if args.yes else 1


def _after(args: argparse.Namespace, agent: str, before: Baseline) -> Baseline:
    if args.do == "reset":
        return Baseline(replica=before.replica, reset_to=before.reset_to)
    if not args.files:
        raise Misconfigured(f"{args.do} takes files")
    if args.do == "import":
        return _joined(before, [_in(path) for path in args.files], start=args.start)
    return _taught(before, agent, args.files)


def _joined(before: Baseline, read_in: list[Baseline], *, start: bool) -> Baseline:
    after = before
    if start:
        if before.seen:
            raise Misconfigured("--start is for an agent that has learned nothing yet: reset it first")
        after = Baseline.starting_from(read_in, replica=before.replica)
        read_in = []
    for other in read_in:
        after = after.merge(other)
    return after


def _taught(before: Baseline, agent: str, files: list[str]) -> Baseline:
    """What the baseline is after the lines of some files were judged: what is flagged, and its run, is never learned."""
    replayer = Replayer(Bundle(agent=agent, version=0), only=agent, baseline=before)
    for name, data in work.entries(files):
        try:
            document = parse(data, limit=MAX_LINE) if isinstance(data, bytes) else data
            if isinstance(document, dict) and document.get("label") == "attack":
                continue
            for _ in replayer.take(document):
                pass
        except InvalidInput as err:
            raise Misconfigured(f"{name}: {err}") from err
    replayer.inspector.wake(LONG_AFTER)
    return replayer.inspector.agents.lane(AgentKey("", agent)).observer.baseline
