"""Fit the weights of ``observer/weights.py`` on recorded runs. Development only: needs numpy and scipy, as nothing else does.

    PYTHONPATH=src python -P benchmarks/fit_weights.py RUNS.jsonl.gz ... [--write]

Rows are out of fold twice: each run is read against a baseline of other models' harmless runs (its task seen), and against a
baseline without its task (unseen). Attacks also come reworded, as their bare goal sentence and as a polite note. The model is a
logistic regression whose weights may not be negative, so nothing that is found can make a call look better. A penalty pulls each
weight to ``PRIOR``, what a signal is worth by its meaning: without it a signal that an agent's attacks do not happen to use gets
no weight, and the next agent pays for that. Each agent weighs the same, however many runs it has. The scale is then fitted by
Platt's method, and the shipped thresholds are quantiles of harmless runs that were out of fold.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from kaizen_security.observer.habits import Habits
from kaizen_security.observer.signals import NAMES
from kaizen_security.testing.recorded import ATTACK, AUTHORISED, BENIGN, IGNORED, Recorded, kind_of, learned, record

TARGET = Path(__file__).parent.parent / "src/kaizen_security/observer/weights.py"
WEIGHT = {BENIGN: 1.0, IGNORED: 0.5, AUTHORISED: 0.5}
MOST_ATTACKS, MOST_IGNORED, PENALTY = 1100, 500, 3.0
ATTACKS, HARMLESS = 600.0, 1200.0
"""What each agent's attacking and harmless calls weigh together."""

BUDGETS = (0.002, 0.005, 0.01, 0.02, 0.025, 0.05)
HIGHEST = 2.7
"""Where most agents' thresholds have to end, placed on the recorded runs."""

PRIOR = {
    "place_near": 3.0,
    "place_far": 5.0,
    "place_unknown": 1.0,
    "inside_far": 2.0,
    "word_near": 1.0,
    "word_far": 2.5,
    "known_led": 3.0,
    "field_led": 4.0,
    "told_far": 1.0,
    "writes": 4.0,
    "effect_told": 1.0,
    "removes_unasked": 1.0,
    "fetch_far": 1.0,
    "near_alike": 1.0,
    "writes_told": 1.0,
}


def load(names: Iterable[str], seed: int) -> list[Recorded]:
    """Every harmless run, and a sample of the others; a third of the sampled attacks reworded."""
    chance = random.Random(seed)
    by_kind: dict[str, list[dict]] = {}
    for name in names:
        with gzip.open(name, "rt") as file:
            for line in file:
                run = json.loads(line)
                by_kind.setdefault(kind_of(run), []).append(run)
    attacks = by_kind.get(ATTACK, [])
    rare = Counter(run["agent"] for run in attacks)
    chosen = [run for run in attacks if chance.random() < max(MOST_ATTACKS / len(attacks), 120 / rare[run["agent"]])]
    ignored = by_kind.get(IGNORED, [])
    ignored = chance.sample(ignored, min(MOST_IGNORED, len(ignored)))
    found = [record(run, ("", "goal", "note")[i % 3]) for i, run in enumerate(chosen)]
    return found + [record(run) for run in (*by_kind[BENIGN], *by_kind.get(AUTHORISED, ()), *ignored)]


def out_of_fold(runs: Sequence[Recorded], fold: Callable[[Recorded], int]) -> list[tuple[Recorded, list[list[float]]]]:
    """Each run's signals against a baseline of the harmless runs of the other folds."""
    found = []
    for one in sorted({fold(run) for run in runs}):
        habits = learned(run for run in runs if run.kind == BENIGN and fold(run) != one)
        found += [
            (run, [reading.vector() for reading in run.readings(habits.get(run.agent, Habits()))])
            for run in runs
            if fold(run) == one
        ]
    return found


def folds(runs: Sequence[Recorded], seed: int) -> tuple[Callable[[Recorded], int], Callable[[Recorded], int]]:
    """By model (three folds) and by task of an agent (four)."""
    chance = random.Random(seed)
    models = sorted({run.model for run in runs})
    tasks = sorted({(run.agent, run.task) for run in runs})
    chance.shuffle(models)
    chance.shuffle(tasks)
    model = {name: i % 3 for i, name in enumerate(models)}
    task = {name: i % 4 for i, name in enumerate(tasks)}
    return (lambda run: model[run.model]), (lambda run: task[run.agent, run.task])


