"""A live page ends with the session that opened it."""

from __future__ import annotations

import time

import httpx

from kaizen_security.contract.action import Action
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.server import passwords

ALLOWED = Verdict(decision=Decision.ALLOW, reason="ok")


def _until_signed_out(texts):
    """Seconds until the stream says that it is over and ends."""
    began = time.monotonic()
    assert "event: signed-out" in list(texts)
    return time.monotonic() - began


def test_it_ends_at_once_when_its_person_signs_out_and_no_other_page_does(site):
    with (
        site.client() as client,
        site.client() as other,
        client.stream("GET", "/verdicts/live") as response,
        other.stream("GET", "/verdicts/live?agent=stays") as staying,
    ):
        texts, still = response.iter_lines(), staying.iter_lines()
        assert [next(texts), next(still)] == ["retry: 2000"] * 2
        with httpx.Client(base_url=site.url, cookies=client.cookies, headers={"Origin": site.url}, timeout=60) as again:
            assert again.post("/sign-out").status_code == 303
        assert _until_signed_out(texts) < 30.0
        kept = site.report(Action(tool="search", agent="stays"), ALLOWED)
        assert any(kept in text for text in still)


def test_it_ends_when_another_process_ends_the_session(site):
    with site.client() as client, client.stream("GET", "/verdicts/live") as response:
        texts = response.iter_lines()
        assert next(texts) == "retry: 2000"
        site.store.delete_session(passwords.token_hash(client.cookies["kaizen_session"]))
        assert _until_signed_out(texts) < 30.0
