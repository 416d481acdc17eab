"""Which model is asked, as an administrator states it: checked, shown without its key, made into a judge."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import MAX_NAME, obj, text
from kaizen_security.net import outbound
from kaizen_security.reasoners import anthropic, bedrock, google, openai
from kaizen_security.reasoners.anthropic import Anthropic
from kaizen_security.reasoners.azure import Azure
from kaizen_security.reasoners.base import Judge
from kaizen_security.reasoners.bedrock import Bedrock, BedrockRole
from kaizen_security.reasoners.google import Google
from kaizen_security.reasoners.local import Local
from kaizen_security.reasoners.openai import OpenAI
from kaizen_security.reasoners.speech import Speech, Spoken
from kaizen_security.reasoners.tokens import is_loopback

MAX_KEY = 4096
MAX_URL = 2048
LONGEST = 120.0
"""Seconds that a deadline may be at most."""
_KEY = re.compile(r"[!-~]+")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]{2,8}){1,3}-[0-9]{1,2}")


class Provider(StrEnum):
    """Who is asked. OFF: nobody."""

    OFF = "off"
    LOCAL = "local"
    OPENAI = "openai"
    AZURE = "azure"
    ANTHROPIC = "anthropic"
    BEDROCK = "bedrock"
    GOOGLE = "google"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Of one day (UTC). 0 means none of it. Money in whatever the prices are in; without prices money is not counted.

    ``agent_calls``                    of one agent, so that one cannot use up what is there for all; 0: as many as there are
    ``input_price``, ``output_price``  of a million tokens
    """

    calls: int = 500
    agent_calls: int = 0
    tokens: int = 2_000_000
    money: float = 10.0
    input_price: float = 0.0
    output_price: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """``key``        never shown again
    ``region``     of Bedrock, when no base URL says where it is
    ``responses``  of OpenAI: ask by responses instead of chat completions
    ``version``    of Azure's API, ``""`` for v1; ``entra``: the key is a token of Entra ID
    ``threshold``  an answer that is less sure than this raises nothing; compared before the rung's cap
    ``deadline``   seconds for one question
    """

    provider: Provider = Provider.OFF
    model: str = ""
    base_url: str = ""
    key: str = field(default="", repr=False)
    region: str = ""
    responses: bool = False
    version: str = ""
    entra: bool = False
    budget: Budget = Budget()
    threshold: float = 0.5
    deadline: float = 10.0

    @property
    def place(self) -> str:
        """Where questions go."""
        if self.base_url:
            return self.base_url
        return {
            Provider.OPENAI: openai.BASE_URL,
            Provider.ANTHROPIC: anthropic.BASE_URL,
            Provider.GOOGLE: google.BASE_URL,
            Provider.BEDROCK: bedrock.base_url(self.region) if self.region else "",
        }.get(self.provider, "")


OFF = Choice()


def read_choice(document: Mapping[str, Json], before: Choice = OFF) -> Choice:
    """A choice as ``POST /v1/llm-config`` states it. Raises InvalidInput naming the field.

    What is not stated is as it was ``before``, as long as the provider is the same. The key stays too, but only for the place that
    it was stated for: or whoever may change the address could have it sent to a server of their own.
    """
    provider = _provider(document, before.provider)
    old = before if provider is before.provider else Choice(budget=before.budget, threshold=before.threshold)
    made = replace(
        old,
        provider=provider,
        model=_said(document, "model", old.model, limit=MAX_NAME),
        base_url=_url(document, old.base_url),
        region=_said(document, "region", old.region, limit=64),
        responses=_api(document, old),
        version=_said(document, "api_version", old.version, limit=64),
        entra=_switch(document, "entra", old.entra),
        budget=_budget(document.get("budget"), old.budget),
        threshold=_number(document, "confidence_threshold", old.threshold, most=1.0),
        deadline=_number(document, "deadline_seconds", old.deadline, least=0.1, most=LONGEST),
    )
    return _checked(replace(made, key=_key(document, old, made)))


def _provider(document: Mapping[str, Json], before: Provider) -> Provider:
    said = text(document, "provider", limit=32)
    if said not in ("", *Provider):
        raise InvalidInput("provider", f"must be one of {', '.join(Provider)}")
    return Provider(said) if said else before


def _said(document: Mapping[str, Json], name: str, before: str, *, limit: int) -> str:
    if document.get(name) is None:
        return before
    said = text(document, name, limit=limit).strip()
    if not said.isprintable() or (name != "model" and not said.isascii()):
        raise InvalidInput(name, "must be printable")
    return said


def _url(document: Mapping[str, Json], before: str) -> str:
    said = _said(document, "base_url", before, limit=MAX_URL).rstrip("/")
    if not said:
        return ""
    try:
        outbound.split(said)
    except Misconfigured as err:
        raise InvalidInput("base_url", f"cannot be used: {err}") from err
    if "?" in said:
        raise InvalidInput("base_url", "may not have a query")
    return said


def _api(document: Mapping[str, Json], before: Choice) -> bool:
    said = text(document, "api", limit=32)
    if said not in ("", "chat", "responses"):
        raise InvalidInput("api", "must be chat or responses")
    return said == "responses" if said else before.responses


