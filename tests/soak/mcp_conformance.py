"""The protocol's conformance suite through the shim, and its client scenarios with the gateway between: each check comes out as it
does without them.

The suite speaks HTTP only, the shim standard input and output. So one server is put behind public bridges from npm, which pass on
what they read, once directly and once with ``kaizen-mcp --`` between; what a bridge itself does not do fails both times. The short
form takes the gateway for the bridge, and one scenario.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.mcp import official
from tests.e2e.mcp.shimmed import SHIM, bare
from tests.e2e.mcp.talking import free_port, listening
from tests.e2e.mcp.test_gateway import Gateway

BRIDGES = ("supergateway@4", "mcp-proxy@6")
FULL, SHORT = len(BRIDGES), 0
"""Public bridges."""
SERVER = Path(official.__file__).with_name("conformance_server.mjs")
CLIENT = SERVER.with_name("conformance_client.mjs")
SCENARIOS = ("initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry")
"""Those of the client suite without signing in."""
SHIMMED = [*SHIM, "--name", "peer", "--"]


def soak(amount: int, directory: Path) -> dict[str, object]:
    """The suite through so many bridges."""
    try:
        newer, node = official.newer_node(), official.node()
        bridges = directory / "bridges"
        if amount:
            official.project(bridges, *BRIDGES[:amount])
    except official.Absent as err:
        return {"absent": str(err)}
    shutil.copy(SERVER, node / SERVER.name)
    server = ["node", str(node / SERVER.name), "stdio"]
    if not amount:
        return {"gateway": _compared(newer, directory, server, _gateway, ["--scenario", "tools-call-sampling"])}
    found = {}
    for package in BRIDGES[:amount]:
        program = bridges / "node_modules/.bin" / package.partition("@")[0]

        @contextmanager
        def bridge(words: list[str], place: Path, program: Path = program) -> Iterator[str]:
            port = free_port()
            command = [str(official.runtime(newer)), str(program.resolve()), *_options(program.name, words, port)]
            with listening(command, port, place) as url:
                yield url

        found[package] = _compared(newer, directory, server, bridge, ["--suite", "all"])
    return {**found, "client scenarios, gateway between": _client_scenarios(newer, node, directory)}


def _client_scenarios(newer, node, directory):
    """One after the other: the suite gives a client only so long."""
    shutil.copy(CLIENT, node / CLIENT.name)
    client = ["node", str(node / CLIENT.name)]
    checks = []
    for between in ([], [sys.executable, str(CLIENT.with_name("between.py"))]):
        found = []
        for scenario in SCENARIOS:
            # Pins of its own: each scenario is another server under the same name, which would be held back.
            place = directory / f"{scenario}-{len(between)}"
            place.mkdir()
            command = ["--command", " ".join([*between, *client]), "--scenario", scenario]
            found += [one for one in _run(newer, place, "client", *command) if "timing" not in one[1]]
        checks.append(sorted(found))
    direct, through = checks
    assert through == direct, [one for one in (*direct, *through) if (one in direct) != (one in through)]
    return {"checks": len(direct), **Counter(status for _, _, status in direct)}


def _options(bridge: str, words: list[str], port: int) -> list[str]:
    if bridge == "supergateway":
        return [
            *("--stdio", " ".join(words), "--outputTransport", "streamableHttp", "--stateful", "--port", str(port)),
        ]
    return ["--port", str(port), "--server", "stream", "--streamEndpoint", "/mcp", "--", *words]


@contextmanager
def _gateway(words: list[str], place: Path) -> Iterator[str]:
    settings = place / "gateway.toml"
    settings.write_text(f"[servers.peer]\ncommand = {json.dumps(words)}\n")
    gateway = Gateway(place, "--config", str(settings))
    try:
        yield gateway.url("peer")
    finally:
        assert "Traceback" not in gateway.end()


def _compared(newer, directory, server, bridge, which):
    checks = []
    for name, shim in (("direct", []), ("through", SHIMMED)):
        place = directory / f"{name}-{len(list(directory.iterdir()))}"
        place.mkdir()
        with bridge([*shim, *server], place) as url:
            checks.append(_run(newer, place, "server", *which, "--url", url))
    direct, through = checks
    assert direct, "the suite found nothing to check"
    assert through == direct, [one for one in (*direct, *through) if (one in direct) != (one in through)]
    return {"checks": len(direct), **Counter(status for _, _, status in direct)}


def _run(newer, place, *words):
    script = newer / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
    out = place / f"out-{len(list(place.glob('out-*')))}"
    subprocess.run(
        [str(official.runtime(newer)), str(script), *words, "-o", str(out)],
        capture_output=True,
        cwd=place,
        env=bare(place, HOME=str(place), NO_COLOR="1"),
        timeout=300,
    )
    found = []
    for file in out.rglob("checks.json"):
        scenario = re.sub(r"-\d{4}-\d\d-\d\dT.*", "", file.parent.name)
        found += [(scenario, one["id"], one["status"]) for one in json.loads(file.read_text())]
    # Others count events or time.
    return sorted(one for one in found if one[2] in ("SUCCESS", "FAILURE", "WARNING"))
