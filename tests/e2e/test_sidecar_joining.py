"""A call that the client told, and what the kernel or the proxy saw of it, are one act in what the sidecar reports."""

from __future__ import annotations

import json

import pytest

from kaizen_security.client.http import Connection
from tests.e2e.line import Line
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


def test_the_control_plane_lists_them_as_one_act_whichever_came_first(tmp_path):
    with Line.started(tmp_path) as line:
        key = {"Authorization": f"Bearer {line.environment['KAIZEN_API_KEY']}"}

        def ask(url: str, method: str, path: str, document: dict | None = None) -> dict:
            connection = Connection(line.environment[url])
            body = None if document is None else json.dumps(document).encode()
            status, _, answer = connection.request(method, path, body, key, 30.0)
            connection.close()
            assert status in (200, 201), answer
            return json.loads(answer)

        def called(agent: str) -> None:
            call = {"tool": "fetch", "target": "api.example:443", "id": "call", "run_id": "r"}
            ask("KAIZEN_SIDECAR", "POST", "/v1/inspect", {"agent": agent, "action": call})

        def seen(agent: str, *sources: str) -> None:
            effects = [
                {"kind": "connect", "target": "api.example:443", "id": source, "metadata": {"source": source}}
                for source in sources
            ]
            reports = [{"agent": agent, "action": effect, "verdict": None} for effect in effects]
            ask("KAIZEN_SIDECAR", "POST", "/v1/verdicts:batch", {"reports": reports})

        called("told-first")
        seen("told-first", "egress", "ebpf")
        seen("seen-first", "egress")
        called("seen-first")
        for agent in ("told-first", "seen-first"):
            ended = {"step": "result", "run_id": "r", "action_id": "call", "content": "ok"}
            ask("KAIZEN_SIDECAR", "POST", "/v1/steps", {"agent": agent, "steps": [ended]})

        def act(agent: str, rows: int) -> dict:
            found = ask("KAIZEN_API_URL", "GET", f"/v1/acts?agent={agent}")["acts"]
            return found[0] if len(found) == 1 and len(found[0]["rows"]) == rows else {}

        first = until(lambda: act("told-first", 3), "the act that was told first")
        other = until(lambda: act("seen-first", 2), "the act that was seen first")
    assert (first["joined"], first["act_id"], first["rung_number"]) == ("call and effect", "call", 4)
    assert (other["joined"], other["act_id"], other["rung_number"]) == ("call and effect", "call", 3)
