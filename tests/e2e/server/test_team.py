"""Who may sign in: added, changed and removed by administrators of their own organisation, and somebody always is one."""

from __future__ import annotations

import pytest

from kaizen_security.store.base import Role
from tests.e2e.server.running import Caller, another_organisation, beside

PEOPLE = ("/v1/users", "/v1/users/admin", "/v1/users/admin/password")


def signed_in(server, name, password):
    with Caller(server.url) as nobody:
        answer = nobody.post("/v1/sessions", json={"user": name, "password": password})
    return Caller(server.url, answer.json()["token"]) if answer.status_code == 201 else None


def test_somebody_is_added_reads_is_promoted_and_removed(server, person):
    made = person.post("/v1/users", json={"name": "Vera Ö/?"}).json()
    assert (made["name"], made["role"]) == ("Vera Ö/?", "viewer")
    assert made["password"] not in person.get("/v1/users").text
    with signed_in(server, made["name"], made["password"]) as vera:
        assert [one["name"] for one in vera.get("/v1/users").json()["users"]][-1] == "Vera Ö/?"
        assert vera.post("/v1/users", json={"name": "another"}).status_code == 403
        path = "/v1/users/Vera%20%C3%96%2F%3F"
        assert person.post(path, json={"role": "admin"}).json()["role"] == "admin"
        assert vera.post("/v1/org-policy", json={"mode": "off"}).status_code == 200, "at once, without signing in again"
        assert person.post(path, json={"role": "viewer"}).status_code == 200
        assert vera.post("/v1/org-policy", json={"mode": "off"}).status_code == 403
        renewed = person.post(path + "/password").json()
        assert vera.get("/v1/whoami").status_code == 401, "whoever had the old password is signed out"
    assert signed_in(server, made["name"], made["password"]) is None
    with signed_in(server, made["name"], renewed["password"]) as vera:
        assert person.delete(path).json() == {"name": "Vera Ö/?", "removed": True}
        assert vera.get("/v1/whoami").status_code == 401
    assert signed_in(server, made["name"], renewed["password"]) is None
    assert person.delete(path).status_code == 404


def test_somebody_always_is_an_administrator(person):
    for answer in (person.delete("/v1/users/admin"), person.post("/v1/users/admin", json={"role": "viewer"})):
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "last_administrator")
    assert person.post("/v1/users", json={"name": "second", "role": "admin"}).status_code == 201
    assert person.post("/v1/users/admin", json={"role": "viewer"}).status_code == 200
    # Who has just given up being one cannot take it back.
    assert person.post("/v1/users/admin", json={"role": "admin"}).status_code == 403


@pytest.mark.parametrize(
    ("document", "field"),
    [({}, "name"), ({"name": " "}, "name"), ({"name": "x" * 257}, "name"), ({"name": "a\u202eb"}, "name"),
     ({"name": "n", "role": "owner"}, "role"), ({"name": 7}, "name")],
)  # fmt: skip
def test_what_cannot_be_added_is_refused_by_field(server, document, field):
    with beside(server.directory) as store:
        store.set_role(1, "admin", Role.ADMIN)
    with signed_in(server, "admin", server.password) as person:
        answer = person.post("/v1/users", json=document)
        assert answer.status_code in (413, 422)
        assert answer.json()["error"]["field"] == field
        person.post("/v1/users", json={"name": "taken"})
        assert person.post("/v1/users", json={"name": "taken"}).json()["error"]["field"] == "name"


def test_keys_see_nobody_and_another_organisation_s_people_are_nobody(server, call):
    assert call.get("/v1/users").status_code == 403
    for path in PEOPLE:
        assert call.post(path, json={}).status_code == 403
    another_organisation(server.directory, "elsewhere")
    with beside(server.directory) as store:
        store.set_role(1, "admin", Role.ADMIN)
    with signed_in(server, "admin", server.password) as person:
        assert "admin-elsewhere" not in person.get("/v1/users").text
        assert person.post("/v1/users/admin-elsewhere", json={"role": "viewer"}).status_code == 404
        assert person.post("/v1/users/admin-elsewhere/password").status_code == 404
        assert person.delete("/v1/users/admin-elsewhere").status_code == 404
