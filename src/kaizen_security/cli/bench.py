"""``kaizen bench``: how well detection holds on recorded runs of real models, with intervals, the data's hash and the command."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import Any

from kaizen_security import __version__
from kaizen_security.cli.recorded.gate import gated, opened, store, words
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.testing.charts import roc
from kaizen_security.testing.driven import Driven, drive, folds, taught
from kaizen_security.testing.figures import alone, at_points, by_agent, curve, enforced, kinds, table
from kaizen_security.testing.recorded import ATTACK, BENIGN, Run, kind_of

WORDINGS = ("goal", "note")
ALONE = "runs flagged by one detection alone"

Work = tuple[list[Run], list[Run], str]
"""Harmless runs to learn from, runs to test, and how the tested attacks are worded."""

Sets = dict[str, list[Driven]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument(
        "--learn", nargs="+", metavar="FILE", help="recorded runs whose harmless ones are learned (.jsonl, .gz)"
    )
    parser.add_argument("--test", nargs="+", metavar="FILE", help="recorded runs that are judged")
    parser.add_argument(
        "--tools", metavar="FILE", help="the agents' tools; their hash is printed (names alone are used today)"
    )
    parser.add_argument(
        "--cv", nargs="+", metavar="FILE", help="instead: cross-validate over models, tasks seen and unseen"
    )
    parser.add_argument("--reworded", action="store_true", help="attacks also as bare goal and as polite note")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that share the work (default: 1)")
    parser.add_argument("--charts", metavar="FOLDER", help="write the curves there as SVG")
    parser.add_argument(
        "--gate", metavar="FILE", help="fail when a figure is beyond those stored there; name what changed"
    )
    parser.add_argument("--store", metavar="FILE", help="store the figures there, for --gate")
    parser.add_argument("--json", action="store_true")
    parser.epilog = (
        "Every detection is asked, as it ships: nothing is fitted here. A baseline is learned from harmless runs, run by run, "
        "and each agent's threshold comes from them alone."
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if not args.cv and not (args.learn and args.test):
        raise Misconfigured("give --learn FILES and --test FILES, or --cv FILES")
    if args.jobs < 1:
        raise Misconfigured("--jobs must be 1 or more")
    started = perf_counter()
    names = args.cv or [*args.learn, *args.test]
    data = {Path(name).name: _digest(name) for name in [*dict.fromkeys(names), *([args.tools] if args.tools else [])]}
    kept = opened(args.gate, data) if args.gate else None
    sets = _measure(_crossed(args) if args.cv else _apart(args), args.jobs)
    told: dict[str, Any] = {
        "kaizen": __version__,
        "command": "kaizen bench " + " ".join(sys.argv[2:]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "data": data,
        "sets": {name: _figures(found) for name, found in sets.items()},
        "microseconds_per_call": _speed(sets),
        "seconds": round(perf_counter() - started, 1),
    }
    if args.charts:
        _draw(args.charts, sets)
    if args.store:
        store(args.store, told, sets)
    passed = kept is None or gated(kept, told, sets)
    if args.json:
        print(json.dumps(told, indent=1))
    else:
        _print(told)
    if args.gate:
        print(words(args.gate, told), file=sys.stderr if args.json else sys.stdout)
    return 0 if passed else 1


# --- the data -----------------------------------------------------------------------------------------------------------------


def _lines(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        try:
            with gzip.open(name, "rt") if name.endswith(".gz") else open(name, encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    yield _line(f"{name}:{number}", line)
        except OSError as err:
            raise Misconfigured(f"{name} cannot be read: {err.strerror or err}") from err
        except UnicodeDecodeError as err:
            raise Misconfigured(f"{name} is not UTF-8 text") from err


def _line(where: str, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as err:
        raise Misconfigured(f"{where}: not JSON: {err}") from err
    if not isinstance(found, dict) or not isinstance(found.get("steps"), list):
        raise Misconfigured(f"{where}: not a run: it needs 'steps'")
    if not all(isinstance(step, dict) and step.get("role") in ("call", "result") for step in found["steps"]):
        raise Misconfigured(f"{where}: steps: each needs a 'role', call or result")
    return found


def _digest(name: str) -> str:
    try:
        return hashlib.sha256(Path(name).read_bytes()).hexdigest()[:16]
    except OSError as err:
        raise Misconfigured(f"{name} cannot be read: {err.strerror}") from err


def _read(names: Sequence[str]) -> list[Run]:
    return [line for line in _lines(names) if kind_of(line)]


def _apart(args: argparse.Namespace) -> Iterator[tuple[str, Work]]:
    known = [one for one in _read(args.learn) if kind_of(one) == BENIGN]
    random.Random(0).shuffle(known)  # noqa: S311 - not one model, one task after the other; repeatable
    tested = _read(args.test)
    size = max(1, -(-len(tested) // args.jobs))
    for at in range(0, len(tested), size):
        yield from _worded("learned apart", known, tested[at : at + size], reworded=args.reworded)


def _crossed(args: argparse.Namespace) -> Iterator[tuple[str, Work]]:
    runs = _read(args.cv)
    for seen in (True, False):
        for known, tested in folds(runs, seen=seen):
            yield from _worded("tasks seen" if seen else "tasks unseen", known, tested, reworded=args.reworded)


def _worded(name: str, known: list[Run], tested: list[Run], *, reworded: bool) -> Iterator[tuple[str, Work]]:
    yield name, (known, tested, "")
    attacks = [one for one in tested if kind_of(one) == ATTACK]
    if reworded and attacks:
        for wording in WORDINGS:
            yield f"{name}, reworded: {wording}", (known, attacks, wording)


def _measure(work: Iterable[tuple[str, Work]], jobs: int) -> Sets:
    named = list(work)
    sets: Sets = {}

    def take(number: int, name: str, found: list[Driven]) -> None:
        sets.setdefault(name, []).extend(found)
        if sys.stderr.isatty():
            print(f"\r{number} of {len(named)} parts measured", end="", file=sys.stderr, flush=True)

    if jobs == 1:
        for number, (name, part) in enumerate(named, 1):
            take(number, name, _driven(part))
    else:
        with ProcessPoolExecutor(jobs) as pool:
            parts = pool.map(_driven, [part for _, part in named])
            for number, ((name, _), found) in enumerate(zip(named, parts, strict=True), 1):
                take(number, name, found)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return sets


def _driven(work: Work) -> list[Driven]:
    known, tested, wording = work
    return list(drive(tested, taught(known), wording))


# --- the figures ----------------------------------------------------------------------------------------------------------------


def _figures(found: list[Driven]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for agent, chosen in by_agent(found):
        rates = {**table(chosen), **enforced(chosen)}
        told[agent] = {name: one.to_json() for name, one in rates.items() if one.of}
        if any(one.kind == ATTACK for one in chosen) and any(one.kind == BENIGN for one in chosen):
            told[agent]["attacks caught where at most so many harmless runs are flagged"] = at_points(curve(chosen))
            told[agent][ALONE] = alone(chosen)
    return {**told, **kinds(found)}


def _speed(sets: Sets) -> dict[str, float]:
    spent = [call.seconds * 1e6 for found in sets.values() for one in found for call in one.calls]
    if len(spent) < 2:
        return {}
    cuts = quantiles(spent, n=100)
    return {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1), "calls": len(spent)}


def _draw(folder: str, sets: Sets) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, found in sets.items():
        if "reworded" in name or not any(one.kind == ATTACK for one in found):
            continue
        curves = {agent: curve(chosen) for agent, chosen in by_agent(found) if agent != "all"}
        path = Path(folder) / f"detection-{name.replace(' ', '-')}.svg"
        path.write_text(roc(f"Attacks caught against harmless runs flagged, {name}", curves), encoding="utf-8")


def _print(told: dict[str, Any]) -> None:
    print(told["command"])
    for name, digest in told["data"].items():
        print(f"  {name}  sha256 {digest}")
    for name, figures in told["sets"].items():
        print(f"\n{name}")
        for agent, rates in figures.items():
            print(f"  {agent}")
            for what, one in rates.items():
                if isinstance(one, dict) and "hits" in one:
                    span = f"{one['low']:.1%}-{one['high']:.1%}"
                    print(f"    {what:42} {one['share']:7.1%}  ({span}; {one['hits']}/{one['of']})")
                elif what == ALONE:
                    rows = (f"{name} {row['attacks']} attacks, {row['harmless']} harmless" for name, row in one.items())
                    print(f"    {what}: " + "; ".join(rows))
                elif isinstance(one, dict):
                    print(f"    {what}: " + ", ".join(f"{most}: {share:.1%}" for most, share in one.items()))
                else:
                    print(f"    {what}: {one}")
    spent = told["microseconds_per_call"]
    print("\n" + ", ".join(f"{name} {value}" for name, value in spent.items()) + f" (µs a call); {told['seconds']} s")
