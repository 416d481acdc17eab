"""What a sidecar tells a proxy of an agent's readings: fingerprints of the sensitive ones, for those who may have them."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import Result
from kaizen_security.interception.documents import from_json
from kaizen_security.sidecar.app import Sidecar
from kaizen_security.sidecar.http import on_error
from kaizen_security.sidecar.identity import Identity
from kaizen_security.sidecar.readings import MOST_ROWS, Readings

TEXT = "Anna Olsen earns 58211 and Bert Quist earns 61877 a year"


class Asked:
    """The endpoint alone, asked by ``identity``."""

    def __init__(self, identity: Identity | None = None) -> None:
        async def who(request: object) -> Identity | None:
            return identity

        self.readings = Readings(bytes(range(32)), who, Sidecar.agent)
        from kaizen_security.contract.errors import KaizenError

        self._app = Starlette(
            routes=self.readings.routes(), exception_handlers={KaizenError: on_error, Exception: on_error}
        )

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://sidecar")

    def get(self, **query: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with self.client() as client:
                return await client.get("/v1/readings", params=query)

        return asyncio.run(ask())


def reads(readings: Readings, text: str, *, sensitive: bool, id_: str = "a", agent: str = "bot") -> None:
    metadata = {"source": "sdk", "sensitive": sensitive}
    readings.see(Action(tool="read_payroll", id=id_, run_id="r", agent=agent, metadata=metadata))
    readings.see(Result(run_id="r", action_id=id_, content=text, agent=agent))


def test_a_sensitive_reading_is_told_and_no_other():
    one = Asked()
    assert one.get(agent="bot").json()["documents"] == []
    reads(one.readings, TEXT, sensitive=True)
    reads(one.readings, "the weather in Oslo is fine today", sensitive=False, id_="b")
    document = one.get(agent="bot").json()
    assert [entry["name"] for entry in document["documents"]] == ["read_payroll"]
    assert "Anna" not in str(document)
    known = from_json(document)
    assert list(known.rows("PS: anna olsen earns 58211, they say"))
    assert not list(known.rows("the weather in Oslo is fine today"))
    assert one.get(agent="other").json()["documents"] == []


def test_nothing_is_kept_before_somebody_has_asked():
    one = Asked()
    reads(one.readings, TEXT, sensitive=True)
    assert one.get(agent="bot").json()["documents"] == []


def test_what_is_kept_is_bounded_and_what_went_is_counted():
    one = Asked()
    one.get(agent="bot")
    for number in range(3):
        text = " ".join(f"w{number}x{at}" for at in range(5000))
        reads(one.readings, text, sensitive=True, id_=str(number))
    rows = sum(len(entry["rows"]) for entry in one.get(agent="bot").json()["documents"])
    assert rows == MOST_ROWS
    assert one.readings.evicted == 3 * 4998 - MOST_ROWS


def test_who_knows_the_version_waits_for_the_next():
    one = Asked()
    version = one.get(agent="bot").json()["version"]
    assert one.get(agent="bot", version=version, wait="0").status_code == 304

    async def waits() -> httpx.Response:
        async with one.client() as client:
            asked = asyncio.ensure_future(
                client.get("/v1/readings", params={"agent": "bot", "version": version, "wait": "30"})
            )
            while not asked.done():
                reads(one.readings, TEXT, sensitive=True)
                await asyncio.sleep(0)
            return await asked

    assert asyncio.run(waits()).json()["documents"]


@pytest.mark.parametrize(("scope", "status"), [("sdk", 403), ("collector", 200), ("observer", 200)])
def test_an_agents_own_key_does_not_open_it(scope: str, status: int):
    identity = Identity(organisation="o", scope=scope, agent="", asked_at=0.0)
    assert Asked(identity).get(agent="bot").status_code == status
