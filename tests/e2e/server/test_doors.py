"""Who may do what, for every operation of the description and every kind of caller; and that nobody sees another organisation's."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from kaizen_security.runtime.clock import now
from kaizen_security.server import passwords
from kaizen_security.store.base import Role
from tests.e2e.server.running import SPEC, Caller, another_organisation, beside, report

KEYS = {"agent", "sdk", "collector", "observer"}
ALL = {*KEYS, "bound", "viewer", "admin"}
PEOPLE = {"viewer", "admin"}
MAY = {
    "health": {"nobody", *ALL},
    "ready": {"nobody", *ALL},
    "openapi": {"nobody", *ALL},
    "metrics": {"nobody", *ALL},  # from loopback
    "whoami": ALL,
    "signOut": ALL - {"viewer", "admin"},  # people's sessions are needed for what comes next
    "report": {*KEYS, "bound"},
    "reportBatch": {*KEYS, "bound"},
    "verdicts": ALL,
    "verdict": ALL,
    "acts": ALL,
    "setStatus": {"admin"},
    "learn": {"admin"},
    "policy": ALL,
    "bundle": {*KEYS, "bound"},
    "declare": {"agent", "sdk", "observer", "bound", "admin"},
    "profiles": ALL,
    "profile": ALL,
    "reportProfile": {"observer"},
    "coverage": ALL,
    "reportCoverage": {"observer"},
    "attachPoints": ALL,
    "reportAttachPoints": {"observer"},
    "settings": {"admin"},
    "reset": {"admin"},
    "deleteAgent": {"admin"},
    "holds": ALL,
    "hold": ALL,
    "answerHold": {"admin"},
    "relayHolds": {"observer"},
    "holdAnswers": {"observer"},
    "orgPolicy": PEOPLE,
    "setOrgPolicy": {"admin"},
    "policies": PEOPLE,
    "putPolicy": {"admin"},
    "deletePolicy": {"admin"},
    "keys": PEOPLE,
    "createKey": {"admin"},
    "revokeKey": {"admin"},
    "exports": PEOPLE,
    "export": PEOPLE,
    "createExport": {"admin"},
    "changeExport": {"admin"},
    "deleteExport": {"admin"},
    "testExport": {"admin"},
    "retryExport": {"admin"},
    "listUsers": PEOPLE,
    "addUser": {"admin"},
    "changeRole": {"admin"},
    "renewPassword": {"admin"},
    "removeUser": {"admin"},
    "score": ALL,
    "llmConfig": PEOPLE,
    "setLlmConfig": {"admin"},
    "testLlmConfig": {"admin"},
    "judgeUsage": ALL - {"bound"},
    "timeseries": ALL - {"bound"},
}
OPERATIONS = {
    one["operationId"]: (method.upper(), path)
    for path, item in SPEC["paths"].items()
    for method, one in item.items()
    if isinstance(one, dict) and "operationId" in one
}


def session(directory, name, organisation=1, role=Role.ADMIN):
    """A token of somebody of that name, who is made if need be."""
    with beside(directory) as store:
        user = store.user(name) or store.create_user(organisation, name, role=role, password="", at=now())
        token = passwords.new_token(passwords.SESSION_PREFIX)
        store.create_session(user.id, passwords.token_hash(token), at=now(), expires_at=now() + 600)
    return token


@pytest.fixture(scope="module")
def tokens(server):
    found = {scope: server.key(scope) for scope in KEYS}
    people = {"viewer": ("vera", Role.VIEWER), "admin": ("ada", Role.ADMIN)}
    found |= {kind: session(server.directory, name, role=role) for kind, (name, role) in people.items()}
    return {**found, "bound": server.key("agent", agent="its own"), "nobody": ""}


def test_every_operation_is_in_the_table():
    assert set(OPERATIONS) - {"signIn"} == set(MAY)


@pytest.mark.parametrize("name", sorted(MAY))
def test_who_may(server, tokens, name):
    method, path = OPERATIONS[name]
    path = re.sub(r"\{agent\}", "its%20own", path)
    path = re.sub(r"\{\w+\}", "nothing-of-that-name", path)
    let_in = set()
    for kind, token in tokens.items():
        if name == "signOut" and kind in PEOPLE:
            continue
        with Caller(server.url, token) as caller:
            # An empty document: what is wrong with it is said to those who may ask, and to nobody else.
            answer = caller.request(method, path, content=b"{}" if method == "POST" else None)
        assert answer.status_code < 500, answer.text
        if answer.status_code not in (401, 403):
            let_in.add(kind)
        assert (answer.status_code == 401) == (kind == "nobody" and kind not in MAY[name]), (kind, answer.text)
    assert let_in == MAY[name]


@pytest.fixture(scope="module")
def ours(server, person):
    """One of everything that has a name or an id, and what must still be true of it afterwards."""
    with server.call() as agent, server.call("observer") as observer:
        agent.post("/v1/agents/theirs/manifest", json={"tools": ["canary-7788"]})
        verdict = agent.post("/v1/verdicts", json={"agent": "theirs", **report("canary-7788-tool")}).json()["id"]
        hold = {
            "id": "hold-7788",
            "agent": "theirs",
            "created_at": "2030-01-01T00:00:00Z",
            "expires_at": "2030-01-01T00:05:00Z",
            "action": {"tool": "canary-7788-tool"},
            "verdict": {"decision": "block", "reason": "canary-7788"},
        }
        relayed = observer.post("/v1/holds:relay", json={"sidecar": "s-7788", "holds": [hold]}).json()
        assert relayed == {"kept": 1, "rejected": []}
    key = person.post("/v1/keys", json={"name": "canary-7788"}).json()["id"]
    person.post("/v1/policies", json={"mode": "blocklist", "name": "canary-7788", "rules": {"domains": ["a.example"]}})
    person.post("/v1/users", json={"name": "canary-7788"})
    export = person.post("/v1/exports", json={"url": "https://canary-7788.example.com/", "name": "canary-7788"}).json()[
        "id"
    ]
    return {"verdict": verdict, "key": key, "export": export, "hold": "hold-7788"}


def picture(person):
    paths = ("/v1/agents/profiles", "/v1/policies", "/v1/org-policy", "/v1/keys", "/v1/users", "/v1/exports")
    found = {path: person.get(path).json() for path in (*paths, "/v1/verdicts?agent=theirs", "/v1/holds?state=all")}
    for key in found["/v1/keys"]["keys"]:
        del key["last_used_at"]
    return found


NAMES = {"{name}": "canary-7788", "{agent}": "theirs"}


def test_nobody_of_another_organisation_sees_or_changes_anything(server, person, ours):
    number = another_organisation(server.directory, "others")
    callers = {scope: server.key(scope, organisation=number) for scope in KEYS}
    callers["admin"] = session(server.directory, "admin-others")
    before = picture(person)
    ids = {"verdicts": ours["verdict"], "keys": ours["key"], "exports": ours["export"], "holds": ours["hold"]}
    bodies = {
        "setStatus": {"status": "resolved"},
        "changeExport": {"enabled": False},
        "changeRole": {"role": "admin"},
        "answerHold": {"answer": "allow_once"},
        "settings": {"mode": "enforce"},
        "declare": {"tools": ["x"]},
        "relayHolds": {"sidecar": "s-7788", "holds": []},
    }
    for who, token in callers.items():
        with Caller(server.url, token) as caller:
            for name, (method, path) in OPERATIONS.items():
                if name in ("signIn", "signOut", "addUser", "createKey", "createExport", "metrics"):
                    continue
                kind = path.split("/")[2].partition(":")[0] if path.startswith("/v1/") else ""
                where = path.replace("{id}", ids.get(kind, "none"))
                for part, value in NAMES.items():
                    where = where.replace(part, value)
                if name == "holdAnswers":
                    where += "?sidecar=s-7788"
                body = json.dumps(bodies.get(name, {})).encode() if method == "POST" else None
                answer = caller.request(method, where, content=body)
                assert answer.status_code < 500
                assert "canary-7788" not in answer.text.replace(where, ""), (who, name, answer.text)
                if "{id}" in path or "{name}" in path:
                    assert answer.status_code in (403, 404, 422), (who, name, answer.text)
    assert picture(person) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/org-policy"), ("POST", "/v1/keys"), ("DELETE", "/v1/keys/x"), ("POST", "/v1/agents/a/reset")],
)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:1"])
def test_another_sites_page_does_nothing_with_somebodys_cookie(server, tokens, method, path, origin):
    cookies = {"kaizen_session": tokens["admin"]}
    headers = {"Origin": origin} if origin else {}
    with httpx.Client(base_url=server.url, cookies=cookies, trust_env=False, timeout=60) as browser:
        assert browser.get("/v1/whoami").status_code == 200
        answer = browser.request(method, path, headers=headers, content=b"{}" if method == "POST" else None)
    assert answer.status_code == 403
    assert "Origin" in answer.json()["error"]["message"]
