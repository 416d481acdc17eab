"""A server that is restarted still knows what agents normally do. (``tests/soak/killed.py`` kills it.)"""

from __future__ import annotations

from tests.e2e.server.running import Running, report


def test_what_an_agent_normally_does_survives_a_restart(tmp_path):
    running = Running(tmp_path)
    token = running.key()
    with running.call() as call:
        for i in range(130):
            call.post(
                "/v1/verdicts", json={"agent": "steady", **report("issue_refund", "api.stripe.com:443", id=f"{i}")}
            )
        learned = call.get("/v1/agents/steady/profile").json()["profile"]
        assert learned["seen"] == 130
    assert running.stop()[0] == 0
    running = Running(tmp_path)
    assert running.key() != token
    with running.call() as call:
        assert call.get("/v1/agents/steady/profile").json()["profile"]["learned"] == learned["learned"]
        usual = call.post(
            "/v1/verdicts", json={"agent": "steady", **report("issue_refund", "api.stripe.com:443")}
        ).json()
        assert usual["flagged"] is False
        odd = call.post("/v1/verdicts", json={"agent": "steady", **report("wire_money", "api.stripe.com:443")}).json()
        assert odd["reason"].startswith("behavioral anomaly: this agent did a tool it has never used (wire_money).")
    assert running.stop()[0] == 0
