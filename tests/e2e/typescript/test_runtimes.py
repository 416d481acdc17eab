"""Agents on Bun and Deno: judged, reported, and ended as on Node. (``run.sh test-bun`` runs all of ``typescript/test``.)"""

from __future__ import annotations

import json
import shutil

import pytest

from tests.e2e.typescript.conftest import EVALUATING
from tests.e2e.typescript.test_losses import MANY, names


@pytest.fixture(params=["bun", "deno"])
def runtime(sdk, request):
    if shutil.which(EVALUATING[request.param][0]) is None:
        pytest.skip(f"npm has no {request.param} for this machine")
    return request.param


def test_it_judges_and_reports(agents):
    agents.up()
    out = agents.ran(
        "const [verdict, refused] = [await kaizen.inspect({ tool: 'search', target: 'api.example:443' }),\n"
        "  await kaizen.enforce({ tool: 'send', target: 'www.evil.example' }).catch((err) => err)];\n"
        "console.log(JSON.stringify([verdict.decision, refused.message, refused.verdict.evidence[0].kind]));\n"
        "if (!(await kaizen.flush(60))) throw new Error(kaizen.problem);\n"
        "console.log(JSON.stringify(kaizen.lost));",
        policies=[{"mode": "blocklist", "rules": {"domains": ["evil.example"]}}],
    )
    said, lost = map(json.loads, out.splitlines())
    assert said == ["allow", "Blocked by Kaizen: blocked by policy: malicious domain", "malicious domain"]
    assert lost == {}
    assert sorted(agents.arrived()) == ["search", "send"]


@pytest.mark.parametrize("end", ["", "process.exit(0);"], ids=["by itself", "exit"])
def test_nothing_is_lost_however_it_ends(agents, end):
    agents.up()
    agents.ran(MANY + end)
    assert agents.later() == {}
    assert set(names(500)) <= set(agents.arrived())


def test_what_nobody_took_waits_in_the_spool(agents):
    agents.ran(MANY)
    agents.up()
    assert agents.later() == {}
    assert sorted(agents.arrived()) == sorted([*names(500), "later"])
