"""What goes both ways over the official SDKs: sampling, elicitation, roots, progress, logging, completion, cancellation, tasks,
resumption and the end of a session, directly, through the shim and through the gateway.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.mcp.shimmed import SHIM
from tests.e2e.mcp.talking import free_port, heard, listening
from tests.e2e.mcp.test_gateway import Gateway

HERE = Path(__file__).parent
ABORTED = "MCP error -32001: enough"
"""What the SDK says of a call that its caller gave up."""


@pytest.fixture
def typescript(place):
    shutil.copy(HERE / "sdk_both_ways.mjs", place("node") / "sdk_both_ways.mjs")
    return ["node", place("node") / "sdk_both_ways.mjs"]


@pytest.fixture
def python(place):
    return [place("sdk1"), HERE / "sdk_both_ways.py"]


@pytest.fixture
def suites(place):
    """The server that the conformance suite is run against."""
    shutil.copy(HERE / "conformance_server.mjs", place("node") / "conformance_server.mjs")
    return ["node", place("node") / "conformance_server.mjs"]


def over_http(client, words, tmp_path):
    """What a client hears of the server, directly and through the gateway: at once, and of a server each, since it counts."""
    with ExitStack() as stack:
        urls = []
        for _ in range(2):
            port = free_port()
            urls.append(stack.enter_context(listening([*words, str(port)], port, tmp_path)))
        through = stack.enter_context(behind(urls[0], tmp_path))
        return at_once([(client, through), (client, urls[1])], tmp_path)


@contextmanager
def behind(url, tmp_path):
    """The address of the gateway before a server."""
    gateway = Gateway(tmp_path, "--server", f"peer={url}")
    try:
        yield gateway.url("peer")
    finally:
        assert "Traceback" not in gateway.end()


def at_once(pairs, tmp_path):
    """What clients hear that run at the same time: each its words and where it goes."""
    with ThreadPoolExecutor(len(pairs)) as pool:
        return list(pool.map(lambda pair: heard([*pair[0], pair[1]], tmp_path, []), pairs))


def asked_by_the_suites_server(found):
    assert found["asked"] == ["sampling/createMessage", "elicitation/create"]
    assert found["calls"]["test_sampling"] == ["LLM response: a poem"]
    assert "ada@example.org" in found["calls"]["test_elicitation"][0]
    assert found["progressed"][:2] == [0, 50]
    assert len(found["logged"]) == 3
    assert found["calls"]["test_reconnection"] == ["Reconnected."]


def without_the_last(found):
    """The TypeScript SDK tells of progress a turn after it was read, and not any more once the reply was read: of what comes in one
    read with the reply, as the last of this server may, its caller hears nothing.
    """
    return {**found, "progressed": found["progressed"][:2]}


def test_typescript_through_the_gateway(typescript, suites, tmp_path):
    found, direct = map(without_the_last, over_http(typescript, suites, tmp_path))
    assert found == direct
    asked_by_the_suites_server(found)
    assert (found["cancelled"], found["calls"]["count_cancelled"]) == (ABORTED, ["1"])
    assert found["completion"]["values"] == ["paris", "park", "party"]
    assert found["session"] == "ended"


def test_typescript_through_the_shim(typescript, suites, tmp_path):
    direct = without_the_last(heard([*typescript, "--", *suites, "stdio"], tmp_path, []))
    assert without_the_last(heard([*typescript, "--", *SHIM, "--", *suites, "stdio"], tmp_path, [])) == direct
    asked_by_the_suites_server(direct)
    assert (direct["cancelled"], direct["calls"]["count_cancelled"]) == (ABORTED, ["1"])


def test_python_through_the_gateway(python, suites, tmp_path):
    found, direct = over_http(python, suites, tmp_path)
    assert found == direct
    asked_by_the_suites_server(found)
    assert found["progressed"] == [0, 50, 100]
    assert found["completion"] == ["paris", "park", "party"]


def without_how_often(found):
    """This server asks for roots by a timer of its own, once or twice before the call, and logs each time."""
    return {**found, "asked": sorted(set(found["asked"])), "logged": []}


def test_roots_and_tasks_through_the_gateway(typescript, python, place, tmp_path):
    port = free_port()
    server = [place("node") / "node_modules/.bin/mcp-server-everything", "streamableHttp"]
    with listening(server, port, tmp_path, PORT=str(port)) as url, behind(url, tmp_path) as through:
        pairs = [(client, where) for client in (typescript, python) for where in (through, url)]
        heard_of_it = list(map(without_how_often, at_once(pairs, tmp_path)))
    assert heard_of_it[0] == heard_of_it[1]
    assert heard_of_it[2] == heard_of_it[3]
    for found in heard_of_it[::2]:
        assert "roots/list" in found["asked"]
        assert "file:///srv/project" in "".join(found["calls"]["get-roots-list"])
        assert "completed" in found["task"]
        assert len(found["task_result"]) == 1
