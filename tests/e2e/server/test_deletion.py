"""``DELETE /v1/agents/{agent}``: a person who administers deletes what is kept of an agent, while the server runs."""

from __future__ import annotations

import time

from kaizen_security.contract.verdict import Decision
from kaizen_security.server import passwords
from kaizen_security.store.base import Role
from tests.e2e.server.running import Caller, another_organisation, beside, report

SAVED = 7.0
"""Seconds after which the server has saved its baselines once more."""


def test_an_agent_is_deleted_by_an_administrator_alone_and_what_it_learned_does_not_come_back(server, person):
    name = "crew/mail bot"
    with server.call(agent=name) as call:
        for tool in ("read_mail", "wire_money"):
            assert call.post("/v1/verdicts", json={**report(tool), "agent": name}).status_code == 201
        person.post(f"/v1/agents/{name}/manifest", json={"tools": ["read_mail"]})
        assert call.delete(f"/v1/agents/{name}").status_code == 403, "a key deletes nothing"
        rows = len(person.get("/v1/verdicts", params={"agent": name}).json()["verdicts"])
        answer = person.delete(f"/v1/agents/{name}").json()
    # Whether a baseline was saved already is a matter of seconds.
    assert answer["deleted"].pop("baseline") in (True, False)
    assert answer == {
        "agent": name,
        "deleted": {"verdicts": rows, "suppressions": 0, "declaration": True},
        "keys_left": 1,
    }
    assert person.get("/v1/verdicts", params={"agent": name}).json() == {"verdicts": []}
    assert person.get(f"/v1/agents/{name}/profile").status_code == 404
    assert person.delete(f"/v1/agents/{name}").status_code == 404
    deadline = time.monotonic() + SAVED
    while time.monotonic() < deadline:
        assert name not in person.get("/v1/agents/profiles").text, "a save brought it back"
        time.sleep(0.2)


def test_a_viewer_and_another_organisation_delete_nothing(server, person):
    with server.call() as call:
        assert call.post("/v1/verdicts", json={**report(), "agent": "kept"}).json()["decision"] == Decision.ALLOW.value
    other = another_organisation(server.directory, "elsewhere")
    record = passwords.hash_password("a-long-password")
    with beside(server.directory) as store:
        store.create_user(store.organisations()[0].id, "vera", role=Role.VIEWER, password=record, at=1.0)
        store.create_user(other, "eve", role=Role.ADMIN, password=record, at=1.0)
    for user, status in (("vera", 403), ("eve", 404)):
        with Caller(server.url) as nobody:
            token = nobody.post("/v1/sessions", json={"user": user, "password": "a-long-password"}).json()["token"]
        with Caller(server.url, token) as caller:
            assert caller.delete("/v1/agents/kept").status_code == status
    assert "kept" in person.get("/v1/agents/profiles").text
