"""The console: markup in all that agents, sidecars and people can write, requests of other sites' pages, sessions, redirects.

Pages are read by an HTML parser, as a browser's: a tag, an attribute or an address of ours anywhere is an attack that worked, and
so is a page that fails. What runs in a browser, ``tests/e2e/console/test_browser.py`` tries.
"""

from __future__ import annotations

import itertools
from html.parser import HTMLParser
from http.client import HTTPConnection
from urllib.parse import quote, urljoin, urlsplit

import httpx

from kaizen_security.server.console import routes as console
from tests.attacks.world import admin_of, open_site, pages_of

TAG = "kzx"
PAYLOADS = (
    f"\"'><{TAG} {TAG}=1>",
    f"javascript:{TAG}()//\u2028</script><{TAG}>",
    f"{{{{7*7}}}}</textarea></title></style><{TAG} onload=1>\u202e\x07\x1b[2J"[:60],
    f"' {TAG}=1 autofocus onfocus={TAG}() x='",
    f"//{TAG}.example/\\..%0d%0aSet-Cookie: {TAG}=1",
)
SHAPES = (
    {"learned": 5},
    {"seen": {"a": []}, "learned": {"tool": {"x": 1}}},
    {"seen": -1, "learned": {"tool": [5, None, {"value": []}, {"count": "x"}]}},
    {"learned": {"tool": [{"value": "x", "count": 10**30}]}, "poisoning_budget": {"told.tool": []}},
    {"seen": 1e308, "losses": {"a": "b"}, "runs": "many", "bytes": None},
    {"learned": None, "seen": None},
    {},
)
"""Profiles that a sidecar's key may tell, of shapes that are none."""
REDIRECTS = (
    "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example/", "/%09/evil.example", "/\t/evil.example",
    "/%5cevil.example", "/.//evil.example", "javascript:alert(1)", "/verdicts\r\nSet-Cookie: a=b", "///evil.example",
    " //evil.example", "/verdicts?a=//evil.example", "@evil.example", "/..//evil.example", "/\u2028/evil.example",
)  # fmt: skip


