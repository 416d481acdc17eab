"""Clients that people use, as they are, through the proxy: git, pip, requests, httpx, urllib, openssl, Chromium."""

from __future__ import annotations

import os
import shutil
import socketserver
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.egress.peers import ControlPlane, Origin, Running, running, until

WAIT = 60.0


class Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *said: object) -> None:
        pass


class Files(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    def process_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        socketserver.ThreadingMixIn.process_request(self, request, client_address)


@contextmanager
def files(folder: Path, authority=None) -> Iterator[int]:  # type: ignore[no-untyped-def]
    """A web server over a folder, with TLS for ``api.internal`` when there is an authority: its port."""
    server = Files(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority[0].issue_cert("api.internal").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def shop(tmp_path: Path, plane: ControlPlane, authority):  # type: ignore[no-untyped-def]
    """A folder that is served as https://api.internal and http://web.internal, and the proxy in front of it."""
    folder = tmp_path / "shop"
    folder.mkdir()
    with files(folder, authority) as tls, files(folder) as plain:
        hosts = {"api.internal:443": f"127.0.0.1:{tls}", "web.internal:80": f"127.0.0.1:{plain}"}
        with running(tmp_path / "proxy", plane, hosts=hosts) as proxy:
            yield folder, proxy


def environment(proxy: Running, home: Path, authority: Path | None = None) -> dict[str, str]:
    """Nothing of this machine's settings but PATH: the proxy, and the authority as each client wants to be told."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    env |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy.url)
    if authority is not None:
        names = ("SSL_CERT_FILE", "GIT_SSL_CAINFO", "PIP_CERT", "REQUESTS_CA_BUNDLE")
        env |= dict.fromkeys(names, str(authority))
    return env


def ran(*words: object, env: dict[str, str], cwd: Path | None = None, data: bytes = b"") -> str:
    done = subprocess.run(
        [str(word) for word in words], env=env, cwd=cwd, input=data, capture_output=True, timeout=WAIT
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")[-3000:]
    return done.stdout.decode(errors="replace")


def needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def tunnelled(plane: ControlPlane, sni: str = "api.internal") -> dict[str, object]:
    """The metadata of a tunnel that has ended, as it was reported."""
    found = until(
        lambda: [a["metadata"] for a in plane.actions("api.internal:443") if a["metadata"].get("ended") == "closed"]  # type: ignore[attr-defined]
    )
    metadata: dict[str, object] = found[0]  # type: ignore[index]
    assert metadata["sni"] == sni
    return metadata


def test_git_clones_over_https(shop, tmp_path: Path, plane: ControlPlane, authority):
    needs("git")
    folder, proxy = shop
    work = tmp_path / "work"
    work.mkdir()
    env = environment(proxy, tmp_path, authority[1])
    env |= {f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    ran("git", "init", "-q", "-b", "main", env=env, cwd=work)
    (work / "big.bin").write_bytes(os.urandom(3 << 20))
    ran("git", "add", ".", env=env, cwd=work)
    ran("git", "commit", "-qm", "one", env=env, cwd=work)
    ran("git", "clone", "-q", "--bare", work, folder / "repo.git", env=env)
    ran("git", "update-server-info", env=env, cwd=folder / "repo.git")
    ran("git", "clone", "-q", "https://api.internal/repo.git", tmp_path / "copy", env=env)
    assert (tmp_path / "copy/big.bin").read_bytes() == (work / "big.bin").read_bytes()
    assert tunnelled(plane)["tls"] in ("hello", "ech")


def wheel(folder: Path) -> None:
    about = "Metadata-Version: 2.1\nName: kzdemo\nVersion: 1.0\n"
    with zipfile.ZipFile(folder / "kzdemo-1.0-py3-none-any.whl", "w") as made:
        made.writestr("kzdemo.py", "x = 1\n")
        made.writestr("kzdemo-1.0.dist-info/METADATA", about)
        made.writestr("kzdemo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr("kzdemo-1.0.dist-info/RECORD", "")


def test_pip_downloads_from_an_index(shop, tmp_path: Path, plane: ControlPlane, authority):
    folder, proxy = shop
    place = folder / "simple/kzdemo"
    place.mkdir(parents=True)
    wheel(place)
    (place / "index.html").write_text('<a href="kzdemo-1.0-py3-none-any.whl">kzdemo-1.0-py3-none-any.whl</a>')
    env = environment(proxy, tmp_path, authority[1])
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--proxy", proxy.url]
    pip += ["--cert", str(authority[1])]
    index = "https://api.internal/simple"
    ran(*pip, "download", "-q", "--no-cache-dir", "--index-url", index, "-d", tmp_path, "kzdemo", env=env)
    got = tmp_path / "kzdemo-1.0-py3-none-any.whl"
    assert got.read_bytes() == (place / got.name).read_bytes()
    tunnelled(plane)


REQUESTS = "import requests,sys; r=requests.get(sys.argv[1],timeout=20); print(r.status_code, len(r.content))"
HTTPX = (
    "import httpx,ssl,sys; c=ssl.create_default_context(); "
    "r=httpx.Client(verify=c,timeout=20).get(sys.argv[1]); print(r.status_code, len(r.content))"
)
URLLIB = "import urllib.request,sys; r=urllib.request.urlopen(sys.argv[1],timeout=20); print(r.status, len(r.read()))"


@pytest.mark.parametrize(
    "url", ["https://api.internal/data.bin", "http://web.internal/data.bin"], ids=["https", "http"]
)
@pytest.mark.parametrize("code", [REQUESTS, HTTPX, URLLIB], ids=["requests", "httpx", "urllib"])
def test_python_clients_by_their_environment(shop, tmp_path: Path, authority, code: str, url: str):
    folder, proxy = shop
    (folder / "data.bin").write_bytes(bytes(300_000))
    said = ran(sys.executable, "-c", code, url, env=environment(proxy, tmp_path, authority[1]))
    assert said.split() == ["200", "300000"]


def test_openssl_talks_through_it(proxy: Running, tmp_path: Path, plane: ControlPlane, authority):
    openssl = needs("openssl")
    words = ["s_client", "-proxy", f"{proxy.host}:{proxy.port}", "-connect", "api.internal:443"]
    words += ["-servername", "api.internal", "-CAfile", str(authority[1]), "-verify_return_error", "-quiet"]
    request = b"GET /204 HTTP/1.1\r\nHost: api.internal\r\nConnection: close\r\n\r\n"
    # Its status says whether the origin has said close_notify, which Python's does not.
    done = subprocess.run(
        [openssl, *words, "-ign_eof"],
        env=environment(proxy, tmp_path),
        input=request,
        capture_output=True,
        timeout=WAIT,
    )
    assert done.stdout.startswith(b"HTTP/1.1 204 ")
    assert b"verify error" not in done.stderr
    tunnelled(plane)


def test_chromium_loads_a_page(tmp_path: Path, plane: ControlPlane, origin: Origin, shop):
    chromium = needs("chromium")
    folder, proxy = shop
    (folder / "page.html").write_text("<p id=x></p><script>document.all.x.textContent = 'seen ' + 6 * 7</script>")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}/c"]
    flags += ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
    words = [chromium, *flags, f"--proxy-server={proxy.url}", "--dump-dom", "http://web.internal/page.html"]
    assert "seen 42" in ran(*words, env=environment(proxy, tmp_path))
    until(lambda: plane.actions("web.internal:80"))
