"""Groups of agents: who is told what, and the bounds."""

from __future__ import annotations

from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.peers import NOBODY
from kaizen_security.observer.rules import RulesMaker
from kaizen_security.runtime.roles import MOST_GROUPS, MOST_MEMBERS, NOTHING, Roles

DECLARED = Declaration(tools=("grant_case",))


def watching(declaration=DECLARED, runs=1):
    observer = Observer(detections=())
    observer.rules = RulesMaker().make(Bundle(agent="a", version=1, declaration=declaration))
    for _ in range(runs):
        observer.baseline.habituate(["review"], [], None)
    return observer


def test_each_agent_hears_of_the_others_and_not_of_itself():
    roles, one, two = Roles(), watching(), watching()
    known = roles.acquaint("", "a", one, NOTHING)
    assert one.peers.members == 0
    roles.acquaint("", "b", two, NOTHING)
    assert two.peers.members == 1
    roles.acquaint("", "a", one, known)
    assert one.peers.members == 1


def test_organisations_and_other_declarations_are_other_groups():
    roles = Roles()
    for organisation, declaration in (("x", DECLARED), ("y", DECLARED), ("x", Declaration(tools=("pay",)))):
        observer = watching(declaration)
        roles.acquaint(organisation, "a", observer, NOTHING)
        assert observer.peers.members == 0


def test_an_agent_that_declares_something_else_leaves_its_group():
    roles, one, two = Roles(), watching(), watching()
    known = roles.acquaint("", "a", one, NOTHING)
    other = roles.acquaint("", "b", two, NOTHING)
    one.rules = watching(Declaration(tools=("pay",))).rules
    roles.acquaint("", "a", one, known)
    roles.acquaint("", "b", two, other)
    assert two.peers.members == 0


def test_an_agent_without_a_role_has_nobody():
    observer = watching(Declaration())
    Roles().acquaint("", "alone", observer, NOTHING)
    assert observer.peers is NOBODY


def test_groups_and_members_are_bounded_and_evictions_counted():
    roles = Roles()
    for n in range(MOST_MEMBERS + 5):
        roles.acquaint("", f"a{n}", watching(), NOTHING)
    assert roles.evicted == 5
    for n in range(MOST_GROUPS + 5):
        roles.acquaint(f"o{n}", "a", watching(), NOTHING)
    assert roles.evicted > 5