class Found(HTMLParser):
    """What of ours became markup, and where links and forms lead."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.ours = []
        self.places = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if TAG in tag or any(TAG in name or name.startswith("on") for name, _ in attrs) or tag in ("iframe", "object"):
            self.ours.append((tag, attrs))
        self.places += [
            value or "" for name, value in attrs if name in ("href", "src", "action", "formaction", "srcdoc")
        ]


def attack(directory):
    """All of it."""
    with open_site(directory) as site:
        found = {}
        with httpx.Client(base_url=site.url, trust_env=False, timeout=20) as browser:
            browser.cookies.set("kaizen_session", admin_of(site, 1))
            browser.headers["Origin"] = site.url
            found["written"] = sum(_write(site, browser, payload) for payload in PAYLOADS)
            found["pages"] = _read(site, browser)
            found["shapes"] = _shapes(site, browser)
        found["forged"] = _forged(site)
        found["redirects"] = _redirected(site)
        found["sessions"] = _sessions(site)
        return found


def _write(site, browser, text):
    """The payload in every field of everything that may be sent."""
    agent, clean = text[:200], "".join(sign for sign in text if sign.isprintable())
    name = quote(agent, safe="")
    finding = dict.fromkeys(
        ("kind", "value", "source", "detection", "field", "expected", "observed", "advice", "attack"), text
    )
    action = {
        "kind": text,
        "tool": text,
        "publisher": text,
        "target": f"https://{clean}",
        "hash": text,
        "id": text,
        "run_id": text,
    }
    action |= {
        "act_id": text,
        "metadata": {text: text, "source": text, "arguments": {text: [text]}},
        "delegation": [text],
    }
    verdict = {"decision": "block", "reason": text, "evidence": [finding], "notes": [text], "policy_version": text}
    report = {"agent": agent, "action": action, "verdict": verdict}
    hold = {"id": clean[:64].replace("/", "-"), "agent": agent, "created_at": "2030-01-01T00:00:00Z", "action": action}
    hold |= {"expires_at": "2030-01-01T00:05:00Z", "verdict": verdict}
    declared = {"tools": [text], "destinations": ["x.example"], "purpose": text}
    point = {"source": clean, "alive": 1}
    rung = {"rung": "kernel", "mode": "observe", "why": text, "canaries": {text[:64]: {"seen": True, "stopped": False}}}
    learned = {one: [{"value": text, "count": 1}] for one in ("kind", "tool", "source", "destination", text)}
    profile = {"seen": 1, "learned": learned, "losses": {text: 1}, "candidates": {text: 1}, text: text}
    sent = [
        ("agent", "/v1/verdicts", report),
        ("observer", "/v1/verdicts:batch", {"reports": [report, {**report, "action": {"tool": text}}]}),
        ("agent", f"/v1/agents/{name}/manifest", declared),
        ("observer", "/v1/holds:relay", {"sidecar": clean[:64], "holds": [hold]}),
        ("observer", f"/v1/agents/{name}/profile", {"sidecar": clean[:64], "profile": profile}),
        ("observer", f"/v1/agents/{name}/attach-points", {"sidecar": clean[:64], "points": [point]}),
        ("observer", f"/v1/agents/{name}/coverage", {"machine": clean[:64], "rungs": [rung]}),
    ]
    taken = 0
    for scope, path, body in sent:
        said = httpx.post(
            site.url + path, json=body, headers={"Authorization": f"Bearer {site.key(scope)}"}, trust_env=False
        )
        assert said.status_code < 500, (path, said.text)
        taken += said.status_code < 300
        if said.status_code >= 300:
            print(path[:60], said.text[:200])
    people = [
        ("/v1/keys", {"name": clean, "agent": clean}),
        ("/v1/users", {"name": clean[:60]}),
        ("/v1/policies", {"mode": "blocklist", "name": clean, "rules": {"publishers": [clean]}}),
        ("/v1/exports", {"url": f"https://{TAG}.example/{quote(clean)}", "name": clean}),
    ]
    for path, body in people:
        said = browser.post(path, json=body)
        assert said.status_code < 500, (path, said.text)
        taken += said.status_code < 300
        if said.status_code >= 300:
            print(path[:60], said.text[:200])
    assert taken >= 6, f"only {taken} of {len(sent) + len(people)} documents were taken: nothing to look for"
    return taken


def _read(site, browser):
    """Every page that a link, or a list of routes, leads to."""
    to_do = [route.path for route in pages_of(console) if "GET" in (route.methods or ()) and "{" not in route.path]
    to_do += [f"/agent?name={quote(text[:200], safe='')}" for text in PAYLOADS]
    to_do += [f"{path}?{field}={quote(PAYLOADS[0])}" for path in ("/verdicts", "/agents", "/policies", "/connect", "/agent")
              for field in ("q", "agent", "name", "done", "edit", "deleted", "source", "since", "before", "act")]  # fmt: skip
    seen, markers = set(), 0
    while to_do:
        path = to_do.pop()
        if path in seen or path.startswith(("/static", "/sign-out")) or "/live" in path or len(seen) > 400:
            continue
        seen.add(path)
        said = browser.get(path)
        assert said.status_code < 500, (path, said.text[:300])
        if not said.headers.get("content-type", "").startswith("text/html"):
            continue
        assert "default-src 'none'" in said.headers["content-security-policy"], path
        assert "set-cookie" not in said.headers, path
        page = Found(said.text)
        assert not page.ours, (path, page.ours)
        markers += said.text.count(f"&lt;{TAG}")
        for place in page.places:
            there = urlsplit(urljoin(site.url + path, place))
            assert there.scheme in ("http", "https", "data"), (path, place)
            assert there.scheme == "data" or f"{there.scheme}://{there.netloc}" == site.url, (path, place)
            if there.path.startswith(("/verdicts/", "/agent")):
                to_do.append(there.path + (f"?{there.query}" if there.query else ""))
    assert markers > 20, "what was written is not shown anywhere: nothing was looked at"
    return len(seen)


def _shapes(site, browser):
    key = {"Authorization": f"Bearer {site.key('observer')}"}
    httpx.post(f"{site.url}/v1/agents/shapes/manifest", json={"tools": ["x"]}, headers=key, trust_env=False)
    for number, shape in enumerate(SHAPES):
        body = {"sidecar": f"s{number}", "profile": shape}
        said = httpx.post(f"{site.url}/v1/agents/shapes/profile", json=body, headers=key, trust_env=False)
        assert said.status_code < 500, (shape, said.text)
        for path in ("/agent?name=shapes", "/agents", "/agent?name=shapes&format=json", "/v1/agents/shapes/profile"):
            assert browser.get(path).status_code == 200, (path, shape, browser.get(path).text[:400])
    return len(SHAPES)


def _forged(site):
    """What another site's page can make a reader's browser send: our cookie, its Origin, or none."""
    tried = 0
    for route in pages_of(console):
        if "POST" not in (route.methods or ()):
            continue
        for origin in (
            "https://evil.example",
            "null",
            "",
            site.url.replace("127.0.0.1", "localhost"),
            site.url + ".evil.example",
        ):
            with httpx.Client(base_url=site.url, trust_env=False, timeout=20) as browser:
                browser.cookies.set("kaizen_session", admin_of(site, 1))
                said = browser.post(
                    route.path.replace("{id}", "1"), data={"name": "x"}, headers={"Origin": origin} if origin else {}
                )
                assert said.status_code == 403, (route.path, origin, said.status_code)
                tried += 1
    return tried


def _redirected(site):
    signed, tried = admin_of(site, 1), 0
    for place, way in itertools.product(REDIRECTS, ("signed in", "signing in", "not signed in")):
        with httpx.Client(base_url=site.url, trust_env=False, timeout=20, headers={"Origin": site.url}) as browser:
            if way == "signed in":
                browser.cookies.set("kaizen_session", signed)
                said = browser.get("/sign-in", params={"next": place})
            elif way == "signing in":
                said = browser.post("/sign-in", data={"name": "admin", "password": site.password, "next": place})
            else:
                said = None
            location = _raw(site, place) if said is None else said.headers.get("location", "")
            # As browsers read an address: a backslash is a slash, and tabs and line ends are nothing.
            there = urlsplit(urljoin(site.url + "/sign-in", location.replace("\\", "/").replace("\t", "").strip()))
            assert f"{there.scheme}://{there.netloc}" == site.url, (place, way, location)
            tried += 1
    return tried


def _raw(site, place):
    """Where a GET of just that path leads; http.client takes it as it is."""
    connection = HTTPConnection("127.0.0.1", site.port, timeout=20)
    connection.request("GET", quote(place, safe="/:@\\?=&%"))
    location = connection.getresponse().getheader("location") or ""
    connection.close()
    return location


def _sessions(site):
    """A session that somebody else chose, one that is over, and one in another place than the cookie."""
    chosen = "kzs_" + "a" * 43
    with httpx.Client(base_url=site.url, trust_env=False, timeout=20, headers={"Origin": site.url}) as browser:
        fields = {"name": "admin", "password": site.password}
        said = browser.post("/sign-in", data=fields, headers={"Cookie": f"kaizen_session={chosen}"})
        [cookie] = said.headers.get_list("set-cookie")
        assert chosen not in cookie
        for word in ("HttpOnly", "SameSite=strict", "Path=/"):
            assert word.lower() in cookie.lower(), word
        token = browser.cookies["kaizen_session"]
        assert browser.get("/verdicts", headers={"Cookie": f"kaizen_session={chosen}"}).status_code == 303
        for way in ({"params": {"kaizen_session": token}}, {"headers": {"X-Session": token}}):
            with httpx.Client(base_url=site.url, trust_env=False) as nobody:
                assert nobody.get("/verdicts", **way).status_code == 303
        browser.post("/sign-out")
        with httpx.Client(base_url=site.url, trust_env=False) as again:
            again.cookies.set("kaizen_session", token)
            assert again.get("/verdicts").status_code == 303, "a session that was ended is good"
            assert again.get("/v1/whoami").status_code == 401
    return 6
