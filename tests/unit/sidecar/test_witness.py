"""Who listens in a sidecar hears of each action that goes on to run, once, however it came to be let through."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.step import Step
from kaizen_security.contract.verdict import Mode, Verdict
from kaizen_security.observer.question import Word
from kaizen_security.sidecar.run import Parts
from kaizen_security.sidecar.settings import Settings


def asked(parts: Parts, tool: str, id_: str) -> Verdict:
    return asyncio.run(parts.sidecar._inspect(Action(tool=tool, id=id_, run_id="r", agent="a")))


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(Settings(socket=tmp_path / "s", data=tmp_path / "data", port=-1, before=Mode.ENFORCE))


def test_what_is_let_through_is_heard_once_and_what_is_held_when_a_person_lets_it(parts: Parts):
    declared = Declaration(tools=("search",))
    parts.inspector.configure("a", Bundle(agent="a", version=1, declaration=declared, mode=Mode.ENFORCE))
    heard: list[Step] = []
    parts.sidecar.witness = heard.append
    assert asked(parts, "search", "s1").allowed
    assert asked(parts, "search", "s1").allowed
    held = asked(parts, "pay", "p1")
    assert held.blocked
    assert held.pending is not None
    assert [step.id for step in heard if isinstance(step, Action)] == ["s1"]
    parts.inspector.answer(held.pending.id, Word.ALLOW_ONCE, "ada")
    assert asked(parts, "pay", "p1").allowed
    assert [step.id for step in heard if isinstance(step, Action)] == ["s1", "p1"]
