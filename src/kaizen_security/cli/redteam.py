"""``kaizen redteam``: run the corpus and print its scorecard. Dry: nothing of a scenario is executed.

Exit status 1 when an attack is missed that is not a listed miss, or when something benign is flagged.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from kaizen_security import __version__
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.redteam.corpus import digest, folder, load, misses
from kaizen_security.redteam.report import Measured, document, line, summary, tables
from kaizen_security.redteam.runner import play
from kaizen_security.redteam.scenario import Scenario
from kaizen_security.redteam.scorecard import Played, Scorecard
from kaizen_security.redteam.targets import Embedded, Target, find_target
from kaizen_security.runtime.clock import new_id, now

EMBEDDED = "embedded"


def add_arguments(parser: argparse.ArgumentParser, *, from_environment: bool = False) -> None:
    """The command's arguments. ``from_environment``: the target is what KAIZEN_API_URL says, when there is a key for it."""
    url = os.environ.get("KAIZEN_API_URL") or os.environ.get("KAIZEN_BASE_URL") or ""
    default = url if from_environment and url and os.environ.get("KAIZEN_API_KEY") else EMBEDDED
    parser.add_argument(
        "--target",
        default=default,
        metavar="embedded|URL",
        help="where to run it: the Observer in this process (embedded), a control plane or a sidecar (http://…, unix:///…; "
        "the key is taken from KAIZEN_API_KEY) (default: %(default)s)",
    )
    parser.add_argument("--scenario", action="append", metavar="ID", help="only this scenario (may be repeated)")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="randomise names, hosts, paths and wording from this number"
    )
    parser.add_argument("--hard", action="store_true", help="list every known miss of the hard set with its reason")
    parser.add_argument("--list", action="store_true", help="list the scenarios and run nothing")
    parser.add_argument("--markdown", action="store_true", help="with --list: the tables of the reference page")
    parser.add_argument("--json", action="store_true", help="one JSON document for machines")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="another corpus of the same format")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    place = args.corpus or folder()
    chosen = _chosen(load(place, seed=args.seed), args.scenario)
    if args.list:
        print(tables(chosen), end="") if args.markdown else _list(chosen, as_json=args.json)
        return 0
    key = os.environ.get("KAIZEN_API_KEY", "")
    target: Target = Embedded() if args.target == EMBEDDED else find_target(args.target, key, clock=now)
    if not args.json:
        said = "embedded (no server: the Observer in this process)" if args.target == EMBEDDED else target.name
        print(f"Running {len(chosen)} scenarios against: {said}. Dry: nothing is executed.", flush=True)
    card = Scorecard(played=(), misses=misses(place))
    for played in _progress(chosen, target, quiet=args.json):
        card = Scorecard(played=(*card.played, played), misses=card.misses)
        if not args.json:
            print(line(played, card, colour=_colour()), flush=True)
    measured = Measured(
        target=target.name, corpus=digest(place), seed=args.seed, version=__version__, command=_command(args)
    )
    if args.json:
        print(json.dumps(document(card, measured), ensure_ascii=False, indent=2))
    else:
        print("\n".join(summary(card, measured, hard=args.hard)))
    return 0 if card.good else 1


def _chosen(scenarios: tuple[Scenario, ...], ids: list[str] | None) -> tuple[Scenario, ...]:
    if not ids:
        return scenarios
    known = {scenario.id for scenario in scenarios}
    for id_ in ids:
        if id_ not in known:
            raise Misconfigured(f"--scenario: there is no scenario {id_!r}; --list shows them")
    return tuple(scenario for scenario in scenarios if scenario.id in ids)


def _list(scenarios: tuple[Scenario, ...], *, as_json: bool) -> None:
    if as_json:
        rows = [{"id": s.id, "shelf": s.shelf.value, "attack": s.attack, "title": s.title} for s in scenarios]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for scenario in scenarios:
        print(f"{scenario.shelf.value:10} {scenario.id:28} {len(scenario.attacks):2} attacks  {scenario.title}")


def _progress(scenarios: tuple[Scenario, ...], target: Target, *, quiet: bool) -> Iterator[Played]:
    """Play them; on a terminal one line says which is being played. A target that remembers gets agents of a new name."""
    tag = "" if isinstance(target, Embedded) else f"-redteam-{new_id()[:8]}"
    shown = not quiet and sys.stderr.isatty()
    for n, scenario in enumerate(scenarios, 1):
        if shown:
            print(f"\r\033[K{n}/{len(scenarios)} {scenario.id}", end="", file=sys.stderr, flush=True)
        for played in play([scenario], target, tag=tag):
            if shown:
                print("\r\033[K", end="", file=sys.stderr, flush=True)
            yield played


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _command(args: argparse.Namespace) -> str:
    words = ["kaizen redteam"]
    words += [f"--target {args.target}"] if args.target != EMBEDDED else []
    words += [f"--scenario {id_}" for id_ in args.scenario or ()]
    words += [f"--seed {args.seed}"] if args.seed is not None else []
    return " ".join(words)
