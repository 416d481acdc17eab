"""Frames that a hostile client would write, to a real shim and a real gateway in enforce with nobody to answer: no call arrives.

A server is taken to read as leniently as it can: whatever reaches it and could be taken for a call is one.
"""

from __future__ import annotations

import json
import socket

import pytest

from tests.e2e.mcp.http_peer import HttpPeer
from tests.e2e.mcp.shimmed import Shim
from tests.e2e.mcp.test_gateway import Gateway

CALL = '"params":{"name":"delete_all","arguments":{}}'
METHODS = (
    *(
        "tools/call",
        "tools\\u002fcall",
        "tools\\/call",
        "tools/call ",
        "tools/call\\u0000",
        "tools/call\\n",
        "\\ufefftools/call",
    ),
    *(
        "TOOLS/CALL",
        "tools//call",
        "tools/call\\ud800",
        "tools/call\\u200b",
        "\\uff54ools/call",
        "tools/call?x",
        "tools\\\\call",
    ),
)
IDS = ("9" * 6000, "1e400", "-1e400", "null", "{}", "[]", "true", "NaN", '"\\ud800"', '"' + "x" * 5000 + '"')
BODIES = [
    *(f'{{"jsonrpc":"2.0","id":ID,"method":"{method}",{CALL}}}' for method in METHODS),
    *(f'{{"jsonrpc":"2.0","id":{id_},"method":"tools/call",{CALL}}}' for id_ in IDS),
    f'{{"jsonrpc":"2.0","id":ID,"method":"ping","method":"tools/call",{CALL}}}',
    f'{{"jsonrpc":"2.0","id":ID,"m\\u0065thod":"ping","method":"tools/call",{CALL}}}',
    f'{{"jsonrpc":"2.0","id":ID,"method":"ping","Method":"tools/call",{CALL}}}',
    f'[[{{"jsonrpc":"2.0","id":ID,"method":"tools/call",{CALL}}}]]',
    f'[{{"jsonrpc":"2.0","id":"p","method":"ping"}},[{{"jsonrpc":"2.0","id":ID,"method":"tools/call",{CALL}}}]]',
    f'{{"jsonrpc":"2.0","method":"tools/call",{CALL}}}',
    '{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":["delete_all",{}]}',
    '{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":"delete_all"}',
    '{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"delete_all\\ud800"}}',
    f'\ufeff{{"jsonrpc":"2.0","id":ID,"method":"tools/call",{CALL}}}',
    f'\0{{"jsonrpc":"2.0","id":ID,"method":"tools/call",{CALL}}}',
    f'{{"jsonrpc":"2.0","id":ID,"method":"tools/call",{CALL}}}\0',
    f'\x0b{{"jsonrpc":"2.0","id":ID,"method":"tools/call",{CALL}}}',
    f'/**/{{"jsonrpc":"2.0","id":ID,"method":"tools/call",{CALL}}}',
    f'{{"jsonrpc":"2.0","id":ID,"method":"tools/call",{CALL},}}',
    f'{{"jsonrpc":"2.0","id":ID,"method":"tools/call",{CALL}}}\r{{"jsonrpc":"2.0","id":"r","method":"tools/call",{CALL}}}',
    f'{{"jsonrpc":"2.0","id":ID,"method":"tools/call",{CALL}}}{{"jsonrpc":"2.0","id":"r","method":"tools/call",{CALL}}}',
    f'{{"jsonrpc":"2.0","id":ID,"result":{{}},"method":"tools/call",{CALL}}}',
    f'{{"jsonrpc":2.0,"id":ID,"method":"tools/call",{CALL}}}',
    f'{{"id":ID,"method":"tools/call",{CALL}}}',
    '{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":' + "[" * 20_000 + "]" * 20_000 + "}",
]
FRAMES = [body.replace("ID", str(1000 + n)).encode() for n, body in enumerate(BODIES)]
FRAMES += [
    b'{"jsonrpc":"2.0","id":"\xed\xa0\x80","method":"tools/call",%s}' % CALL.encode(),
    json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "delete_all"}}).encode("utf-16"),
]


@pytest.fixture
def nobody(tmp_path):
    return {"KAIZEN_MODE": "enforce", "KAIZEN_SIDECAR": f"unix://{tmp_path}/none.sock", "KAIZEN_DEADLINE": "0.5"}


@pytest.mark.parametrize("end", [b"", b"\r"], ids=["LF", "CRLF"])
def test_no_call_reaches_a_server_over_standard_input(tmp_path, nobody, end):
    with Shim(tmp_path, command=["tee", str(tmp_path / "reached.jsonl")], **nobody) as shim:
        _, err = shim.process.communicate(b"".join(frame + end + b"\n" for frame in FRAMES), timeout=60)
    assert b"Traceback" not in err
    assert (tmp_path / "reached.jsonl").read_bytes() == b""


def test_no_call_reaches_a_server_over_http(tmp_path, nobody):
    peer = HttpPeer()
    gateway = Gateway(tmp_path, "--server", f"desk={peer.url}", **nobody)
    try:
        for frame in FRAMES:
            assert gateway.post(frame).status_code < 500
        for spoken in CHUNKED:
            said_over(gateway, spoken)
        assert gateway.post({"jsonrpc": "2.0", "id": "last", "method": "ping"}).status_code == 200
        assert peer.reached
        assert not [body for _, body in peer.reached if b"delete_all" in body]
    finally:
        assert "Traceback" not in gateway.end()
        peer.close()


BODY = FRAMES[0]
SIZE = b"%x" % len(BODY)
CHUNKED = [
    # Chunks that are written oddly, and bodies of which two lengths are told: whatever is taken for the body, no call passes.
    SIZE + b";x=y\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"000000" + SIZE + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"0x" + SIZE + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"+" + SIZE + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    SIZE + b"\n" + BODY + b"\n0\n\n",
    b"1\r\n{\r\n" + b"%x" % (len(BODY) - 1) + b"\r\n" + BODY[1:] + b"\r\n0\r\nMcp-Method: ping\r\n\r\n",
    b"f" * 40 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
]


def said_over(gateway, body):
    """What the gateway answers to a body that goes over the wire as it is written here."""
    url = gateway.call.base_url
    for more in (b"", b"Content-Length: %d\r\n" % len(body)):
        with socket.create_connection((url.host, url.port), timeout=5) as wire:
            wire.sendall(
                b"POST /desk/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: */*\r\n"
                b"Connection: close\r\nTransfer-Encoding: chunked\r\n" + more + b"\r\n" + body
            )
            wire.shutdown(socket.SHUT_WR)
            try:
                while wire.recv(1 << 16):
                    pass
            except (ConnectionResetError, TimeoutError):
                pass
