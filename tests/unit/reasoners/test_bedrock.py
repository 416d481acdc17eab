"""Bedrock through boto3's own client, stubbed by botocore: what is asked fits the service's model, what is answered is read."""

from __future__ import annotations

import boto3
import pytest
from botocore.stub import ANY, Stubber

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.observer.question import Word
from kaizen_security.reasoners import bedrock
from kaizen_security.reasoners.base import RULES
from kaizen_security.reasoners.bedrock import BedrockRole
from kaizen_security.testing.judging import a_question

QUESTION = a_question()


@pytest.fixture
def client():
    made = boto3.client(
        "bedrock-runtime", region_name="eu-central-1", aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="s"
    )
    yield made
    made.close()


def test_a_converse_request_is_one_of_the_services_own_shape(client):
    said = {
        "output": {"message": {"role": "assistant", "content": [{"text": "MALICIOUS 0.9: It leaves."}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 11, "outputTokens": 5, "totalTokens": 16},
        "metrics": {"latencyMs": 1},
    }
    expected = {
        "modelId": "vendor.m-1:0",
        "system": [{"text": RULES}],
        "messages": ANY,
        "inferenceConfig": {"maxTokens": 120, "temperature": 0},
    }
    with Stubber(client) as stubber:
        stubber.add_response("converse", said, expected)
        found = BedrockRole(client, "vendor.m-1:0", b"k" * 32).attempt(QUESTION, 5.0)
        stubber.assert_no_pending_responses()
    assert found.answer is not None
    assert (found.answer.word, found.input_tokens, found.output_tokens) == (Word.MALICIOUS, 11, 5)


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        ("ThrottlingException", 429, "busy"),
        ("ModelNotReadyException", 429, "busy"),
        ("ServiceUnavailableException", 503, "busy"),
        ("AccessDeniedException", 403, "refused"),
        ("ValidationException", 400, "refused"),
        ("ResourceNotFoundException", 404, "refused"),
        ("InternalServerException", 500, "failed"),
        ("ModelTimeoutException", 408, "busy"),
    ],
)
def test_what_the_service_refuses_is_no_answer(client, code, status, outcome):
    with Stubber(client) as stubber:
        stubber.add_client_error("converse", code, "arn:aws:iam::123456789012:role/secret-name", status)
        found = BedrockRole(client, "m", b"k" * 32).attempt(QUESTION, 5.0)
    assert (found.answer, found.outcome) == (None, outcome)
    assert "secret-name" not in found.problem


def test_without_credentials_it_says_so(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(Misconfigured, match="no AWS credentials"):
        bedrock.connect(region="eu-central-1", deadline=1.0)


def test_without_a_region_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Misconfigured, match="region"):
        bedrock.connect(region="", deadline=1.0)
