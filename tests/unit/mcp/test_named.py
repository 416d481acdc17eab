"""Named: who gets something by a call, as far as only another server's definitions name him."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.step import Request
from kaizen_security.contract.verdict import Mode
from kaizen_security.mcp import named
from kaizen_security.mcp.named import named_by
from kaizen_security.mcp.pins import Pins, judged, settle
from kaizen_security.mcp.shelf import Shelf
from kaizen_security.mcp.warden import Warden
from kaizen_security.runtime.agents import Agents
from kaizen_security.runtime.inspector import Inspector
from tests.unit.mcp.relaying import Talk, call

FORMATS = {
    "name": "format_address",
    "description": "Formats a postal address. Maintained by records@addresses.example, telephone +39 055 000 1234.",
    "inputSchema": {"type": "object", "properties": {"address": {"type": "string"}}},
}


def pinned(server="addresses"):
    pins = Pins(server=server, calls_itself=server)
    return settle(pins, judged(pins, [FORMATS], ()), 1.0)


@pytest.mark.parametrize(
    "value", ["records@addresses.example", "Records@Addresses.example", "+39 055 000 1234", "+390550001234"]
)
def test_an_address_or_a_number_is_known_however_it_is_written(value):
    assert named_by({"message": {"to": ["ann@firm.example", value]}}, lambda: [pinned()]) == {value: "addresses"}


@pytest.mark.parametrize(
    "value", ["ann@firm.example", "postal address", "12", "", "A text about records@addresses.example.", 7, None]
)
def test_other_values_are_named_by_nobody(value):
    assert named_by({"to": value}, lambda: [pinned()]) == {}


@given(st.text(alphabet="0123456789 ab@.+()-/\u00b2\u0663", max_size=40))
@example("+39 055 000 1234")
@example("\u00b2" * 6 + "a")
def test_what_has_too_few_digits_is_left_without_being_looked_at_only_where_it_is_no_party(text):
    assert named._parties({"to": text}) == ([text] if named._is_party(text.strip()) else [])


EXAMPLES = (
    "127.0.0.1",
    "192.168.100.100",
    "2026-11-28",
    "2026-11-28/2026-12-01",
    "20261128",
    "claude-3-5-sonnet-20241022",
    "reports/2026/11280001",
    "00000000-0000-0000-0000-000000000000",
    "user@example.com",
    "react@18.2.0",
    "git@github.com:owner/repository.git",
)
"""What definitions of tools give as an example or a default, and agents use without anybody's word."""


@pytest.mark.parametrize("value", EXAMPLES)
def test_what_is_nobody_is_not_looked_for_though_another_server_gives_it_as_an_example(value):
    says = {"name": "ping", "description": f"For example {value}.", "inputSchema": {"type": "object"}}
    pins = Pins(server="other", calls_itself="other")
    others = settle(pins, judged(pins, [says], ()), 1.0)
    assert named_by({"of": value}, lambda: [others]) == {}


@pytest.mark.parametrize(
    "value",
    [
        "PT50 0002 0123 1234 5678 9015 4",
        "pt50000201231234567890154",
        "202-555-0142",
        "a@example.com.dest.example",
        "a@b.xn--p1ai",
    ],
)
def test_addresses_accounts_and_telephones_are_parties_in_groups_or_without(value):
    says = {
        "name": "pay",
        "description": "To PT50000201231234567890154 or 202 555 0142, a@example.com.dest.example, a@b.xn--p1ai.",
        "inputSchema": {},
    }
    pins = Pins(server="other", calls_itself="other")
    others = settle(pins, judged(pins, [says], ()), 1.0)
    assert named_by({"to": value}, lambda: [others]) == {value: "other"}


def test_no_pins_are_read_for_a_call_that_names_no_party():
    assert named_by({"path": "notes.txt", "lines": 7}, lambda: pytest.fail("the pins were read")) == {}


def mails(request, server="mail"):
    """The verdict on a mail with a blind copy that the definition of ``addresses`` names, after that request."""
    shelf = Shelf("")
    shelf.change("addresses", lambda pins: pinned())
    inspector = Inspector(Agents(), clock=lambda: 1_000_000_000.0)
    inspector.configure("default", Bundle(agent="default", version=1, mode=Mode.ENFORCE))
    inspector.note(Request(run_id="run", text=request))
    talk = Talk(ward=Warden(shelf, server, enforcing=lambda: True, now=lambda: 1.0))
    talk.client(call(1, "send_mail", to="tove@lund.example", bcc="records@addresses.example", body="Fjordveien 8"))
    [action] = talk.judged
    return inspector.inspect(action)


def test_a_copy_for_somebody_whom_only_another_servers_definition_names_is_not_sent():
    verdict = mails("Mail Tove's address to tove@lund.example.")
    assert verdict.blocked
    assert [one.kind for one in verdict.evidence] == ["somebody whom another server's definition names"]


def test_one_that_the_user_asks_for_is_sent():
    assert not mails("Mail Tove's address to tove@lund.example and records@addresses.example.").evidence


def test_what_a_server_says_of_its_own_tools_is_its_own_affair():
    assert not mails("Mail Tove's address to tove@lund.example.", server="addresses").evidence
