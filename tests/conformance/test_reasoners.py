"""Every reasoner keeps the laws, against a real server on loopback."""

from __future__ import annotations

import pytest

from kaizen_security.contract.action import Json
from kaizen_security.reasoners import bedrock
from kaizen_security.reasoners.bedrock import BedrockRole
from kaizen_security.reasoners.choice import judge_of, read_choice
from kaizen_security.testing.judging import DEADLINE, SOON, a_question, check_reasoner
from kaizen_security.testing.models import ModelServer

KEY = "sk-not-to-be-seen"
HASHING = b"k" * 32
STATED: dict[str, dict[str, Json]] = {
    "openai": {"provider": "openai", "model": "m", "api_key": KEY},
    "openai-responses": {"provider": "openai", "model": "m", "api_key": KEY, "api": "responses"},
    "azure": {"provider": "azure", "model": "deployed", "api_key": KEY},
    "azure-dated": {"provider": "azure", "model": "my deployment", "api_key": KEY, "api_version": "2024-10-21"},
    "anthropic": {"provider": "anthropic", "model": "m", "api_key": KEY},
    "bedrock-key": {"provider": "bedrock", "model": "vendor.m-1:0", "api_key": KEY, "region": "eu-central-1"},
    "google": {"provider": "google", "model": "gemini-x", "api_key": KEY},
    "local": {"provider": "local"},
}


def judge_at(stated: dict[str, Json], url: str):
    choice = read_choice({**stated, **({} if stated["provider"] == "local" else {"base_url": url})})
    judge = judge_of(choice, HASHING, permitted=(url.removeprefix("http://"),))
    assert judge is not None
    return judge


@pytest.fixture
def a_role(monkeypatch):
    """Credentials as a container's role would give them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize("name", STATED)
def test_a_reasoner_keeps_the_laws(name):
    check_reasoner(lambda url: judge_at(STATED[name], url), key=KEY)


def test_bedrock_by_its_role_keeps_the_laws(a_role):
    check_reasoner(Patient, key="not-a-secret")


class Patient(BedrockRole):
    """A client for each deadline, as one is made for each configuration: its own limits are what bounds it."""

    def __init__(self, url: str) -> None:
        self._url = url
        # Made before the clock runs: boto3 reads the whole model of a service for each client.
        self._clients = {deadline: self._connect(deadline) for deadline in (DEADLINE, SOON)}
        super().__init__(self._clients[DEADLINE], "vendor.m-1:0", HASHING)

    def _connect(self, deadline: float):
        return bedrock.connect(region="eu-central-1", base_url=self._url, deadline=deadline)

    def attempt(self, question, deadline):
        self._client = self._clients[deadline]
        return super().attempt(question, deadline)


@pytest.mark.parametrize("name", sorted(STATED.keys() - {"local"}))
def test_each_brings_its_key_as_its_provider_wants_it(name):
    with ModelServer(key=KEY) as server:
        found = judge_at(STATED[name], server.url).attempt(a_question(), 10.0)
        assert (found.outcome, server.refused) == ("answered", 0), found.problem
        wrong = judge_at({**STATED[name], "api_key": "sk-wrong"}, server.url).attempt(a_question(), 10.0)
        assert (wrong.outcome, server.refused) == ("refused", 1)
        assert "sk-wrong" not in wrong.problem


def test_vertex_ai_is_asked_with_a_token():
    key = "ya29.a-token"
    with ModelServer(key=key) as server:
        base = f"{server.url}/v1/projects/p/locations/europe-west4/publishers/google"
        choice = read_choice({"provider": "google", "model": "gemini-x", "api_key": key, "base_url": base})
        judge = judge_of(choice, HASHING, permitted=(server.url.removeprefix("http://"),))
        found = judge.attempt(a_question(), 10.0)
        assert found.outcome == "answered", found.problem
        (heard,) = server.heard
        assert heard.headers["authorization"] == f"Bearer {key}"
        assert heard.path.endswith("/publishers/google/models/gemini-x:generateContent")


def test_boto3_signs_what_it_asks(a_role):
    question = a_question()
    with ModelServer(aws=("AKIDEXAMPLE", "not-a-secret")) as server:
        judge = Patient(server.url)
        found = judge.attempt(question, 10.0)
        assert (found.outcome, server.refused) == ("answered", 0), found.problem
        assert [heard.model for heard in server.heard] == ["vendor.m-1:0"]
    with ModelServer(aws=("AKIDEXAMPLE", "another-secret")) as server:
        assert Patient(server.url).attempt(question, 10.0).answer is None
        assert server.refused == 1
