"""A control plane behind a reverse proxy: whom it believes, and what it refuses that came in the clear."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e.server.running import Running


@pytest.fixture
def behind(tmp_path, request):
    running = Running(tmp_path / "data", "--behind-proxy", *getattr(request, "param", ()))
    yield running
    status, rest = running.stop()
    assert status == 0, rest


def _ask(running, source="127.0.0.1", path="/v1/whoami", **headers):
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(transport=transport, base_url=running.url, timeout=60) as client:
        return client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("behind", [("--trusted-proxy", "127.0.0.9", "--rate-address", "0.1")], indirect=True)
def test_nobody_but_the_named_proxy_says_who_asks(behind):
    # The one token of an address is taken by whoever really asked, whatever stands on the left of what the proxy saw.
    first = _ask(behind, "127.0.0.9", x_forwarded_for="203.0.113.1")
    assert first.status_code == 401
    assert _ask(behind, "127.0.0.9", x_forwarded_for="198.51.100.2, 203.0.113.1").status_code == 429
    assert _ask(behind, "127.0.0.9", x_forwarded_for="203.0.113.1, 198.51.100.2").status_code == 401
    # Another peer cannot be who it says to be: all its requests are its own.
    assert _ask(behind, "127.0.0.3", x_forwarded_for="203.0.113.50").status_code == 401
    assert _ask(behind, "127.0.0.3", x_forwarded_for="203.0.113.51").status_code == 429


def test_what_came_to_the_proxy_in_the_clear_from_elsewhere_is_refused(behind):
    key = f"Bearer {behind.key()}"
    outside = {"x_forwarded_for": "203.0.113.7", "authorization": key}
    refused = _ask(behind, x_forwarded_proto="http", **outside)
    assert refused.status_code == 403
    assert "HTTPS" in refused.json()["error"]["message"]
    # The nearest proxy's word counts, not what the client wrote before it.
    assert _ask(behind, x_forwarded_proto="https, http", **outside).status_code == 403
    assert _ask(behind, x_forwarded_proto="http, https", **outside).status_code == 200
    assert _ask(behind, x_forwarded_proto="https", **outside).status_code == 200
    assert _ask(behind, **outside).status_code == 200
    assert _ask(behind, path="/readyz", x_forwarded_proto="http", x_forwarded_for="203.0.113.7").status_code == 200


def test_failed_sign_ins_are_counted_by_who_really_asks(behind):
    def sign_in(forged, real):
        headers = {"X-Forwarded-For": f"{forged}, {real}", "X-Forwarded-Proto": "https"}
        body = {"user": "admin", "password": "wrong"}
        return httpx.post(f"{behind.url}/v1/sessions", json=body, headers=headers, trust_env=False, timeout=20)

    statuses = [sign_in(f"198.51.100.{i}", "203.0.113.7").status_code for i in range(10)]
    assert statuses[:8] == [401] * 8
    assert 429 in statuses[8:]
    assert sign_in("198.51.100.1", "203.0.113.8").status_code == 401
