"""Reports of others, of other rungs and of other times, and what one agent's key sees of the other agents of its organisation."""

from __future__ import annotations

import json
import re
import time

from tests.attacks.world import OURS, Ours, open_site
from tests.e2e.server.running import SPEC

SCOPES = ("agent", "sdk", "collector", "observer")
TIMES = (
    "9999-12-31T23:59:59Z",
    "2999-01-01T00:00:00+14:00",
    "1900-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    -1,
    1e308,
    "NaN",
)
EVIL, GOOD = "https://evil.example/", "https://good.example/"
HIDING = 120
"""Harmless actions under the name of the act that is to be hidden."""


def attack(directory):
    """All of it."""
    with open_site(directory) as site:
        ours = Ours(site)
        rules = {"domains": ["evil.example"]}
        ours.person.post("/v1/policies", json={"mode": "blocklist", "name": "p", "rules": rules})
        found = {"seen": sum(_seen(site, ours, scope) for scope in SCOPES)}
        found["spoken"] = sum(_spoken(site, ours, scope) for scope in SCOPES)
        found["rungs"] = sum(_rungs(site, ours, scope) for scope in SCOPES)
        found["times"] = _times(site, ours)
        found["hidden"] = _hidden(site, ours)
        return found


def _seen(site, ours, scope):
    """With a key that is bound to another agent, every route, for ours."""
    asked = 0
    with site.call(scope, agent="its own") as caller:
        for path, item in SPEC["paths"].items():
            for method, one in item.items():
                if not isinstance(one, dict) or "operationId" not in one or path in ("/v1/sessions", "/metrics"):
                    continue
                kind = path.split("/")[2].partition(":")[0] if path.startswith("/v1/") else ""
                where = path.replace("{id}", ours.ids.get(kind, "none"))
                where = re.sub(r"\{\w+\}", lambda found: ours.ids.get(found[0], "none"), where)
                for query in ("", f"?agent={ours.ids['{agent}']}"):
                    query = f"?sidecar={ours.ids['sidecar']}" if path.endswith(":answers") else query
                    body = b"{}" if method == "post" else None
                    said = caller.request(method.upper(), where + query, content=body)
                    asked += 1
                    assert said.status_code < 500, (where, said.text)
                    if path in ("/v1/policy", "/v1/bundle", "/openapi.json"):
                        continue  # the organisation's policy is every agent's, and so are its names
                    assert OURS not in said.text, (scope, method, where + query, said.text[:300])
    return asked


def _spoken(site, ours, scope):
    """In our name, with a key that is bound to another."""
    ours_is = ours.ids["{agent}"]
    action = {"tool": "forged", "agent": ours_is}
    verdict = {"decision": "allow", "reason": "ok", "evidence": []}
    before = _rows(ours, ours_is)
    ways = [
        ("/v1/verdicts", {"agent": ours_is, "action": action, "verdict": verdict}),
        ("/v1/verdicts", {"action": action, "verdict": verdict, "organisation": 1, "agent_id": 1}),
        ("/v1/verdicts:batch", {"reports": [{"agent": ours_is, "action": action, "verdict": verdict}] * 2}),
        (f"/v1/agents/{ours_is}/manifest", {"tools": ["*"]}),
        (f"/v1/agents/{ours_is}/profile", {"sidecar": "s", "profile": {}}),
        (f"/v1/agents/{ours_is}/coverage", {"machine": "m", "rungs": []}),
        (f"/v1/agents/{ours_is}/attach-points", {"sidecar": "s", "points": []}),
        ("/v1/holds:relay", {"sidecar": ours.ids["sidecar"], "holds": [ours.hold]}),
    ]
    with site.call(scope, agent="its own") as caller:
        for path, body in ways:
            said = caller.post(path, json=body)
            assert said.status_code in (200, 201, 403, 422), (path, said.text)
    assert _rows(ours, ours_is) == before, f"a row of ours, from a key of scope {scope} that is bound to another"
    return len(ways)


def _rungs(site, ours, scope):
    """Said to be seen by network and kernel, in every place where that can be said."""
    agent = f"rungs-{scope}"
    action = {"tool": "t", "target": GOOD, "seen_by": ["ebpf", "egress"], "rung": "kernel", "rung_number": 4}
    verdict = {"decision": "allow", "reason": "ok", "evidence": []}
    with site.call(scope) as caller:
        for number, source in enumerate(("ebpf", "egress", " ebpf", "EBPF", "ebpf\u200b", "sandbox")):
            said = {**action, "id": f"{number}", "metadata": {"source": source}, "source": source}
            answer = caller.post(
                "/v1/verdicts", json={"agent": agent, "action": said, "verdict": verdict, "rung": "kernel"}
            )
            assert answer.status_code < 300, answer.text
    for row in _rows(ours, agent):
        truth = row["rung"] in ("kernel", "egress") or {"ebpf", "egress"} & set(row["action"].get("seen_by", ()))
        if scope == "sdk":
            assert not truth, row
        if scope == "agent" and truth:
            assert row.get("notes"), f"nothing says that only an agent's key said so: {row}"
    return 6


def _times(site, ours):
    """A report of any time has its row where it came in, and the agent was last seen when it was."""
    with site.call() as caller:
        taken = 0
        for number, at in enumerate(TIMES):
            action = {"tool": "t", "target": EVIL, "id": f"t{number}", "at": at}
            said = caller.post("/v1/verdicts", json={"agent": "times", "action": action, "at": at, "created_at": at})
            assert said.status_code in (200, 201, 422), said.text
            taken += said.status_code < 300
        last = caller.post(
            "/v1/verdicts", json={"agent": "times", "action": {"tool": "last", "target": EVIL, "id": "last"}}
        )
        assert last.status_code < 300
    rows = _rows(ours, "times")
    assert rows[0]["action"]["tool"] == "last", "a stated time puts a row before later ones"
    assert len(rows) == taken + 1
    year = time.gmtime().tm_year
    assert all(row["created_at"].startswith(str(year)) for row in rows), (
        "a row was made at a time that its agent stated"
    )
    [agent] = [one for one in ours.person.get("/v1/agents/profiles").json()["profiles"] if one["agent"] == "times"]
    assert agent["last_seen"].startswith(str(year))
    return len(TIMES)


def _hidden(site, ours):
    """One blocked action, and harmless ones under the name of its act, in reports and in the console's lines."""
    with site.call() as caller:
        for number in range(HIDING + 1):
            action = {
                "tool": "t",
                "target": GOOD if number else EVIL,
                "id": f"h{number}",
                "act_id": "act",
                "run_id": "r",
            }
            said = caller.post("/v1/verdicts", json={"agent": "hiding", "action": action})
            assert (said.json()["decision"] == "block") is (number == 0)
    for query in ("", "&flagged=true", "&decision=block"):
        [act] = ours.person.get(f"/v1/acts?agent=hiding{query}").json()["acts"]
        assert act["decision"] == "block", (
            f"the line of an act with a blocked action says that it was allowed ({query})"
        )
        assert "evil.example" in json.dumps(act["rows"])
    return HIDING


def _rows(ours, agent):
    return ours.person.get("/v1/verdicts", params={"agent": agent, "limit": 500}).json()["verdicts"]
