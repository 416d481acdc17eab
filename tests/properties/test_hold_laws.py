"""Laws of held actions: unanswered is blocked, a release is for what it was given for, a policy's deny is never passed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.hold import Hold, HoldAnswer, HoldState, decode_hold, encode_hold
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.step import End
from kaizen_security.contract.verdict import Mode
from kaizen_security.observer.question import RELEASES, Answer, Word, signature
from kaizen_security.runtime.agents import Agents
from kaizen_security.runtime.hold_table import AlreadySettled, NoRun
from kaizen_security.runtime.holds import Holds
from kaizen_security.runtime.inspector import Inspector
from tests.properties import strategies as s

CALLS = st.tuples(
    st.integers(0, 5),
    st.sampled_from(["pay", "send", "denied"]),
    st.sampled_from("xy"),
    st.sampled_from(["", "r", "s"]),
)
PEOPLE = st.sampled_from([Word.ALLOW_ONCE, Word.ALLOW_RUN, Word.LEARN, Word.BLOCK])
STEPS = st.one_of(
    st.tuples(st.just("call"), CALLS),
    st.tuples(st.just("answer"), st.integers(0, 5), PEOPLE),
    st.tuples(st.just("model"), st.integers(0, 5), st.sampled_from([Word.SUSPICIOUS, Word.MALICIOUS])),
    st.tuples(st.just("time"), st.sampled_from([1.0, 61.0, 301.0, 601.0])),
    st.tuples(st.just("end"), st.sampled_from(["r", "s"])),
)
DENY = Policy("blocklist", {"skill_patterns": ["^denied$"]}, "never")


class World:
    """An agent whose every call is undeclared, and a record of the words that were given for each act."""

    def __init__(self):
        self.now = 1000.0
        self.holds = Holds(clock=lambda: self.now)
        self.inspector = Inspector(Agents(), clock=lambda: self.now, holds=self.holds)
        declared = Declaration(tools=("search",))
        bundle = Bundle(agent="a", version=1, policies=(DENY,), declaration=declared, mode=Mode.ENFORCE)
        self.inspector.configure("a", bundle)
        self.words = {}
        self.once = {}

    def do(self, step):
        kind, *what = step
        if kind == "time":
            self.now += what[0]
            self.holds.wake()
        elif kind == "end":
            self.inspector.note(End(run_id=what[0], agent="a"))
        elif kind == "call":
            self.call(*what[0])
        else:
            self.answer(kind, *what)

    def answer(self, kind, which, word):
        waiting = self.holds.listing(HoldState.WAITING)
        if not waiting:
            return
        hold = waiting[which % len(waiting)]
        try:
            if kind == "model":
                self.holds.answer(hold.id, Answer(word=word, by="model"), "model")
            else:
                self.inspector.answer(hold.id, word, "ada")
                self.words.setdefault(signature(hold.action), []).append((word, hold.action.run_id))
        except (NoRun, AlreadySettled):
            pass

    def call(self, n, tool, to, run):
        # One id, one deed: another deed under the same id is another action.
        action_id = f"{n}-{tool}-{to}-{run}"
        action = Action(tool=tool, id=action_id, run_id=run, agent="a", metadata={"arguments": {"to": to}})
        verdict = self.inspector.inspect(action)
        assert not (verdict.allowed and verdict.pending)
        if verdict.blocked:
            return
        assert tool != "denied"
        given_words = self.words.get(signature(action), [])
        wide = [word for word, where in given_words if word is Word.LEARN or (word is Word.ALLOW_RUN and where == run)]
        released = self.once.setdefault(signature(action), set())
        if not wide:
            released.add(action_id)
        assert wide or len(released) <= sum(word is Word.ALLOW_ONCE for word, _ in given_words)


@given(st.lists(STEPS, max_size=40))
def test_nothing_held_ever_runs_without_a_person_who_said_so_for_it(steps):
    world = World()
    for step in steps:
        world.do(step)
    assert world.holds.figures()["waiting"] == len(world.holds.listing(HoldState.WAITING))


@given(st.lists(STEPS.filter(lambda step: step[0] not in ("answer",)), max_size=40))
def test_unanswered_is_always_blocked_whatever_a_model_says(steps):
    world = World()
    for step in steps:
        world.do(step)
    assert world.holds.figures().get("released", 0) == 0


holds = st.builds(
    Hold,
    id=st.text("abc123", min_size=1, max_size=32),
    action=s.actions,
    verdict=s.verdicts,
    created_at=st.integers(1, 2**31).map(float),
    expires_at=st.integers(1, 2**31).map(float),
    state=st.sampled_from(HoldState),
    answer=st.none() | st.sampled_from(HoldAnswer),
    answered_by=st.text("ada ", max_size=20).map(str.strip),
    answered_at=st.integers(0, 2**31).map(float),
    calls=st.integers(1, 1000),
    notes=st.lists(st.text("abc ", min_size=1, max_size=20), max_size=3).map(tuple),
)


@given(holds)
def test_a_decoded_hold_is_the_hold_that_was_encoded(hold):
    assert decode_hold(encode_hold(hold)) == hold


def test_every_release_is_a_word_of_a_person():
    assert {word.value for word in RELEASES} == {answer.value for answer in HoldAnswer} - {"block"}
