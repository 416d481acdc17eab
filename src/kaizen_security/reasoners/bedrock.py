"""Amazon Bedrock's Converse, in two ways: over HTTP with a Bedrock API key, or through boto3 with the machine's own IAM role.

The first needs nothing but us. The second needs the extra ``[bedrock]`` and is for the sidecar in the customer's account: there is
no key then, boto3 finds its credentials (environment, profile, container or instance role) and signs each request.
Shapes: the Amazon Bedrock Runtime API reference, ``Converse``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from urllib.parse import quote

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.net.outbound import Exchange
from kaizen_security.observer.question import Question
from kaizen_security.reasoners.base import MOST_OUTPUT, Attempt, Outcome, Prompt, Reply
from kaizen_security.reasoners.case import prompt
from kaizen_security.reasoners.speech import at, body, count, heard, refusal, texts_of


def base_url(region: str) -> str:
    """The runtime's address in a region."""
    return f"https://bedrock-runtime.{region}.amazonaws.com"


def asked(said: Prompt) -> dict[str, Json]:
    """A Converse request without its model."""
    messages: list[Json] = [{"role": "user", "content": [{"text": said.case}]}]
    return {
        "system": [{"text": said.rules}],
        "messages": messages,
        "inferenceConfig": {"maxTokens": MOST_OUTPUT, "temperature": 0},
    }


def reply(document: Json) -> Reply:
    """What the message's texts say. Raises InvalidInput."""
    return Reply(
        text=texts_of(at(document, "output", "message", "content"), "output.message.content", None),
        input_tokens=count(document, "usage", "inputTokens"),
        output_tokens=count(document, "usage", "outputTokens"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bedrock:
    """A ``Speech``: Converse over HTTP with a Bedrock API key. ``model``: a model's or an inference profile's id."""

    model: str
    base_url: str
    key: str = field(repr=False)

    name = "bedrock"

    def exchange(self, said: Prompt) -> Exchange:
        """One Converse request."""
        headers = {"Content-Type": "application/json", "User-Agent": "kaizen", "Authorization": f"Bearer {self.key}"}
        url = f"{self.base_url.rstrip('/')}/model/{quote(self.model, safe='')}/converse"
        return Exchange(url=url, body=body(asked(said)), headers=headers)

    def reply(self, document: Json) -> Reply:
        """What it says. Raises InvalidInput."""
        return reply(document)


class Client(Protocol):
    """What is used of boto3's ``bedrock-runtime`` client."""

    def converse(self, **request: Any) -> Any: ...


def connect(*, region: str, base_url: str = "", deadline: float) -> Client:
    """boto3's client. Raises Misconfigured without the extra, or when there is neither region nor credentials."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as err:
        raise Misconfigured("Amazon Bedrock without a key needs boto3: install kaizen-security[bedrock]") from err
    # One try: the deadline is for the whole question, and boto3's own retries do not know it.
    limits = Config(connect_timeout=deadline, read_timeout=deadline, retries={"total_max_attempts": 1})
    try:
        session = boto3.Session()
        if session.get_credentials() is None:
            raise Misconfigured(
                "boto3 finds no AWS credentials here: give the process a role, or state a Bedrock API key"
            )
        made = session.client(
            "bedrock-runtime", region_name=region or None, endpoint_url=base_url or None, config=limits
        )
    except BotoCoreError as err:
        raise Misconfigured(f"boto3 cannot be used: {type(err).__name__}; state the region") from err
    return cast("Client", made)


class BedrockRole:
    """A ``Judge`` that asks through boto3. ``key`` keys the hashes of the case."""

    name = "bedrock"
    local = False

    def __init__(self, client: Client, model: str, key: bytes) -> None:
        self._client = client
        self._model = model
        self._key = key

    def attempt(self, question: Question, deadline: float) -> Attempt:
        """One Converse request; blocks as long as the client's own limits allow."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        ends = time.monotonic() + deadline
        try:
            document = self._client.converse(modelId=self._model, **asked(prompt(question, self._key)))
        except ClientError as err:
            status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return refusal(status if isinstance(status, int) else 0)
        except BotoCoreError as err:
            late = time.monotonic() >= ends
            problem = f"no answer from Amazon Bedrock ({type(err).__name__})"
            return Attempt(outcome=Outcome.LATE if late else Outcome.FAILED, problem=problem)
        except (ResponseParserError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as err:
            # botocore's parser stumbles like this over an answer that has not the shape of its model.
            return Attempt(
                outcome=Outcome.SHAPELESS, problem=f"the answer has not Converse's shape ({type(err).__name__})"
            )
        return heard(lambda: reply(_plain(document)))


def _plain(document: Any) -> Json:
    if not isinstance(document, dict):
        raise InvalidInput("answer", "is no object")
    return {"output": document.get("output"), "usage": document.get("usage")}
