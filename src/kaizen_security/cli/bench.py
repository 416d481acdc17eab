"""``kaizen bench``: how well detection holds on recorded runs of real models, with intervals, the data's hash and the command."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from kaizen_security import __version__
from kaizen_security.cli.recorded.gate import gated, store, words
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.observer.habits import Habits
from kaizen_security.testing.charts import roc
from kaizen_security.testing.figures import Rate, Score, asked, curve, judge, table, thresholds
from kaizen_security.testing.recorded import ATTACK, BENIGN, Recorded, kind_of, learned, record

WORDINGS = ("", "goal", "note")
BAND = 4.0
"""Log odds below the threshold in which a person would be asked."""


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
    parser.add_argument(
        "--budget", type=float, default=0.01, help="share of an agent's own harmless runs above its threshold"
    )
    parser.add_argument(
        "--reworded", action="store_true", help="with --cv: attacks also as bare goal and as polite note"
    )
    parser.add_argument("--charts", metavar="FOLDER", help="write the curves there as SVG")
    parser.add_argument(
        "--gate", metavar="FILE", help="fail when a figure is beyond those stored there; name what changed"
    )
    parser.add_argument("--store", metavar="FILE", help="store the figures there, for --gate")
    parser.add_argument("--json", action="store_true")
    parser.epilog = "Weights are the shipped ones and are never fitted here; thresholds come from learned runs only."


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if not args.cv and not (args.learn and args.test):
        raise Misconfigured("give --learn FILES and --test FILES, or --cv FILES")
    started = perf_counter()
    names = args.cv or [*args.learn, *args.test]
    sets = _crossed(args) if args.cv else {"learned apart": _apart(args)}
    told: dict[str, Any] = {
        "kaizen": __version__,
        "command": "kaizen bench " + " ".join(sys.argv[2:]),
        "data": {
            Path(name).name: _digest(name) for name in [*dict.fromkeys(names), *([args.tools] if args.tools else [])]
        },
        "sets": {name: _figures(found) for name, found in sets.items()},
        "microseconds_per_call": _speed([one.run for found in sets.values() for one in found][:400]),
        "seconds": round(perf_counter() - started, 1),
    }
    if args.charts:
        _draw(args.charts, sets)
    if args.store:
        store(args.store, told, sets)
    passed = gated(args.gate, told, sets) if args.gate else True
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
                    try:
                        yield json.loads(line)
                    except ValueError as err:
                        raise Misconfigured(f"{name}:{number}: not JSON: {err}") from err
        except OSError as err:
            raise Misconfigured(f"{name} cannot be read: {err.strerror}") from err


def _digest(name: str) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()[:16]


def _read(names: Sequence[str], wording: str = "", kinds: Sequence[str] = ()) -> list[Recorded]:
    found = []
    for line in _lines(names):
        kind = kind_of(line)
        if kind and (not kinds or kind in kinds):
            found.append(record(line, wording))
    return found


def _apart(args: argparse.Namespace) -> list[Score]:
    known = _read(args.learn, kinds=(BENIGN,))
    limits = thresholds(known, args.budget, by_task=False)
    return judge(_read(args.test), learned(known), limits)


def _crossed(args: argparse.Namespace) -> dict[str, list[Score]]:
    runs = _read(args.cv)
    extra = {word: _read(args.cv, word, (ATTACK,)) if args.reworded and word else [] for word in WORDINGS}
    chance = random.Random(0)  # noqa: S311 - folds, repeatable
    models = sorted({run.model for run in runs})
    tasks = sorted({(run.agent, run.task) for run in runs})
    chance.shuffle(models)
    chance.shuffle(tasks)
    model = {name: i % 3 for i, name in enumerate(models)}
    turn: Counter[str] = Counter()
    task = {}
    for name in tasks:
        task[name] = turn[name[0]] % 4
        turn[name[0]] += 1
    sets: dict[str, list[Score]] = {}
    for seen in (True, False):
        word = "tasks seen" if seen else "tasks unseen"
        for m in range(min(3, len(models))):
            for t in range(1 if seen else 4):
                inside = [r for r in runs if model[r.model] == m and (seen or task[r.agent, r.task] == t)]
                known = [
                    r
                    for r in runs
                    if r.kind == BENIGN
                    and (model[r.model] != m or len(models) == 1)
                    and (seen or task[r.agent, r.task] != t)
                ]
                limits = thresholds(known, args.budget, by_task=not seen)
                habits: dict[str, Habits] = learned(known)
                sets.setdefault(word, []).extend(judge(inside, habits, limits))
                for wording, attacks in extra.items():
                    held = [r for r in attacks if model[r.model] == m and (seen or task[r.agent, r.task] == t)]
                    if held:
                        kept = sets.setdefault(f"{word}, reworded: {wording}", [])
                        kept.extend(judge(held, habits, limits))
    return sets


# --- the figures ----------------------------------------------------------------------------------------------------------------


def _figures(found: list[Score]) -> dict[str, Any]:
    agents = sorted({one.run.agent for one in found})
    told: dict[str, Any] = {}
    for agent in [*agents, *(["all"] if len(agents) > 1 else [])]:
        chosen = [one for one in found if agent in (one.run.agent, "all")]
        rates = {**table(chosen), "harmless writing calls in the asking band": asked(chosen, BAND)}
        told[agent] = {name: _rate(one) for name, one in rates.items() if one.of}
        caught = [one for one in chosen if one.run.kind == ATTACK]
        if caught:
            stopped = sum(one.worst > -BAND for one in caught)
            told[agent]["attacks caught or asked about"] = {"share": round(stopped / len(caught), 4), "of": len(caught)}
    told["missed by kind"] = _kinds([o for o in found if o.run.kind == ATTACK and o.worst <= 0], of=found, attack=True)
    told["false flags by kind"] = _kinds(
        [o for o in found if o.run.kind != ATTACK and o.worst > 0], of=found, attack=False
    )
    return told


def _rate(one: Rate) -> dict[str, Any]:
    return {
        "share": round(one.share, 4),
        "low": round(one.low, 4),
        "high": round(one.high, 4),
        "hits": one.hits,
        "of": one.of,
    }


def _kinds(chosen: list[Score], *, of: list[Score], attack: bool) -> dict[str, str]:
    def key(one: Score) -> str:
        return f"{one.run.agent} {one.run.kind} {one.run.injection if attack else one.run.task}"

    whole = Counter(key(one) for one in of)
    return {name: f"{n} of {whole[name]}" for name, n in Counter(key(one) for one in chosen).most_common(12)}


def _speed(runs: list[Recorded]) -> float:
    habits = learned(run for run in runs if run.kind == BENIGN)
    started, calls = perf_counter(), 0
    for one in runs:
        calls += len(one.readings(habits.get(one.agent, Habits())))
    return round((perf_counter() - started) / max(1, calls) * 1e6, 1)


def _draw(folder: str, sets: dict[str, list[Score]]) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, found in sets.items():
        if "reworded" in name or not any(one.run.kind == ATTACK for one in found):
            continue
        agents = sorted({one.run.agent for one in found})
        curves = {agent: curve([one for one in found if one.run.agent == agent]) for agent in agents}
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
                if not isinstance(one, dict):
                    print(f"    {what}: {one}")
                elif "low" in one:
                    span = f"{one['low']:.1%}-{one['high']:.1%}"
                    print(f"    {what:42} {one['share']:7.1%}  ({span}; {one['hits']}/{one['of']})")
                else:
                    print(f"    {what:42} {one['share']:7.1%}  (of {one['of']})")
    print(f"\n{told['microseconds_per_call']} microseconds a call; {told['seconds']} s")
