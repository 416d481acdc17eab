"""Fit the weights of ``observer/weights.py`` on recorded runs. Development only: needs numpy and scipy, as nothing else does.

    PYTHONPATH=src python -P benchmarks/fit_weights.py RUNS.jsonl.gz ... [--write]

Rows are out of fold twice: each run is read against a baseline of other models' harmless runs (its task seen), and against a
baseline without its task (unseen). Attacks also come reworded, as their bare goal sentence and as a polite note. The model is a
logistic regression whose weights may not be negative, so nothing that is found can make a call look better. The scale is then
fitted by Platt's method, and the shipped thresholds are quantiles of harmless runs that were out of fold.
"""

from __future__ import annotations

import argparse
import gzip
import json
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
MOST_ATTACKS, MOST_IGNORED, PENALTY = 1100, 500, 0.1


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
    signals, labels, weights = [], [], []
    for run, vectors in rows:
        for call, vector in zip(run.calls, vectors, strict=True):
            if run.kind == ATTACK and not call.goal and call.attack is not False:
                continue
            bad = run.kind == ATTACK and call.goal
            signals.append([1.0, *vector])
            labels.append(float(bad))
            weights.append(1.0 if bad else 0.3 if run.kind == ATTACK else WEIGHT[run.kind])
    return np.array(signals), np.array(labels), np.array(weights)


def fit(signals: np.ndarray, labels: np.ndarray, weights: np.ndarray, *, signed: bool = True) -> np.ndarray:
    """Logistic regression, weights (all but the first column's) not negative, with a small quadratic penalty."""

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        side = 2 * labels - 1
        margin = (signals @ beta) * side
        slope = -side / (1 + np.exp(np.clip(margin, -50, 50)))
        value = (weights * np.logaddexp(0, -margin)).sum() + PENALTY * (beta[1:] ** 2).sum()
        return value, signals.T @ (weights * slope) + 2 * PENALTY * np.r_[0, beta[1:]]

    width = signals.shape[1]
    bounds = [(None, None)] + [(0 if signed else None, None)] * (width - 1)
    return minimize(loss, np.zeros(width), jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 500}).x


def worst(run: Recorded, vectors: list[list[float]], beta: np.ndarray) -> float:
    """The highest score of a run."""
    return max((beta[0] + np.dot(beta[1:], vector) for vector in vectors), default=-99.0)


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
    beta = fit(signals, labels, weights / 2)
    logit = signals @ beta
    offset, slope = fit(np.c_[np.ones(len(logit)), logit], labels, np.ones(len(logit)), signed=False)
    unseen = [worst(run, vectors, beta) for run, vectors in schemes[1] if run.kind == BENIGN]
    seen = [worst(run, vectors, beta) for run, vectors in schemes[0] if run.kind == BENIGN]
    young, mature = float(np.quantile(unseen, 0.998)), float(np.quantile(unseen, 0.998))
    text = _table(beta, float(slope), float(offset), young, mature)
    print(text, f"# runs {dict(Counter((run.agent, run.kind) for run in runs))}", sep="\n")
    for budget in (0.05, 0.02, 0.01, 0.005, 0.002):
        print(
            f"# budget {budget}: seen {np.quantile(seen, 1 - budget):.2f} unseen {np.quantile(unseen, 1 - budget):.2f}"
        )
    if args.write:
        TARGET.write_text(text)
    return 0


def _table(beta: np.ndarray, slope: float, offset: float, young: float, mature: float) -> str:
    rows = "\n".join(f'    "{name}": {weight:.3f},' for name, weight in zip(NAMES, beta[1:], strict=True))
    return f'''"""The weights of the signals: the one table.

Fitted on recorded runs by ``benchmarks/fit_weights.py``, which wrote this file.
"""

from __future__ import annotations

BUDGET = 0.01
"""Stated false-positive budget: at most one harmless run in a hundred lies above an agent's threshold."""

MATURE = 100
"""Scored runs from which on an agent's own runs alone set its threshold."""

BIAS = {beta[0]:.3f}

SLOPE = {slope:.3f}
OFFSET = {offset:.3f}
"""From score to probability (Platt)."""

YOUNG_THRESHOLD = {young:.2f}
"""Until then: the score that 2 of 1000 harmless runs of unseen tasks exceeded, out of fold."""

LOWEST_THRESHOLD = {mature:.2f}
"""No agent's threshold falls below what 2 of 1000 harmless runs of unseen tasks exceeded, out of fold."""

WEIGHTS = {{
{rows}
}}
'''


if __name__ == "__main__":
    sys.exit(main())
