"""``/metrics`` is what Prometheus reads, tells nothing that an agent said, and needs a key when it might come from elsewhere."""

from __future__ import annotations

import re

import httpx

from tests.e2e.server.running import Caller, Running, report

LINE = re.compile(r"# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+=\"[^\"\n]*\"(,[a-z_]+=\"[^\"\n]*\")*\})? -?[0-9.e+-]+")


def values(text):
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def test_counts_follow_what_happens_and_no_agent_names_a_series(tmp_path):
    running = Running(tmp_path)
    with Caller(running.url) as anybody, running.call() as agent:
        for tool in ("canary-tool", "other"):
            assert (
                agent.post("/v1/verdicts", json={"agent": "canary-agent", **report(tool, id=tool)}).status_code == 201
            )
        agent.post("/v1/verdicts", json={"agent": "canary-agent", **report("other", id="other")})
        agent.get("/v1/canary-path")
        anybody.get("/v1/whoami")
        anybody.post("/v1/sessions", json={"user": "admin", "password": "wrong"})
        answer = anybody.get("/metrics")
        assert answer.status_code == 200
        text = answer.text
    assert [line for line in text.splitlines() if not LINE.fullmatch(line)] == []
    assert "canary" not in text
    found = values(text)
    assert found['kaizen_http_requests_total{route="/v1/verdicts",method="POST",status="201"}'] == "2"
    assert found['kaizen_http_requests_total{route="unmatched",method="GET",status="404"}'] == "1"
    assert found['kaizen_http_requests_total{route="/v1/whoami",method="GET",status="401"}'] == "1"
    assert found['kaizen_verdicts_total{decision="allow",origin="claim"}'] == "2"
    assert found["kaizen_duplicate_reports_total"] == "1"
    assert found["kaizen_sign_in_failures_total"] == "1"
    assert found['kaizen_connections_turned_away_total{why="no_room"}'] == "0"
    assert found['kaizen_store_seconds_count{operation="append"}'] == "3"
    assert int(found["process_resident_memory_bytes"]) > 1 << 20
    assert int(found["process_open_fds"]) > 3
    assert running.stop()[0] == 0


def test_a_page_that_rebinds_its_name_gets_none_and_neither_does_anybody_behind_a_proxy(tmp_path):
    running = Running(tmp_path / "a")
    with httpx.Client(base_url=running.url, trust_env=False, timeout=60) as client:
        assert client.get("/metrics", headers={"Host": f"evil.example:{running.port}"}).status_code == 401
        key = running.key()
        with_key = {"Host": "kaizen.example", "Authorization": f"Bearer {key}"}
        assert client.get("/metrics", headers=with_key).status_code == 200
    assert running.stop()[0] == 0
    running = Running(tmp_path / "b", "--behind-proxy")
    with httpx.Client(base_url=running.url, trust_env=False, timeout=60) as client:
        assert client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 401
    assert running.stop()[0] == 0


def test_who_sends_too_much_is_told_when_to_come_back(tmp_path):
    running = Running(tmp_path, "--rate-key", "0.3", "--rate-address", "0")
    with running.call() as agent, running.call() as other:
        statuses = [agent.get("/v1/whoami").status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        refused = agent.get("/v1/whoami")
        assert refused.json()["error"]["code"] == "rate_limited"
        assert 1 <= int(refused.headers["Retry-After"]) <= 4
        assert other.get("/v1/whoami").status_code == 200
    with Caller(running.url) as anybody:
        assert values(anybody.get("/metrics").text)['kaizen_rate_limited_total{by="key"}'] == "3"
    assert running.stop()[0] == 0
    running = Running(tmp_path, "--rate-address", "0.2")
    with Caller(running.url) as anybody:
        assert [anybody.get("/v1/whoami").status_code for _ in range(3)] == [401, 401, 429]
        assert anybody.get("/healthz").status_code == 200
    assert running.stop()[0] == 0


def test_an_agents_own_key_reads_no_sums_of_the_whole_server(server):
    for (scope, agent), status in {
        ("agent", "one"): 403,
        ("sdk", ""): 403,
        ("agent", ""): 200,
        ("collector", ""): 200,
        ("observer", ""): 200,
    }.items():
        with server.call(scope, agent) as key:
            assert key.get("/metrics", headers={"Host": "kaizen.example"}).status_code == status, (scope, agent)