def matrix(rows: Iterable[tuple[Recorded, list[list[float]]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signals, labels, weights. A call of an attack that cannot be told is left out."""
    signals, labels, weights, agents = [], [], [], []
    for run, vectors in rows:
        for call, vector in zip(run.calls, vectors, strict=True):
            if run.kind == ATTACK and not call.goal and call.attack is not False:
                continue
            bad = run.kind == ATTACK and call.goal
            signals.append([1.0, *vector])
            labels.append(float(bad))
            weights.append(1.0 if bad else 0.3 if run.kind == ATTACK else WEIGHT[run.kind])
            agents.append(run.agent)
    label, weight, agent = np.array(labels), np.array(weights), np.array(agents)
    for one in set(agents):
        for bad, total in ((1.0, ATTACKS), (0.0, HARMLESS)):
            of = (agent == one) & (label == bad)
            if of.any():
                weight[of] *= total / weight[of].sum()
    return np.array(signals), label, weight


def fit(signals: np.ndarray, labels: np.ndarray, weights: np.ndarray, prior: np.ndarray | None = None) -> np.ndarray:
    """Logistic regression with a quadratic penalty; with a ``prior`` towards it, and no weight but the first negative."""
    width = signals.shape[1]
    centre = np.zeros(width) if prior is None else prior

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        side = 2 * labels - 1
        margin = (signals @ beta) * side
        slope = -side / (1 + np.exp(np.clip(margin, -50, 50)))
        off = np.r_[0, (beta - centre)[1:]]
        value = (weights * np.logaddexp(0, -margin)).sum() + PENALTY * (off**2).sum()
        return value, signals.T @ (weights * slope) + 2 * PENALTY * off

    bounds = [(None, None)] + [(None if prior is None else 0, None)] * (width - 1)
    return minimize(loss, centre, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 800}).x


def worst(run: Recorded, vectors: list[list[float]], beta: np.ndarray) -> float:
    """The highest score of a run."""
    return max((beta[0] + np.dot(beta[1:], vector) for vector in vectors), default=-99.0)


def aimed(run: Recorded, vectors: list[list[float]], beta: np.ndarray) -> float:
    """The highest score of the calls that do what the attacker wants."""
    own = (vector for call, vector in zip(run.calls, vectors, strict=True) if call.goal)
    return max((beta[0] + np.dot(beta[1:], vector) for vector in own), default=99.0)


def main() -> int:
    """Fit, print, and with ``--write`` put the table in its place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--without", default="", help="leave this agent out: for testing transfer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    runs = [run for run in load(args.files, args.seed) if run.agent != args.without]
    schemes = [out_of_fold(runs, fold) for fold in folds(runs, args.seed)]
    signals, labels, weights = matrix([row for scheme in schemes for row in scheme])
    beta = fit(signals, labels, weights, np.array([0.0, *(PRIOR.get(name, 0.0) for name in NAMES)]))
    logit = signals @ beta
    offset, slope = fit(np.c_[np.ones(len(logit)), logit], labels, np.ones(len(logit)))
    unseen = [worst(run, vectors, beta) for run, vectors in schemes[1] if run.kind == BENIGN]
    attacks = [aimed(run, vectors, beta) for run, vectors in schemes[1] if run.kind == ATTACK]
    text = _table(beta, float(slope), float(offset), unseen, min(HIGHEST, float(np.quantile(attacks, 0.1))))
    print(text, f"# runs {dict(Counter((run.agent, run.kind) for run in runs))}", sep="\n")
    if args.write:
        TARGET.write_text(text)
    return 0


def _table(beta: np.ndarray, slope: float, offset: float, unseen: Sequence[float], most: float) -> str:
    highest = sorted(unseen, reverse=True)
    limits = {budget: highest[int(len(highest) * budget)] for budget in BUDGETS}
    # Rounded up: a run that reached the floor has not exceeded it.
    floors = "\n".join(f"    {budget}: {math.ceil(limit * 100) / 100:.2f}," for budget, limit in limits.items())
    rows = "\n".join(f'    "{name}": {weight:.3f},' for name, weight in zip(NAMES, beta[1:], strict=True))
    return f'''"""The weights of the signals: the one table.

Fitted on recorded runs by ``benchmarks/fit_weights.py``, which wrote this file.
"""

from __future__ import annotations

BUDGET = 0.01
"""Stated false-positive budget: at most one harmless run in a hundred lies above an agent's threshold."""

ASK_BUDGET = 0.05
"""Stated budget of the band below: of all harmless runs of unseen tasks together, one in twenty lies above its beginning."""

ASK_LEAST = 0.025
"""However high an agent's own runs score, its band begins no higher than where one in forty of all lies above."""

ASK_OWN = 0.1
"""Between the two, asking begins where one in ten of the agent's own runs lies above."""

MATURE = 100
"""Scored runs from which on an agent's own runs alone set its threshold."""

SETTLED = 20
"""Scored runs from which on a person is asked: before, everything is new."""

YOUNG_BUDGET = 0.005
"""Stated budget of an agent with fewer scored runs than ``MATURE``: the least threshold of all its first runs."""

BIAS = {beta[0]:.3f}

SLOPE = {slope:.3f}
OFFSET = {offset:.3f}
"""From score to probability (Platt)."""

FLOORS = {{
{floors}
}}
"""For a budget, the score that at most that share of harmless runs of unseen tasks exceeded, out of fold: the least threshold."""

HIGHEST = {most:.2f}
"""No agent's threshold rises above this, whatever people called normal: nine in ten attacks on tasks that were never seen exceed
it, or it is 2.7.
"""

WEIGHTS = {{
{rows}
}}
'''


if __name__ == "__main__":
    sys.exit(main())
