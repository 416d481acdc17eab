"""A secret that goes in through any field of any entry comes out nowhere: no log, no store, no export, no error, no CLI output.

One table of entries, each with a canary of its own, through real processes: control plane, sidecar, egress proxy, client, commands.
Names (agents, tools, hosts, keys, policies' entries) are not secrets and are kept on purpose; ``docs/limits.md`` says so.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from kaizen_security import AsyncKaizen, Kaizen
from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.step import Message
from kaizen_security.sidecar.run import Parts
from kaizen_security.sidecar.settings import Settings
from tests.e2e.canary_fields import CONSOLE, ELSEWHERE, ENDS, SIDECAR, TAKEN, TEXTLESS, Fields, operations
from tests.e2e.exports.receiving import Receiver
from tests.e2e.server.running import Running
from tests.e2e.sidecar_process import Process, until
from tests.unit.client.upstream import free_port

SPEC = yaml.safe_load((Path(__file__).parents[2] / "spec" / "openapi.yaml").read_text())
KAIZEN = (sys.executable, "-m", "kaizen_security.cli")


def arguments(c):
    return {
        "note": c,
        "deep": [{"a": {"b": [c]}}],
        c: "as a key",
        "bytes": c.encode(),
        "url": f"https://h.example/?k={c}",
    }


class Line:
    """Everything that runs, and what was heard from it."""

    def __init__(self, folder, receiver):
        self.folder = folder
        self.heard: list[tuple[str, str]] = []
        self.server = Running(folder / "server", "--permit-export", "127.0.0.1")
        self.agent, self.observer = self.server.key(), self.server.key("observer")
        (folder / "sidecar").mkdir()
        self.sidecar = Process(folder / "sidecar", api_url=self.server.url, api_key=self.observer).start()
        self.person = self.server.person()
        self.proxy_port = free_port()
        self.log = (folder / "egress.log").open("w")
        self.proxy = subprocess.Popen(
            [
                *KAIZEN,
                "egress",
                "--port",
                str(self.proxy_port),
                "--api-url",
                self.server.url,
                "--data",
                str(folder / "egress"),
            ],
            env={**clean(), "KAIZEN_API_KEY": self.agent},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        until(self.reachable, "the proxy listens")
        self.receiver = receiver
        made = {"kind": "webhook", "url": f"http://127.0.0.1:{receiver.port}/", "verdicts": "all"}
        self.person.post("/v1/exports", json=made)

    def reachable(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.proxy_port), 1):
            return True

    def send(self, method, path, *, key=None, content=None, **options):
        """One request, well formed or not. What is answered to it is heard, unless it is what was asked for."""
        headers = {"Authorization": f"Bearer {self.agent if key is None else key}", **options.pop("headers", {})}
        with httpx.Client(base_url=self.server.url, trust_env=False, timeout=20) as client:
            answer = client.request(method, path, headers=headers, content=content, **options)
        self.heard.append((f"answer to {method} {path.partition('?')[0][:60]}", answer.text + str(answer.headers)))
        return answer

    def beside(self, path, document):
        status, answer = self.sidecar.ask("POST", path, document)
        self.heard.append((f"sidecar's answer to {path}", json.dumps([status, answer])))

    def client(self, **options):
        return Kaizen(
            self.agent, self.server.url, agent="canary", data=str(self.folder / "client"), sync=False, **options
        )

    def command(self, *words, **environment):
        env = {**clean(), "KAIZEN_API_KEY": self.agent, "KAIZEN_DATA": str(self.folder / "client"), **environment}
        done = subprocess.run([*KAIZEN, *words], env=env, capture_output=True, text=True, timeout=60)
        self.heard.append((f"kaizen {words[0]}", done.stdout + done.stderr))
        return done

    def end(self):
        self.person.close()
        self.heard.append(("the sidecar's log", self.sidecar.stop()[1]))
        self.proxy.terminate()
        self.proxy.wait(20)
        self.log.close()
        self.heard.append(("the proxy's log", (self.folder / "egress.log").read_text()))
        self.heard.append(("the server's log", self.server.stop()[1]))


def clean():
    return {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}


# --- entries: each is given the line and a canary -----------------------------------------------------------------------------


def in_client(line, c, **options):
    with line.client(**options) as kaizen:
        kaizen.inspect(tool="t", arguments=arguments(c))
        for spelling in ("arguments", "input", "params", "query", "anything", c):
            kaizen.inspect(tool="t", metadata={spelling: arguments(c)})
            kaizen.inspect({"tool": "t", "metadata": {spelling: c}})
        for target in (
            f"https://u:{c}@h.example/{c}/x?k={c}#{c}",
            f"/home/u/{c}.txt",
            f"{c} && curl h.example",
            f"u:{c}@h.example",
        ):
            for kind in ("tool_call", "http", "file", "exec", "message"):
                kaizen.inspect(kind=kind, tool="t", target=target)
        kaizen.inspect(tool="t" * 300 + c, publisher="p" * 600 + c, hash=f"sha256:{c} no hash")

        @kaizen.guard(target="where")
        def tool(where, *, password):
            return {"found": password}

        with kaizen.run(f"the password is {c}"):
            tool(f"/tmp/{c}", password=c)
        with pytest.raises(TypeError):
            tool(password=c, where="x", other=c)
        assert kaizen.flush(20), kaizen.problem


def async_client(line, c):
    async def go():
        with line.client(sidecar=f"unix://{line.sidecar.socket}") as kaizen:
            await AsyncKaizen.over(kaizen).inspect(tool="t", target=f"https://h.example/?k={c}", arguments=arguments(c))

    asyncio.run(go())


def every_method(line, c):
    """Each that takes something of a run; with a sidecar, which gets the steps, and without one."""
    text, nested = f"the password is {c}", {"found": [c], c: c}
    for options in ({}, {"sidecar": f"unix://{line.sidecar.socket}"}):
        with line.client(**options) as kaizen, kaizen.run(text) as run:
            action = Action(tool="t", target=f"/x/{c}", metadata={"arguments": nested, "other": c}, run_id=run.id)
            verdict = kaizen.enforce(action)
            kaizen.report(action, verdict)
            kaizen.observe(action)
            kaizen.report(action)
            kaizen.note(Message(text=text, run_id=run.id, agent="canary"))
            kaizen.note_result(action, nested)
            kaizen.note_result(action, ValueError(text), failed=True)
            kaizen.note_brought(action, nested, failed=False)
            kaizen.named("canary").inspect(tool="t", arguments=nested)
            kaizen.declare(tools=["t"], destinations=["h.example"], purpose="p")
            for wrong in ({"no_such": c}, {"metadata": c}, {"metadata": {"arguments": object()}, c: c}):
                with contextlib.suppress(TypeError, KaizenError, ValueError):
                    kaizen.inspect(**wrong)

            async def over(kaizen=kaizen, action=action):
                beside = AsyncKaizen.over(kaizen)
                await kaizen.ainspect(action)
                await kaizen.aenforce(action)
                await beside.enforce(action)
                await beside.declare(tools=["t"])
                beside.note_result(action, nested)
                await beside.guard(answers)(c)

            async def answers(password):
                return password

            asyncio.run(over())
            kaizen.flush(20)


def callback(line, c):
    def fails(verdict, action):
        raise ValueError(c)

    with line.client(on_verdict=fails) as kaizen:
        kaizen.inspect(tool="t")
        line.heard.append(("lost and problem", str(kaizen.lost) + kaizen.problem))


def reports(line, c):
    full = {"kind": "http", "tool": "t", "publisher": None, "target": f"https://h.example/a?k={c}", "hash": None}
    verdict = {
        "decision": "allow",
        "reason": "ok",
        "evidence": [{"kind": "k", "value": c, "source": "s", "field": "arguments.x"}],
    }
    metadata = {"source": "sdk", "arguments": {"a": c}, "input": c, "params": [c], "query": c, "other": {c: c}}
    for document in (
        {"schema_version": "1", "agent": "canary", "action": {**full, "metadata": metadata}, "verdict": verdict},
        {"agent": "canary", "action": {"tool": "t", "metadata": metadata}, "verdict": {**verdict, "blocked": False}},
        {
            "agent": "canary",
            "action": {
                "kind": "connect",
                "target": f"u:{c}@h.example:443",
                "metadata": {"source": "egress", "sni": c + " "},
            },
            "verdict": verdict,
        },
        {"agent": "canary", "action": {"tool": "t", "target": "", "metadata": metadata}, "verdict": verdict},
    ):
        assert line.send("POST", "/v1/verdicts", json=document).status_code in (200, 201)
        assert line.send("POST", "/v1/verdicts", key=line.observer, json=document).status_code in (200, 201)
        assert line.send("POST", "/v1/verdicts:batch", json={"reports": [document]}).status_code == 200
        line.beside("/v1/verdicts", document)
        line.beside("/v1/inspect", {"agent": "canary", "action": document["action"]})


def steps(line, c):
    run = {"run_id": "r", "agent": "canary"}
    line.beside(
        "/v1/steps",
        {
            "agent": "canary",
            "steps": [
                {"step": "request", "text": f"log in with {c}", **run},
                {"step": "message", "text": c, **run},
                {"step": "result", "action_id": "a", "content": {"password": c}, **run},
                {
                    "step": "action",
                    "action": {"tool": "login", "metadata": {"arguments": {"password": c}}, **run},
                    **run,
                },
                {"step": "end", "completed": True, **run},
            ],
        },
    )
    line.beside("/v1/steps", {"agent": "canary", "steps": [{"step": c}, {"step": "result", "content": c}]})


def scored(line, c):
    for feed in ("egress", "content"):
        trace = json.dumps([{"tool": "t", "arguments": {"k": c}}])
        line.send(
            "POST",
            "/v1/score",
            json={
                "agent": "canary",
                "declaration": f"prose {c}",
                "trace": trace,
                "egress": c,
                "feed": feed,
                "mode": "score",
            },
        )


def refused(line, c):
    """Every operation, with what it cannot take: the error names the field, never what stood in it."""
    for path, described in SPEC["paths"].items():
        if path == "/v1/sessions":
            continue  # ``keys`` does that: whoever asks here is signed out by it
        filled = path.replace("{agent}", "x").replace("{id}", "x").replace("{name}", "x")
        for method in described.keys() & {"get", "post", "delete", "put"}:
            person = line.person.headers["Authorization"].split()[1]
            for key in (line.agent, person):
                if method != "post":
                    line.send(
                        method.upper(),
                        filled,
                        key=key,
                        params={"limit": c, "since": c, "wait": c, "agent": "x", "status": c, "decision": c},
                    )
                    continue
                for content in (
                    f'{{"agent": "{c}',
                    f'"{c}"',
                    json.dumps([c]),
                    json.dumps({c: c}),
                    *map(json.dumps, wrong(c)),
                ):
                    line.send("POST", filled, key=key, content=content.encode())
    line.send("GET", f"/v1/{c}")
    line.send("POST", "/v1/verdicts", headers={"Content-Type": c, "Content-Encoding": c}, content=c.encode())


def wrong(c):
    names = (
        "agent action actions verdict reports steps tools destinations mode rules name scope url kind secret headers user "
        "password status paused model provider answer budget"
    ).split()
    yield {name: [[c]] for name in names}
    yield {name: {c: c} for name in names}
    yield {"agent": "canary", "action": {"tool": [c], "target": {c: c}, "metadata": c}, "verdict": {"decision": c}}
    yield {
        "agent": "canary",
        "actions": [{"kind": 7, "tool": [c]}],
        "reports": [{"agent": "canary", "action": {"tool": [c]}}, c],
    }
    yield {"tools": ["ok"], "destinations": [f"*bad*{c}", f"https://u:{c}@[/"], "mode": "blocklist"}
    yield {
        "mode": "blocklist",
        "name": "n",
        "rules": {"ips": [c], "domains": [f"bad domain {c}"], "skill_patterns": [f"({c}"]},
    }
    yield {"kind": c, "url": f"https://u:{c}@h.example/{c}?k={c}", "secret": c}
    yield {"provider": c, "model": "m", "key": c, "base_url": f"http://u:{c}@h.example/"}


def keys(line, c):
    for value in (f"Bearer kz_live_{c}", f"Basic {c}", c, f"Bearer {c}"):
        line.send("GET", "/v1/whoami", headers={"Authorization": value})
        line.send("POST", "/v1/verdicts", headers={"Authorization": value, "Cookie": f"kaizen_session={c}"}, json={})
    line.send("POST", "/v1/sessions", key="nobody", json={"user": "admin", "password": c})
    line.send("GET", f"/sign-in?token={c}", key="nobody")
    line.heard.pop()  # the page that asks whether to sign in holds the token that it was asked with
    line.send("POST", "/v1/inspect", key=c, json={})


def exports(line, c):
    made = {
        "kind": "webhook",
        "url": f"http://127.0.0.1:{line.receiver.port}/h/{c}?k={c}",
        "secret": c,
        "headers": {"X-Key": c},
        "verdicts": "all",
    }
    answer = line.person.post("/v1/exports", json=made)
    assert answer.status_code == 201, answer.text
    line.heard.append(("the new export", answer.text))
    line.heard.append(("its test", line.person.post(f"/v1/exports/{answer.json()['id']}/test").text))
    line.heard.append(
        (
            "one that nobody takes",
            line.person.post("/v1/exports", json={**made, "url": f"http://u:{c}@127.0.0.1:1/{c}"}).text,
        )
    )


def model(line, c):
    made = {"provider": "openai", "model": "m", "base_url": f"https://127.0.0.1:1/{'v1'}", "key": c}
    line.heard.append(("the model's configuration", line.person.post("/v1/llm-config", json=made).text))
    line.heard.append(("its test", line.person.post("/v1/llm-config/test", json={}).text))


def proxied(line, c):
    basic = base64.b64encode(c.encode()).decode()
    for head in (
        f"CONNECT u:{c}@h.invalid:443 HTTP/1.1\r\nHost: h.invalid:443\r\nProxy-Authorization: Basic {basic}\r\n\r\n",
        f"CONNECT h.invalid:443 HTTP/1.1\r\nHost: h.invalid:443\r\nX-Secret: {c}\r\n\r\n",
        f"GET http://u:{c}@h.invalid/{c}?k={c} HTTP/1.1\r\nHost: h.invalid\r\nCookie: {c}\r\nContent-Length: 40\r\n\r\n{c:<40}",
        f"GET http://h.invalid/{c}?k={c} HTTP/1.1\r\nHost: h.invalid\r\nAuthorization: {c}\r\n\r\n",
        f"{c} {c} {c}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", line.proxy_port), 10) as held:
            held.sendall(head.encode())
            held.settimeout(10)
            got = b""
            with contextlib.suppress(OSError):
                while part := held.recv(65536):
                    got += part
        line.heard.append(("the proxy's answer", got.decode("latin-1")))


def commands(line, c):
    target = f"https://u:{c}@h.example/{c}?k={c}"
    there = f"unix://{line.sidecar.socket}"
    line.command(
        "inspect", "--agent", "canary", "--tool", "t", "--target", target, "--arg", f"password={c}", "--sidecar", there
    )
    line.command(
        "inspect",
        "--agent",
        "canary",
        "--tool",
        "t",
        "--target",
        target,
        "--arg",
        f"password={c}",
        "--sidecar",
        there,
        "--json",
    )
    line.command("config", f"api_key={c}", f"tenant_key={'ab' * 16}", KAIZEN_API_KEY=f"kz_live_{c}")
    line.command("config", f"base_url=https://u:{c}@h.example/?k={c}")
    line.command("explain", "0" * 32, "--api-url", line.server.url, KAIZEN_API_KEY=f"kz_live_{c}")
    recorded = line.folder.parent / "actions.jsonl"
    recorded.write_text(
        "".join(
            json.dumps({"tool": "t", "target": target, "metadata": {"arguments": {"password": c}}}) + "\n"
            for _ in range(3)
        )
        + f"{{{c}\n"
    )
    line.command("replay", str(recorded))
    line.command("keys", "list", "--data", str(line.folder / "server"), KAIZEN_API_KEY=f"kz_live_{c}")


ENTRIES = {
    "client": in_client,
    "client with a sidecar": lambda line, c: in_client(line, c, sidecar=f"unix://{line.sidecar.socket}"),
    "async client": async_client,
    "every method of the client": every_method,
    "on_verdict": callback,
    "reports": reports,
    "steps": steps,
    "score": scored,
    "what is refused": refused,
    "keys and passwords": keys,
    "exports' settings": exports,
    "the model's key": model,
    "egress proxy": proxied,
    "commands": commands,
}


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """Where each entry's canary came out, ``{entry: {sink, …}}``, and the canaries of single fields."""
    folder = tmp_path_factory.mktemp("canary") / "line"
    folder.mkdir()
    canaries = {entry: f"kz9Q{n:02}x7Canary4fE1z{n:02}" for n, entry in enumerate(ENTRIES)}
    with Receiver() as receiver:
        line = Line(folder, receiver)
        try:
            for entry, send in ENTRIES.items():
                send(line, canaries[entry])
            fields = Fields(line, deep=os.environ.get("HYPOTHESIS_PROFILE") == "deep")
            for send in (fields.api, fields.forms, fields.nobody, fields.sidecar):
                send()
            until(lambda: line.sidecar.health()["waiting"] == 0, "the sidecar has sent everything")
            until(lambda: len(receiver.taken()) > 50, "exports go out", 60)
            read(line)
            fields.read()
            fields.close()
        finally:
            line.end()
        for _, _, body, _ in receiver.seen:
            line.heard.append(("a webhook's body", body.decode("utf-8", "replace")))
    for path in folder.rglob("*"):
        if path.is_file():
            line.heard.append((f"{path.relative_to(folder)}", path.read_bytes().decode("latin-1")))
    assert len(line.heard) > 500
    heard = [(sink, text.lower()) for sink, text in line.heard]
    return {entry: {sink for sink, text in heard if c.lower() in text} for entry, c in canaries.items()}, fields


