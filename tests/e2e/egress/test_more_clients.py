"""More clients as they are: npm, Node's fetch and a WebSocket (undici), aiohttp, curl with HTTP/2, uploads and credentials."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import ssl
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.e2e.egress.peers import ControlPlane, Origin, Running, Server, curl, running, until
from tests.e2e.egress.test_clients import environment, ran
from tests.e2e.typescript.conftest import TYPESCRIPT, sdk  # noqa: F401 - a fixture
from tests.e2e.typescript.conftest import environment as node_environment


def tarball() -> bytes:
    made = io.BytesIO()
    files = {"package.json": json.dumps({"name": "kzdemo", "version": "1.0.0"}), "index.js": "module.exports = 42\n"}
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in files.items():
            about = tarfile.TarInfo(f"package/{name}")
            about.size = len(text)
            archive.addfile(about, io.BytesIO(text.encode()))
    return made.getvalue()


TARBALL = tarball()


class Registry(BaseHTTPRequestHandler):
    """What npm asks of a registry for one package."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.endswith(".tgz"):
            self._send(TARBALL)
            return
        url = "https://api.internal/kzdemo/-/kzdemo-1.0.0.tgz"
        dist = {"tarball": url, "integrity": "sha512-" + base64.b64encode(hashlib.sha512(TARBALL).digest()).decode()}
        version = {"name": "kzdemo", "version": "1.0.0", "dist": dist}
        document = {"name": "kzdemo", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        self._send(json.dumps(document).encode())

    def _send(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *said: object) -> None:
        pass


def test_npm_installs_from_a_registry(tmp_path: Path, plane: ControlPlane, authority, sdk):  # noqa: F811
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("api.internal").configure_cert(context)
    server = Server(("127.0.0.1", 0), Registry)
    server.begin(context)
    hosts = {"api.internal:443": f"127.0.0.1:{server.server_address[1]}"}
    with running(tmp_path / "proxy", plane, hosts=hosts) as proxy:
        work = tmp_path / "work"
        work.mkdir()
        env = {**environment(proxy, tmp_path), "PATH": node_environment()["PATH"]}
        # npm trusts what it is told by `cafile`, and asks again for a minute when it does not trust.
        words = ["npm", "install", "--registry", "https://api.internal/", "--cafile", authority[1], "--fetch-retries=0"]
        ran(*words, "--no-audit", "--no-fund", "--no-update-notifier", "kzdemo", env=env, cwd=work)
        assert (work / "node_modules/kzdemo/index.js").read_text() == "module.exports = 42\n"
        until(lambda: plane.actions("api.internal:443"))
    server.end()


NODE_ORIGIN = """
import { createSecureServer } from 'node:http2';
import { readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { WebSocketServer } from 'ws';
const key = readFileSync(process.argv[2]);
const server = createSecureServer({ key, cert: key, allowHTTP1: true });
server.on('request', async (request, response) => {
  const hash = createHash('sha256'); let size = 0;
  for await (const part of request) { hash.update(part); size += part.length; }
  response.end(JSON.stringify({ version: request.httpVersion, size, digest: hash.digest('hex') }));
});
new WebSocketServer({ server }).on('connection', (socket) => socket.on('message', (data) => socket.send('echo ' + data)));
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"""


@pytest.fixture
def node_origin(tmp_path: Path, authority, sdk) -> Iterator[int]:  # type: ignore[no-untyped-def]  # noqa: F811
    """An origin that speaks HTTP/1.1, HTTP/2 and WebSocket over TLS: its port."""
    pem = tmp_path / "api.pem"
    authority[0].issue_cert("api.internal").private_key_and_cert_chain_pem.write_to_path(str(pem))
    script = TYPESCRIPT / "node_modules" / f".origin-{os.getpid()}.mjs"
    script.write_text(NODE_ORIGIN)
    process = subprocess.Popen(
        ["node", script, pem], stdout=subprocess.PIPE, text=True, env=node_environment(), cwd=TYPESCRIPT
    )
    assert process.stdout is not None
    yield int(process.stdout.readline())
    process.terminate()
    process.wait()
    process.stdout.close()
    script.unlink()


@pytest.fixture
def through(tmp_path: Path, plane: ControlPlane, node_origin: int) -> Iterator[Running]:
    hosts = {"api.internal:443": f"127.0.0.1:{node_origin}"}
    with running(tmp_path / "proxy", plane, hosts=hosts) as proxy:
        yield proxy


def alpn(plane: ControlPlane) -> object:
    return until(lambda: plane.actions("api.internal:443"))[-1]["metadata"]["alpn"]  # type: ignore[index]


@pytest.mark.parametrize(("flag", "version"), [("--http1.1", "1.1"), ("--http2", "2.0")])
def test_curl_uploads_over_http_1_and_2(
    through: Running, tmp_path: Path, plane: ControlPlane, authority, flag, version
):
    body = tmp_path / "body.bin"
    body.write_bytes(os.urandom(3 << 20))
    done = curl(through, "--cacert", str(authority[1]), flag, "-T", str(body), "https://api.internal/up")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["version"], said["size"]) == (version, 3 << 20)
    assert said["digest"] == hashlib.sha256(body.read_bytes()).hexdigest()
    assert alpn(plane) == ("http/1.1" if version == "1.1" else "h2+http/1.1")


