"""A control plane in a process of its own, and a caller that checks every answer against ``spec/openapi.yaml``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from kaizen_security.server.setup import mint_key
from kaizen_security.store.base import Role
from kaizen_security.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[3]
SPEC = yaml.safe_load((ROOT / "spec" / "openapi.yaml").read_text())
_REGISTRY = Registry().with_resource("kaizen:openapi", Resource.opaque(SPEC))


def _template(path):
    parts = re.split(r"(\{\w+\})", path)
    return re.compile("".join(".+" if part.startswith("{") else re.escape(part) for part in parts) + r"\Z")


# Templates without parameters first, and the longer ones, as a server looks for them.
PATHS = sorted(
    ((path, _template(path)) for path in SPEC["paths"]), key=lambda entry: ("{" in entry[0], -entry[0].count("/"))
)


def check_answer(method, path, status, headers, body):
    """Raise when an answer is not one that the specification describes."""
    found = next(
        (name for name, pattern in PATHS if pattern.match(path) and method.lower() in SPEC["paths"][name]), None
    )
    if found is None:
        assert status in (404, 405, 401, 413), f"{method} {path} is not in the specification, yet answered {status}"
        schema = {"$ref": "kaizen:openapi#/components/schemas/Error"}
    else:
        responses = SPEC["paths"][found][method.lower()]["responses"]
        response = responses.get(str(status)) or responses.get(f"{str(status)[0]}XX")
        assert response is not None, f"{method} {found} answered {status}, which the specification does not name"
        if "$ref" in response:
            response = SPEC["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
        if "content" not in response:
            assert body == b""
            return
        if "text/plain" in response["content"]:
            assert headers["content-type"].startswith("text/plain")
            return
        schema = json.loads(
            json.dumps(response["content"]["application/json"]["schema"]).replace('"#/', '"kaizen:openapi#/')
        )
    assert headers["content-type"].startswith("application/json"), "every answer is JSON"
    Draft202012Validator(schema, registry=_REGISTRY).validate(json.loads(body))


class Caller(httpx.Client):
    """Calls with one key, and checks what comes back."""

    def __init__(self, url, token=""):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        super().__init__(base_url=url, headers=headers, timeout=60, trust_env=False, follow_redirects=False)

    def send(self, request, **options):
        response = super().send(request, **options)
        assert not 300 <= response.status_code < 304, "an API call is never redirected"
        check_answer(
            request.method, httpx.URL(str(request.url)).path, response.status_code, response.headers, response.content
        )
        return response


class Running:
    """``kaizen server`` on a directory."""

    def __init__(self, directory, *options, env=None, files=0):
        self.directory = directory
        command = [sys.executable, "-m", "kaizen_security.cli", "server", "--port", "0", "--data", str(directory)]
        few = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"] if files else []
        self.process = subprocess.Popen(
            [*few, *command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.said = []
        self.url = ""
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("listening on "):
                self.url = line.split()[-1]
                break

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    @property
    def password(self):
        return next(line.split()[1] for line in self.said if line.strip().startswith("password"))

    def key(self, scope="agent", agent="", organisation=None):
        """A new key, made beside the running server as ``kaizen keys`` makes one."""
        with beside(self.directory) as store:
            return mint_key(store, name="test", scope=scope, agent=agent or None, organisation=organisation)

    def call(self, scope="agent", agent="", organisation=None):
        """A caller with a new key."""
        return Caller(self.url, self.key(scope, agent, organisation))

    def person(self):
        """A caller who is the signed-in administrator."""
        with Caller(self.url) as nobody:
            answer = nobody.post("/v1/sessions", json={"user": "admin", "password": self.password})
        assert answer.status_code == 201, answer.text
        return Caller(self.url, answer.json()["token"])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)
        self.process.stdout.close()

    def stop(self):
        """End it as a service manager does; gives its exit status and what else it said."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=60)
        return self.process.returncode, rest


class beside:
    """The store of a running server, opened beside it."""

    def __init__(self, directory):
        self.store = SqliteStore(directory, exclusive=False)

    def __enter__(self):
        return self.store

    def __exit__(self, *error):
        self.store.close()


def another_organisation(directory, name):
    """A second organisation with its own administrator; its number."""
    with beside(directory) as store:
        made = store.create_organisation(name, boundary_secret=b"o" * 32, at=1.0)
        store.create_user(made.id, f"admin-{name}", role=Role.ADMIN, password="", at=1.0)
        return made.id


def report(tool="issue_refund", target="", decision="allow", reason="ok", **action):
    """A report in the first shape of the wire contract."""
    full = {"kind": "tool_call", "tool": tool, "publisher": None, "target": target, "hash": None, "metadata": {}}
    return {
        "schema_version": "1",
        "action": {**full, **action},
        "verdict": {"decision": decision, "reason": reason, "evidence": []},
    }
