"""The list's lines and the drawer, as values and as markup."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.server.acts import act
from kaizen_security.server.console.evidence import MAX_FACTS, drawer
from kaizen_security.server.console.lines import line
from kaizen_security.server.console.live import event
from kaizen_security.server.console.render import fragment
from kaizen_security.server.console.words import Shown, ago, moment
from kaizen_security.store.base import Origin, Status
from tests.unit.console.rows import NOW, PAYLOADS, UNDECLARED, hostile, row

TAGS = frozenset(
    "div span p a b i br bdi time svg path circle rect h2 h3 header section article dl dt dd ol li form input button tr td".split()
)


class Markup(HTMLParser):
    """What a browser would build of a fragment: its tags and attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.values = set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.values += [(name, value) for name, value in attrs]


def evidence(given, beside):
    return drawer(given, beside, act([given]), NOW)


def shown_drawer(given, beside=()):
    return fragment("drawer.html", drawer=evidence(given, beside), query="", problem="", may_change=True)


def shown_row(given):
    return fragment("row.html", line=line(given, NOW), query="", opened="")


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("shown", [shown_row, shown_drawer])
def test_no_field_that_an_agent_writes_becomes_markup(payload, shown):
    built = Markup(shown(hostile(payload)))
    assert built.tags <= TAGS
    assert not {name for name in built.attributes if name.startswith(("on", "style", "srcdoc", "formaction"))}
    links = [value for name, value in built.values if name in ("href", "action")]
    assert all(value.startswith(("/", "https://atlas.mitre.org/", "https://genai.owasp.org/")) for value in links)
    # The tags of our own templates, and how many there are, do not depend on what an agent wrote.
    assert built.tags == Markup(shown(hostile("plain"))).tags | (
        {"span"} if "odd" in shown(hostile(payload)) else set()
    )


def test_a_line_says_decision_deed_and_rung_in_words():
    said = line(row(), NOW)
    assert (said.shown, said.deed, said.target) == (Shown.FLAG, "connect", "attacker.example:443")
    assert (said.rung, said.rung_label) == (3, "ground truth (egress)")
    assert said.said == "Flagged: support-agent, connect attacker.example:443"


def test_a_block_and_an_unflagged_action_are_shown_as_what_they_are():
    block = Verdict(decision=Decision.BLOCK, reason="blocked by policy: malicious domain", evidence=(UNDECLARED,))
    assert line(row(verdict=block), NOW).shown is Shown.BLOCK
    assert line(row(verdict=Verdict(decision=Decision.ALLOW, reason="ok")), NOW).shown is Shown.ALLOW


def test_the_drawer_holds_every_field_of_a_finding_and_the_ids_of_its_attack_class():
    markup = shown_drawer(row())
    for said in (
        UNDECLARED.kind,
        UNDECLARED.field,
        UNDECLARED.expected,
        UNDECLARED.observed,
        UNDECLARED.value,
        UNDECLARED.source,
        "Exfiltration to an allowed host",
        "OWASP ASI02",
        "ATLAS AML.T0086",
        "9f2c4a1b",
        "run-1",
        "action-1",
        "Seen on the network",
    ):
        assert said in markup
    assert "Declare the destination if it belongs to the agent&#39;s work." in markup


def test_a_claim_and_what_the_server_found_are_told_apart():
    claim, found = row("1", origin=Origin.CLAIM), row("2", origin=Origin.SERVER)
    assert ("Claimed or evaluated", "claimed") in evidence(claim, ()).known
    assert ("Claimed or evaluated", "evaluated") in evidence(found, ()).known
    assert evidence(claim, ()).decided_by != evidence(found, ()).decided_by


def test_the_timeline_is_in_the_order_of_time_and_holds_the_verdict_itself_once():
    first, second, third = row("1", at=NOW - 30), row("2", at=NOW - 20), row("3", at=NOW - 10)
    shown = evidence(second, (third, second, first))
    assert [other.id for other in shown.timeline] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.OPEN, ["Acknowledge", "Resolve", "False positive", "Learn"]),
        (Status.ACKNOWLEDGED, ["Resolve", "False positive", "Learn", "Reopen"]),
        (Status.RESOLVED, ["Reopen"]),
        (Status.FALSE_POSITIVE, ["Reopen"]),
    ],
)
def test_what_a_person_may_do_follows_the_status(status, words):
    assert [step.word for step in evidence(row(status=status), ()).steps] == words


def test_nothing_is_learned_from_or_called_false_where_nothing_was_found():
    unflagged = row(verdict=Verdict(decision=Decision.ALLOW, reason="ok"))
    assert [step.word for step in evidence(unflagged, ()).steps] == ["Acknowledge", "Resolve"]


def test_what_a_policy_denies_is_not_released_from_a_verdict():
    denied = replace(UNDECLARED, source="policy:known exfiltration hosts")
    block = row(
        verdict=Verdict(decision=Decision.BLOCK, reason="blocked by policy: malicious domain", evidence=(denied,))
    )
    assert [step.word for step in evidence(block, ()).steps] == ["Acknowledge", "Resolve"]


def test_somebody_who_may_only_read_gets_no_buttons():
    markup = fragment("drawer.html", drawer=evidence(row(), ()), query="", problem="", may_change=False)
    assert "<button" not in markup


def test_an_action_of_a_thousand_facts_is_shown_in_part_and_says_so():
    wide = Action(kind="tool_call", tool="t", metadata={f"key-{i}": i for i in range(1000)})
    facts = evidence(row(action=wide), ()).action
    assert len(facts) == MAX_FACTS + 1
    assert "more" in facts[-1][1]


def test_what_is_left_of_an_argument_is_one_line():
    facts = [{"field": "arguments.to", "type": "text", "length": 23, "hmac": "9f2c4a1be07d3c55"}, "odd", {"field": 3}]
    shown = evidence(row(action=Action(tool="t", metadata={"source": "sdk", "facts": facts})), ()).action
    assert shown[-4:] == (
        ("source", "sdk"),
        ("arguments.to", "text, length 23, hmac 9f2c4a1be07d3c55"),
        ("facts[1]", "odd"),
        ("facts[2].field", "3"),
    )


def test_a_row_longer_than_the_screen_is_cut_and_whole_in_the_drawer():
    long = "https://" + "a" * 3000 + ".attacker.example/"
    given = row(action=Action(kind="connect", target=long))
    assert long not in shown_row(given)
    assert len(shown_row(given)) < 6000
    assert long in shown_drawer(given)


def test_a_moment_names_its_day_only_when_it_is_another():
    assert (moment(NOW, NOW).day, moment(NOW, NOW).clock) == ("", "05:30:00")
    assert moment(NOW - 86_400, NOW).day == "20 Nov"
    assert moment(NOW - 400 * 86_400, NOW).day == "17 Oct 2025"


def test_ago_is_said_in_words():
    assert [ago(NOW - back, NOW) for back in (0, 61, 7_300, 200_000)] == [
        "just now",
        "1 minute ago",
        "2 hours ago",
        "2 days ago",
    ]
    assert ago(0.0, NOW) == "never"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_row_can_forge_an_event_of_the_stream(payload):
    text = event("verdict", shown_row(hostile(payload)), id_="18")
    assert text.startswith("id: 18\nevent: verdict\n")
    assert text.count("\n\n") == 1
    assert all(piece.startswith("data: ") for piece in text.removesuffix("\n\n").split("\n")[2:])
