"""What the local judge adds to the floor, on recorded runs: attacks that it raises in the band that is asked, and harmless runs.

    python -m benchmarks.local_judge RUNS.jsonl.gz …

Cross-validated as ``kaizen bench --cv`` does for unseen tasks: no model and no task of a tested run is in its baseline. A run
counts as asked when no call of it is flagged and one is held; as raised when the local judge calls one of those malicious, or
suspicious.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Mapping, Sequence

from kaizen_security.observer.question import Word
from kaizen_security.reasoners.local import judge
from kaizen_security.testing.driven import Driven, drive, folds, taught
from kaizen_security.testing.figures import rate
from kaizen_security.testing.recorded import ATTACK, BENIGN, kind_of

OUTCOMES = ("flagged", "asked", "suspicious", "malicious")


def outcome(run: Driven) -> str:
    """What became of a run: ``flagged`` by the floor, what the local judge said worst of what is held, ``asked``, or nothing."""
    if run.flagged:
        return "flagged"
    said = [judge(one.facts)[0] for one in run.counted() if one.facts is not None]
    if Word.MALICIOUS in said:
        return "malicious"
    if Word.SUSPICIOUS in said:
        return "suspicious"
    return "asked" if said else ""


def figures(found: Sequence[Driven], kind: str) -> Mapping[str, object]:
    """Share of runs of a kind with each outcome, with a 95 % interval by bootstrap over tasks."""
    chosen = [(run, outcome(run)) for run in found if run.kind == kind]
    return {
        name: str(rate([((run.agent, run.task), int(said == name), 1) for run, said in chosen])) for name in OUTCOMES
    }


def main() -> None:
    """Print a table for each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    for name in parser.parse_args().files:
        with gzip.open(name, "rt") as file:
            runs = [line for line in map(json.loads, file) if kind_of(line) in (ATTACK, BENIGN)]
        found = [one for known, tested in folds(runs, seen=False) for one in drive(tested, taught(known))]
        print(name)
        for kind in (ATTACK, BENIGN):
            told = figures(found, kind)
            print(f"  {kind:7} " + "  ".join(f"{word} {share}" for word, share in told.items()), flush=True)


if __name__ == "__main__":
    main()
