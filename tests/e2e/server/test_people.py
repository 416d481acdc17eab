"""Signing in, keys, and what people say of verdicts."""

from __future__ import annotations

import time

import pytest

from kaizen_security.runtime.clock import now
from kaizen_security.server.setup import sign_in_link
from kaizen_security.store.base import Role
from tests.e2e.server.running import Caller, another_organisation, beside, report

WRONG = [
    "",
    "Bearer",
    "Bearer kz_live_" + "x" * 43,
    "Bearer kz_sess_" + "x" * 43,
    "Bearer " + "x" * 5000,
    "Basic YWRtaW46YWRtaW4=",
    "kz_live_" + "x" * 43,
    "Bearer ' OR 1=1 --",
]
PATHS = [
    "/v1/whoami",
    "/v1/policy",
    "/v1/bundle",
    "/v1/verdicts",
    "/v1/keys",
    "/v1/agents/profiles",
    "/v1/metrics/timeseries",
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_key_opens_nothing(server, wrong):
    with Caller(server.url) as nobody:
        for path in PATHS:
            answer = nobody.get(path, headers={"Authorization": wrong} if wrong else {})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert nobody.post("/v1/verdicts", json=report(), headers={"Authorization": wrong}).status_code == 401


def test_a_key_that_is_bound_to_one_agent_sees_no_counts_of_the_others(server, person):
    token = person.post("/v1/keys", json={"name": "one", "scope": "agent", "agent": "one"}).json()["key"]
    with Caller(server.url, token) as caller:
        assert caller.get("/v1/metrics/timeseries").status_code == 403
    assert person.get("/v1/metrics/timeseries").status_code == 200


def test_a_key_is_shown_once_listed_without_itself_and_ends_when_it_is_revoked(server, person):
    made = person.post("/v1/keys", json={"name": "ci", "scope": "observer", "agent": "one"}).json()
    token = made.pop("key")
    with Caller(server.url, token) as caller:
        who = caller.get("/v1/whoami").json()
        assert who.pop("organisation_id") == person.get("/v1/whoami").json()["organisation_id"]
        assert who == {
            "organisation": "default",
            "scope": "observer",
            "agent": "one",
            "user": None,
            "role": None,
        }
        listed = next(key for key in person.get("/v1/keys").json()["keys"] if key["id"] == made["id"])
        assert listed.pop("last_used_at") is not None
        made.pop("last_used_at")
        assert listed == made
        assert token not in person.get("/v1/keys").text
        assert person.delete(f"/v1/keys/{made['id']}").status_code == 200
        assert caller.get("/v1/whoami").status_code == 401
    assert person.delete(f"/v1/keys/{made['id']}").status_code == 404
    for path in server.directory.iterdir():
        assert token.encode() not in path.read_bytes(), "only a hash is kept"


def test_a_key_that_another_process_revokes_ends_within_seconds(server):
    token = server.key()
    with Caller(server.url, token) as caller, beside(server.directory) as store:
        caller.get("/v1/whoami")
        [newest, *_] = [key for key in store.keys(1) if not key.revoked_at and token.startswith(key.prefix)]
        store.revoke_key(1, newest.id, at=now())
        until = time.monotonic() + 10
        while caller.get("/v1/whoami").status_code != 401:
            assert time.monotonic() < until


@pytest.mark.parametrize(
    ("document", "field"),
    [({}, "name"), ({"name": " "}, "name"), ({"name": "x", "scope": "admin"}, "scope"), ({"name": 3}, "name")],
)
def test_a_key_that_cannot_be_made_is_refused_by_field(person, document, field):
    assert person.post("/v1/keys", json=document).json()["error"]["field"] == field


def test_a_session_is_a_person_and_ends_when_they_sign_out(server):
    with server.person() as ann:
        assert ann.get("/v1/whoami").json()["role"] == "admin"
        assert ann.post("/v1/verdicts", json=report()).status_code == 403
        assert ann.delete("/v1/sessions").status_code == 200
        assert ann.get("/v1/whoami").status_code == 401


def test_a_browsers_session_needs_this_sites_origin_to_change_anything(server, person):
    token = person.headers["Authorization"].split()[1]
    host = server.url.removeprefix("http://")
    cookie = {"Cookie": f"kaizen_session={token}"}
    with Caller(server.url) as browser:
        assert browser.get("/v1/org-policy", headers=cookie).status_code == 200
        for origin in (
            None,
            "null",
            "http://attacker.example",
            f"http://{host}.attacker.example",
            f"http://x@{host}",
            f"ftp://{host}",
        ):
            headers = cookie if origin is None else {**cookie, "Origin": origin}
            answer = browser.post("/v1/org-policy", json={"mode": "off"}, headers=headers)
            assert answer.status_code == 403, origin
        for origin in (f"http://{host}", f"https://{host}"):
            answer = browser.post("/v1/org-policy", json={"mode": "off"}, headers={**cookie, "Origin": origin})
            assert answer.status_code == 200


@pytest.mark.parametrize("role", [Role.VIEWER, "none at all"])
def test_who_is_no_administrator_reads_and_changes_nothing(server, person, role):
    with beside(server.directory) as store:
        name = f"viewer-{role}"
        viewer = store.create_user(1, name, role=Role.VIEWER, password="", at=1.0)
        driver = store._transaction._driver
        store._write(lambda _: driver.execute("UPDATE users SET role = ? WHERE id = ?", (str(role), viewer.id)))
        link = sign_in_link(store, user=name)
    with Caller(server.url, link) as wrong:
        assert wrong.get("/v1/whoami").status_code == 401, "a link is no session"
    with beside(server.directory) as store:
        from kaizen_security.server import passwords

        token = passwords.new_token(passwords.SESSION_PREFIX)
        store.create_session(viewer.id, passwords.token_hash(token), at=now(), expires_at=now() + 60)
    with Caller(server.url, token) as caller:
        assert caller.get("/v1/whoami").json()["role"] == "viewer"
        assert caller.get("/v1/org-policy").status_code == 200
        for path in ("/v1/org-policy", "/v1/policies", "/v1/keys", "/v1/agents/a/settings", "/v1/agents/a/manifest"):
            assert caller.post(path, json={}).status_code == 403
        assert caller.delete("/v1/keys/x").status_code == 403


def test_failed_sign_ins_are_slowed_and_say_when_to_come_back(server):
    with Caller(server.url) as nobody:
        answers = [nobody.post("/v1/sessions", json={"user": "eve", "password": "x"}) for _ in range(12)]
        assert [answer.status_code for answer in answers[:8]] == [401] * 8
        assert answers[-1].status_code == 429
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 240
        assert "x" * 20 not in answers[-1].text
        # Another name is not locked out by it.
        good = nobody.post("/v1/sessions", json={"user": "admin", "password": server.password})
        assert good.status_code == 201
        assert nobody.post("/v1/sessions", json={"user": "admin"}).status_code == 401
        assert nobody.post("/v1/sessions", json={"user": "admin", "password": "x" * 2000}).status_code == 413


def flagged(call, agent, tool):
    call.post("/v1/verdicts", json={"agent": agent, **report(tool, "api.example:443")})
    return call.get("/v1/verdicts", params={"agent": agent}).json()["verdicts"][0]


def test_a_false_positive_is_not_flagged_again_for_that_agent_and_nothing_else_is_loosened(call, person):
    for agent in ("suppressed", "other"):
        call.post(f"/v1/agents/{agent}/manifest", json={"tools": ["only"]})
    row = flagged(call, "suppressed", "wire_money")
    assert row["origin"] == "server"
    said = person.post(f"/v1/verdicts/{row['id']}/status", json={"status": "false_positive"}).json()
    assert said["status"] == "false_positive"
    again = call.post("/v1/verdicts", json={"agent": "suppressed", **report("wire_money", "api.example:443")}).json()
    assert again["flagged"] is False
    assert "false positive" in again["notes"][-1]
    assert flagged(call, "suppressed", "wire_money")["claimed"] is True
    assert flagged(call, "suppressed", "delete_all")["origin"] == "server"
    assert flagged(call, "other", "wire_money")["origin"] == "server"
    # Any other status takes it back.
    person.post(f"/v1/verdicts/{row['id']}/status", json={"status": "open"})
    assert flagged(call, "suppressed", "wire_money")["origin"] == "server"


def test_what_a_policy_denies_is_no_false_positive(call, person):
    person.post("/v1/policies", json={"mode": "blocklist", "name": "h", "rules": {"domains": ["attacker.example"]}})
    call.post("/v1/verdicts", json={"agent": "denied", **report("x", "attacker.example:443")})
    [row] = call.get("/v1/verdicts", params={"agent": "denied", "decision": "block"}).json()["verdicts"]
    answer = person.post(f"/v1/verdicts/{row['id']}/status", json={"status": "false_positive"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "status")
    assert person.post(f"/v1/verdicts/{row['id']}/status", json={"status": "resolved"}).json()["status"] == "resolved"
    person.delete("/v1/policies/h")


@pytest.mark.parametrize("document", [{}, {"status": "closed"}, {"status": 7}, {"status": None}])
def test_a_status_that_is_none_is_refused(call, person, document):
    call.post("/v1/verdicts", json={"agent": "status", **report()})
    [row, *_] = call.get("/v1/verdicts", params={"agent": "status"}).json()["verdicts"]
    assert person.post(f"/v1/verdicts/{row['id']}/status", json=document).json()["error"]["field"] == "status"


@pytest.mark.parametrize("missing", ["0" * 16, "x", "..", "%00", "é"])
def test_a_verdict_that_does_not_exist_is_not_found(person, missing):
    assert person.get(f"/v1/verdicts/{missing}").status_code == 404
    assert person.post(f"/v1/verdicts/{missing}/status", json={"status": "open"}).status_code == 404
    assert person.post(f"/v1/verdicts/{missing}/learn").status_code == 404


def test_what_is_learned_is_declared_where_something_is_declared(call, person):
    call.post("/v1/agents/pupil/manifest", json={"tools": ["only"]})
    row = flagged(call, "pupil", "wire_money")
    learned = person.post(f"/v1/verdicts/{row['id']}/learn").json()["agent"]
    # Destinations were not declared, and stay so: learning one must not make all others undeclared.
    assert learned["declaration"] == {"tools": ["only", "wire_money"], "destinations": [], "purpose": "", "data": []}
    assert flagged(call, "pupil", "wire_money")["claimed"] is True


def test_what_a_policy_denies_is_neither_a_false_positive_nor_normal_and_why_is_said(call, person):
    person.post("/v1/org-policy", json={"mode": "blocklist", "tools": ["wire_money"]})
    try:
        row = flagged(call, "denied", "wire_money")
    finally:
        person.post("/v1/org-policy", json={"mode": "off"})
    learned = person.post(f"/v1/verdicts/{row['id']}/learn")
    assert (learned.status_code, learned.json()["error"]["message"]) == (
        422,
        "cannot be learned: a policy denies this; change the policy",
    )
    false = person.post(f"/v1/verdicts/{row['id']}/status", json={"status": "false_positive"})
    assert (false.status_code, "change the policy" in false.json()["error"]["message"]) == (422, True)


def test_people_of_another_organisation_change_nothing(server, call, person):
    other = another_organisation(server.directory, "gamma")
    call.post("/v1/verdicts", json={"agent": "ours", **report()})
    [row] = call.get("/v1/verdicts", params={"agent": "ours"}).json()["verdicts"]
    with beside(server.directory) as store:
        from kaizen_security.server import passwords

        token = passwords.new_token(passwords.SESSION_PREFIX)
        [stranger] = store.users(other)
        store.create_session(stranger.id, passwords.token_hash(token), at=now(), expires_at=now() + 60)
        ours = store.keys(1)[0].id
    with Caller(server.url, token) as caller:
        assert caller.post(f"/v1/verdicts/{row['id']}/status", json={"status": "resolved"}).status_code == 404
        assert caller.post(f"/v1/verdicts/{row['id']}/learn").status_code == 404
        assert caller.delete(f"/v1/keys/{ours}").status_code == 404
        assert caller.get("/v1/keys").json() == {"keys": []}
        caller.post("/v1/org-policy", json={"mode": "blocklist", "tools": ["x"]})
        assert caller.post("/v1/agents/ours/reset").status_code == 404
    assert call.get("/v1/policy").json() == {"policies": []}


def test_an_agent_that_is_reset_forgets(call, person):
    call.post("/v1/verdicts", json={"agent": "forgetful", **report("a")})
    assert call.get("/v1/agents/forgetful/profile").json()["profile"]["seen"] == 1
    assert person.post("/v1/agents/forgetful/reset").json() == {"agent": "forgetful", "reset": True}
    assert call.get("/v1/agents/forgetful/profile").json()["profile"]["seen"] == 0
    assert person.post("/v1/agents/nobody/reset").status_code == 404
    assert call.get("/v1/agents/nobody/profile").status_code == 404


def test_counts_by_day_end_with_today(call):
    call.post("/v1/verdicts", json={"agent": "counted", **report()})
    days = call.get("/v1/metrics/timeseries", params={"days": 7}).json()["days"]
    assert len(days) == 7
    assert days[-1]["actions"] >= 1
    assert days[0]["actions"] == 0
    assert call.get("/v1/metrics/timeseries", params={"days": 0}).json()["error"]["field"] == "days"


def test_two_readers_of_health_need_no_key(server):
    with Caller(server.url) as nobody:
        assert nobody.get("/healthz").json() == {"status": "ok"}
        assert nobody.get("/readyz").json() == {"status": "ready"}
