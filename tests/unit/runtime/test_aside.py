"""Work in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from kaizen_security.runtime.aside import aside


def test_it_gives_what_the_function_gives_and_raises_what_it_raises():
    assert asyncio.run(aside(lambda: 7, name="t")) == 7
    assert asyncio.run(aside(lambda: None, name="t")) is None
    with pytest.raises(ZeroDivisionError):
        asyncio.run(aside(lambda: 1 // 0, name="t"))


def test_whoever_gives_up_goes_on_and_the_loop_may_be_closed_before_the_work_is_done():
    go, ended = threading.Event(), threading.Event()

    def hang() -> None:
        go.wait(10.0)
        ended.set()

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(aside(hang, name="t"), 0.05)

    asyncio.run(impatient())
    go.set()
    assert ended.wait(10.0)


def test_the_end_of_the_process_does_not_wait_for_it():
    program = (
        "import asyncio, time\n"
        "from kaizen_security.runtime.aside import aside\n"
        "async def main():\n"
        "    try:\n"
        "        await asyncio.wait_for(aside(lambda: time.sleep(60), name='t'), 0.05)\n"
        "    except TimeoutError:\n"
        "        print('gave up')\n"
        "asyncio.run(main())\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout.strip()) == (0, "gave up")
    assert time.monotonic() - began < 30.0
