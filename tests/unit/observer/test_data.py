"""Classes of data: told by their shape when they are read and when they are sent; what was not declared is found."""

from __future__ import annotations

import base64

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import DataClass, Declaration
from kaizen_security.contract.declared import extended
from kaizen_security.contract.step import Request, Result
from kaizen_security.contract.verdict import Mode
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.credentials import find
from kaizen_security.observer.data import classes, many, people
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.question import Question
from kaizen_security.observer.rules import RulesMaker

CARD = "4111 1111 1111 1111"
IBAN = "DE89 3704 0044 0532 0130 00"
TOKEN = "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"


class Play:
    """A run of an agent that declared ``data``; ``do`` gives the undeclared classes and where each was met."""

    def __init__(self, *data, mode=Mode.OBSERVE, request="Answer the ticket."):
        rules = RulesMaker().make(Bundle(agent="", version=1, mode=mode, declaration=Declaration(data=data)))
        self.observer = Observer(detections=BUILTIN, rules=rules)
        self.at = 1_000.0
        self.note(Request(run_id="now", text=request))

    def note(self, step):
        self.at += 1
        self.observer.note(step, self.at)

    def weigh(self, tool, result=None, sensitive=False, target="", **arguments):
        metadata = {"source": "sdk", "arguments": arguments, "sensitive": sensitive}
        action = Action(tool=tool, target=target, id=f"a{self.at}", run_id="now", metadata=metadata)
        self.note(action)
        found = self.observer.weighed(action, self.at)
        self.observer.learn(action, found, self.at, completed=False)
        if result is not None:
            self.note(Result(run_id="now", action_id=action.id, content=result))
        return action, found

    def do(self, tool, result=None, sensitive=False, target="", **arguments):
        _, found = self.weigh(tool, result, sensitive, target, **arguments)
        return {one.value: one.field for one in found.verdict.evidence if one.kind == "undeclared data"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"paid with {CARD}", {DataClass.CARDS}),
        (f"to {IBAN} please", {DataClass.BANK_ACCOUNTS}),
        (f"token {TOKEN}", {DataClass.CREDENTIALS}),
        ("password = hunter2hunter2", {DataClass.CREDENTIALS}),
        ("4111 1111 1111 1112 is no card", set()),
        ("order 20241127 of 17 boxes", set()),
        ("", set()),
    ],
)
def test_a_class_is_told_by_its_shape(text, expected):
    assert set(classes(text, find(text))) == expected


def test_three_people_are_a_list_of_people_and_one_is_a_letterhead():
    assert many(set(map(hash, people("a@x.example, B@y.example; c@z.example"))))
    assert many(set(map(hash, people("+49 30 1234567, +44 20 7946 0000, +1 202 555 0100"))))
    assert not many(set(map(hash, people("a@x.example and A@X.example, or +49 30 1234567"))))


def test_nothing_is_undeclared_where_no_class_is_declared():
    play = Play()
    assert play.do("open_ticket", {"note": CARD}, sensitive=True) == {}
    assert play.do("send_reply", text=f"{CARD} {IBAN} {TOKEN}") == {}


def test_what_was_read_is_found_once_at_the_next_action():
    play = Play("contacts")
    assert play.do("open_ticket", {"note": f"paid with {CARD}", "to": IBAN}) == {}
    assert play.do("close_ticket") == {"cards": "run", "bank_accounts": "run"}
    assert play.do("close_ticket") == {}


def test_what_is_sent_is_found_each_time_and_where_it_stands():
    play = Play("contacts")
    assert play.do("send_reply", text=f"paid with {CARD}") == {"cards": "arguments.text"}
    assert play.do("send_reply", text=f"paid with {CARD}") == {"cards": "arguments.text"}
    hidden = base64.b64encode(f"the card is {CARD}".encode()).decode()
    assert play.do("send_reply", text=hidden) == {"cards": "arguments.text"}


def test_what_stays_on_this_machine_is_not_sent():
    assert Play("contacts").do("write_note", target="notes/today.txt", text=f"paid with {CARD}") == {}


def test_a_list_of_people_is_told_over_all_fields_of_a_result():
    play = Play("cards")
    play.do("list_customers", [{"mail": f"p{n}@x.example"} for n in range(3)])
    assert play.do("open_ticket") == {"contacts": "run"}
    one = Play("cards")
    one.do("list_customers", [{"mail": "p@x.example"}, {"mail": "P@X.example"}])
    assert one.do("open_ticket") == {}


def test_a_marked_reading_and_a_file_for_credentials_are_found_before_they_are_read():
    play = Play("cards")
    assert play.do("open_record", sensitive=True) == {"marked": "metadata.sensitive"}
    assert play.do("read_file", path="/home/a/.aws/credentials") == {"credentials": "target"}
    assert Play("marked", "credentials").do("read_file", sensitive=True, path="/home/a/.ssh/id_rsa") == {}


def test_what_the_user_brings_himself_is_not_undeclared():
    play = Play("contacts", request=f"Book it with {CARD}.")
    assert play.do("book", {"paid": CARD}, card=CARD) == {}
    assert play.do("book", iban=IBAN) == {"bank_accounts": "arguments.iban"}


def test_an_agents_own_key_in_the_field_that_is_made_for_it_is_no_data():
    play = Play("contacts")
    assert play.do("call", target="https://api.example/v1", api_key=TOKEN) == {}
    assert play.do("call", target="https://api.example/v1", note=TOKEN) == {"credentials": "arguments.note"}


def test_enforce_holds_it_and_says_so_until_somebody_lets_it_through():
    play = Play("contacts", mode=Mode.ENFORCE)
    play.weigh("open_ticket", {"note": f"paid with {CARD}"})
    for _ in range(2):  # blocked, so it is not through with it
        action, found = play.weigh("close_ticket")
        assert found.verdict.blocked
        assert found.verdict.reason == "undeclared: this agent handled data it never declared (cards)."
        assert isinstance(play.observer.assess(action, play.at), Question)


def test_a_tool_and_a_class_of_data_are_named_together():
    play = Play("contacts")
    declaration = Declaration(tools=("search",), data=("contacts",))
    play.observer.rules = RulesMaker().make(Bundle(agent="", version=2, declaration=declaration))
    _, found = play.weigh("send_reply", text=CARD)
    assert found.verdict.reason == (
        "undeclared: this agent used a tool it never declared (send_reply), handled data it never declared (cards)."
    )


def test_learning_widens_the_classes_only_where_some_are_declared():
    action, found = Play("contacts").weigh("send_reply", text=CARD)
    evidence = found.verdict.evidence
    assert extended(Declaration(data=("contacts",)), action, evidence).data == ("contacts", "cards")
    assert extended(Declaration(tools=("send_reply",)), action, evidence).data == ()
    assert extended(Declaration(data=("contacts",)), action).data == ("contacts",)