def test_curl_names_its_agent_with_proxy_user(tmp_path: Path, plane: ControlPlane, origin: Origin):
    hosts = {"web.internal": f"127.0.0.1:{origin.port}"}
    credentials = {"billing-bot": "sha256:" + hashlib.sha256(b"its key").hexdigest()}
    with running(tmp_path, plane, hosts=hosts, credentials=credentials, require_credentials=True) as proxy:
        assert curl(proxy, "-f", "http://web.internal/204").returncode == 22
        assert curl(proxy, "-f", "--proxy-user", "billing-bot:wrong", "http://web.internal/204").returncode == 22
        assert curl(proxy, "-f", "--proxy-user", "billing-bot:its key", "http://web.internal/204").returncode == 0
        until(lambda: "billing-bot" in {report["agent"] for report in list(plane.reports)})


def node(code: str, *words: str, proxy: Running, ca: Path) -> str:
    env = {**node_environment(), "NODE_EXTRA_CA_CERTS": str(ca)}
    done = subprocess.run(
        ["node", "--input-type=module", "-", proxy.url, *words],
        input=code,
        env=env,
        cwd=TYPESCRIPT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


FETCH = """
import { fetch, EnvHttpProxyAgent, setGlobalDispatcher } from 'undici';
process.env.https_proxy = process.argv[2];
setGlobalDispatcher(new EnvHttpProxyAgent());
const answer = await fetch('https://api.internal/', { method: 'POST', body: 'x'.repeat(100000) });
console.log(JSON.stringify(await answer.json()));
"""
WEBSOCKET = """
import { WebSocket, ProxyAgent } from 'undici';
const socket = new WebSocket('wss://api.internal/', { dispatcher: new ProxyAgent(process.argv[2]) });
socket.addEventListener('open', () => socket.send('hello'));
socket.addEventListener('message', (event) => { console.log(event.data); socket.close(); });
socket.addEventListener('error', (event) => { console.error(event.error); process.exit(1); });
"""


def test_nodes_fetch_posts(through: Running, plane: ControlPlane, authority):
    assert json.loads(node(FETCH, proxy=through, ca=authority[1]))["size"] == 100000
    until(lambda: plane.actions("api.internal:443"))


def test_a_websocket_over_tls_is_carried(through: Running, plane: ControlPlane, authority):
    assert node(WEBSOCKET, proxy=through, ca=authority[1]) == "echo hello"
    ended = until(lambda: [a for a in plane.actions("api.internal:443") if a["metadata"].get("ended") == "closed"])
    assert ended[0]["metadata"]["bytes_down"] > 500  # type: ignore[index]


AIOHTTP = """
import aiohttp, asyncio, ssl, sys
async def main():
    context = ssl.create_default_context()
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(trust_env=True, connector=connector) as session:
        async with session.post("https://api.internal/", data=b"x" * 50000) as answer:
            print((await answer.json(content_type=None))["size"])
        async with session.ws_connect("https://api.internal/") as socket:
            await socket.send_str("hello")
            print(await socket.receive_str())
asyncio.run(main())
"""


def test_aiohttp_posts_and_opens_a_websocket(through: Running, tmp_path: Path, authority):
    said = ran(sys.executable, "-c", AIOHTTP, env=environment(through, tmp_path, authority[1]))
    assert said.split() == ["50000", "echo", "hello"]


def test_chromium_loads_a_page_over_tls(through: Running, tmp_path: Path, plane: ControlPlane):
    import shutil

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}/c"]
    flags += ["--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync"]
    words = [chromium, *flags, "--ignore-certificate-errors", f"--proxy-server={through.url}", "--dump-dom"]
    assert "version" in ran(*words, "https://api.internal/", env=environment(through, tmp_path))
    assert "h2" in str(alpn(plane))
