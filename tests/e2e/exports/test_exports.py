"""Verdicts reach real receivers: signed, in order, at least once, across outages and a killed server."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl

import trustme

from tests.e2e.exports.receiving import Receiver, until
from tests.e2e.server.running import Running, report

SECRET = "canary-7c1f-signing-secret"
TOKEN = "canary-93ab-collector-token"


def blocked(number, agent="billing"):
    entry = report(
        "wire_money", "attacker.example:443", "block", "blocked by policy: malicious domain", id=f"a{number}"
    )
    entry["verdict"]["evidence"] = [
        {"kind": "malicious domain", "value": "attacker.example", "source": "policy:hosts", "detection": "policy"}
    ]
    return {"agent": agent, **entry}


def send(observer, numbers):
    """Report blocked actions; the ids of their rows in order."""
    answer = observer.post("/v1/verdicts:batch", json={"reports": [blocked(n) for n in numbers]})
    assert answer.status_code == 200, answer.text
    return answer.json()["ids"]


def test_a_webhook_is_signed_and_gets_only_what_it_asked_for_and_its_secret_is_nowhere(tmp_path):
    with Receiver() as receiver:
        running = Running(tmp_path, "--permit-export", f"127.0.0.1:{receiver.port}")
        with running.person() as person, running.call("observer") as observer:
            send(observer, [0])
            made = person.post(
                "/v1/exports",
                json={
                    "url": f"http://127.0.0.1:{receiver.port}/hook/{SECRET}",
                    "secret": SECRET,
                    "headers": {"X-Token": TOKEN},
                    "verdicts": "blocks",
                },
            )
            assert made.status_code == 201, made.text
            assert made.json()["place"] == f"http://127.0.0.1:{receiver.port}/…"
            observer.post("/v1/verdicts", json={"agent": "billing", **report(id="fine")})
            ids = send(observer, [1, 2])
            until(lambda: len(receiver.taken()) >= 2)
            assert receiver.deliveries() == ids, "what was there before it was made is not sent"
            for path, headers, body, _ in receiver.taken():
                assert path == f"/hook/{SECRET}"
                assert headers["X-Token"] == TOKEN
                expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
                assert headers["X-Kaizen-Signature"] == f"sha256={expected}"
                document = json.loads(body)
                assert document["event"] == "verdict.block"
                assert document["data"]["action"]["target"] == "attacker.example:443"
            shown = until(lambda: [one for one in person.get("/v1/exports").json()["exports"] if one["delivered"] == 2])
            assert shown[0]["pending"] == 0
            export = shown[0]["id"]
            tested = person.post(f"/v1/exports/{export}/test").json()
            assert tested == {"delivered": True, "status": 200, "message": "the receiver answered 200"}
            assert receiver.documents()[-1]["event"] == "test"
            said = [person.get("/v1/exports").text, person.get(f"/v1/exports/{export}").text, made.text]
            assert person.delete(f"/v1/exports/{export}").status_code == 200
            assert person.get(f"/v1/exports/{export}").status_code == 404
        status, rest = running.stop()
        assert status == 0
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        for secret in (SECRET, TOKEN):
            assert secret not in "".join([*said, rest, *running.said])
            assert secret.encode() not in kept
        assert (tmp_path / "enc.key").stat().st_mode & 0o777 == 0o600


def test_slack_and_otlp_get_their_shapes(tmp_path):
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Receiver(context) as slack, Receiver() as collector:
        running = Running(
            tmp_path / "data",
            "--permit-export", f"localhost:{slack.port}", "--permit-export", "127.0.0.1",
            env={"SSL_CERT_FILE": str(tmp_path / "ca.pem")},
        )  # fmt: skip
        with running.person() as person, running.call("observer") as observer:
            for document in (
                {"kind": "slack", "url": f"https://localhost:{slack.port}/services/T/B/x"},
                {
                    "kind": "otlp",
                    "url": f"http://127.0.0.1:{collector.port}",
                    "secret": "Bearer abc",
                    "service": "mine",
                },
            ):
                assert person.post("/v1/exports", json=document).status_code == 201
            ids = send(observer, range(3))
            until(lambda: len(slack.taken()) >= 3)
            until(lambda: len(collector.taken()) >= 2)
        assert slack.deliveries() == ids
        for document in slack.documents():
            assert document["text"].startswith("Blocked by Kaizen: billing")
            assert document["blocks"][0]["type"] == "header"
        spans = [
            span
            for (path, _, _, _), document in zip(collector.taken(), collector.documents(), strict=True)
            if path == "/v1/traces"
            for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]
        ]
        assert [span["name"] for span in spans] == ["kaizen.inspect"] * 3
        paths = [path for path, _, _, _ in collector.taken()]
        assert set(paths) == {"/v1/traces", "/v1/logs"}
        assert all(headers["Authorization"] == "Bearer abc" for _, headers, _, _ in collector.taken())
        assert running.stop()[0] == 0


def test_nothing_is_lost_when_the_receiver_is_down_and_the_server_is_killed(tmp_path):
    with Receiver() as receiver:
        running = Running(tmp_path, "--permit-export", "127.0.0.1")
        token = running.key("observer")
        with running.person() as person, running.call("observer") as observer:
            assert person.post("/v1/exports", json={"url": f"http://127.0.0.1:{receiver.port}/"}).status_code == 201
            ids = send(observer, range(5))
            until(lambda: len(receiver.taken()) >= 5)
            receiver.down()
            ids += send(observer, range(5, 40))
            behind = until(lambda: [e for e in person.get("/v1/exports").json()["exports"] if e["attempts"]])[0]
            assert behind["pending"] == 35
            assert "cannot connect" in behind["problem"]
            receiver.up()
            until(lambda: len(receiver.taken()) >= 10)
            running.kill()
        assert token
        running = Running(tmp_path, "--permit-export", "127.0.0.1")
        with running.call("observer") as observer:
            ids += send(observer, range(40, 60))
            until(lambda: len(set(receiver.deliveries())) >= 60)
        got = receiver.deliveries()
        assert list(dict.fromkeys(got)) == ids, "all of them, in order"
        assert len(got) <= len(ids) + 1, "told twice is at most what was on its way when the server was killed"
        assert running.stop()[0] == 0


def test_an_inward_destination_is_refused_and_only_administrators_may_ask(tmp_path):
    running = Running(tmp_path)
    with running.person() as person, running.call() as agent:
        for url in (
            "http://127.0.0.1:9/",
            "http://169.254.169.254/latest",
            "http://[::ffff:10.0.0.1]/",
            "file:///etc/passwd",
        ):
            answer = person.post("/v1/exports", json={"url": url})
            assert answer.status_code == 422, url
            assert answer.json()["error"]["field"] == "url"
        assert agent.get("/v1/exports").status_code == 403
        assert agent.post("/v1/exports", json={"url": "https://siem.example/"}).status_code == 403
        for wrong in (
            {"headers": {"Host": "x"}},
            {"headers": {"X-A": "b\r\nX-C: d"}},
            {"headers": {"X-Kaizen-Signature": "sha256=0"}},
            {"headers": {"X-A": "1", "x-a": "2"}},
            {"verdicts": "none"},
            {"kind": "carrier-pigeon"},
            {"kind": "slack", "url": "http://siem.example/"},
            {"secret": "with\nnewline"},
        ):
            answer = person.post("/v1/exports", json={"url": "https://siem.example/", **wrong})
            assert answer.status_code == 422, wrong
    assert running.stop()[0] == 0
