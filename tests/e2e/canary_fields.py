"""A canary for every field of every operation in ``spec/openapi.yaml`` and of every form of the console.

Nothing is listed here but what a request needs to be taken at all (``TAKEN``) and what is shown on purpose (``SHOWN``): a field
that is added to the API or to a form is sent by itself, and fails the test as soon as it comes out anywhere.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx

from kaizen_security.server.console.routes import routes
from tests.e2e.server.running import ROOT, SPEC
from tests.e2e.server.test_holds import hold

KINDS = ("plain", "key", "base64", "url", "json key")
_CORE = re.compile(r"kz9q([0-9]{5})x7canary4fe1", re.IGNORECASE)
_ENCODED = re.compile(r"a3o5[A-Za-z0-9+/_-]{24}")

ACTION = {"kind": "http", "tool": "t", "target": "https://h.example/a", "metadata": {"source": "sdk"}}
REPORT = {"agent": "canary", "action": ACTION, "verdict": {"decision": "allow", "reason": "ok", "evidence": []}}
TAKEN = {
    "POST /v1/sessions": {"user": "nobody", "password": "wrong"},
    "POST /v1/keys": {"name": "n"},
    "POST /v1/verdicts": REPORT,
    "POST /v1/verdicts:batch": {"reports": [REPORT]},
    "POST /v1/verdicts/{id}/status": {"status": "acknowledged"},
    "POST /v1/org-policy": {"mode": "off"},
    "POST /v1/policies": {"name": "n", "mode": "blocklist", "rules": {}},
    "POST /v1/agents/{agent}/manifest": {"tools": ["t"]},
    "POST /v1/agents/{agent}/profile": {"sidecar": "s", "profile": {}},
    "POST /v1/agents/{agent}/settings": {"paused": False},
    "POST /v1/agents/{agent}/attach-points": {"sidecar": "s", "points": [{"source": "sdk"}]},
    "POST /v1/agents/{agent}/coverage": {
        "machine": "m",
        "rungs": [{"rung": "namespace", "mode": "observe", "why": "w", "canaries": {}}],
    },
    "POST /v1/score": {
        "agent": "canary",
        "declaration": "",
        "trace": "",
        "egress": "",
        "feed": "egress",
        "mode": "score",
    },
    "POST /v1/exports": {"kind": "webhook", "url": "http://127.0.0.1:1/", "verdicts": "all"},
    "POST /v1/exports/{id}": {"verdicts": "all"},
    "POST /v1/holds:relay": {"sidecar": "s", "holds": []},
    "POST /v1/holds/{id}": {"answer": "block"},
    "POST /v1/llm-config": {"provider": "openai", "model": "m", "base_url": "https://127.0.0.1:1/v1", "api_key": "k"},
    "POST /v1/users": {"name": "v", "role": "viewer"},
    "POST /v1/users/{name}": {"role": "viewer"},
}
"""What each operation with a body takes; the canary stands in the place of one field of it after the other."""


def canary(number: int) -> str:
    return f"kz9q{number:05}x7canary4fe1"


def numbers(text: str) -> set[int]:
    """Of the canaries in a text, as they are and in base64."""
    found = {int(one) for one in _CORE.findall(text)}
    for one in set(_ENCODED.findall(text)):
        plain = base64.b64decode(one.translate({45: 43, 95: 47}) + "==", validate=False).decode("latin-1")
        found |= {int(number) for number in _CORE.findall(plain)}
    return found


def dressed(kind: str, number: int) -> object:
    c = canary(number)
    return {
        "plain": c,
        "key": f"sk-ant-api03-{c}-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789_{c}AA",
        "base64": base64.b64encode(c.encode()).decode(),
        "url": f"https://u:{c}@h.example/{c}?k={c}#{c}",
        "json key": {c: c},
    }[kind]


def _whole(schema: dict) -> dict:
    while "$ref" in schema:
        schema = SPEC["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def leaves(schema: dict, path: tuple[str, ...] = (), depth: int = 0) -> Iterator[tuple[str, ...]]:
    """Where a value stands in what a schema describes; ``[]`` is an entry of a list, ``*`` a value under any name."""
    schema = _whole(schema)
    below = [*schema.get("oneOf", ()), *schema.get("anyOf", ()), *schema.get("allOf", ())]
    if depth > 8:
        return
    for branch in below:
        yield from leaves(branch, path, depth + 1)
    for name, part in schema.get("properties", {}).items():
        yield from leaves(part, (*path, name), depth + 1)
    if "items" in schema:
        yield from leaves(schema["items"], (*path, "[]"), depth + 1)
    more = schema.get("additionalProperties")
    if isinstance(more, dict) or "object" in str(schema.get("type", "")):
        yield from leaves(more if isinstance(more, dict) and more else {"type": "string"}, (*path, "*"), depth + 1)
    if not (below or "properties" in schema or "items" in schema) and path:
        yield path


def put(document: object, path: tuple[str, ...], value: object) -> object:
    """The document with ``value`` at the path, and with what stands on the way to it."""
    if not path:
        return value
    name, rest = path[0], path[1:]
    if name == "[]":
        entries = list(document) if isinstance(document, list) and document else [None]
        return [put(entries[0], rest, value), *entries[1:]]
    found = dict(document) if isinstance(document, dict) else {}
    name = "anything" if name == "*" else name
    return {**found, name: put(found.get(name), rest, value)}


def operations() -> Iterator[tuple[str, str, dict, list[tuple[str, tuple[str, ...]]]]]:
    """Method, path, description and fields (where, path within it) of every operation."""
    for path, described in SPEC["paths"].items():
        for method in described.keys() & {"get", "post", "put", "delete", "patch"}:
            asked = described[method]
            fields = [
                (one["in"], (one["name"],)) for one in (*described.get("parameters", ()), *asked.get("parameters", ()))
            ]
            body = asked.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            yield method.upper(), path, asked, fields + [("body", one) for one in dict.fromkeys(leaves(body))]


class Fields:
    """Sends, and remembers which canary went in by which field."""

    def __init__(self, line, deep: bool):
        self.line = line
        self.deep = deep
        self.sent: list[str] = []
        self.taken: set[str] = set()
        self.ids: dict[str, str] = {}
        self.forms_seen: set[tuple[str, tuple[str, ...]]] = set()
        self.refused: dict[str, set[str]] = {}
        self.client = httpx.Client(base_url=line.server.url, trust_env=False, timeout=30)
        person = line.person.headers["Authorization"].split()[1]
        self.keys = {"person": person, "agent": line.agent, "observer": line.observer}

    def canaries(self, field: str) -> Iterator[object]:
        """What is sent by a field: a plain one, or all kinds."""
        for kind in KINDS if self.deep else ("plain",):
            if kind == "json key" and field.endswith(": body headers"):
                continue  # the names of an export's headers are shown, their values nowhere
            self.sent.append(field)
            yield dressed(kind, len(self.sent) - 1)

    def filled(self, path: str) -> str:
        known = {"agent": "canary", "id": self.ids.get((path + "//").split("/")[2].partition(":")[0], "x"), "name": "u"}
        return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], "x"), path)

    def api(self) -> None:
        rows = self.line.person.get("/v1/verdicts").json()["verdicts"]
        held = hold(agent="canary")
        self.ask("observer", "POST", "/v1/holds:relay", json={"sidecar": "s", "holds": [held]})
        made = self.ask("person", "POST", "/v1/exports", json=TAKEN["POST /v1/exports"]).json()
        self.ask("person", "POST", "/v1/users", json={"name": "u", "role": "viewer"})
        self.ids = {"verdicts": rows[0]["id"], "holds": held["id"], "exports": str(made["id"])}
        later = sorted(operations(), key=lambda one: (one[0] == "DELETE", one[1]))
        for method, path, _, fields in later:
            if (method, path) in (("DELETE", "/v1/sessions"), ("POST", "/v1/users/{name}/password")):
                continue  # they end sessions, and take nothing but a name that the others take too
            self.operation(method, path, fields)

    def operation(self, method: str, path: str, fields: list[tuple[str, tuple[str, ...]]]) -> None:
        name = f"{method} {path}"
        base = copy.deepcopy(TAKEN.get(name))
        if name == "POST /v1/holds:relay":
            base["holds"] = [hold(agent="canary")]
        sent = False
        for who in self.keys:
            if method != "DELETE":
                self.baseline(who, name, self.filled(path), base)
            # An observer's words are believed, an agent's are not: reports are sent as both, the rest by the first who may.
            if who in self.refused.get(name, ()) or (sent and not self.deep and "/verdicts" not in path):
                continue
            sent = True
            for where, field in fields:
                for value in self.canaries(f"{name}: {where} {'.'.join(field)}"):
                    self.one(who, method, path, base, where, field, value)

    def baseline(self, who: str, name: str, path: str, base: object) -> None:
        answer = self.ask(who, name.split()[0], path, **({"json": base} if base is not None else {}))
        if answer.status_code < 400:
            self.taken.add(name)
        elif answer.status_code in (401, 403):
            self.refused.setdefault(name, set()).add(who)

    def one(self, who, method, path, base, where, field, value) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        options = {} if base is None or method == "GET" else {"json": base}
        if where == "body":
            options["json"] = put(base, field, value)
        elif where == "query":
            options["params"] = {field[0]: text}
        elif where == "header":
            options["headers"] = {field[0]: text}
        else:
            path = path.replace(f"{{{field[0]}}}", httpx.QueryParams({"": text}).__str__()[1:])
        self.ask(who, method, self.filled(path), **options)

    def nobody(self) -> None:
        """What is typed by somebody who is not signed in."""
        for template, fields in (("/sign-in", ("user", "password")), ("/sign-in/link", ("token",))):
            for name in fields:
                for value in self.canaries(f"nobody POST {template}: {name}"):
                    data = dict.fromkeys(fields, "x") | {name: value if isinstance(value, str) else json.dumps(value)}
                    answer = self.client.post(template, data=data, headers={"Origin": self.line.server.url})
                    assert 400 <= answer.status_code < 500, answer.text
                    self.line.heard.append((f"answer to POST {template}", answer.text + str(answer.headers)))

    def close(self) -> None:
        """Let go of the connection."""
        self.client.close()

    def came_out(self) -> dict[str, set[str]]:
        """Of each field whose canary came out where it is not shown on purpose: where that was."""
        found: dict[str, set[str]] = {}
        for sink, text in self.line.heard:
            for number in numbers(text):
                if number < len(self.sent) and not permitted(self.sent[number], sink):
                    found.setdefault(self.sent[number], set()).add(sink)
        return found

    def ask(self, who: str, method: str, path: str, **options) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[who]}", **options.pop("headers", {})}
        answer = self.client.request(method, path, headers=headers, **options)
        self.line.heard.append((f"answer to {method} {_CORE.sub('…', path)[:60]}", answer.text + str(answer.headers)))
        return answer

    def read(self) -> None:
        """Everything that can be read, of the API and of the console."""
        for method, path, _, _ in operations():
            if method == "GET":
                self.ask("person", "GET", self.filled(path))
        cookie = {"Cookie": f"kaizen_session={self.keys['person']}"}
        for route in CONSOLE:
            if "GET" in route.methods and "live" not in route.path and "static" not in route.path:
                path = route.path.replace("{id}", self.ids["verdicts"])
                for query in ("?name=canary" if path.startswith("/agent") else "", "?format=json"):
                    found = self.client.get(path + query, headers=cookie)
                    assert found.status_code < 500, found.text
                    self.line.heard.append((f"console {path}{query}", found.text))

    def forms(self) -> None:
        """Every form of every page, with a canary in one field of it after the other."""
        cookie = {"Cookie": f"kaizen_session={self.keys['person']}", "Origin": self.line.server.url}
        for route in CONSOLE:
            if "GET" not in route.methods or "live" in route.path or "static" in route.path:
                continue
            page = self.client.get(
                route.path.replace("{id}", self.ids["verdicts"]),
                params={"name": "canary", "agent": "canary"},
                headers=cookie,
            )
            for form in Forms(page.text).found:
                target = form["action"].partition("?")[0]
                template = next((r.path for r in CONSOLE if "POST" in r.methods and r.path_regex.match(target)), "")
                if not template or template in ENDS or (template, tuple(form["fields"])) in self.forms_seen:
                    continue
                self.forms_seen.add((template, tuple(form["fields"])))
                for name in form["fields"]:
                    for value in self.canaries(f"console POST {template}: {name}"):
                        data = {**form["fields"], name: value if isinstance(value, str) else json.dumps(value)}
                        answer = self.client.post(target, data=data, headers=cookie)
                        assert answer.status_code < 500, (target, answer.text)
                        self.line.heard.append((f"answer to POST {template}", answer.text + str(answer.headers)))

    def sidecar(self) -> None:
        """Every field of what is posted to a sidecar, by its socket."""
        for route, (path, base, fields) in SIDECAR.items():
            for field in fields:
                for value in self.canaries(f"sidecar {route}: {'.'.join(field)}"):
                    self.line.beside(path, put(base, field, value))


class _Anything:
    def __getattr__(self, name):
        return self

    def __call__(self, *args, **kwargs):
        return self


def _described(name: str) -> list[tuple[str, ...]]:
    """The fields of a schema in ``spec/schema``, with the schemas that it names."""

    def whole(part: object) -> object:
        if isinstance(part, list):
            return [whole(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return whole(
                json.loads((ROOT / "spec/schema" / f"{part['$ref'].removeprefix('kaizen:')}.json").read_text())
            )
        return {key: whole(value) for key, value in part.items()}

    return list(dict.fromkeys(leaves(whole({"$ref": name}))))


def _below(prefix: tuple[str, ...], name: str) -> list[tuple[str, ...]]:
    return [(*prefix, *one) for one in _described(name)]


SIDECAR = {
    "POST /v1/inspect": (
        "/v1/inspect",
        {"agent": "canary", "action": ACTION},
        [("agent",), *_below(("action",), "action"), *_below(("actions", "[]"), "action")],
    ),
    "POST /v1/steps": (
        "/v1/steps",
        {"agent": "canary", "steps": [{"step": "request", "run_id": "r", "text": "t"}]},
        [("agent",), *_below(("steps", "[]"), "step")],
    ),
    "POST /v1/verdicts": ("/v1/verdicts", REPORT, _described("report")),
    "POST /v1/verdicts:batch": (
        "/v1/verdicts:batch",
        {"reports": [REPORT]},
        [("reports", "[]", "agent"), *_below(("reports", "[]", "action"), "action")],
    ),
    "POST /v1/agents/{agent:path}/manifest": (
        "/v1/agents/canary/manifest",
        {"tools": ["t"]},
        _described("declaration"),
    ),
    "POST /v1/holds/{id}": ("/v1/holds/none", {"answer": "block"}, [("answer",), ("operator",), ("*",)]),
    "POST /v1/heartbeats": (
        "/v1/heartbeats",
        {"agent": "canary", "process": "p", "sources": ["sdk"]},
        [("agent",), ("process",), ("sources", "[]"), ("leaving",), ("*",)],
    ),
}
"""Of each route of a sidecar that takes a body: where, what it takes, and its fields."""

SHOWN = (
    (r"POST /v1/agents/\{agent\}/attach-points: body points\.\[\]\.source", r"", "a name that an observer gave"),
    (
        r"sidecar POST /v1/agents/\{agent:path\}/manifest: .*",
        r"",
        "what an agent declares is shown where it is judged by",
    ),
    (
        r".*\b(agent|tool|kind|publisher|hash|id|run_id|act_id|action_id)",
        r"",
        "who acts, with what, and ids: no secrets",
    ),
    (r".*\b(delegation|seen_by)\.\[\]", r"", "names of agents and of sources"),
    (
        r".*\bactions?\.(\[\]\.)?(target|metadata\.source)",
        r"sidecar/agents/\w+/baseline\.json",
        "what is learned of hosts and sources is compared in plain, in the tenant",
    ),
    (
        r"POST /v1/verdicts.*: body .*\baction\.(target|metadata\.source)",
        r"(answer to )?GET /v1/agents/canary/profile|console /agent|server/kaizen\.db",
        "the same in the control plane, of clients that report without a sidecar (docs/limits.md)",
    ),
    (
        r"POST /v1/(verdicts|holds).*\bverdict\..*",
        r"",
        "the words of an observer, whose sidecar has put them in boundary form",
    ),
    (r"POST /v1/holds:relay.*\.(notes\.\[\]|answered_by|answer)", r"", "the same of a held action"),
    (
        r"POST /v1/.*: body (name|sidecar|machine|rungs\.\[\]\.\w+|model|region|api_version|service)",
        r"",
        "names that a person or an observer gave",
    ),
    (r"POST /v1/agents/\{agent\}/manifest: .*", r"", "what an agent declares is shown where it is judged by"),
    (r"POST /v1/(org-policy|policies): body .*", r"", "what a policy lists is shown where policies are"),
    (r"POST /v1/(agents|users|policies)/.*: path (agent|name)", r"", "a name"),
    (
        r"GET /v1/(bundle|policy): query agent",
        r"answer to GET /v1/(bundle|policy)",
        "the name of the agent whose it is",
    ),
    (r"POST /v1/(exports|llm-config): body (url|base_url)", r"", "where to, without userinfo and query"),
    (
        r"console POST \S+: (?!password|secret|api_key|key|header).*",
        r"answer to POST /",
        "a form that was refused is shown again to whoever filled it in",
    ),
    (r"console POST \S+: (name|agent|model|region|api_version)", r"", "a name"),
)
"""What comes out on purpose: by which field, where (all of it when empty), and why. Whole fields' labels, beginnings of places."""


