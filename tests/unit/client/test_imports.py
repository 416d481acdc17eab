"""Our threads import nothing: a fork in the middle of an import would leave its lock held in the child for ever."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
import sys
import threading

import pytest

BODY = """
import sys, threading
from kaizen_security import Kaizen
found = []
class Watch:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread():
            found.append(name)
sys.meta_path.insert(0, Watch())
kaizen = Kaizen("kz_live_" + "k" * 43, sys.argv[1], data=sys.argv[2], sync=sys.argv[3] == "sync", deadline=2)
for n in range(60):
    kaizen.inspect(tool=f"t{n}")
sys.stdin.read()  # until the test has seen a report arrive
print(found)
"""


class Answer(http.server.BaseHTTPRequestHandler):
    """Says yes to everything."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command == "POST":
            self.server.reported.set()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST

    def log_message(self, *words):
        pass


@contextlib.contextmanager
def serving():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.reported = threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("sync", ["sync", "later"])
def test_no_thread_of_ours_imports_a_module_for_the_first_time(tmp_path, host, sync):
    with serving() as server:
        url = f"http://{host}:{server.server_address[1]}"
        words = [sys.executable, "-c", BODY, url, str(tmp_path), sync]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert server.reported.wait(30)
            said, _ = process.communicate(timeout=30)
    assert said.strip() == "[]"
