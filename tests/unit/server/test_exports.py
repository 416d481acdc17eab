"""Destinations of several organisations: none keeps the others waiting."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from kaizen_security.exports.vault import Vault
from kaizen_security.net import outbound
from kaizen_security.server.exports import ServerExports
from kaizen_security.server.http import ApiError

DOCUMENT = {"kind": "webhook", "url": "https://receiver.example/", "name": "one"}


class Kept:
    """A store that keeps nothing."""

    def every(self):
        return ()

    def create(self, export):
        return export


def test_one_organisation_with_slow_receivers_keeps_no_other_waiting(tmp_path, monkeypatch):
    slow, begun = threading.Event(), threading.Semaphore(0)

    def check(url, *, permitted):
        begun.release()
        if "slow" in url:
            slow.wait(20)

    monkeypatch.setattr(outbound, "check", check)

    async def played():
        with ThreadPoolExecutor(4) as executor:
            settings = SimpleNamespace(vault=Vault(tmp_path / "enc.key"), permitted=())
            exports = ServerExports(SimpleNamespace(exports=Kept()), lambda: 0.0, executor, settings)
            held = [
                asyncio.create_task(exports.create(1, {**DOCUMENT, "url": "https://slow.example/"})) for _ in range(8)
            ]
            done, waiting = await asyncio.wait(held, timeout=20, return_when=asyncio.FIRST_EXCEPTION)
            assert len(waiting) == 2
            assert {one.exception().status for one in done} == {429}
            made = await asyncio.wait_for(exports.create(2, DOCUMENT), 20)
            assert made.export.organisation == 2
            slow.set()
            await asyncio.gather(*waiting)
            assert (await exports.create(1, DOCUMENT)).export.organisation == 1, "what is over counts no more"
            await exports.close()

    try:
        asyncio.run(played())
    finally:
        slow.set()
    assert begun.acquire(blocking=False)


def test_an_error_is_over_too(tmp_path, monkeypatch):
    def check(url, *, permitted):
        raise outbound.Misconfigured("inwards")

    monkeypatch.setattr(outbound, "check", check)

    async def played():
        with ThreadPoolExecutor(1) as executor:
            settings = SimpleNamespace(vault=Vault(tmp_path / "enc.key"), permitted=())
            exports = ServerExports(SimpleNamespace(exports=Kept()), lambda: 0.0, executor, settings)
            for _ in range(5):
                with pytest.raises(Exception, match="inwards") as said:
                    await exports.create(1, DOCUMENT)
                assert not isinstance(said.value, ApiError)
            await exports.close()

    asyncio.run(played())