def permitted(field: str, sink: str) -> bool:
    """Whether that is shown on purpose."""
    return any(re.fullmatch(label, field) and re.match(place, sink) for label, place, _ in SHOWN)


CONSOLE = routes(_Anything())
ENDS = {"/sign-out", "/agent/delete", "/agent/reset", "/team/password"}
"""Forms that end what the others need; they take a name that others take too."""
ELSEWHERE = {
    "/sign-in": "``Fields.nobody``",
    "/sign-in/link": "``Fields.nobody``",
    "/verdicts/{id}/learn": "takes no field, and is there for flagged rows",
    "/exports/retry": "takes an id, and is there when rows were put aside",
}
"""Forms that no page had."""
TEXTLESS = {
    f"GET {path}"
    for path in "/v1/bundle /v1/policy /v1/agents/{agent:path}/profile /v1/holds /v1/holds/{id} /v1/heartbeats /v1/readings "
    "/v1/judge/usage /healthz /readyz".split()
}
"""Routes of a sidecar that take nothing but a name, a number or an id."""


class Forms(HTMLParser):
    """The forms of a page that are sent by POST: action, and fields with what stands in them."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[dict] = []
        self._form: dict | None = None
        self._select = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        have = dict(attrs)
        name = have.get("name")
        if tag == "form":
            self._form = {"action": have.get("action") or "", "fields": {}}
            if (have.get("method") or "get").lower() == "post":
                self.found.append(self._form)
        elif self._form is not None and tag in ("input", "textarea", "button", "select") and name:
            if have.get("type") in ("radio", "checkbox") and "checked" not in have:
                self._form["fields"].setdefault(name, "")
            else:
                self._form["fields"][name] = have.get("value") or ""
            self._select = name if tag == "select" else ""
        elif tag == "option" and self._form is not None and self._select and "selected" in have:
            self._form["fields"][self._select] = have.get("value") or ""

    def handle_endtag(self, tag):
        if tag == "form":
            self._form = None