def read(line):
    """What people and machines read: the API's lists, the console's pages, metrics, the commands that show rows."""
    rows = line.person.get("/v1/verdicts", params={"limit": 1000}).json()["verdicts"]
    assert "t" in {row["action"]["tool"] for row in rows}
    for path in (
        "/v1/verdicts?limit=1000",
        "/v1/agents/profiles",
        "/v1/agents/canary/profile",
        "/v1/exports",
        "/v1/keys",
        "/v1/llm-config",
        "/v1/policies",
        "/metrics",
    ):
        line.heard.append(
            (f"GET {path}", httpx.get(line.server.url + path, headers=dict(line.person.headers), timeout=20).text)
        )
    cookie = {"Cookie": f"kaizen_session={line.person.headers['Authorization'].split()[1]}"}
    for path in (
        "/",
        "/verdicts",
        "/agents",
        "/agent?name=canary",
        "/exports",
        "/keys",
        "/settings",
        "/policies",
        f"/verdicts/{rows[0]['id']}",
    ):
        line.heard.append(
            (
                f"console {path}",
                httpx.get(line.server.url + path, headers=cookie, timeout=20, follow_redirects=True).text,
            )
        )
    line.command("explain", rows[0]["id"], "--api-url", line.server.url)
    line.command("replay", "--from-server", "--agent", "canary", KAIZEN_API_URL=line.server.url)
    line.heard.append(("the sidecar's health", json.dumps(line.sidecar.health())))


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_canary_comes_out_nowhere(sent, entry):
    assert sent[0][entry] == set()


