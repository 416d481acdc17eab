"""Destinations and models of several organisations: none keeps the others waiting."""

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
from kaizen_security.server.reasoning import ServerReasoning

DOCUMENT = {"kind": "webhook", "url": "https://receiver.example/", "name": "one"}


class Kept:
    """A store that keeps nothing."""

    def put(self, model):
        self.model = model

    def organisation(self, number):
        return None

    def counted(self, organisation, day):
        return {}

    def count(self, organisation, day, counts):
        return None

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


def reasoning(executor, vault):
    kept = Kept()
    kept.models = kept
    settings = SimpleNamespace(vault=vault, permitted=())
    return ServerReasoning(kept, lambda: 0.0, executor, settings, SimpleNamespace())


def test_one_organisation_whose_models_name_is_slow_to_resolve_keeps_no_other_waiting(tmp_path, monkeypatch):
    slow = threading.Event()
    monkeypatch.setattr(outbound, "check", lambda url, *, permitted: slow.wait(20))
    chosen = {"provider": "openai", "model": "m", "base_url": "https://slow.example/", "api_key": "k"}

    async def played():
        with ThreadPoolExecutor(4) as executor:
            models = reasoning(executor, Vault(tmp_path / "enc.key"))
            first = asyncio.create_task(models.change(1, chosen))
            await asyncio.sleep(0)
            await asyncio.wait_for(models.change(2, {"provider": "off"}), 10)
            assert not first.done()
            slow.set()
            await first
            await models.close()

    try:
        asyncio.run(played())
    finally:
        slow.set()


def test_one_organisation_tests_one_model_at_a_time(tmp_path, monkeypatch):
    slow = threading.Event()
    found = SimpleNamespace(attempt=SimpleNamespace(input_tokens=0, output_tokens=0))

    def trial(judge, deadline):
        slow.wait(20)
        return found

    monkeypatch.setattr("kaizen_security.server.reasoning.trial", trial)
    monkeypatch.setattr(outbound, "check", lambda url, *, permitted: None)
    chosen = {"provider": "openai", "model": "m", "base_url": "https://model.example/", "api_key": "k"}

    async def played():
        with ThreadPoolExecutor(4) as executor:
            models = reasoning(executor, Vault(tmp_path / "enc.key"))
            for organisation in (1, 2):
                await models.change(organisation, chosen)
            tests = [asyncio.create_task(models.test(organisation)) for organisation in (1, 1, 1, 2)]
            done, waiting = await asyncio.wait(tests, timeout=10, return_when=asyncio.FIRST_EXCEPTION)
            assert {one.exception().status for one in done} == {429}
            slow.set()
            assert [await one for one in waiting] == [found] * len(waiting)
            assert await models.test(1) is found, "what is over counts no more"
            await models.close()

    try:
        asyncio.run(played())
    finally:
        slow.set()
