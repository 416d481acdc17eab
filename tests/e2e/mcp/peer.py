"""An MCP server for tests, standard library only: says what it was asked, and misbehaves on demand.

Every line that reaches it is written into the file that it is given.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("look", "delete_all", "big", "env", "noise")]


def said(text):
    return {"content": [{"type": "text", "text": text}]}


def called(name, arguments):
    match name:
        case "big":
            return said("x" * int(arguments["size"]))
        case "env":
            return said(json.dumps(dict(os.environ)))
        case "read_notices":
            return said(os.environ["NOTICES"])
        case "noise":
            print("hello, I am noise", flush=True)
            print('{"jsonrpc":"2.0","id":"nobody","result":{}}', flush=True)
        case "exit":
            sys.exit(int(arguments["status"]))
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stderr":
            print("from the server", file=sys.stderr, flush=True)
    return said(f"did {name}")


def result(message):
    params = message.get("params") or {}
    match message["method"]:
        case "initialize":
            return {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "peer", "version": "1"},
            }
        case "tools/list":
            if "--tools" in sys.argv:
                return {"tools": json.loads(Path(sys.argv[sys.argv.index("--tools") + 1]).read_text())}
            return {"tools": TOOLS}
        case "tools/call":
            return called(params["name"], params.get("arguments") or {})
        case "resources/read":
            return {"contents": [{"uri": params["uri"], "text": "contents"}]}
    return {}


def main():
    if "--stubborn" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with Path(sys.argv[1]).open("a", encoding="utf-8") as log:
        for line in sys.stdin:
            log.write(line)
            log.flush()
            message = json.loads(line)
            for one in message if isinstance(message, list) else [message]:
                if "id" in one and "method" in one:
                    print(json.dumps({"jsonrpc": "2.0", "id": one["id"], "result": result(one)}), flush=True)
    if "--stubborn" in sys.argv:
        time.sleep(60)
    print("goodbye", file=sys.stderr)


if __name__ == "__main__":
    main()