def _switch(document: Mapping[str, Json], name: str, before: bool) -> bool:
    said = document.get(name)
    if said is None:
        return before
    if not isinstance(said, bool):
        raise InvalidInput(name, "must be true or false")
    return said


def _number(
    document: Mapping[str, Json], name: str, before: float, *, least: float = 0.0, most: float, path: str = ""
) -> float:
    said = document.get(name)
    if said is None:
        return before
    if isinstance(said, bool) or not isinstance(said, int | float) or not least <= said <= most:
        raise InvalidInput(path + name, f"must be a number from {least:g} to {most:g}")
    return float(said)


def _budget(said: Json, before: Budget) -> Budget:
    if said is None:
        return before
    doc = obj(said, "budget")

    def number(name: str, old: float, most: float) -> float:
        return _number(doc, name, old, most=most, path="budget.")

    return Budget(
        calls=int(number("calls_per_day", before.calls, 1e7)),
        agent_calls=int(number("calls_per_agent_per_day", before.agent_calls, 1e7)),
        tokens=int(number("tokens_per_day", before.tokens, 1e12)),
        money=number("money_per_day", before.money, 1e9),
        input_price=number("input_price", before.input_price, 1e6),
        output_price=number("output_price", before.output_price, 1e6),
    )


def _key(document: Mapping[str, Json], before: Choice, made: Choice) -> str:
    said = text(document, "api_key", limit=MAX_KEY)
    if said and not _KEY.fullmatch(said):
        raise InvalidInput("api_key", "must be printable ASCII without spaces")
    if said or document.get("api_key") == "":
        return said
    if before.key and _origin(before.place) != _origin(made.place):
        raise InvalidInput("api_key", "must be stated again, since the address is another one")
    return before.key


def _origin(url: str) -> tuple[str, str, int]:
    return outbound.split(url)[:3] if url else ("", "", 0)


def _checked(choice: Choice) -> Choice:
    provider = choice.provider
    if provider in (Provider.OFF, Provider.LOCAL):
        return Choice(provider=provider, budget=choice.budget, threshold=choice.threshold, deadline=choice.deadline)
    if not choice.model:
        raise InvalidInput("model", "must be stated")
    if provider is Provider.BEDROCK and choice.region and not _REGION.fullmatch(choice.region):
        raise InvalidInput("region", "must be a region of AWS, like eu-central-1")
    if not choice.place:
        raise InvalidInput("region" if provider is Provider.BEDROCK else "base_url", "must be stated")
    needs = provider in (Provider.AZURE, Provider.ANTHROPIC, Provider.GOOGLE) or choice.place == openai.BASE_URL
    if needs and not choice.key:
        raise InvalidInput("api_key", "must be stated")
    scheme, host, _, _ = outbound.split(choice.place)
    if choice.key and scheme == "http" and not is_loopback(host):
        raise InvalidInput("base_url", "must begin with https://: a key would go in the clear")
    return choice


def shown(choice: Choice) -> dict[str, Json]:
    """What may be shown: all but the key."""
    budget = choice.budget
    return {
        "provider": choice.provider.value,
        "model": choice.model,
        "base_url": choice.base_url,
        "place": choice.place,
        "has_key": bool(choice.key),
        "region": choice.region,
        "api": "responses" if choice.responses else "chat",
        "api_version": choice.version,
        "entra": choice.entra,
        "budget": {
            "calls_per_day": budget.calls,
            "calls_per_agent_per_day": budget.agent_calls,
            "tokens_per_day": budget.tokens,
            "money_per_day": budget.money,
            "input_price": budget.input_price,
            "output_price": budget.output_price,
        },
        "confidence_threshold": choice.threshold,
        "deadline_seconds": choice.deadline,
    }


def judge_of(
    choice: Choice,
    key: bytes,
    *,
    permitted: Collection[str] = (),
    chance: Callable[[], float] = lambda: 0.5,
    role: bool = False,
) -> Judge | None:
    """Who is asked; None when nobody is.

    ``key``        keys the hashes of a case
    ``permitted``  hosts that may be internal
    ``role``       whether Bedrock may be asked with the machine's own credentials. Raises Misconfigured when it may not, or cannot.
    """
    if choice.provider is Provider.OFF:
        return None
    if choice.provider is Provider.LOCAL:
        return Local()
    if choice.provider is Provider.BEDROCK and not choice.key:
        if not role:
            raise Misconfigured("Amazon Bedrock needs an API key here: only a sidecar may use the machine's own role")
        client = bedrock.connect(region=choice.region, base_url=choice.base_url, deadline=choice.deadline)
        return BedrockRole(client, choice.model, key)
    return Spoken(speech_of(choice), key, permitted=permitted, chance=chance)


def speech_of(choice: Choice) -> Speech:
    """The shapes of a provider that is asked over HTTP."""
    model, url, key = choice.model, choice.place, choice.key
    if choice.provider is Provider.OPENAI:
        return OpenAI(model=model, base_url=url, key=key, responses=choice.responses)
    if choice.provider is Provider.AZURE:
        return Azure(model=model, base_url=url, key=key, version=choice.version, entra=choice.entra)
    if choice.provider is Provider.ANTHROPIC:
        return Anthropic(model=model, base_url=url, key=key)
    if choice.provider is Provider.GOOGLE:
        return Google(model=model, base_url=url, key=key)
    return Bedrock(model=model, base_url=url, key=key)
