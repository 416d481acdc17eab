"""The JSON-RPC layer under frames that nobody would write: mutated by us, and by a coverage-guided fuzzer where one can be had.

``python -m tests.soak.mcp_fuzz SECONDS`` runs atheris in the interpreter that has it.
"""

from __future__ import annotations

import itertools
import json
import random
import resource
from collections.abc import Iterator
from pathlib import Path

from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.mcp.events import Events, LargeEvent, TooLong
from kaizen_security.mcp.frames import LIMITS, Limits
from kaizen_security.mcp.large import Large
from kaizen_security.mcp.relay import Relay
from kaizen_security.mcp.shelf import Shelf
from kaizen_security.mcp.warden import Warden
from tests.soak.guided import guided, run_atheris
from tests.unit.mcp.lenient import called

FULL, SHORT = 300_000, 3_000
SECONDS = 60
BLOCK, ALLOW = (Verdict(decision=decision, reason="") for decision in (Decision.BLOCK, Decision.ALLOW))

OF_CLIENT = [
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","arguments":{"at":"https://a.example/x"}}}',
    b'{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"delete_all"}}',
    b'[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_all"}},{"jsonrpc":"2.0","method":"ping","id":2}]',
    b'{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"file:///etc/passwd","_meta":{"progressToken":1}}}',
    b'{"jsonrpc":"2.0","id":4,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"x"},"argument":{}}}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}',
    b'{"jsonrpc":"2.0","id":1e0,"result":{"action":"accept","content":{"a":1}}}',
    b'{"jsonrpc":"2.0","id":5,"method":"tools/call","Method":"ping","params":{"name":"look","NAME":"delete_all"}}',
    b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"delete_all","_meta":{"kaizen-security/request":"Look."}}}',
    b'{"jsonrpc":"2.0","id":6,"method":"ping","method":"tools/call","params":{"name":"delete_all"}}',
]
OF_SERVER = [
    b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"ok"}],"isError":false}}',
    b'{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"look","description":"Looks.","inputSchema":{"type":"object"}}]}}',
    b'{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}',
    b'{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}',
    b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":0.5}}',
]
BITS = [
    *(b'{|}|[|]|"|\\|,|:|null|true|NaN|-0|1e999|\r|\n|\x00|\xff|\xed\xa0\x80|\xef\xbb\xbf|"id":null|"id":1.0|"method":"tools/call"'
    b'|"name":"delete_all"|\\u0000|\\ud800|/**/|"params":[]|"__proto__":{}'.split(b"|")),
    b"9" * 400,
    b"9" * 5000,
    b"[" * 200,
    b'{"a":' * 200,
    b"[" * 100_000,
]  # fmt: skip


def one(data: bytes) -> None:
    """One input: what the client or the server sends, by its first byte. Raises AssertionError when a law is broken."""
    kind, data = data[:1] or b"\0", data[1:]
    relay = Relay(
        server="files",
        run=lambda message: "run",
        ids=map(str, itertools.count()).__next__,
        ward=Warden(Shelf(""), "files", enforcing=lambda: True, now=lambda: 0.0),
        limits=Limits(pending=8),
        lined=kind[0] & 2 == 0,
    )
    relay.settle(
        relay.from_client(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look"}}', 0.0), [ALLOW]
    )
    relay.settle(relay.from_client(b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}', 0.0), [])
    if kind[0] & 4:
        _stream(data)
    if kind[0] & 1:
        _of_server(relay, data)
    else:
        _of_client(relay, data, judged=kind[0] & 8 == 0)
    assert relay.waiting <= 8


def _of_client(relay: Relay, data: bytes, *, judged: bool) -> None:
    crossing = relay.from_client(data, 0.0)
    verdicts = [BLOCK if action.tool == "delete_all" else ALLOW for action in crossing.asks] if judged else []
    moves = relay.settle(crossing, verdicts)
    reached = called(moves.to_server, lined=relay.lined)
    assert "delete_all" not in reached
    assert judged or reached == []
    assert all(name in {action.tool for action in crossing.asks} for name in reached)
    for answer in moves.to_client:
        json.loads(answer)


def _of_server(relay: Relay, data: bytes) -> None:
    crossing = relay.from_server(data, 0.0)
    for line in relay.settle(crossing, [ALLOW for _ in crossing.asks]).to_client:
        document = json.loads(line)
        for message in document if isinstance(document, list) else [document]:
            assert "method" in message or message["id"] in (1, 2)


def _stream(data: bytes) -> None:
    """The same bytes as a stream of events, and as a large reply: no byte is lost, and nothing but a refusal is raised."""
    events, large = Events(Limits(frame=200)), Large(LIMITS)
    try:
        for at in range(0, len(data), 97):
            large.feed(data[at : at + 97])
            for event in events.feed(data[at : at + 97]):
                if isinstance(event, LargeEvent):
                    event.large.close()
    except TooLong:
        pass
    finally:
        events.close()
        large.close()


def mutated(chance: random.Random) -> bytes:
    """A frame that was spoiled in one to six places."""
    kind = chance.randrange(16)
    data = chance.choice(OF_SERVER if kind & 1 else OF_CLIENT)
    for _ in range(chance.randint(1, 6)):
        at, end = sorted(chance.choices(range(len(data) + 1), k=2))
        match chance.randrange(5):
            case 0:
                data = data[:at] + chance.choice(BITS[:-1] if chance.random() < 0.99 else BITS) + data[at:]
            case 1:
                data = data[:at] + data[end:]
            case 2:
                data = data[:at] + data[at:end] * chance.randint(1, 3) + data[end:]
            case 3:
                data = data[:at] + chance.randbytes(chance.randint(1, 4)) + data[at:]
            case 4:
                data = data[:at] + data[at:end].swapcase() + data[end:]
    return bytes([kind]) + data


def soak(amount: int, directory: Path) -> dict[str, object]:
    """``amount`` mutated frames; in the full form also a minute of atheris, where the registry has it."""
    chance = random.Random(amount)
    for _ in range(200):
        one(mutated(chance))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(amount):
        data = mutated(chance)
        try:
            one(data)
        except Exception as err:
            raise AssertionError(f"{type(err).__name__} {err} at {data[:500]!r}") from err
    grew = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grew < 64_000, f"memory grew by {grew} KB"
    figures: dict[str, object] = {"frames": amount, "grew_kb": grew}
    return figures | (guided(directory, "tests.soak.mcp_fuzz", seeds(), seconds=SECONDS) if amount == FULL else {})


def seeds() -> Iterator[bytes]:
    """What the fuzzer begins with."""
    for kind, samples in ((0, OF_CLIENT), (1, OF_SERVER)):
        yield from (bytes([kind]) + data for data in samples)


if __name__ == "__main__":
    run_atheris(one)
