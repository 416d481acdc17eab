"""What a full spool refused does not stand in the control plane without its facts when its act becomes known later."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from kaizen_security.client.spool import Spool
from kaizen_security.contract.action import Action
from kaizen_security.sidecar.run import Parts
from kaizen_security.sidecar.settings import Settings


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    made = Parts(Settings(socket=tmp_path / "s", data=tmp_path / "data", port=-1, api_key="kz_live_" + "x" * 43))
    made.uplink.spool = Spool(tmp_path / "small", max_bytes=20_000)
    made.uplink.state = "unreachable"  # nothing is sent here: it is what waits that is looked at
    return made


def taken(parts: Parts) -> list[dict[str, Any]]:
    """What waits, and make room."""
    found: list[dict[str, Any]] = []
    while (batch := parts.uplink.spool.read()).records:
        found += [json.loads(one)["action"] for one in batch.records]
        parts.uplink.spool.done(batch.position)
    return found


def test_a_refused_row_comes_whole_when_it_is_told_again_and_not_at_all_before(parts: Parts):
    def told(id_: str, source: str, act: str = "") -> bool:
        metadata = {"source": source, "arguments": {"page": "1"}}
        action = Action(tool="fetch", id=id_, run_id="r", act_id=act, at=1000.0, agent="a", metadata=metadata)
        return asyncio.run(parts.sidecar._observe(action, None))[1]

    filler = Action(tool="search", target="https://host.example/" + "x/" * 500, agent="b")
    while asyncio.run(parts.sidecar._observe(filler, None))[1]:
        pass
    assert not told("first", "mcp")
    taken(parts)
    assert told("second", "langchain", act="call_7")
    assert [row["id"] for row in taken(parts)] == ["second"]
    assert told("first", "mcp")
    (row,) = taken(parts)
    assert (row["id"], row["act_id"], len(row["metadata"]["facts"])) == ("first", "call_7", 1)
    parts.uplink.spool.close()
