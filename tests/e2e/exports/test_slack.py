"""Slack as it documents itself: it takes what we send, its own library agrees, and it is told at the pace that it asks for."""

from __future__ import annotations

import json
import ssl

import pytest
import trustme
from hypothesis import given
from slack_sdk.webhook import WebhookClient

from kaizen_security.contract.action import Action
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.exports import destinations
from kaizen_security.exports.base import Notice
from kaizen_security.exports.slack import message
from kaizen_security.exports.vault import Vault
from kaizen_security.runtime.clock import new_id, now
from kaizen_security.runtime.outbox import TRIES, Outbox
from kaizen_security.store.exported import Export, Which
from kaizen_security.store.sqlite import SqliteStore
from tests.e2e.exports.receiving import Receiver, until
from tests.e2e.exports.slack import Incoming, amiss
from tests.properties import strategies as s
from tests.unit.store.rows import UNDECLARED, organisation, row


def notice(action, verdict):
    return Notice(id="n1", at=1_790_000_000.25, agent=action.agent, action=action, verdict=verdict)


@given(s.actions, s.verdicts)
def test_slack_takes_the_message_of_every_verdict(action, verdict):
    sent = message(notice(action, verdict))
    assert amiss(json.loads(json.dumps(sent))) == ""
    assert (sent["unfurl_links"], sent["unfurl_media"]) == (False, False)


def test_slack_takes_the_longest_and_the_emptiest_there_are():
    wild = "<!channel> & \u202e\n" * 4000
    action = Action(kind=wild, tool=wild, target=wild, agent=wild)
    for one in (
        notice(action, Verdict(decision=Decision.BLOCK, reason=wild)),
        notice(Action(agent="a"), Verdict(decision=Decision.ALLOW, reason="")),
    ):
        sent = message(one)
        assert amiss(sent) == ""
        assert not {"<", ">", "\u202e", "\n"} & set(sent["text"])


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ([], "invalid_payload"),
        ({}, "no_text"),
        ({"text": "x" * 4001}, "msg_too_long"),
        ({"text": "x", "blocks": [{"type": "section", "text": {"type": "plain_text", "text": ""}}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "section"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
    ],
)
def test_the_receiver_refuses_what_slack_documents_that_it_refuses(payload, error):
    assert amiss(payload) == error


@pytest.fixture
def slack(tmp_path, monkeypatch):
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with Receiver(context) as receiver:
        receiver.answer = Incoming()
        yield receiver


def test_messages_arrive_in_order_at_the_pace_that_slack_asks_for(slack, tmp_path):
    store = SqliteStore(tmp_path / "data")
    organisation(store)
    vault = Vault(tmp_path / "enc.key")
    url = f"https://localhost:{slack.port}/services/T0/B0/x"
    made = destinations.read_destination({"url": url, "kind": "slack"}, number=new_id())
    sealed = destinations.seal(made, vault, organisation=1)
    export = store.exports.create(
        Export(id=made.id, organisation=1, name="s", kind="slack", which=Which.FLAGS, sealed=sealed, created_at=now())
    )
    outbox = Outbox(store.exports, vault, clock=now, permitted=["localhost"], backoff=0.001)
    outbox.changed()
    try:
        slack.answer.busy = 1
        ids = store.append(1, [row(evidence=(UNDECLARED,), reason=why) for why in ("", "two", "three")]).result().ids
        outbox.wake(1)
        until(lambda: len(slack.taken()) == 3)
        assert slack.deliveries() == list(ids)
        assert [entry[3] for entry in slack.seen] == [429, 200, 200, 200]
        slack.answer.closed = True
        last = store.append(1, [row(evidence=(UNDECLARED,))]).result().ids
        outbox.wake(1)
        [aside] = until(lambda: store.exports.parked(1, export.id, limit=9))
        assert ((aside.verdict_id,), aside.reason) == (last, "the receiver answered 410")
        assert len(slack.seen) == 4 + TRIES
    finally:
        outbox.close()
        store.close()
    # Slack's own client says the same in the same way.
    slack.answer.closed = False
    context = ssl.create_default_context()
    ours = slack.documents()[0]
    theirs = WebhookClient(url, ssl=context).send_dict(ours)
    assert (theirs.status_code, slack.documents()[-1], slack.answer.errors) == (200, ours, [])
