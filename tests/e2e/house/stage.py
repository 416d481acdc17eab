"""The whole house around one agent: control plane, sidecar, sandbox with proxy and trace receiver, MCP gateway, kernel collector,
and a model.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

from kaizen_security.client.http import Connection
from kaizen_security.exports.destinations import EXPORTERS
from kaizen_security.mcp.upstreams import key_hash
from kaizen_security.testing.models import Call, Heard, ModelServer, Turn
from tests.e2e.exports.receiving import Receiver
from tests.e2e.exports.slack import Incoming
from tests.e2e.line import Line
from tests.e2e.sandbox.sandboxed import TOKEN, Sandboxed
from tests.e2e.sidecar_process import until

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "house"
DESK = {
    "tools": ["lookup_order", "find_note", "find_parcel"],
    "destinations": ["api.internal"],
    "purpose": "answer customers about their orders",
    "infrastructure": ["model.internal", "127.0.0.2"],
    "reach": {"lookup_order": {"hosts": ["api.internal"], "always": True}},
}


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"shipped")

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def origin() -> Iterator[str]:
    """A web server that is whatever name the proxy's map gives it: its host and port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def answer(heard: Heard) -> Turn:
    """The model: look the order up, find its note, of order 7 its parcel too, answer. What it was asked last says which order, and
    what came back how far.
    """
    items = heard.document.get("input")
    if not heard.document.get("tools") or not isinstance(items, list):
        return Turn(text="fine")
    order = str(items[0]).partition("order ")[2].partition("?")[0]
    done = sum(1 for item in items if isinstance(item, dict) and item.get("type") == "function_call_output")
    if done == 0:
        return Turn(calls=(Call(tool="lookup_order", arguments={"order": order}, id=f"call_look_{order}"),))
    if done == 1:
        return Turn(calls=(Call(tool="find_note", arguments={"about": order}, id=f"call_note_{order}"),))
    if done == 2 and order == "7":
        return Turn(calls=(Call(tool="find_parcel", arguments={"order": order}, id=f"call_parcel_{order}"),))
    return Turn(text=f"Order {order} is on its way.")


def _slack(data: Path) -> ssl.SSLContext:
    """The certificate of a server that takes Slack's messages; ``data/ca.pem`` vouches for it."""
    data.mkdir(parents=True, exist_ok=True)
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    ca.cert_pem.write_to_path(str(data / "ca.pem"))
    return context


def _export(line: Line, url: str, slack: str) -> None:
    """Send every verdict by each kind of export that there is."""
    connection = Connection(line.environment["KAIZEN_API_URL"])
    try:
        said = {"user": "admin", "password": line.password}
        token = connection.json("POST", "/v1/sessions", said, {}, 20.0)["token"]
        headers = {"Authorization": f"Bearer {token}"}
        places = {"webhook": f"{url}/hook", "otlp": url, "slack": f"{slack}/services/T0/B0/x"}
        assert places.keys() == EXPORTERS.keys()
        for kind, place in places.items():
            made = {"kind": kind, "url": place, "verdicts": "all"}
            connection.json("POST", "/v1/exports", made, headers, 20.0)
    finally:
        connection.close()


def source(row: dict) -> str:
    """Who saw it; the SDK does not say that it is the SDK."""
    return row["action"].get("metadata", {}).get("source", "sdk")


