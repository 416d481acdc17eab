"""Replay as work that can be shared out: each process reads every line and takes those of its own agents.

An agent's lines stay in one process and in order, so the verdicts are the same for any number of processes; what was counted or
printed apart is brought together by the place of the line.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

from kaizen_security.cli.recorded.lines import MAX_LINE, lines
from kaizen_security.cli.terminal.paint import Progress, plain
from kaizen_security.cli.terminal.verdicts import Shown
from kaizen_security.contract.action import Json
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.codec import decode_verdict
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import MAX_NAME, obj, parse, text
from kaizen_security.contract.verdict import Verdict
from kaizen_security.observer.baseline import Baseline
from kaizen_security.runtime.against import Against
from kaizen_security.runtime.counterfactual import Alternative, Counterfactual
from kaizen_security.runtime.difference import Difference
from kaizen_security.runtime.replay import Replayer
from kaizen_security.runtime.retained import EVERYBODY, Share

_END: Json = {"": "the end"}
"""What is taken after the last line; told by identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is replayed, and how. ``alternative`` and ``printed`` None: verdicts, else what would change or has changed."""

    now: Bundle
    alternative: Alternative | None = None
    printed: Mapping[tuple[str, str, str], Verdict] | None = None
    baseline: Baseline | None = None
    only: str = ""
    learn: bool = True
    as_json: bool = False
    everything: bool = False
    colour: bool = False


@dataclass(slots=True)
class Done:
    """What came of it: ``bad`` are the lines that could not be read, by place; ``assumed`` agents whose mode nothing told."""

    shown: Shown
    difference: Difference = field(default_factory=Difference)
    bad: dict[int, str] = field(default_factory=dict)
    assumed: set[str] = field(default_factory=set)

    def merge(self, other: Done) -> None:
        """Take in another share's. A line that no share could read was noted by each."""
        self.shown.merge(other.shown)
        self.difference.merge(other.difference)
        self.bad |= other.bad
        self.assumed |= other.assumed


Entry: TypeAlias = "tuple[str, bytes | Json]"
"""A line with where it stands, or a document with its name."""


def entries(names: Iterable[str]) -> Iterator[Entry]:
    """Every line of the files. Raises Misconfigured."""
    for name in names:
        for number, line in enumerate(lines(name), 1):
            yield f"{name}:{number}", line


def here(work: Work, found: Iterable[Entry], progress: Progress) -> Done:
    """All of it in this process; what is printed is printed at once."""
    return _take(work, found, EVERYBODY, lambda _, text: print(text), progress)


def apart(work: Work, names: Sequence[str], jobs: int) -> Done:
    """The same in ``jobs`` processes, each with agents of its own; printed when all are done, in the order of the lines."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in methods else "spawn")
    with tempfile.TemporaryDirectory(prefix="kaizen-replay-") as folder:
        parts = [Path(folder, str(turn)) for turn in range(jobs)]
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            waiting = [pool.submit(_share, work, names, Share(turn, jobs), part) for turn, part in enumerate(parts)]
            found = [one.result() for one in waiting]
        for _, text in merge(*map(_printed, parts), key=itemgetter(0)):
            print(text)
    for other in found[1:]:
        found[0].merge(other)
    for place in sorted(found[0].bad):
        unread(found[0].bad[place])
    return found[0]


def unread(message: str) -> None:
    """A line that could not be read is said, and the rest goes on."""
    print(f"kaizen replay: {plain(message)}", file=sys.stderr)


def _share(work: Work, names: Sequence[str], share: Share, part: Path) -> Done:
    with part.open("w", encoding="utf-8") as file:
        done = _take(work, entries(names), share, lambda place, text: print(json.dumps([place, text]), file=file), None)
    done.shown.out = None
    return done


def _printed(part: Path) -> Iterator[tuple[int, str]]:
    with part.open(encoding="utf-8") as file:
        for line in file:
            place, text = json.loads(line)
            yield place, text


def _take(
    work: Work, found: Iterable[Entry], share: Share, out: Callable[[int, str], None], progress: Progress | None
) -> Done:
    # Lines come and go by the hundred thousand and hold no cycles: looking for some among them each time costs a tenth.
    gc.set_threshold(100_000, 50, 100)
    place = 0
    shown = Shown(lambda text: out(place, text), as_json=work.as_json, everything=work.everything, colour=work.colour)
    done = Done(shown)
    if work.printed is not None:
        take = _against(work, done, share, work.printed)
    else:
        take = _judging(work, done, share) if work.alternative is None else _comparing(work, done, share)
    for place, (name, data) in enumerate(found, 1):
        try:
            take(place, parse(data, limit=MAX_LINE) if isinstance(data, bytes) else data)
        except InvalidInput as err:
            done.bad[place] = f"{name}: {err}"
            if progress is not None:
                unread(done.bad[place])
        if progress is not None:
            progress.at(done.difference.actions + shown.actions)
    take(place, _END)
    return done


def _judging(work: Work, done: Done, share: Share) -> Callable[[int, Json], None]:
    replayer = Replayer(work.now, only=work.only, learn=work.learn, baseline=work.baseline)

    def take(_: int, document: Json) -> None:
        if document is _END or (isinstance(document, dict) and not share.has(document)):
            return
        for found in replayer.take(document):
            done.shown.take(found)

    return take


def _against(
    work: Work, done: Done, share: Share, printed: Mapping[tuple[str, str, str], Verdict]
) -> Callable[[int, Json], None]:
    replayer = Replayer(work.now, only=work.only, learn=work.learn, baseline=work.baseline)
    against = Against(printed, replayer)

    def take(place: int, document: Json) -> None:
        if document is _END or (isinstance(document, dict) and not share.has(document)):
            return
        for one in against.take(document):
            done.difference.add(one, place)

    return take


def printed_by(name: str) -> dict[tuple[str, str, str], Verdict]:
    """The verdicts that ``kaizen replay --json --all`` printed into a file. Raises Misconfigured naming the line."""
    found: dict[tuple[str, str, str], Verdict] = {}
    for where, line in entries((name,)):
        try:
            doc = obj(parse(line, limit=MAX_LINE) if isinstance(line, bytes) else line, "line")
            if "summary" not in doc:
                verdict = decode_verdict(doc, field="line")
                key = (text(doc, "agent", limit=MAX_NAME), text(doc, "run_id", limit=MAX_NAME), verdict.action_id)
                found[key] = verdict
        except InvalidInput as err:
            raise Misconfigured(f"{where} is no verdict as kaizen replay --json prints it: {err}") from err
    return found


def _comparing(work: Work, done: Done, share: Share) -> Callable[[int, Json], None]:
    assert work.alternative is not None
    comparing = Counterfactual(work.alternative, work.now, only=work.only, learn=work.learn, share=share)
    done.assumed = comparing.facts.assumed

    def take(place: int, document: Json) -> None:
        for one in comparing.rest() if document is _END else comparing.take(document):
            done.difference.add(one, place)

    return take
