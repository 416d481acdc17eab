"""Work that may hang, in a thread of its own: whoever waits for it may give up, and the end of the process does not wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def aside(function: Callable[[], T], *, name: str) -> T:
    """What ``function`` gives, or raises. Cancelling gives up waiting; the thread goes on to its own end.

    Not for many at a time: each call is a thread. A pool's threads would be joined when the interpreter ends, however long they
    hang.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type] # None only where the function gave it

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except Exception as err:  # noqa: BLE001 - a listed boundary
            error = err
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name=name, daemon=True).start()
    return await done
