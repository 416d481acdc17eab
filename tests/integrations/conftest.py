"""Real sidecars, the model server, and a table of what was shown: for the frameworks' own environments (``make integrations``)."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaizen_security import Kaizen
from kaizen_security.testing.models import ModelServer
from tests.e2e.sidecar_process import Process
from tests.integrations.agent import PURPOSE, TOOLS

pytest.register_assert_rewrite("tests.integrations.suite")
ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("KAIZEN_SERVER_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
"""The environment that has what a sidecar needs; the framework's own has not."""


@pytest.fixture(scope="session")
def sidecars(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Process]]:
    """Sidecars by mode and by how long they hold, started when they are first asked for."""
    made: dict[tuple[str, int], Process] = {}

    def start(mode: str, hold: int = 0) -> Process:
        if (mode, hold) not in made:
            data = tmp_path_factory.mktemp(mode)
            more = ("--before-bundle", mode, "--hold-seconds", str(hold))
            made[mode, hold] = Process(data, more=more, python=PYTHON).start()
        return made[mode, hold]

    yield start
    for one in made.values():
        one.stop()


@pytest.fixture
def attach(sidecars: Any, tmp_path: Path, request: Any) -> Iterator[Callable[..., Kaizen]]:
    """Make a client for an agent of the test's own name, declared for everything but ``wipe``."""
    clients: list[Kaizen] = []

    def made(mode: str = "enforce", *, hold: int = 0, declare: bool = True, **settings: Any) -> Kaizen:
        name = f"{abs(hash(request.node.nodeid)):x}-{len(clients)}"
        settings = {"data": tmp_path / "client", "deadline": 10.0, **settings}
        if "sidecar" in settings:
            settings["mode"] = mode  # nobody else is there to say it
        else:
            settings["sidecar"] = f"unix://{sidecars(mode, hold).socket}"
        kaizen = Kaizen(agent=name, **settings)
        clients.append(kaizen)
        if declare:
            kaizen.declare(tools=TOOLS, purpose=PURPOSE)
        return kaizen

    yield made
    for kaizen in clients:
        kaizen.close()


@pytest.fixture
def models() -> Iterator[ModelServer]:
    """What the framework's model talks to."""
    with ModelServer() as server:
        yield server


def pytest_generate_tests(metafunc: Any) -> None:
    """A test of a suite with ``path`` runs once for each of its driver's."""
    if "path" in metafunc.fixturenames and hasattr(metafunc.cls, "driver"):
        metafunc.parametrize("path", metafunc.cls.driver.paths)


# --- the table of what was shown

_SHOWN: dict[str, dict[str, Any]] = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Iterator[None]:
    """A cell is green when every test that is marked with it passed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    driver = getattr(item.cls, "driver", None)
    if driver is None or (report.when != "call" and report.passed):
        return
    if report.skipped:
        return
    row = _SHOWN.setdefault(driver.name, {"version": importlib.metadata.version(driver.package), "cells": {}})
    cells = {name for mark in item.iter_markers("shows") for name in mark.args}
    path = getattr(item, "callspec", None) and item.callspec.params.get("path")
    for cell in cells | ({path} if path else set()):
        row["cells"][cell] = row["cells"].get(cell, True) and report.passed


def pytest_configure(config: Any) -> None:
    """The marker."""
    config.addinivalue_line("markers", "shows(*cells): the cells of the compatibility matrix that this test fills")


def pytest_sessionfinish(session: Any) -> None:
    """Write what was shown, for ``tests.integrations.matrix``."""
    place = os.environ.get("KAIZEN_SHOWN")
    if place and _SHOWN:
        found = {"python": ".".join(map(str, sys.version_info[:2])), "frameworks": _SHOWN}
        Path(place).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
