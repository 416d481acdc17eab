"""``python -m tests.integrations.alone MODULE DRIVER HOW AGENT SOCKET DATA URL``: a framework's agent in a process of its own.

``ends``: it runs once, and the process just ends. ``forks``: a child that was forked off runs it, then its parent does.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from typing import Any

from kaizen_security import Kaizen
from tests.integrations.agent import World

PROMPT = "Please look at bill b1."
BOUND = 60.0


def main(module: str, name: str, how: str, agent: str, socket: str, data: str, url: str) -> int:
    """0 when all was as it should be."""
    driver = getattr(importlib.import_module(module), name)()
    kaizen = Kaizen(agent=agent, sidecar=f"unix://{socket}", data=data, deadline=BOUND)
    path = "async" if "async" in driver.paths else driver.paths[0]
    if how == "ends":
        return _once(driver, path, url, kaizen)
    # The client has threads and connections when the fork comes; the framework, which may have what outlives none, has not.
    if not kaizen.inspect(tool="wipe").blocked:
        return 4
    child = os.fork()
    if child == 0:
        loop = getattr(driver, "loop", None)
        if isinstance(loop, asyncio.AbstractEventLoop):
            driver.loop = asyncio.new_event_loop()
        status = _once(driver, path, url, kaizen)
        os._exit(status or (0 if kaizen.flush(BOUND) and kaizen.lost == {} else 3))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status or _once(driver, path, url, kaizen)


def _once(driver: Any, path: str, url: str, kaizen: Kaizen) -> int:
    world = World()
    built = driver.build(url, world.tools(coroutine=path == "async"), kaizen)
    said = driver.run(built, path, PROMPT)
    return 0 if "Done." in said and world.names == ["bill_read"] else 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