@dataclass
class House:
    """What is up. ``python`` has the framework, ``attacker`` is a port that nobody declared."""

    line: Line
    sandbox: Sandboxed
    receiver: Receiver
    slack: Receiver
    models: ModelServer
    attacker: str
    data: Path
    python: Path
    environ: Mapping[str, str] = field(repr=False)

    def run(self, *orders: int, words: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """The agent under `kaizen run`, asked about these orders, to its end."""
        proxy = self.sandbox.egress.replace("http://", f"http://desk:{TOKEN}@")
        command = [
            sys.executable,
            "-m",
            "kaizen_security.cli",
            "run",
            "--agent",
            "desk",
            "--proxy",
            proxy,
            *words,
            "--",
        ]
        command += [str(self.python), str(EXAMPLES / "agent.py"), *(f"Where is order {one}?" for one in orders)]
        return subprocess.run(command, env=dict(self.environ), capture_output=True, text=True, timeout=240)

    def ask(self, path: str) -> dict:
        """What the control plane answers."""
        headers = {"Authorization": f"Bearer {self.line.environment['KAIZEN_API_KEY']}"}
        connection = Connection(self.line.environment["KAIZEN_API_URL"])
        try:
            return connection.json("GET", path, None, headers, 20.0)
        finally:
            connection.close()

    def rows(self, agent: str = "desk") -> list[dict]:
        """The verdicts of an agent on the control plane."""
        return self.ask(f"/v1/verdicts?agent={agent}&limit=500")["verdicts"]

    def act(self, name: str, sources: set[str]) -> list[dict]:
        """The rows of one act, once all of these sources are among them."""

        def found() -> list[dict]:
            rows = [row for row in self.rows() if row.get("act_id") == name]
            return rows if {source(row) for row in rows} >= sources else []

        return until(found, f"the rows of {name} from {sources}", patience=60.0)


@contextmanager
def gateway(data: Path, python: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """`kaizen mcp gateway` before the server of parcels: where the agent finds that. ``environ`` says where it reports."""
    command = json.dumps([str(python), str(EXAMPLES / "parcels_server.py")])
    (data / "gateway.toml").write_text(
        f'[servers.parcels]\ncommand = {command}\n[agents]\ndesk = "{key_hash(TOKEN)}"\n'
    )
    words = [sys.executable, "-m", "kaizen_security.cli", "mcp", "gateway", "--config", str(data / "gateway.toml")]
    process = subprocess.Popen(
        [*words, "--host", "127.0.0.2", "--port", "0"], env=dict(environ), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1].rstrip("/") + "/parcels/mcp"
    finally:
        process.terminate()
        process.communicate(timeout=20)


@contextmanager
def house(data: Path, python: Path) -> Iterator[House]:
    """All of it, until the context ends."""
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        slack = stack.enter_context(Receiver(_slack(data)))
        slack.answer = Incoming()
        permitted, channel = f"127.0.0.1:{receiver.port}", f"localhost:{slack.port}"
        options = ("--permit-export", permitted, "--permit-export", channel)
        trusted = {"SSL_CERT_FILE": str(data / "ca.pem")}
        line = stack.enter_context(Line.started(data / "line", *options, environ=trusted))
        _export(line, f"http://{permitted}", f"https://{channel}")
        models = stack.enter_context(ModelServer())
        models.otherwise = answer
        place, attacker = stack.enter_context(origin()), stack.enter_context(origin())
        hosts = {
            "api.internal:80": place,
            "attacker.example:80": attacker,
            "model.internal:80": f"127.0.0.1:{models.port}",
        }
        keys = json.loads((line.data / "keys.json").read_text())
        url = line.environment["KAIZEN_API_URL"]
        there = {"KAIZEN_API_URL": url, "KAIZEN_API_KEY": keys["observer"], "KZ_AGENT": "desk"}
        sandbox = stack.enter_context(Sandboxed(data / "sandbox", DESK, hosts=hosts, environ=there))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KAIZEN_", "KZ_"))}
        environ = {
            **kept,
            "PYTHONPATH": str(ROOT / "src"),
            "KAIZEN_API_URL": url,
            "KAIZEN_API_KEY": line.environment["KAIZEN_API_KEY"],
            "KAIZEN_SIDECAR": f"unix://{data}/sandbox/kaizen.sock",
            "KAIZEN_DATA": str(data / "agent"),
            "KZ_SANDBOX_URL": sandbox.traces,
            "KZ_TOKEN": TOKEN,
            "OPENAI_BASE_URL": "http://model.internal/v1",
            "OPENAI_API_KEY": "none",
            "ATTACKER": attacker,
        }
        environ["PARCELS_URL"] = stack.enter_context(gateway(data, python, environ))
        environ["PARCELS_KEY"] = TOKEN
        yield House(line, sandbox, receiver, slack, models, attacker, data, python, environ)
