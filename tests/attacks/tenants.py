"""Another organisation's work, through every route of the API and of the console, with every kind of caller.

The routes of the API come from ``spec/openapi.yaml``, those of the console from the program. Every id of ours is asked for beside
one that nobody has: not even whether there is such a thing may be told.
"""

from __future__ import annotations

import re
from collections import Counter
from uuid import uuid4

import httpx
from starlette.routing import Route

from kaizen_security.server.console import routes as console
from kaizen_security.store.base import Role
from tests.attacks.world import NAMED, OURS, Ours, admin_of, open_site, pages_of
from tests.e2e.server.running import SPEC, another_organisation

KEYS = ("agent", "sdk", "collector", "observer")
LISTS = re.compile(r"^/v1/(?:verdicts|acts|holds|score|metrics/timeseries|policy|bundle)$")
"""Routes that take the name of an agent in their query."""
OPERATIONS = [
    (method.upper(), path)
    for path, item in SPEC["paths"].items()
    for method, one in item.items()
    if isinstance(one, dict) and "operationId" in one and path not in ("/v1/sessions", "/metrics")
]


def attack(directory):
    """Everything, as somebody of the organisation ``others``."""
    with open_site(directory) as site:
        ours = Ours(site)
        number = another_organisation(directory, "others")
        tokens = {scope: site.key(scope, organisation=number) for scope in KEYS}
        tokens |= {role.value: admin_of(site, number, role) for role in (Role.ADMIN, Role.VIEWER)}
        _seen_by_us(site, ours)
        before = ours.picture()
        said = Counter()
        asked = sum(_api(site, ours, who, token, said) for who, token in tokens.items())
        asked += _forged(site, ours, tokens)
        shown = _console(site, ours, tokens["admin"])
        assert ours.picture() == before, "something of ours is another than it was"
        return {"api": asked, "console": shown, "statuses": dict(sorted(said.items()))}


def _seen_by_us(site, ours):
    """What is looked for is there: our own administrator sees it, in the API and in the console."""
    browser = httpx.Client(base_url=site.url, cookies={"kaizen_session": admin_of(site, 1)}, trust_env=False)
    with browser:
        agent, row = ours.ids["{agent}"], ours.ids["verdicts"]
        for path in (f"/v1/verdicts/{row}", f"/verdicts/{row}", "/holds", f"/agent?name={agent}", "/policies"):
            assert OURS in browser.get(path).text, path


def _api(site, ours, who, token, statuses):
    asked = 0
    with httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as caller:
        for method, path in OPERATIONS:
            answers = []
            for ids in (ours.ids, ours.made_up()):
                where = _filled(path, ids)
                if LISTS.match(path):
                    where += f"?agent={ids['{agent}']}"
                if path.endswith(":answers"):
                    where += f"?sidecar={ids['sidecar']}"
                said = caller.request(method, where, content=b"{}" if method in ("POST", "PUT", "PATCH") else None)
                asked += 1
                statuses[said.status_code] += 1
                text = said.text
                assert OURS not in text, (who, method, path, text)
                for value in sorted(ids.values(), key=len, reverse=True):
                    text = text.replace(value, "*")
                assert said.status_code < 500, (who, method, path, text)
                answers.append(
                    (said.status_code, re.sub(r'"(?:id|issued_at|expires_at|bundle|signature|key)":"[^"]*"', "", text))
                )
            if "{" in path:
                assert answers[0] == answers[1], (who, method, path, answers)
    return asked


def _filled(path, ids):
    kind = path.split("/")[2].partition(":")[0] if path.startswith("/v1/") else ""
    path = path.replace("{id}", ids.get(kind, "none"))
    return re.sub(r"\{\w+\}", lambda found: ids.get(found[0], "none"), path)


def _forged(site, ours, tokens):
    """Rows, holds and readings of ours, under our ids, from elsewhere."""
    ids = ours.ids
    verdict = {"decision": "allow", "reason": "ok", "evidence": []}
    report = {"agent": ids["{agent}"], "action": {"tool": "theirs", "id": ids["action"]}, "verdict": verdict}
    hold = {
        **ours.hold,
        "action": {"tool": "theirs"},
        "verdict": {"decision": "block", "reason": "theirs"},
        "state": "released",
        "answer": "allow_once",
        "answered_by": "them",
    }
    bodies = [
        ("agent", "/v1/verdicts", report),
        (
            "agent",
            "/v1/verdicts",
            {**report, "id": ids["verdicts"], "organisation": 1, "organisation_id": ours.public_id},
        ),
        ("observer", "/v1/verdicts:batch", {"reports": [report, {**report, "organisation": 1}]}),
        ("observer", "/v1/holds:relay", {"sidecar": ids["sidecar"], "holds": [hold]}),
        ("agent", f"/v1/agents/{ids['{agent}']}/manifest", {"tools": ["*"], "destinations": ["*.evil.example"]}),
        ("observer", f"/v1/agents/{ids['{agent}']}/profile", {"sidecar": ids["sidecar"], "profile": {"seen": 1}}),
        ("admin", f"/v1/agents/{ids['{agent}']}/reset", {}),
        ("admin", f"/v1/agents/{ids['{agent}']}/settings", {"paused": True}),
    ]
    for who, path, body in bodies:
        said = httpx.post(
            site.url + path, json=body, headers={"Authorization": f"Bearer {tokens[who]}"}, trust_env=False
        )
        assert said.status_code < 500, (path, said.text)
    return len(bodies)


def _console(site, ours, token):
    shown = 0
    headers = {"Origin": site.url}
    with httpx.Client(
        base_url=site.url, cookies={"kaizen_session": token}, headers=headers, trust_env=False, timeout=10
    ) as browser:
        for route in pages_of(console):
            assert isinstance(route, Route)
            for method in sorted((route.methods or set()) - {"HEAD"}):
                if route.path in ("/sign-out", "/verdicts/live", "/holds/live") or route.path.startswith("/static"):
                    continue
                for one in ("verdicts", "holds", "keys", "exports"):
                    ids = ours.ids
                    where = route.path.replace("{id}", ids[one])
                    fields = {"id": ids[one], "agent": ids["{agent}"], "name": NAMED, "status": "false_positive"}
                    fields |= {"answer": "allow_once", "confirm": ids["{agent}"], "role": "viewer", "enabled": "0"}
                    if (method, route.path) in (("POST", "/team"), ("POST", "/keys"), ("POST", "/connect/key")):
                        fields["name"] = f"x{uuid4().hex[:8]}"
                    said = (
                        browser.get(
                            where,
                            params={"agent": ids["{agent}"], "name": ids["{agent}"], "id": ids[one], "edit": NAMED},
                        )
                        if method == "GET"
                        else browser.post(where, data=fields)
                    )
                    shown += 1
                    assert said.status_code < 500, (method, where, said.text[:500])
                    at = said.text.find(OURS)
                    assert at < 0, (method, where, said.status_code, said.text[max(0, at - 200) :][:400])
    return shown
