"""Soaks: what has to hold for long, or often. Every module of this folder that has a function ``soak`` is one.

A soak's module says ``FULL`` and ``SHORT``, how much of it there is in ``make soak`` and in ``make test``, and defines
``soak(amount, directory) -> dict``: it raises AssertionError when something did not hold, and returns figures, which are stored.
``directory`` is an empty one to work in.
"""

from __future__ import annotations

import importlib
import pkgutil

from tests import soak as here


def soaks():
    """Every soak by its name."""
    names = [module.name for module in pkgutil.iter_modules(here.__path__)]
    found = {
        name: importlib.import_module(f"tests.soak.{name}") for name in names if name not in ("__main__", "registry")
    }
    return {name: module for name, module in found.items() if hasattr(module, "soak")}
