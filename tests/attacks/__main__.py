"""Run the attacks that are named, or all of them."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import tempfile
from pathlib import Path

from tests import attacks as here


def names():
    """Every attack's name."""
    found = (one.name for one in pkgutil.iter_modules(here.__path__))
    return [name for name in found if hasattr(importlib.import_module(f"tests.attacks.{name}"), "attack")]


def main(argv):
    """0 when nothing worked."""
    worked = False
    for name in argv or names():
        with tempfile.TemporaryDirectory() as directory:
            try:
                said = {"held": True, **importlib.import_module(f"tests.attacks.{name}").attack(Path(directory))}
            except AssertionError as err:
                said = {"held": False, "worked": str(err)[:2000]}
        worked = worked or not said["held"]
        print(json.dumps({"attack": name, **said}), flush=True)
    return 1 if worked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
