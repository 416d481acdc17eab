"""``python -m tests.soak [NAME ...] [--short] [--amount N]``: run soaks, and store what each found in benchmarks/results/."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.soak.registry import soaks

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def machine():
    """What a figure is worth nothing without."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": [round(one, 2) for one in os.getloadavg()],
    }


def commit():
    """The commit that was run, and whether anything was changed since."""
    said = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    return said.stdout.strip()


def run(name, module, amount):
    """One soak; its result, stored."""
    about = {"soak": name, "commit": commit(), "machine": machine(), "amount": amount}
    about["at"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        try:
            result = {"held": True, "figures": module.soak(amount, Path(directory))}
        except Exception as err:  # noqa: BLE001 - whatever went wrong is the result
            traceback.print_exc()
            result = {"held": False, "problem": str(err)[:2000]}
    return {**about, "seconds": round(time.monotonic() - began, 1), **result}


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
