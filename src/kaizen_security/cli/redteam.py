"""``kaizen redteam``: run the corpus, or scenarios of one's own, and print the scorecard. Dry: nothing of a scenario is executed.

Exit status: 0 when all is well, 1 when an attack is missed that is not a listed miss, something benign is flagged or an agent's
baseline has learned from the run, 2 when it could not be run (wrong words, a file that cannot be used, nobody answers).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from kaizen_security import __version__
from kaizen_security.cli.terminal.paint import json_text, told, wants_colour
from kaizen_security.contract.errors import KaizenError, Misconfigured
from kaizen_security.redteam import ci, own
from kaizen_security.redteam.corpus import Place, digest, folder, load, misses
from kaizen_security.redteam.report import Measured, document, line, summary, tables
from kaizen_security.redteam.runner import play
from kaizen_security.redteam.scenario import Scenario
from kaizen_security.redteam.scorecard import Played, Scorecard
from kaizen_security.redteam.targets import Embedded, Target, find_target
from kaizen_security.runtime.clock import new_id, now

EMBEDDED = "embedded"
DRY = "Dry: nothing is executed."


def add_arguments(parser: argparse.ArgumentParser, *, from_environment: bool = False) -> None:
    """The command's arguments. ``from_environment``: the target is what KAIZEN_API_URL says, when there is a key for it."""
    default = _url() if from_environment and _url() and os.environ.get("KAIZEN_API_KEY") else ""
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="scenarios of your own, in place of the corpus: files or folders",
    )
    parser.add_argument(
        "--target",
        default=default,
        metavar="embedded|URL",
        help="where to run it: the Observer in this process (embedded, the default), a control plane or a sidecar "
        "(http://…, unix:///…; the key is taken from KAIZEN_API_KEY)",
    )
    parser.add_argument(
        "--agent",
        metavar="NAME",
        help="play it on this agent of yours, with its declaration, baseline and policies; without --target at KAIZEN_SIDECAR, "
        "else at KAIZEN_API_URL. Its baseline learns nothing of it",
    )
    parser.add_argument("--scenario", action="append", metavar="ID", help="only this scenario (may be repeated)")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="randomise names, hosts, paths and wording from this number"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be reported to whom, and report nothing")
    parser.add_argument("--hard", action="store_true", help="list every known miss of the hard set with its reason")
    parser.add_argument("--list", action="store_true", help="list the scenarios and run nothing")
    parser.add_argument("--markdown", action="store_true", help="with --list: the tables of the reference page")
    parser.add_argument("--json", action="store_true", help="one JSON document for machines")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the outcome as JUnit XML, for build servers")
    parser.add_argument(
        "--sarif", type=Path, metavar="FILE", help="write the outcome as SARIF 2.1.0, for code scanning"
    )
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="another corpus, or a folder of scenarios")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    try:
        return _run(args)
    except KaizenError as err:
        print(f"{_name()}: {told(err)}", file=sys.stderr)
        return 2


def _run(args: argparse.Namespace) -> int:
    place = _place(args)
    chosen = _chosen(load(place, seed=args.seed), args.scenario)
    if args.list:
        print(tables(chosen), end="") if args.markdown else _list(chosen, as_json=args.json)
        return 0
    left_out = len(chosen)
    if args.agent is not None:
        chosen = own.playable(chosen, args.agent)
        left_out -= len(chosen)
    _check_writable(args)
    url = _target(args)
    if args.dry_run:
        return _rehearse(chosen, args, url)
    card, name, learned = _played(args, chosen, url, Scorecard(played=(), misses=misses(place)), left_out)
    measured = Measured(target=name, corpus=digest(place), seed=args.seed, version=__version__, command=_command(args))
    good = card.good and not learned
    if args.json:
        said = document(card, measured)
        if args.agent is not None:
            said |= {"ok": good, "agent": args.agent, "learned": list(learned), "left_out": left_out}
        print(json_text(said, indent=2))
    else:
        print("\n".join(summary(card, measured, hard=args.hard)))
    _write(args, card, measured, learned)
    return 0 if good else 1


def _place(args: argparse.Namespace) -> Place:
    if args.files and args.corpus:
        raise Misconfigured("--corpus: give a folder with --corpus or files, not both")
    return tuple(args.files) or args.corpus or folder()


def _target(args: argparse.Namespace) -> str:
    """``embedded``, or the URL of a deployment."""
    if args.agent is None:
        return str(args.target or EMBEDDED)
    if not args.agent.strip():
        raise Misconfigured("--agent: must be an agent's name")
    if args.seed is not None:
        raise Misconfigured("--seed: names of an agent of yours cannot be randomised; leave --seed or --agent out")
    url = args.target or os.environ.get("KAIZEN_SIDECAR") or _url()
    if url in ("", EMBEDDED):
        raise Misconfigured(
            "--agent: needs the deployment that the agent is attached to: give --target, or set KAIZEN_SIDECAR or "
            "KAIZEN_API_URL with KAIZEN_API_KEY"
        )
    return str(url)


