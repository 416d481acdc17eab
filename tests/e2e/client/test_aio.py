"""AsyncKaizen on a real sidecar: a process of its own, its Unix socket and its loopback port."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import signal
import socket
import threading
import time

import pytest

from kaizen_security import Action, AsyncKaizen, Kaizen, KaizenBlocked
from tests.e2e.sidecar_process import Process
from tests.unit.client.upstream import Upstream


def looped(test):
    """Run the test in a loop of its own."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


@pytest.fixture(autouse=True)
def own_environment(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("KAIZEN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KAIZEN_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory):
    sidecar = Process(tmp_path_factory.mktemp("sidecar")).start()
    yield sidecar
    sidecar.stop()


@pytest.fixture
def where(sidecar):
    return f"unix://{sidecar.socket}"


@pytest.fixture
def hung(tmp_path):
    """Something that takes connections and never answers."""
    path = str(tmp_path / "hung.sock")
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(path)
        held.listen(64)
        yield f"unix://{path}"


def kinds(verdict):
    return [finding.kind for finding in verdict.evidence]


def test_it_takes_what_kaizen_takes():
    assert inspect.signature(AsyncKaizen.__init__) == inspect.signature(Kaizen.__init__)
    for name in ("inspect", "enforce", "guard", "declare", "run", "note", "note_result", "flush", "close"):
        assert list(inspect.signature(getattr(AsyncKaizen, name)).parameters) == list(
            inspect.signature(getattr(Kaizen, name)).parameters
        ), name


@looped
async def test_the_sidecar_judges_while_the_loop_goes_on(where, sidecar):
    async with AsyncKaizen(agent="loop", sidecar=where) as kaizen:
        assert await kaizen.declare(tools=["lookup"])
        async with kaizen.run("look it up") as run:
            verdict = await kaizen.inspect(tool="lookup", target="api.example:443")
            assert verdict.allowed
            assert verdict.action_id
            assert kaizen.current_run == run.id
        # More at once than sockets are kept, each with its own answer.
        several = [kaizen.inspect(Action(tool="lookup", id=f"several-{i}")) for i in range(40)]
        assert [verdict.action_id for verdict in await asyncio.gather(*several)] == [f"several-{i}" for i in range(40)]
        assert kaizen.lost == {}
        assert kaizen.problem == ""


@looped
async def test_a_guarded_coroutine_is_blocked_and_a_plain_function_too(where):
    policies = [{"mode": "blocklist", "rules": {"domains": ["attacker.example"]}}]
    ran = []
    async with AsyncKaizen(agent="guarded", sidecar=where, policies=policies) as kaizen:

        @kaizen.guard(target="url")
        async def fetch(url):
            ran.append(url)
            return "content"

        @kaizen.guard(target="url")
        async def pages(url):
            ran.append(url)
            yield "page"

        @kaizen.guard(target="url")
        def fetch_now(url):
            ran.append(url)
            return "content"

        assert await fetch("https://api.example/x") == "content"
        assert [page async for page in pages("https://api.example/y")] == ["page"]
        assert fetch_now("https://api.example/z") == "content"
        for refused in (fetch("https://attacker.example/x"), anext(pages("https://attacker.example/y"))):
            with pytest.raises(KaizenBlocked) as raised:
                await refused
            assert raised.value.verdict.reason == "blocked by policy: malicious domain"
        with pytest.raises(KaizenBlocked):
            fetch_now("https://attacker.example/z")
        with pytest.raises(KaizenBlocked):
            await kaizen.enforce(tool="fetch", target="attacker.example")
    assert ran == ["https://api.example/x", "https://api.example/y", "https://api.example/z"]


@looped
async def test_it_shares_its_engine_with_the_sync_client(where, tmp_path):
    with Kaizen(agent="both", sidecar=where) as kaizen:
        both = AsyncKaizen.over(kaizen)
        assert both.sync is kaizen
        kaizen.declare(tools=["lookup"])
        assert "undeclared tool" in kinds(await both.inspect(tool="shell"))
        assert both.rules is kaizen.rules
        assert (await asyncio.to_thread(kaizen.inspect, tool="lookup")).allowed


@looped
async def test_a_cancelled_question_leaves_nothing_behind(sidecar, tmp_path):
    """The answer to a cancelled question is never read as another's, and what was asked counts as not done."""
    with Upstream(unix=str(tmp_path / "slow.sock")) as slow:
        kaizen = AsyncKaizen(agent="cancelled", sidecar=slow.url, report=False, sync=False)
        await kaizen.inspect(Action(tool="first", id="first"))  # so that there is a kept socket
        slow.delay = 0.3
        asked = asyncio.create_task(kaizen.inspect(Action(tool="second", id="second")))
        await asyncio.sleep(0.1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        slow.delay = 0.0
        third = await kaizen.inspect(Action(tool="third", id="third"))
        assert third.action_id == "third"
        assert [(step["action_id"], step["failed"]) for step in slow.steps] == [("second", True)]
        assert kaizen.lost == {}
        await kaizen.close()


@looped
async def test_cancelled_steps_are_sent_by_the_next_question(tmp_path):
    with Upstream(unix=str(tmp_path / "slow.sock")) as slow:
        kaizen = AsyncKaizen(agent="steps", sidecar=slow.url, report=False, sync=False)
        await kaizen.inspect(Action(tool="first", id="first"))
        kaizen.note_result(Action(tool="first", id="first"), "content")
        slow.delay = 0.3
        asked = asyncio.create_task(kaizen.inspect(tool="second"))
        await asyncio.sleep(0.1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        slow.delay = 0.0
        assert (await kaizen.inspect(tool="third")).allowed
        # The slow one may have taken them as well: a result that comes twice says nothing new.
        assert {"first"} <= {step["action_id"] for step in slow.steps}
        assert await kaizen.flush()
        await kaizen.close()


@looped
async def test_a_sidecar_that_hangs_is_waited_for_no_longer_than_the_deadline(hung):
    async with AsyncKaizen(agent="hung", sidecar=hung, deadline=1.0, report=False, sync=False) as kaizen:
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        began = time.monotonic()
        verdict = await kaizen.inspect(tool="lookup")
        assert 0.9 < time.monotonic() - began < 60
        ticking.cancel()
        assert ticks > 2
        assert (verdict.allowed, kinds(verdict)) == (True, ["unprotected"])
    async with AsyncKaizen(
        agent="hung", sidecar=hung, deadline=0.2, mode="enforce", report=False, sync=False
    ) as kaizen:
        verdict = await kaizen.inspect(tool="lookup")
        assert (verdict.blocked, verdict.reason) == (True, "engine error, failed closed")


@pytest.mark.parametrize("how", ["unix", "tcp"])
def test_one_client_is_used_by_one_loop_after_another_and_by_two_at_once(how, sidecar):
    where = f"unix://{sidecar.socket}" if how == "unix" else sidecar.loopback
    kaizen = AsyncKaizen(agent="loops", sidecar=where, report=False, sync=False, deadline=10)
    found = []

    async def several(name):
        for i in range(5):
            verdict = await kaizen.inspect(Action(tool="lookup", id=f"{name}-{i}"))
            # Over loopback without a key the sidecar refuses: that is an answer too, and each gets its own.
            found.append((verdict.action_id, f"{name}-{i}"))

    asyncio.run(several("one"))
    asyncio.run(several("two"))
    threads = [threading.Thread(target=lambda n=n: asyncio.run(several(f"thread-{n}"))) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 25
    assert all(got == sent for got, sent in found)
    asyncio.run(kaizen.close())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_asks_by_itself(where):
    kaizen = AsyncKaizen(agent="forked", sidecar=where, report=False, sync=False)
    assert asyncio.run(kaizen.inspect(Action(tool="lookup", id="parent"))).action_id == "parent"
    child = os.fork()
    if child == 0:
        said = asyncio.run(kaizen.inspect(Action(tool="lookup", id="child"))).action_id
        os._exit(0 if said == "child" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert asyncio.run(kaizen.inspect(Action(tool="lookup", id="parent again"))).action_id == "parent again"
    asyncio.run(kaizen.close())


@looped
async def test_a_sidecar_that_is_killed_and_comes_back(tmp_path):
    folder = tmp_path / "restarted"
    folder.mkdir()
    sidecar = Process(folder).start()
    kaizen = AsyncKaizen(agent="again", sidecar=f"unix://{sidecar.socket}", report=False, sync=False)
    try:
        assert kinds(await kaizen.inspect(tool="lookup")) == []
        await asyncio.to_thread(sidecar.stop, signal.SIGKILL)
        assert kinds(await kaizen.inspect(tool="lookup")) == ["unprotected"]
        await asyncio.to_thread(sidecar.start)
        assert kinds(await kaizen.inspect(tool="lookup")) == []
    finally:
        await kaizen.close()
        sidecar.stop()


@looped
async def test_without_a_sidecar_it_judges_by_itself(tmp_path):
    with Upstream() as upstream:
        upstream.policies = [{"mode": "blocklist", "rules": {"domains": ["attacker.example"]}, "name": "p"}]
        async with AsyncKaizen("kz_live_" + "b" * 43, upstream.url, agent="alone") as kaizen:
            # The constructor asked for nothing; the first verdict knows the policy.
            assert upstream.seen == []
            assert (await kaizen.inspect(tool="fetch", target="attacker.example")).blocked
            assert await kaizen.declare(tools=["fetch"])
            assert await kaizen.flush()
        assert upstream.tools() == ["fetch"]
