"""What credentials look like: one row a kind, from what their issuers publish of the format.

``heads``    how it begins; a head stands at the beginning of a run of letters and digits
``pattern``  the whole of it from the head on, of bounded length
``check``    what has to hold besides: a checksum, or a digest's alphabet
``homes``    hosts of the issuer: there it is used, in the path or in a field for credentials
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of credential."""

    name: str
    heads: tuple[str, ...]
    pattern: re.Pattern[str]
    homes: tuple[str, ...] = ()
    check: Callable[[str], bool] | None = None
    before: re.Pattern[str] | None = None


def crc32_base62(body: str) -> str:
    """CRC-32 of ``body`` in base 62, six digits: how GitHub and npm end their tokens (GitHub's blog, 5 April 2021)."""
    left, digits = zlib.crc32(body.encode()), ""
    while left:
        left, digit = divmod(left, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(6, "0")


def _summed(token: str) -> bool:
    head, _, body = token.partition("_")
    return bool(head) and crc32_base62(body[:-6]) == body[-6:]


def _jwt(token: str) -> bool:
    head = token.partition(".")[0]
    try:
        document = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return False
    return isinstance(document, dict) and "alg" in document


def _rule(
    name: str,
    heads: str,
    pattern: str,
    homes: str = "",
    *,
    check: Callable[[str], bool] | None = None,
    before: str = "",
) -> Rule:
    ends = r"(?![A-Za-z0-9])"
    return Rule(
        name,
        tuple(heads.split()),
        re.compile(pattern + ends),
        tuple(homes.split()),
        check,
        re.compile(before) if before else None,
    )


RULES = (
    _rule("AWS access key", "AKIA ASIA ABIA ACCA", r"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}", "amazonaws.com"),
    _rule("GitHub token", "ghp gho ghu ghs ghr", r"gh[pousr]_[A-Za-z0-9]{36}", "github.com", check=_summed),
    _rule("GitHub fine-grained token", "github", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}", "github.com"),
    _rule("GitLab token", "glpat gldt glrt glptt glcbt glft", r"gl(?:pat|dt|rt|ptt|cbt|ft)-[A-Za-z0-9_-]{20,64}"),
    _rule("npm token", "npm", r"npm_[A-Za-z0-9]{36}", "npmjs.org npmjs.com", check=_summed),
    _rule("PyPI token", "pypi", r"pypi-AgE[A-Za-z0-9_-]{60,300}", "pypi.org"),
    _rule("RubyGems key", "rubygems", r"rubygems_[0-9a-f]{48}", "rubygems.org"),
    _rule("Docker token", "dckr", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,40}", "docker.com docker.io"),
    _rule(
        "Slack token", "xoxb xoxp xoxa xoxr xoxs xoxe", r"xox[bparse](?:\.xox[bp])?-[A-Za-z0-9-]{20,250}", "slack.com"
    ),
    _rule("Slack app token", "xapp", r"xapp-\d-[A-Z0-9]{8,14}-\d{8,16}-[0-9a-f]{32,96}", "slack.com"),
    _rule("Stripe key", "sk rk", r"[sr]k_live_[A-Za-z0-9]{16,120}", "stripe.com"),
    _rule("Stripe webhook secret", "whsec", r"whsec_[A-Za-z0-9+]{32,64}"),
    _rule("Anthropic key", "sk", r"sk-ant-[a-z0-9]{3,8}-[A-Za-z0-9_-]{80,120}", "anthropic.com"),
    _rule("OpenAI key", "sk", r"sk-(?:[a-z]{3,8}-)?[A-Za-z0-9_-]{20,90}T3BlbkFJ[A-Za-z0-9_-]{20,90}", "openai.com"),
    _rule("OpenRouter key", "sk", r"sk-or-v1-[0-9a-f]{64}", "openrouter.ai"),
    _rule("Google API key", "AIza", r"AIza[A-Za-z0-9_-]{35}", "googleapis.com google.com"),
    _rule("Google access token", "ya29", r"ya29\.[A-Za-z0-9_-]{30,300}", "googleapis.com google.com"),
    _rule("Google client secret", "GOCSPX", r"GOCSPX-[A-Za-z0-9_-]{28}", "googleapis.com google.com"),
    _rule("SendGrid key", "SG", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", "sendgrid.com"),
    _rule("Mailgun key", "key", r"key-[0-9a-f]{32}", "mailgun.net"),
    _rule("Twilio key", "SK", r"SK[0-9a-f]{32}", "twilio.com"),
    _rule("Telegram bot token", "AA", r"AA[A-Za-z0-9_-]{33}", "api.telegram.org", before=r"\d{8,10}:\Z"),
    _rule("Hugging Face token", "hf", r"hf_[A-Za-z]{34}", "huggingface.co"),
    _rule("DigitalOcean token", "dop doo dor", r"do[por]_v1_[0-9a-f]{64}", "digitalocean.com"),
    _rule("Databricks token", "dapi", r"dapi[0-9a-f]{32}(?:-\d)?", "databricks.com azuredatabricks.net"),
    _rule("Shopify token", "shpat shpss shpca shppa", r"shp(?:at|ss|ca|pa)_[0-9a-fA-F]{32}", "myshopify.com"),
    _rule("Square token", "sq0atp sq0csp", r"sq0(?:atp|csp)-[A-Za-z0-9_-]{22,43}", "squareup.com"),
    _rule("Linear key", "lin", r"lin_(?:api|oauth)_[A-Za-z0-9]{40,64}", "linear.app"),
    _rule("Notion token", "ntn", r"ntn_[A-Za-z0-9]{43,50}", "notion.com"),
    _rule("Airtable token", "pat", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", "airtable.com"),
    _rule("Atlassian token", "ATATT3 ATCTT3", r"AT[AC]TT3[A-Za-z0-9_-]{100,240}", "atlassian.net atlassian.com"),
    _rule("Vault token", "hvs hvb hvr", r"hv[sbr]\.[A-Za-z0-9_-]{24,200}"),
    _rule("Grafana token", "glsa", r"glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}", "grafana.net"),
    _rule("Grafana cloud token", "glc", r"glc_[A-Za-z0-9+]{32,400}", "grafana.net"),
    _rule("New Relic key", "NRAK", r"NRAK-[A-Z0-9]{27}", "newrelic.com"),
    _rule("Postman key", "PMAK", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}", "getpostman.com"),
    _rule("PlanetScale token", "pscale", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,64}", "planetscale.com"),
    _rule("Doppler token", "dp", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,60}", "doppler.com"),
    _rule("age key", "AGE", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    _rule(
        "signed token (JWT)",
        "eyJ",
        r"eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{20,1000}",
        check=_jwt,
    ),
)
"""Kinds that are known by how they begin."""

BY_URL = (
    Rule(
        "Slack webhook",
        (),
        re.compile(r"hooks\.slack\.com/(?:services|workflows)/[A-Z0-9]{8,14}/[A-Z0-9]{8,14}/[A-Za-z0-9/]{20,60}"),
        ("slack.com",),
    ),
    Rule(
        "Discord webhook",
        (),
        re.compile(r"discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d{17,20}/[A-Za-z0-9_-]{60,80}"),
        ("discord.com", "discordapp.com"),
    ),
    Rule(
        "Teams webhook",
        (),
        re.compile(
            r"[a-z0-9-]{1,63}\.webhook\.office\.com/webhookb2/[0-9a-f-]{36}@[0-9a-f-]{36}/IncomingWebhook/[0-9a-f]{32}"
        ),
        ("office.com",),
    ),
)
"""Addresses that are credentials by themselves: whoever knows one may post there. From after ``://`` on."""