def test_a_canary_in_any_field_of_api_console_and_sidecar_comes_out_only_where_it_is_shown_on_purpose(sent):
    assert sent[1].came_out() == {}


def test_every_operation_and_every_form_was_reached(sent):
    fields = sent[1]
    assert set(TAKEN) - fields.taken == {"POST /v1/sessions"}, "each was taken at least once, but for a wrong password"
    bodies = {f"{method} {path}" for method, path, asked, _ in operations() if "requestBody" in asked}
    assert bodies - set(TAKEN) == set(), "an operation that takes a body needs one that it takes, in TAKEN"
    posted = {route.path for route in CONSOLE if "POST" in route.methods}
    assert posted - {template for template, _ in fields.forms_seen} == ENDS | set(ELSEWHERE)


def test_every_route_of_a_sidecar_is_sent_canaries_or_takes_no_text(tmp_path):
    routes = Parts(Settings(socket=tmp_path / "s", data=tmp_path / "data", port=-1)).app().routes
    there = {f"{method} {route.path}" for route in routes for method in route.methods - {"HEAD"}}
    assert there == set(SIDECAR) | TEXTLESS


PUBLIC = {
    Kaizen: {
        "inspect", "ainspect", "enforce", "aenforce", "guard", "run", "declare", "report", "observe", "note", "note_result",
        "note_brought", "named", "mcp_meta", "attached", "flush", "lost", "problem", "rules", "current_run", "observes",
        "close", "hand_over", "wake",
    },
    AsyncKaizen: {
        "inspect", "enforce", "guard", "run", "declare", "note", "note_result", "over",
        "flush", "lost", "problem", "rules", "current_run", "close",
    },
}  # fmt: skip
"""What ``every_method`` and ``in_client`` call, and what takes no text."""


@pytest.mark.parametrize("client", PUBLIC)
def test_every_public_method_of_a_client_is_called_with_canaries(client):
    assert {name for name in dir(client) if not name.startswith("_")} == PUBLIC[client]
