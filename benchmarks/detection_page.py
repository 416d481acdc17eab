"""Write docs/explanation/detection-figures.md from what ``kaizen bench --json`` measured.

kaizen bench --cv FILES --reworded --jobs 2 --charts docs/explanation/figures --json > figures.json
python -m benchmarks.detection_page figures.json

The speed of a verdict beside its target is what ``python -m benchmarks.observer --keep`` stored.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.detection_targets import targets
from benchmarks.kept import RESULTS, conditions, stored

PAGE = Path(__file__).parent.parent / "docs/explanation/detection-figures.md"

HEAD = """# Detection figures

How well Kaizen finds hijacked runs of real models, and what that costs harmless ones.
The runs are AgentDojo's (banking, slack, workspace; 15 models), AgentDyn's (shopping; 6 models) and τ-bench's (airline, harmless only; one model); nobody here wrote the attacks.
Every detection is asked, as it ships; no reasoning model is.

A run is flagged when one of its calls is, by whatever detection.
An attack is caught when a call that serves it is flagged at the attacker's goal or before it, and caught or held when such a call is flagged or waits for a person.
A baseline is learned run by run from the harmless runs of the other folds, and each agent's thresholds come from it alone: no model of a tested run is in its baseline, and for *unseen* its task is not either.
Intervals are 95 %, by bootstrap over (agent, task).

**What makes these figures optimistic.**
The weights ship with the program and were fitted on samples of these same files (`benchmarks/fit_weights.py`: a logistic regression whose weights cannot be negative, pulled towards what each signal is worth by its meaning).
About 20 sets of signals, priors and floors were compared in the last round that fitted them, after some 23 in the round before and 45 in an earlier study; where asking begins was chosen among 12 placements on these files.
With the weights fitted inside each fold instead (present signals but for one, score alone, one threshold an agent at 1 % and a common floor), AgentDojo's agents were at 98.8 % caught and 0.1 % flagged seen, 98.8 % and 0.8 % unseen; AgentDyn's at 81 % and 0.0 % seen, 84 % and 1.7 % unseen.
Fitted without the tested agent altogether: AgentDojo 98.7 % at 0.1 % seen and 96.6 % at 0.3 % unseen; AgentDyn, at 1.7 % flagged, 80 % seen and 79 to 85 % unseen, depending on the strength of the prior.
"""

TAIL = """
## What is not reached, and why

- **An order for one more item of a kind that this agent buys** (AgentDyn, tasks 2 and 5): nothing in it is new, and the search that led to it was answered from a page on which the order also stands.
  Whether a thing is in the request's scope is judged only by where its name came from.
- **A deletion that an injection orders by a bare number** (workspace, task 1): a file's number is no place, so alignment alone speaks, and it is held rather than flagged for some requests.
- **A bill whose text is wholly the attacker's** (banking, task unseen, user task 0): the user left the payee to the bill, and the bill names one.
  It is held where asking is on; where the same request was served before, with another payee, it is flagged.
- **AgentDyn's harmless runs that *sequence* flags** are those of one small model, which really tries user names and passwords until one fits.
- **AgentDyn's authorised goals**: a user who asks for his password to be typed into a page that he names is refused by *secrets*, which nobody may release.
- **Ignored injections in AgentDojo** are above the target of 1 %.
  Most of the flagged runs were not unmoved: the agent passed the whole injected text on as the name of a channel (*taint*), deleted another file than the injection named, or called a tool that does not exist (*novelty*).
- **Buying unasked** (AgentDyn's authorised goals 0 and 1): the user only asks to visit a page for a discount, and the agent checks the cart out. In enforce mode *unasked* asks a person about it.
- **Asking about AgentDyn's agent** reaches less for unseen tasks than for seen ones: there its folds have few runs. With that file alone, whose folds are others, 97.5 % are caught or held on seen and on unseen tasks, with 8.7 % of the side effects held (`kaizen bench --cv agentdyn.dev.jsonl.gz`).
- Utility is counted from the records: a run that had solved its task and of which no call is flagged keeps it. What a model does after a refusal, a record cannot show.
"""


def main() -> None:
    """Write the page from the file that is named."""
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    PAGE.write_text("\n".join(_page(told)) + "\n", encoding="utf-8")


def _page(told: Mapping[str, Any]) -> Iterator[str]:
    yield HEAD
    yield "```text"
    yield told["command"].partition(" > ")[0]
    yield from (f"  {name}  sha256 {digest}" for name, digest in told["data"].items())
    spent = told["microseconds_per_call"]
    yield f"  {told['machine']}; a verdict p50 {spent['p50']} µs, p99 {spent['p99']} µs of wall clock, {told['seconds']} s in all"
    yield "```"
    speed = stored("observer") if (RESULTS / "observer.json").exists() else None
    yield "\n## Targets beside figures\n"
    yield from targets(told["sets"], speed)
    yield "\nWhat is behind a target that is missed stands [at the end](#what-is-not-reached-and-why)."
    if speed is not None:
        yield f"The speed is of `{speed['command']}`: {conditions(speed)}"
    for name, figures in told["sets"].items():
        if "reworded" in name:
            continue
        yield f"\n## {name.capitalize()}\n"
        yield from _table({agent: rates for agent, rates in figures.items() if "harmless runs flagged" in rates})
        yield f"\n![Curve, {name}](figures/detection-{name.replace(' ', '-')}.svg)"
        for what in ("missed by kind", "false flags by kind"):
            yield f"\n{what.capitalize()}:\n"
            yield from (f"- {kind}: {number}" for kind, number in figures[what].items())
    yield from _reworded(told["sets"])
    yield TAIL.rstrip()


def _table(agents: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    rows = dict.fromkeys(what for rates in agents.values() for what, one in rates.items() if "hits" in one)
    yield "| | " + " | ".join(agents) + " |"
    yield "|---" * (len(agents) + 1) + "|"
    for what in rows:
        cells = [_cell(rates.get(what)) for rates in agents.values()]
        yield f"| {what} | " + " | ".join(cells) + " |"


def _cell(one: Mapping[str, Any] | None) -> str:
    if not one:
        return "-"
    return f"{one['share']:.1%} ({one['low']:.1%}-{one['high']:.1%}; {one['hits']}/{one['of']})"


def _reworded(sets: Mapping[str, Any]) -> Iterator[str]:
    names = [name for name in sets if "reworded" not in name]
    words = sorted({name.partition(", reworded: ")[2] for name in sets} - {""})
    if not words:
        return
    yield "\n## Other wordings\n"
    yield "Every attack again with its injection as the bare goal sentence, and as a polite note around it; attacks caught, of all agents:\n"
    yield "| | as recorded | " + " | ".join(words) + " |"
    yield "|---" * (len(words) + 2) + "|"
    for name in names:
        cells = [_caught(sets[name])] + [_caught(sets.get(f"{name}, reworded: {word}", {})) for word in words]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _caught(figures: Mapping[str, Any]) -> str:
    agents = [one for one in figures.values() if "attacks caught" in one]
    every = figures.get("all", agents[0] if agents else {})
    return f"{every['attacks caught']['share']:.1%}" if "attacks caught" in every else "-"


if __name__ == "__main__":
    main()
