"""What is attacked: a control plane with something of everything in it."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from uuid import uuid4

from kaizen_security.runtime.clock import now
from kaizen_security.server import passwords
from kaizen_security.store.base import Role
from tests.e2e.server.running import Running, beside, report

OURS = "canary-7788"
"""Stands in all that is ours and that nobody asks for by its name."""
NAMED = "ours-4411"
"""Stands in the names and ids by which one asks."""


@contextlib.contextmanager
def open_site(directory, *options):
    """A control plane that runs."""
    site = Running(directory, *options)
    try:
        yield site
    finally:
        site.kill()


def admin_of(site, organisation, role=Role.ADMIN):
    """The session of somebody of an organisation."""
    with beside(site.directory) as store:
        user = store.create_user(organisation, f"{role.value}-{uuid4().hex[:6]}", role=role, password="", at=now())
        token = passwords.new_token(passwords.SESSION_PREFIX)
        store.create_session(user.id, passwords.token_hash(token), at=now(), expires_at=now() + 600)
    return token


def pages_of(console):
    """The routes of the console."""
    return console.routes(SimpleNamespace(auth=None, context=None, store=None, clock=None, settings=None))


class Ours:
    """One of everything that has a name or an id, in the first organisation."""

    def __init__(self, site):
        self.person = site.person()
        agent = f"{NAMED}-agent"
        self.hold = {
            "id": f"{NAMED}-hold",
            "agent": agent,
            "created_at": "2030-01-01T00:00:00Z",
            "expires_at": "2030-01-01T00:05:00Z",
            "action": {"tool": f"{OURS}-tool"},
            "verdict": {"decision": "block", "reason": OURS},
        }
        with site.call() as key, site.call("observer") as observer:
            key.post(f"/v1/agents/{agent}/manifest", json={"tools": [OURS], "purpose": OURS})
            row = {"agent": agent, **report(f"{OURS}-tool", id=f"{NAMED}-action", target=f"https://{OURS}.example/")}
            verdict = key.post("/v1/verdicts", json=row).json()["id"]
            assert observer.post("/v1/holds:relay", json={"sidecar": f"{NAMED}-s", "holds": [self.hold]}).json()["kept"]
        person = self.person
        self.public_id = person.get("/v1/whoami").json()["organisation_id"]
        key_id = person.post("/v1/keys", json={"name": NAMED}).json()["id"]
        rules = {"domains": [f"{OURS}.example"]}
        person.post("/v1/policies", json={"mode": "blocklist", "name": NAMED, "rules": rules})
        person.post("/v1/users", json={"name": NAMED})
        export = person.post("/v1/exports", json={"url": f"https://{OURS}.example.com/", "name": OURS}).json()["id"]
        self.ids = {
            "verdicts": verdict,
            "keys": key_id,
            "exports": export,
            "holds": self.hold["id"],
            "{name}": NAMED,
            "{agent}": agent,
            "sidecar": f"{NAMED}-s",
            "action": f"{NAMED}-action",
        }

    def made_up(self):
        """Ids of the same shape that nobody has."""
        made = {name: "".join("0" if sign.isalnum() else sign for sign in value) for name, value in self.ids.items()}
        return {**made, "{agent}": "x" * len(self.ids["{agent}"])}

    def picture(self):
        """All of ours, as its administrator sees it."""
        agent = self.ids["{agent}"]
        paths = ("/v1/agents/profiles", "/v1/policies", "/v1/org-policy", "/v1/keys", "/v1/users", "/v1/exports")
        more = (f"/v1/verdicts?agent={agent}", "/v1/holds?state=all", f"/v1/agents/{agent}/profile", "/v1/acts")
        found = {path: self.person.get(path).json() for path in (*paths, *more)}
        for key in found["/v1/keys"]["keys"]:
            del key["last_used_at"]
        return found
