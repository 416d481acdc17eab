"""The exports' page over HTTP, with a real receiver on loopback."""

from __future__ import annotations

import html
import json
import re
import threading
import time

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.exports.vault import Vault
from kaizen_security.server.settings import Settings
from tests.unit.console.receiver import Receiver
from tests.unit.console.rows import PAYLOADS, UNDECLARED
from tests.unit.console.site import running

BLOCKED = Verdict(decision=Decision.BLOCK, reason="blocked by policy: malicious domain", evidence=(UNDECLARED,))
SECRET = "s3cret-of-the-receiver"


@pytest.fixture
def receiver():
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("exports")
    settings = Settings(vault=Vault(directory / "enc.key"), permitted=("127.0.0.1",))
    with running(directory, settings) as started:
        yield started


@pytest.fixture
def admin(site):
    with site.client() as client:
        client.headers["Accept"] = "text/html"
        yield client
        for one in site.store.exports.of(site.organisation):
            client.post("/exports/remove", data={"id": one.id})


def made(site, admin, receiver, **more):
    form = {"url": receiver.url, "kind": "webhook", "verdicts": "flags", "secret": SECRET, "headers": "X-Team: secops"}
    answer = admin.post("/exports", data=form | more)
    assert answer.headers.get("location") == "/exports?done=made", html.unescape(answer.text)
    return site.store.exports.of(site.organisation)[-1]


def until(condition):
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_destination_is_made_tested_and_told_without_showing_its_secrets(site, admin, receiver):
    export = made(site, admin, receiver, name="the siem")
    answer = admin.post("/exports/test", data={"id": export.id})
    assert "The receiver took the test (200)." in answer.text
    headers, body = receiver.got[0]
    assert headers["X-Team"] == "secops"
    assert json.loads(body)["event"]
    action = Action(kind="connect", target="attacker.example:443", agent="sender", metadata={"source": "egress"})
    site.report(action, BLOCKED)
    until(lambda: len(receiver.got) == 2)
    until(lambda: "Working" in admin.get("/exports").text)
    page = admin.get("/exports").text
    assert "the siem" in page
    for said in (SECRET, "path-that-is-secret", "secops"):
        assert said not in page
        assert said not in admin.get("/exports?format=json").text


def test_a_test_that_fails_says_why(site, admin, receiver):
    export = made(site, admin, receiver)
    receiver.status = 403
    page = html.unescape(admin.post("/exports/test", data={"id": export.id}).text)
    assert "The test did not arrive:" in page
    assert "403" in page
    twin = admin.post("/exports/test?format=json", data={"id": export.id}).json()
    assert twin["test"]["delivered"] is False


def test_a_destination_is_turned_off_and_on_and_removed(site, admin, receiver):
    export = made(site, admin, receiver)
    for enabled in (False, True):
        assert admin.post("/exports/switch", data={"id": export.id}).headers["location"] == "/exports?done=changed"
        assert site.store.exports.one(site.organisation, export.id).enabled is enabled
    assert admin.post("/exports/retry", data={"id": export.id}).headers["location"] == "/exports?done=retried"
    assert admin.post("/exports/remove", data={"id": export.id}).headers["location"] == "/exports?done=removed"
    for path in ("remove", "test", "switch", "retry"):
        assert admin.post(f"/exports/{path}", data={"id": export.id}).status_code == 404


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"url": "ftp://a.example/"}, "url: cannot be used"),
        ({"url": "http://169.254.169.254/latest"}, "url: cannot be used"),
        ({"kind": "fax"}, "kind: must be one of"),
        ({"verdicts": "some"}, "verdicts: must be one of"),
        ({"headers": f"{SECRET}-without-a-name"}, "headers, line 1: must be NAME: VALUE"),
        ({"headers": "X-A: 1\nX-A: 2"}, "headers, line 2: names a header"),
        ({"headers": "Content-Length: 1"}, "is set by Kaizen itself"),
    ],
)
def test_a_destination_that_cannot_be_used_is_refused_and_its_secrets_are_not_sent_back(site, admin, more, said):
    form = {"name": "typed before", "url": "https://siem.example/", "kind": "webhook", "secret": SECRET, **more}
    answer = admin.post("/exports", data=form)
    assert answer.status_code == 422
    assert said in html.unescape(answer.text)
    assert "typed before" in answer.text
    assert SECRET not in answer.text
    assert site.store.exports.of(site.organisation) == ()


def test_a_viewer_sees_destinations_and_changes_nothing(site, admin, receiver):
    export = made(site, admin, receiver)
    with site.client(user=site.reader) as viewer:
        viewer.headers["Accept"] = "text/html"
        page = viewer.get("/exports").text
        assert re.findall(r"<button[^>]*>([^<]*)", page.partition("<main")[2]) == []
        for path in ("", "/test", "/switch", "/retry", "/remove"):
            assert viewer.post(f"/exports{path}", data={"id": export.id, "url": receiver.url}).status_code == 403
    assert [one.id for one in site.store.exports.of(site.organisation)] == [export.id]
    assert receiver.got == []


@pytest.mark.parametrize("payload", [one for one in PAYLOADS if one.isprintable()])
def test_a_destinations_name_is_only_ever_text(site, admin, receiver, payload):
    made(site, admin, receiver, name=payload)
    page = admin.get("/exports").text
    assert not set(re.findall(r"<([a-z][a-z0-9]*)", page)) & {"img", "iframe", "style", "template"}
    assert page.count("<script") == 1


def test_a_server_without_a_key_for_secrets_says_so(tmp_path):
    with running(tmp_path) as bare, bare.client() as client:
        page = client.get("/exports", headers={"Accept": "text/html"}).text
        assert "without a key for secrets" in page
        assert client.post("/exports", data={"url": "https://siem.example/"}).status_code == 422
