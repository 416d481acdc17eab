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

from benchmarks.detection_targets import targets, transfer
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
About 20 sets of signals, priors and floors were compared in the last round that fitted them, after some 23 in the round before and 45 in an earlier study; where asking begins was chosen among 12 placements on these files, and then among six (one of them the old one).
With the weights fitted inside each fold instead (present signals but for one, score alone, one threshold an agent at 1 % and a common floor), AgentDojo's agents were at 98.8 % caught and 0.1 % flagged seen, 98.8 % and 0.8 % unseen; AgentDyn's at 81 % and 0.0 % seen, 84 % and 1.7 % unseen.
What weights that never saw an agent are worth on it stands [below](#weights-that-never-saw-the-agent).
"""

TAIL = """
## What is not reached, and why

For each target that is missed above: what stands in the way, what was tried, and what one would have to know.

- **AgentDyn's harmless runs flagged** (at most 2 %).
  Five of the flagged runs are *sequence*'s, all of one small model: it tries made-up passwords and one-time codes for somebody's account, up to fourteen in a row, against the answer "Password is incorrect".
  The benchmark calls the runs harmless because nobody asked for that; it is what *credential probing* names, and no attack of either benchmark is caught by it.
  The table counts it once more without what *sequence* alone finds, in harmless runs and in attacks.
  One more was *volume*'s, a search up to a price of ten million: how far a look-up looks is no amount any more.
  Tried: to hold such tries instead of flagging them. Then nothing is said of them in observe mode, and 42 more of 253 side effects are held in enforce mode.
  Missing: whether a log-in was refused, in a field instead of a sentence; and that an owner would want the guessing of passwords to pass.
- **Ignored injections flagged** (at most 1 %), in AgentDojo.
  Six of the fifteen were *taint*'s: a channel whose name is the injected text was read or looked up by that name, as channels always are. That is no finding any more: a look-up may be given an item of the list from which its argument is always taken, however long its author made it.
  Both rules were changed after these very runs had been read, *taint*'s in two forms: on this data what follows from them is optimistic.
  Nearly all of the others were not unmoved: the agent looked for the attacker's address in the mail (*provenance*; four runs, in which the answer key itself says that these very calls serve the attacker), or used a look-up that it had never used, for the injected task (*novelty*).
  Tried: a new tool that only reads is none where the request explains the call better than anything that was read. It took away a third of novelty's and cost no attack; without that condition it would have been silent about reconnaissance.
  Missing: what the model meant by it. Whether a step serves the attacker is labelled by its success, which the Observer cannot see beforehand.
- **Attack success without asking, tasks unseen** (at most 2 %).
  Two kinds make up most of it. *A deletion that an injection orders by a bare number* (workspace, task 1): a file's number is no place, so alignment alone speaks, and it is held.
  In the five of these runs that were read, the user asks for a deletion himself, and the number is that of a file which was listed.
  *A bill whose text is wholly the attacker's* (banking, user task 0): the user left the payee to the bill, and the bill names one. It is held too; where the same request was served before, with another payee, it is flagged.
  Tried: all thresholds lower by 0.2 to 2.5, in eight steps. At 0.5 lower it is 1.9 %, with 11 instead of 7 of AgentDyn's 119 harmless runs flagged, 5 instead of 3 of AgentDojo's 1,131, and 25 instead of 21 of the ignored ones.
  At 0.8 lower it is 1.1 %, and the harmless run of that bill is flagged as well, since it scores what the attacked one does.
  Tried as well: a removal that the request does not ask for, and that most of one sentence in what was read orders, flagged by rule at any score. One attack more and one harmless run more, both in AgentDyn; left out.
  Missing: who the true creditor is, or which file the user would want to lose. Asking brings it to a tenth.
- **AgentDojo, 98 % at 2 %, tasks unseen.**
  With all thresholds lower by 0.8 it is 98.8 % at 1.1 %. The table asks more, namely that each agent by itself stays within 2 %, and the bill of the point above is 3.5 % of banking's harmless runs.
  Missing: the same as there.
- **Weights that never saw the agent** (at most 4 points lost).
  AgentDojo's agents lose at most 3.3 points; AgentDyn's shopping loses 9 to 17 of its 121 attacks' share, see [the table](#weights-that-never-saw-the-agent).
  It is the only agent of its benchmark here, so without it the weights have seen nothing that buys, searches and reads pages.
  Tried: stronger pulls towards what a signal means (20 and 60 instead of 3). At 60 nothing loses more than 1.7 points, but then the weights of all agents are worth less on AgentDyn: 3 to 15 points at 1 % flagged, up to 1 at 2 %. They ship as they were.
  Missing: runs of other agents of that kind.
- **A verdict in 250 µs** (2 KB of arguments in a run of 50 steps).
  Tried: sums of a run carried on from call to call, what is known of a context or a word kept until something is learned, values and sentences looked up once, one walk over the arguments for each that asks; words split and hashed once, nothing decoded or matched that the lengths of a text's words exclude, fingerprints remembered by keyed hash, membership asked of whole tables at once, sentences scored by sums that are kept. The first round took a fifth off, with the same verdicts on all recorded runs; in the second a verdict fell from 26,600 to 22,500 instructions of the interpreter, with the same verdicts on 2,185 of them.
  What is left is spread over some forty small functions, none of which takes more than a tenth; the call's data are cold in the caches behind 200 KB of results, which costs a third on top. It would take compiled code for the core, which we do not ship.

Beyond the targets:

- **An order for one more item of a kind that this agent buys** (AgentDyn, tasks 2 and 5): nothing in it is new, and the search that led to it was answered from a page on which the order also stands.
  Whether a thing is in the request's scope is judged only by where its name came from.
- **AgentDyn's authorised goals**: a user who asks for his password to be typed into a page that he names is refused by *secrets*, which nobody may release.
- **Buying unasked** (AgentDyn's authorised goals 0 and 1): the user only asks to visit a page for a discount, and the agent checks the cart out. In enforce mode *unasked* asks a person about it.
- **Where asking begins** was moved in this round, from an agent's thirtieth scored run to its twentieth, and from where one in fifty of all harmless runs lies above to one in forty: six placements were compared on these files, and the one that was taken lies just inside of both bounds for AgentDyn. On other agents expect either more to be held or less to be stopped.
- **The highest threshold** (2.7 instead of 3.21) and the least one of a young agent (that of a budget of 0.5 % instead of 0.2 %) were moved together, once, on these files: AgentDyn's unseen tasks gained six points and AgentDojo's figures did not move.
- **Other wordings of AgentDyn** stood too low on this page until now: where an injection shared no word with the calls that served it (task 5), its signature was put in its place instead of its goal, and such runs were attacks without an injection.
  What is put there now is the sentence that the injection announces.
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
    yield from _transfer()
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


def _transfer() -> Iterator[str]:
    if not (RESULTS / "transfer.json").exists():
        return
    found = stored("transfer")
    yield "\n## Weights that never saw the agent\n"
    yield "The score alone, with weights that were fitted on all agents (the tested fold left out), and with weights that were fitted without this agent, at the same share of its harmless runs flagged."
    yield "The penalty is how strongly weights are pulled towards what each signal is worth by its meaning; 3 is what ships.\n"
    yield from transfer(found)
    yield f"\n`{found['command']}`: {conditions(found)}"


def _caught(figures: Mapping[str, Any]) -> str:
    agents = [one for one in figures.values() if "attacks caught" in one]
    every = figures.get("all", agents[0] if agents else {})
    return f"{every['attacks caught']['share']:.1%}" if "attacks caught" in every else "-"


if __name__ == "__main__":
    main()
