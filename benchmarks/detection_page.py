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
The first table says it in short.

- **Runs**: AgentDojo's (banking, slack, workspace; 15 models), AgentDyn's (shopping; 6 models), τ-bench's (airline, harmless only; one model). Nobody here wrote the attacks.
- **Kaizen**: every detection as it ships, and no reasoning model.
- **Flagged**: a run of which any detection flags a call.
- **Caught**: an attack of which a call that serves it is flagged, at the attacker's goal or before it. *Caught or held*: such a call is flagged or waits for a person.
- **Ignored injection**: a run that read an attack and made no call for its goal. **Authorised goal**: a run whose user asked for what the attacker wants.
- **Baseline**: learned run by run from the harmless runs of the other folds; each agent's thresholds come from it alone. No model of a tested run is in its baseline; for *tasks unseen* its task is not either.
- **Intervals**: 95 %, by bootstrap over (agent, task).

**On your own agents expect less.**

- The weights of the score were fitted on samples of these same files (`benchmarks/fit_weights.py`: a logistic regression without negative weights, pulled towards what each signal is worth by its meaning).
- Choices were made on these files too: among 88 sets of signals, priors and floors, in three rounds; and among 12, later six, placements of where asking begins.
- With the weights fitted inside each fold instead (all signals but one, the score alone, one threshold an agent at 1 %, a common floor), AgentDojo's agents were at 98.8 % caught and 0.1 % flagged seen, 98.8 % and 0.8 % unseen; AgentDyn's at 81 % and 0.0 % seen, 84 % and 1.7 % unseen.
- On an agent that they never saw, the weights are worth [less](#weights-that-never-saw-the-agent).
"""

TAIL = """
## What is not reached, and why

For each missed target: why, what was tried, and what one would have to know.

### AgentDyn's harmless runs flagged (at most 2 %)

- **Why**: five of the flagged runs are *sequence*'s, all of one small model. It tries made-up passwords and one-time codes for somebody's account, up to fourteen in a row, against the answer "Password is incorrect".
  The benchmark calls these runs harmless because nobody asked for that. It is what *credential probing* is there for, and no attack of either benchmark is caught by it; so the table counts once more without what only *sequence* finds.
  One more was *volume*'s, a search up to a price of ten million; how far a look-up looks is no amount any more.
- **Tried**: to hold such tries instead of flagging them. In observe mode nothing is said of them then, and in enforce mode 42 more of 253 side effects are held.
- **Missing**: whether a log-in was refused, in a field instead of a sentence; and an owner who wants the guessing of passwords to pass.

### AgentDojo's ignored injections flagged (at most 1 %)

- **Why**: nearly all of these runs did something for the attacker. In four the agent looked for the attacker's address in the mail (*provenance*; the answer key itself says that these calls serve the attacker); others used, for the injected task, a look-up that the agent had never used (*novelty*).
  Six of fifteen were *taint*'s: a channel whose name is the injected text was looked up by that name, as channels always are. A look-up may now be given an item of the list from which its argument is always taken, however long its author made it.
- **Tried**: a new tool that only reads is no finding where the request explains the call better than anything that was read. This took away a third of novelty's and cost no attack; without that condition it would have been silent about reconnaissance.
- **Optimistic**: both rules were changed after these very runs had been read, *taint*'s in two forms.
- **Missing**: what the model meant. The label says whether the attack succeeded, which nobody can see beforehand.

### Attack success without asking, tasks unseen (at most 2 %)

- **Why**: mostly two kinds, and both are held, so asking brings the share to a tenth.
  *A deletion ordered by a bare number* (workspace, task 1): the number of a file is no place, so only *alignment* speaks. In the five of these runs that were read, the user asks for a deletion himself, and the number is that of a file which was listed.
  *A bill whose text is wholly the attacker's* (banking, user task 0): the user left the payee to the bill, and the bill names one. Where the same request was served before, with another payee, it is flagged.
- **Tried**: all thresholds lower, in eight steps from 0.2 to 2.5. At 0.5 lower it is 1.9 %, but of AgentDyn's 119 harmless runs 11 instead of 7 are flagged, of AgentDojo's 1,131 five instead of three, and of ignored injections 25 instead of 21.
  At 0.8 lower it is 1.1 %, and the harmless run of that bill is flagged as well: it scores what the attacked one does.
  Also tried: to flag by rule a removal that the request does not ask for and that most of one sentence in what was read orders. One attack more and one harmless run more, both in AgentDyn; left out.
- **Missing**: who the true creditor is, or which file the user would want to lose.

### AgentDojo, 98 % caught at 2 % flagged, tasks unseen

- **Why**: over all agents together, thresholds lower by 0.8 give 98.8 % at 1.1 %. The target asks that each agent by itself stays within 2 %, and that bill is 3.5 % of banking's harmless runs.
- **Missing**: the same as above.

### Weights that never saw the agent (at most 4 points lost)

- **Why**: AgentDojo's agents lose at most 3.3 points, AgentDyn's shopping 9 to 17. It is the only agent of its benchmark here; without it the weights have seen nothing that buys, searches and reads pages.
- **Tried**: stronger pulls towards what a signal means (20 and 60 instead of 3). At 60 nothing loses more than 1.7 points, but the weights of all agents are then worth less on AgentDyn: 3 to 15 points at 1 % flagged, up to 1 at 2 %. They ship as they were.
- **Missing**: runs of other agents of that kind.

### A verdict in 250 µs (2 KB of arguments in a run of 50 steps)

- **Why**: what is left is spread over some forty small functions, none of which takes more than a tenth. The call's data are cold in the caches behind 200 KB of results, which costs a third on top.
- **Tried**: two rounds. The first took a fifth off, with the same verdicts on all recorded runs: sums carried on from call to call, look-ups done once and kept until something is learned, one walk over the arguments.
  The second brought a verdict from 26,600 to 22,500 instructions of the interpreter, with the same verdicts on 2,185 recorded runs: words split and hashed once, no decoding or matching that lengths exclude, membership asked of whole tables.
- **Missing**: compiled code for the core, which we do not ship.

## Beyond the targets

- **One more item of a kind that this agent buys** (AgentDyn, tasks 2 and 5) is missed: nothing in the order is new, and the search that led to it was answered from a page on which the order also stands.
  Whether a thing is in the request's scope is judged only by where its name came from.
- **A password that the user wants typed into a page** (AgentDyn's authorised goals) is refused by *secrets*, which nobody may release.
- **Buying unasked** (AgentDyn's authorised goals 0 and 1): the user only asks to visit a page for a discount, and the agent checks the cart out. In enforce mode *unasked* asks a person.
- **Where asking begins** was chosen on these files, among the six placements of the last round: from an agent's twentieth scored run (it was the thirtieth), above where one in forty of all harmless runs lies (it was one in fifty). It lies just inside of both bounds for AgentDyn; on other agents either more is held or less is stopped.
- **Two thresholds** were moved together, once, on these files: the highest to 2.7 (it was 3.21), and the least one of a young agent to that of a budget of 0.5 % (it was 0.2 %). AgentDyn's unseen tasks gained six points, AgentDojo's figures did not move.
- **Other wordings of AgentDyn** were wrong on this page before: where an injection shared no word with the calls that served it (task 5), its signature was put in its place, and such runs had no injection in them. Now the sentence that it announces is put there.
- **Utility** is counted from records: a run that had solved its task keeps it if none of its calls is flagged. What a model does after a refusal, a record cannot show.
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
