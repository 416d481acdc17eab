"""What is in force at the control plane when changes come at once: never what was read before the last of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.policy import Policy
from kaizen_security.server.evaluate import Evaluator
from kaizen_security.store.sqlite import SqliteStore

ALLOWLIST = {"mode": "allowlist", "tools": [], "destinations": ["api.example"], "correlation": False}
ELSEWHERE = Action(kind="connect", target="other.example:443", agent="a", organisation="1")


class Slow(SqliteStore):
    """One look of one thread at the organisation's policy is answered late, with what was there when it was asked."""

    def __init__(self, directory):
        super().__init__(directory)
        self.read, self.go_on = threading.Event(), threading.Event()
        self.late = None

    def org_policy(self, organisation):
        found = super().org_policy(organisation)
        if threading.current_thread() is self.late:
            self.late = None
            self.read.set()
            assert self.go_on.wait(20)
        return found


@pytest.fixture
def store(tmp_path):
    opened = Slow(tmp_path)
    opened.create_organisation("one", boundary_secret=b"x" * 32, at=1.0)
    yield opened
    opened.close()


@pytest.fixture
def evaluator(store):
    with ThreadPoolExecutor(4) as executor:
        yield Evaluator(store, lambda: 1000.0, executor)


def test_a_change_that_was_read_before_another_does_not_undo_it(store, evaluator):
    evaluator.inspector.observe(ELSEWHERE)
    first = threading.Thread(target=evaluator.changed, args=(1,))
    store.late = first
    first.start()
    assert store.read.wait(20)
    store.set_org_policy(1, ALLOWLIST)
    store.put_policy(1, Policy("blocklist", {"domains": ["bad.example"]}, "own"), at=1.0)
    second = threading.Thread(target=evaluator.changed, args=(1,))
    second.start()
    second.join(0.2)  # it is done, or waits for the first
    store.go_on.set()
    first.join()
    second.join()
    assert evaluator.observe(1, ELSEWHERE).blocked
    assert "bad.example" in str(
        evaluator.observe(1, Action(kind="connect", target="bad.example:443", agent="a")).evidence
    )
