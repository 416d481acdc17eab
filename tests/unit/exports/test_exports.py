"""Exporters: the documented shapes, and nothing that an agent controls becomes markup."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from hypothesis import given

from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.exports.base import Destination, Notice
from kaizen_security.exports.otlp import Otlp
from kaizen_security.exports.slack import Slack, is_slack
from kaizen_security.exports.webhook import Webhook
from tests.properties import strategies as s

FINDING = Finding(
    kind="malicious domain", value="attacker.example", source="policy:org", detection="policy", attack="blocked-host"
)
ACTION = Action(
    kind="connect",
    tool="fetch",
    target="attacker.example:443",
    agent="bot",
    metadata={"source": "egress"},
    run_id="r1",
    act_id="call-7",
)
BLOCKED = Verdict(decision=Decision.BLOCK, reason="blocked by policy: malicious domain", evidence=(FINDING,))
FLAGGED = Verdict(decision=Decision.ALLOW, reason="undeclared: this agent …", evidence=(FINDING,))


def notice(verdict=BLOCKED, action=ACTION, id_="n1"):
    return Notice(id=id_, at=1_790_000_000.25, agent=action.agent, action=action, verdict=verdict)


def destination(url="https://siem.example/hook", **more):
    return Destination(id="d1", kind="webhook", url=url, **more)


def test_a_webhook_has_the_documented_shape_and_signature():
    (sent,) = Webhook().exchanges([notice()], destination(secret="s3cret", headers={"X-Team": "blue"}))
    document = json.loads(sent.body)
    assert document["event"] == "verdict.block"
    assert document["data"]["agent"] == "bot"
    assert document["data"]["reason"] == "blocked by policy: malicious domain"
    assert document["data"]["action"]["target"] == "attacker.example:443"
    assert document["data"]["action"]["act_id"] == "call-7"
    expected = hmac.new(b"s3cret", sent.body, hashlib.sha256).hexdigest()
    assert sent.headers["X-Kaizen-Signature"] == f"sha256={expected}"
    assert sent.headers["X-Team"] == "blue"
    assert b"s3cret" not in sent.body


def test_a_flag_is_an_anomaly():
    (sent,) = Webhook().exchanges([notice(FLAGGED)], destination())
    assert json.loads(sent.body)["event"] == "anomaly"
    assert "X-Kaizen-Signature" not in sent.headers


def test_a_custom_header_cannot_replace_the_signature():
    (sent,) = Webhook().exchanges([notice()], destination(secret="s", headers={"X-Kaizen-Signature": "sha256=0"}))
    assert sent.headers["X-Kaizen-Signature"] != "sha256=0"


@pytest.mark.parametrize(
    ("url", "yes"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", True),
        ("https://hooks.slack.com.attacker.example/services/T0/B0/x", False),
        ("https://attacker.example/?https://hooks.slack.com/services/", False),
    ],
)
def test_slack_is_recognised_by_its_host(url, yes):
    assert is_slack(url) is yes


def test_slack_text_makes_neither_links_nor_mentions():
    action = Action(agent="<!channel> & <https://evil.example|click>", tool="t\u202e")
    (sent,) = Slack().exchanges([notice(action=action)], destination("https://hooks.slack.com/services/T/B/x"))
    document = json.loads(sent.body)
    assert "<" not in document["text"]
    assert "&lt;!channel&gt; &amp;" in document["text"]
    texts = [block["text"] for block in document["blocks"] if "text" in block] + document["blocks"][2]["fields"]
    assert {text["type"] for text in texts} == {"plain_text"}
    assert "\u202e" not in sent.body.decode().encode().decode("unicode_escape")


def test_slack_is_not_told_over_plain_http():
    with pytest.raises(Misconfigured, match="https"):
        Slack().exchanges([notice()], destination("http://hooks.slack.com/services/T/B/x"))


def test_otlp_has_the_documented_span_and_its_log_record():
    spans, logs = Otlp().exchanges(
        [notice(), notice(FLAGGED, id_="n2")], destination("https://collector.example:4318/")
    )
    assert (spans.url, logs.url) == (
        "https://collector.example:4318/v1/traces",
        "https://collector.example:4318/v1/logs",
    )
    first, second = json.loads(spans.body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert first["name"] == "kaizen.inspect"
    said = {pair["key"]: pair["value"] for pair in first["attributes"]}
    assert said["kaizen.decision"] == {"stringValue": "block"}
    assert said["kaizen.target"] == {"stringValue": "attacker.example:443"}
    assert said["kaizen.rung"] == {"intValue": "3"}
    assert said["kaizen.act_id"] == {"stringValue": "call-7"}
    assert said["server.address"] == {"stringValue": "attacker.example"}
    assert said["server.port"] == {"intValue": "443"}
    hooked = json.loads(Webhook().exchanges([notice()], destination())[0].body)["data"]
    assert said["kaizen.severity"] == {"stringValue": hooked["severity"]}
    assert [one["stringValue"] for one in said["kaizen.detections"]["arrayValue"]["values"]] == sorted(
        {one["detection"] for one in hooked["evidence"]}
    )
    assert first["startTimeUnixNano"] == "1790000000250000000"
    assert first["traceId"] == second["traceId"]
    assert first["spanId"] != second["spanId"]
    record = json.loads(logs.body)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    assert (record["severityText"], record["spanId"]) == ("ERROR", first["spanId"])


def test_a_repeated_delivery_is_the_same_span():
    assert Otlp().exchanges([notice()], destination()) == Otlp().exchanges([notice()], destination())


@given(s.actions, s.verdicts)
def test_every_verdict_can_be_told_everywhere(action, verdict):
    told = notice(verdict, action)
    for exporter, url in (
        (Webhook(), "https://a.example/"),
        (Slack(), "https://hooks.slack.com/services/x"),
        (Otlp(), "https://a.example"),
    ):
        for exchange in exporter.exchanges([told], destination(url)):
            json.loads(exchange.body)
