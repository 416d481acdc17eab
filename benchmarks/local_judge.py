"""What the local judge adds to the floor, on recorded runs: attacks that it raises in the band that is asked, and harmless runs.

    python -m benchmarks.local_judge RUNS.jsonl.gz …

Cross-validated as ``kaizen bench --cv`` does for unseen tasks: no model and no task of a tested run is in its baseline. A run
counts as asked when no call of it is flagged and one lies in the band; as raised when the local judge calls one of those
malicious, or suspicious.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kaizen_security.observer.facts import of_call
from kaizen_security.observer.habits import Habits
from kaizen_security.observer.question import Word
from kaizen_security.observer.score import logit_of
from kaizen_security.observer.signals import read
from kaizen_security.observer.weights import ASK_BUDGET, BUDGET, LOWEST_ASK, LOWEST_THRESHOLD
from kaizen_security.reasoners.local import judge
from kaizen_security.testing.figures import rate, thresholds
from kaizen_security.testing.recorded import ATTACK, BENIGN, Recorded, kind_of, learned, record

OUTCOMES = ("flagged", "asked", "suspicious", "malicious")


def outcome(run: Recorded, habits: Habits, high: float, low: float) -> str:
    """What became of a run: the first of ``flagged`` by the floor, what the local judge said worst of the band, ``asked``, none."""
    said = []
    for one in run.calls:
        if run.kind == ATTACK and one.attack is False:
            continue
        reading = read(one.call, one.origins, habits)
        logit = logit_of(reading)
        if logit > high:
            return "flagged"
        if logit > low:
            facts = replace(of_call(one.call, one.origins, habits), asked=reading.asked, told=reading.told)
            said.append(judge(facts)[0])
    if Word.MALICIOUS in said:
        return "malicious"
    if Word.SUSPICIOUS in said:
        return "suspicious"
    return "asked" if said else ""


def crossed(runs: Sequence[Recorded]) -> list[tuple[Recorded, str]]:
    """Every run with its outcome, against a baseline without its model and without its task."""
    chance = random.Random(0)
    models, tasks = sorted({run.model for run in runs}), sorted({(run.agent, run.task) for run in runs})
    chance.shuffle(models)
    chance.shuffle(tasks)
    model = {name: i % 3 for i, name in enumerate(models)}
    turn: Counter[str] = Counter()
    task: dict[tuple[str, str], int] = {}
    for name in tasks:
        task[name] = turn[name[0]] % 4
        turn[name[0]] += 1
    found = []
    for m in range(min(3, len(models))):
        for t in range(4):
            known = [
                run
                for run in runs
                if run.kind == BENIGN and (model[run.model] != m or len(models) == 1) and task[run.agent, run.task] != t
            ]
            high = thresholds(known, BUDGET, by_task=True)
            low = thresholds(known, ASK_BUDGET, by_task=True)
            habits = learned(known)
            for run in runs:
                if model[run.model] == m and task[run.agent, run.task] == t:
                    bound = max(LOWEST_THRESHOLD, high.get(run.agent, LOWEST_THRESHOLD))
                    floor = min(bound, max(LOWEST_ASK, low.get(run.agent, LOWEST_ASK)))
                    found.append((run, outcome(run, habits.get(run.agent, Habits()), bound, floor)))
    return found


def figures(found: Sequence[tuple[Recorded, str]], kind: str) -> Mapping[str, object]:
    """Share of runs of a kind with each outcome, with a 95 % interval by bootstrap over tasks."""
    chosen = [(run, said) for run, said in found if run.kind == kind]
    return {
        name: str(rate([((run.agent, run.task), int(said == name), 1) for run, said in chosen])) for name in OUTCOMES
    }


def main() -> None:
    """Print a table for each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    for name in parser.parse_args().files:
        with gzip.open(name, "rt") as file:
            lines = [line for line in map(json.loads, file) if kind_of(line) in (ATTACK, BENIGN)]
        runs = [record(line) for line in lines]
        found = crossed(runs)
        print(name)
        for kind in (ATTACK, BENIGN):
            told = figures(found, kind)
            print(f"  {kind:7} " + "  ".join(f"{word} {share}" for word, share in told.items()), flush=True)


if __name__ == "__main__":
    main()