def _played(
    args: argparse.Namespace, chosen: tuple[Scenario, ...], url: str, card: Scorecard, left_out: int
) -> tuple[Scorecard, str, tuple[str, ...]]:
    """The scorecard, the target's name, and what an own agent's baseline has learned of the run (nothing, if all is well)."""
    key = os.environ.get("KAIZEN_API_KEY", "")
    tag = new_id()[:8]
    if args.agent is None:
        target: Target = Embedded() if url == EMBEDDED else find_target(url, key, clock=now)
        said = "embedded (no server: the Observer in this process)" if url == EMBEDDED else target.name
        _say(args, f"Running {len(chosen)} scenarios against: {said}. {DRY}")
        if url != EMBEDDED:
            _say(args, f"It leaves agents behind there whose names end in -redteam-{tag}…, with their verdicts.")
        runs = (play([one], target, tag="" if url == EMBEDDED else f"-redteam-{tag}") for one in chosen)
        return _all(args, chosen, runs, _heard(card, target)), target.name, ()
    deployment = find_target(url, key, clock=now)
    before = own.known(deployment, args.agent)
    _say(args, f"Running {len(chosen)} scenarios on agent {args.agent!r} at: {deployment.name}. {DRY}")
    _say(args, f"  {before}")
    if left_out:
        _say(
            args,
            f"  {left_out} scenarios are left out: they are normal or hard only for the agents they were written for",
        )
    runs = (own.play([one], deployment, args.agent, tag=tag) for one in chosen)
    card = _all(args, chosen, runs, _heard(card, deployment))
    learned = own.taught(before, own.known(deployment, args.agent), card.played)
    _say(args, f"baseline: {'LEARNED ' + ', '.join(learned) if learned else 'has learned nothing of it'}")
    _say(args, f"left behind: verdicts of {args.agent!r} whose run_id begins with {own.RUN}{tag}-")
    return card, f"{deployment.name} agent {args.agent}", learned


def _heard(card: Scorecard, target: Target) -> Scorecard:
    return card if target.steps else replace(card, misses=card.misses.where_nothing_is_heard())


def _all(
    args: argparse.Namespace, chosen: tuple[Scenario, ...], runs: Iterator[Iterator[Played]], card: Scorecard
) -> Scorecard:
    """Play them; on a terminal one line says which is being played."""
    shown = not args.json and sys.stderr.isatty()
    for n, (scenario, playing) in enumerate(zip(chosen, runs, strict=True), 1):
        if shown:
            print(f"\r\033[K{n}/{len(chosen)} {scenario.id}", end="", file=sys.stderr, flush=True)
        for played in playing:
            if shown:
                print("\r\033[K", end="", file=sys.stderr, flush=True)
            card = Scorecard(played=(*card.played, played), misses=card.misses)
            _say(args, line(played, card, colour=wants_colour(sys.stdout)))
    return card


def _rehearse(chosen: tuple[Scenario, ...], args: argparse.Namespace, url: str) -> int:
    """``--dry-run``: what would be reported to whom."""
    whose = f"as agent {args.agent!r} to {url}" if args.agent else f"to {url}"
    _say(args, f"Would report {len(chosen)} scenarios {whose}. Nothing is reported.")
    for scenario in chosen:
        whole = args.agent is None or scenario.agent == args.agent
        deeds = [
            *((session, "attack") for session in scenario.sessions),
            *((s, "twin") for s in scenario.twin if whole),
        ]
        for session, part in deeds:
            for deed in session.deeds:
                mark = "ATTACK" if deed.attacking else part
                _say(args, f"{scenario.id:28} {mark:7} {deed.kind} {deed.tool} {deed.target}".rstrip())
    if args.json:
        print(json.dumps({"dry_run": True, "target": url, "agent": args.agent, "scenarios": [s.id for s in chosen]}))
    return 0


def _check_writable(args: argparse.Namespace) -> None:
    """Before anything is played: a run whose outcome cannot be written would be for nothing."""
    for option in ("junit", "sarif"):
        path = getattr(args, option)
        if path is None or args.dry_run:
            continue
        there = path.exists()
        try:
            path.open("ab").close()
            if not there:
                path.unlink()  # a run that fails leaves no empty file, which a build server could not read
        except OSError as err:
            raise Misconfigured(f"--{option}: {path} cannot be written: {err.strerror}") from err


def _write(args: argparse.Namespace, card: Scorecard, measured: Measured, learned: tuple[str, ...]) -> None:
    written = {}
    if args.junit is not None:
        written[args.junit] = ci.junit(card, measured, learned)
    if args.sarif is not None:
        found = ci.sarif(card, measured, learned, base=Path.cwd().resolve())
        written[args.sarif] = json.dumps(found, ensure_ascii=False, indent=2).encode() + b"\n"
    for path, content in written.items():
        try:
            path.write_bytes(content)
        except OSError as err:
            raise Misconfigured(f"{path} cannot be written: {err.strerror}") from err


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
        print(json_text(rows, indent=2))
        return
    for scenario in scenarios:
        print(f"{scenario.shelf.value:10} {scenario.id:28} {len(scenario.attacks):2} attacks  {scenario.title}")


def _say(args: argparse.Namespace, text: str) -> None:
    if not args.json:
        print(text, flush=True)


def _name() -> str:
    return "corpus" if Path(sys.argv[0]).name == "corpus.py" else "kaizen redteam"


def _url() -> str:
    return os.environ.get("KAIZEN_API_URL") or os.environ.get("KAIZEN_BASE_URL") or ""


def _command(args: argparse.Namespace) -> str:
    words = ["kaizen redteam", *map(str, args.files)]
    words += [f"--agent {args.agent}"] if args.agent else []
    words += [f"--target {args.target}"] if args.target not in ("", EMBEDDED) else []
    words += [f"--scenario {id_}" for id_ in args.scenario or ()]
    words += [f"--seed {args.seed}"] if args.seed is not None else []
    return " ".join(words)
