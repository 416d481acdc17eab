"""``python -m tests.soak [NAME ...] [--short] [--amount N]``: run soaks, and store what each found in benchmarks/results/."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from pathlib import Path

from benchmarks.kept import RESULTS, about
from tests.soak.registry import soaks


def run(name, module, amount):
    """One soak; its result, stored."""
    known = about(name, f"make soak NAMES={name}")
    begins = {"soak": name, "amount": amount, **{key: known[key] for key in ("commit", "machine", "at")}}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        try:
            result = {"held": True, "figures": module.soak(amount, Path(directory))}
        except Exception as err:  # noqa: BLE001 - whatever went wrong is the result
            traceback.print_exc()
            result = {"held": False, "problem": str(err)[:2000]}
    return {**begins, "seconds": round(time.monotonic() - began, 1), **result}


def main(argv):
    """0 when all of them held."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = soaks()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all when none is named")
    parser.add_argument("--short", action="store_true", help="as much as make test runs, and store nothing")
    parser.add_argument("--amount", type=int, help="as much as that, and store nothing")
    args = parser.parse_args(argv)
    if wrong := set(args.names) - set(known):
        parser.error(f"there is no soak {', '.join(sorted(wrong))}; there are {', '.join(known)}")
    held = True
    for name in args.names or known:
        module = known[name]
        result = run(name, module, args.amount or (module.SHORT if args.short else module.FULL))
        held = held and result["held"]
        print(json.dumps(result), flush=True)
        if not (args.short or args.amount):
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"soak-{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
