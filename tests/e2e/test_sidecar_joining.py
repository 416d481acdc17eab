"""A call that the client told, and what the kernel or the proxy saw of it, are one act in what the sidecar reports."""

from __future__ import annotations

import pytest

from tests.e2e.sidecar_process import Process, until
from tests.e2e.sidecar_upstream import OWN, Upstream


@pytest.mark.parametrize("source", ["ebpf", "egress"])
def test_call_and_effect_share_their_act(tmp_path, source: str):
    upstream = Upstream()
    upstream.start()
    sidecar = Process(tmp_path, api_url=upstream.url, api_key=OWN).start()
    try:
        call = {"kind": "tool_call", "tool": "fetch", "target": "api.example:443", "id": "call-1", "run_id": "r"}
        assert sidecar.ask("POST", "/v1/inspect", {"agent": "a", "action": call})[0] == 200
        effect = {"kind": "connect", "target": "api.example:443", "id": "effect-1", "metadata": {"source": source}}
        elsewhere = {
            "kind": "connect",
            "target": "attacker.example:443",
            "id": "effect-2",
            "metadata": {"source": source},
        }
        reports = [{"agent": "a", "action": action, "verdict": None} for action in (effect, elsewhere)]
        assert sidecar.ask("POST", "/v1/verdicts:batch", {"reports": reports})[0] == 200
        _, health = sidecar.ask("GET", "/healthz")
        assert health["joined"] == {"joined": 1, "effect elsewhere": 1}
        rows = until(lambda: len(upstream.reports) >= 3 and upstream.reports, "the reports")
        by_id = {row.action.id: row for row in rows}
        joined = by_id["effect-1"].action
        assert (joined.act_id, joined.run_id, joined.seen_by[-1]) == ("call-1", "r", source)
        assert any(note.startswith("effect elsewhere") for note in by_id["effect-2"].verdict.notes)
    finally:
        sidecar.stop()
        upstream.stop()
