"""What every detection says of recorded harmless runs, through the whole Observer, live as a sidecar sees them.

``python -m benchmarks.false_flags FILES [--json]``. Models and tasks are held out: an agent's baseline is learned from harmless
runs of
other models on other tasks (three sets of models, four of tasks), then learning is off and the rest is judged, in observe mode.
The answer key decides which runs are learned and how they are counted, and nothing else.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Request, Result
from kaizen_security.runtime.agents import Agents
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.testing.recorded import BENIGN, kind_of

MODELS, TASKS = 3, 4
HOUR = 3600.0

Run = dict[str, Any]


def runs(name: str) -> Iterator[Run]:
    """The harmless runs of a file."""
    with gzip.open(name, "rt") if name.endswith(".gz") else Path(name).open(encoding="utf-8") as file:
        for line in file:
            run = json.loads(line)
            if kind_of(run) == BENIGN:
                yield run


def play(inspector: Inspector, run: Run, name: str, at: float) -> set[tuple[str, str]]:
    """Take a run through the Observer; what was found in it, as detection and kind."""
    found: set[tuple[str, str]] = set()
    agent, waiting = str(run["agent"]), []
    inspector.note(Request(run_id=name, agent=agent, text=str(run["user_task"]), at=at))
    for n, step in enumerate(run["steps"]):
        tool = str(step.get("tool") or "")
        if step["role"] == "call":
            arguments = step["args"] if isinstance(step.get("args"), dict) else {}
            metadata = {"source": "sdk", "arguments": arguments}
            action = Action(tool=tool, id=f"{name}-{n}", run_id=name, agent=agent, at=at + n, metadata=metadata)
            waiting.append((step.get("id"), tool, action.id))
            found |= {(one.detection, one.kind) for one in inspector.inspect(action).evidence}
            continue
        answered = [one for one in waiting if one[0] is not None and one[0] == step.get("id")]
        answered = answered or [one for one in waiting if one[1] == tool]
        if answered:
            waiting.remove(answered[0])
            content = step.get("content")
            inspector.note(Result(run_id=name, agent=agent, action_id=answered[0][2], content=content, at=at + n))
    inspector.note(End(run_id=name, agent=agent, at=at + len(run["steps"])))
    return found


def folds(found: Sequence[Run]) -> Iterator[tuple[list[Run], list[Run]]]:
    """What is learned and what is judged, fold by fold: no model and no task of the second in the first."""
    chance = random.Random(0)
    models = sorted({str(run["meta"].get("model")) for run in found})
    tasks = sorted({_task(run) for run in found})
    chance.shuffle(tasks)
    task = {name: i % TASKS for i, name in enumerate(tasks)}
    model = {name: i % MODELS for i, name in enumerate(models)}
    place = [(model[str(run["meta"].get("model"))], task[_task(run)], run) for run in found]
    for m in range(min(MODELS, len(models))):
        for t in range(TASKS):
            outside = [run for of, do, run in place if do != t and (of != m or len(models) == 1)]
            chance.shuffle(outside)
            yield outside, [run for of, do, run in place if (of, do) == (m, t)]


def _task(run: Run) -> tuple[str, str]:
    return str(run["agent"]), str(run["meta"].get("user_task_id"))


def judged(found: Sequence[Run]) -> tuple[Counter[str], Counter[tuple[str, str, str]], Counter[str]]:
    """Runs by agent; runs with a finding by agent, detection and kind; what candidates counted, by detection."""
    whole: Counter[str] = Counter()
    said: Counter[tuple[str, str, str]] = Counter()
    counted: Counter[str] = Counter()
    for outside, inside in folds(found):
        inspector, at = Inspector(Agents(), clock=lambda: 2e9), 1e9
        for i, run in enumerate(outside):
            play(inspector, run, f"learned{i}", at := at + HOUR)
        for _, lane in inspector.agents:
            lane.observer.learning = False
            lane.observer.counted.clear()
        for i, run in enumerate(inside):
            whole[str(run["agent"])] += 1
            for detection, kind in play(inspector, run, f"judged{i}", at := at + HOUR):
                said[str(run["agent"]), detection, kind] += 1
        for _, lane in inspector.agents:
            counted.update(lane.observer.counted)
    return whole, said, counted


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    told: dict[str, Any] = {}
    for name in args.files:
        whole, said, counted = judged(list(runs(name)))
        told[Path(name).name] = {
            "sha256": hashlib.sha256(Path(name).read_bytes()).hexdigest()[:16],
            "runs": dict(whole),
            "flagged": {" / ".join(key): n for key, n in sorted(said.items())},
            "counted only": dict(counted),
        }
    if args.json:
        print(json.dumps(told))
        return
    for name, figures in told.items():
        print(f"{name}  sha256 {figures['sha256']}  harmless runs {figures['runs']}")
        for key, n in figures["flagged"].items():
            print(f"  {n:4} {key}")
        print(f"  counted only: {figures['counted only']}")


if __name__ == "__main__":
    main()
