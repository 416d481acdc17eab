"""Credentials in a text: each rule with a value that it must find and one beside it that it must not; and time."""

from __future__ import annotations

import base64
import json
import random
import string
from time import process_time

import pytest

from kaizen_security.observer.credential_rules import BY_URL, RULES, crc32_base62
from kaizen_security.observer.credentials import entropy, find, secretive

LETTERS, WORDS, HEX = string.ascii_letters, string.ascii_letters + string.digits, "0123456789abcdef"
UPPER32 = string.ascii_uppercase + "234567"


def some(alphabet, size, seed=7):
    return "".join(random.Random(f"{alphabet}{size}{seed}").choices(alphabet, k=size))


def summed(head, body):
    return f"{head}_{body}{crc32_base62(body)}"


def signed(header):
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, {"sub": "ann"})
    ]
    return ".".join([*parts, some(WORDS, 43)])


VALUES = {
    "AWS access key": ("AKIA" + some(UPPER32, 16), "AKIA" + some(UPPER32, 15)),
    "GitHub token": (summed("ghp", some(WORDS, 30)), "ghp_" + some(WORDS, 36)),
    "GitHub fine-grained token": (
        f"github_pat_{some(WORDS, 22)}_{some(WORDS, 59)}",
        f"github_pat_{some(WORDS, 22)}_{some(WORDS, 58)}",
    ),
    "GitLab token": ("glpat-" + some(WORDS, 20), "glpat-" + some(WORDS, 19)),
    "npm token": (summed("npm", some(WORDS, 30)), "npm_" + some(WORDS, 36)),
    "PyPI token": ("pypi-AgEIcHlwaS5vcmc" + some(WORDS, 120), "pypi-AgEIcHlwaS5vcmc" + some(WORDS, 12)),
    "RubyGems key": ("rubygems_" + some(HEX, 48), "rubygems_" + some(HEX, 47)),
    "Docker token": ("dckr_pat_" + some(WORDS, 27), "dckr_pat_" + some(WORDS, 20)),
    "Slack token": ("xoxb-" + f"{'48151623420'}-{some(WORDS, 24)}", "xoxb-" + some(WORDS, 12)),
    "Slack app token": (
        f"xapp-1-A0{some(UPPER32, 8)}-481516234201-{some(HEX, 64)}",
        f"xapp-1-A0{some(UPPER32, 8)}-{some(HEX, 64)}",
    ),
    "Stripe key": ("sk_live_" + some(WORDS, 24), "sk_test_" + some(WORDS, 24)),
    "Stripe webhook secret": ("whsec_" + some(WORDS, 32), "whsec_" + some(WORDS, 20)),
    "Anthropic key": ("sk-ant-api03-" + some(WORDS, 93), "sk-ant-api03-" + some(WORDS, 40)),
    "OpenAI key": (f"sk-proj-{some(WORDS, 40)}T3BlbkFJ{some(WORDS, 40)}", "sk-proj-" + some(WORDS, 88)),
    "OpenRouter key": ("sk-or-v1-" + some(HEX, 64), "sk-or-v1-" + some(HEX, 60)),
    "Google API key": ("AIza" + some(WORDS, 35), "AIza" + some(WORDS, 36)),
    "Google access token": ("ya29." + some(WORDS, 60), "ya29." + some(WORDS, 20)),
    "Google client secret": ("GOCSPX-" + some(WORDS, 28), "GOCSPX-" + some(WORDS, 29)),
    "SendGrid key": (f"SG.{some(WORDS, 22)}.{some(WORDS, 43)}", f"SG.{some(WORDS, 22)}.{some(WORDS, 42)}"),
    "Mailgun key": ("key-" + some(HEX, 32), "key-" + some(HEX, 31)),
    "Twilio key": ("SK" + some(HEX, 32), "AC" + some(HEX, 32)),
    "Telegram bot token": ("4815162342:AA" + some(WORDS, 33), "id:AA" + some(WORDS, 33)),
    "Hugging Face token": ("hf_" + some(LETTERS, 34), "hf_" + some(LETTERS, 33)),
    "DigitalOcean token": ("dop_v1_" + some(HEX, 64), "dop_v2_" + some(HEX, 64)),
    "Databricks token": ("dapi" + some(HEX, 32), "dapi" + some(HEX, 30)),
    "Shopify token": ("shpat_" + some(HEX, 32), "shpxx_" + some(HEX, 32)),
    "Square token": ("sq0atp-" + some(WORDS, 22), "sq0atp-" + some(WORDS, 12)),
    "Linear key": ("lin_api_" + some(WORDS, 40), "lin_api_" + some(WORDS, 30)),
    "Notion token": ("ntn_" + some(WORDS, 46), "ntn_" + some(WORDS, 40)),
    "Airtable token": (f"pat{some(WORDS, 14)}.{some(HEX, 64)}", f"pat{some(WORDS, 14)}.{some(HEX, 60)}"),
    "Atlassian token": ("ATATT3" + some(WORDS, 180), "ATATT3" + some(WORDS, 60)),
    "Vault token": ("hvs." + some(WORDS, 90), "hvs." + some(WORDS, 12)),
    "Grafana token": (f"glsa_{some(WORDS, 32)}_{some(HEX, 8)}", f"glsa_{some(WORDS, 32)}_{some(HEX, 7)}"),
    "Grafana cloud token": ("glc_" + some(WORDS, 80), "glc_" + some(WORDS, 20)),
    "New Relic key": ("NRAK-" + some(UPPER32, 27), "NRAK-" + some(UPPER32, 26)),
    "Postman key": (f"PMAK-{some(HEX, 24)}-{some(HEX, 34)}", f"PMAK-{some(HEX, 24)}-{some(HEX, 33)}"),
    "PlanetScale token": ("pscale_tkn_" + some(WORDS, 43), "pscale_tkn_" + some(WORDS, 20)),
    "Doppler token": ("dp.pt." + some(WORDS, 43), "dp.xx." + some(WORDS, 43)),
    "age key": ("AGE-SECRET-KEY-1" + some(UPPER32, 58), "AGE-SECRET-KEY-1" + some(UPPER32, 57)),
    "signed token (JWT)": (signed({"alg": "HS256", "typ": "JWT"}), signed({"kid": "not a signature"})),
    "Slack webhook": (
        f"https://hooks.slack.com/services/T{some(UPPER32, 9)}/B{some(UPPER32, 9)}/{some(WORDS, 24)}",
        "https://hooks.slack.com/services/T0/B0",
    ),
    "Discord webhook": (
        f"https://discord.com/api/webhooks/481516234248151623/{some(WORDS, 68)}",
        "https://discord.com/api/webhooks/481516234248151623",
    ),
    "Teams webhook": (
        "https://lake.webhook.office.com/webhookb2/{0}@{0}/IncomingWebhook/{1}".format(
            "6b1f2d3c-4a5e-6b7c-8d9e-0f1a2b3c4d5e", some(HEX, 32)
        ),
        "https://lake.webhook.office.com/webhookb2/x",
    ),
}


def test_every_rule_has_its_two_values_here():
    assert list(VALUES) == [rule.name for rule in (*RULES, *BY_URL)]


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("around", ["{}", "use {} now", '{{"k":"{}","n":1}}', "a={}&b=2", "<{}>", "see\n{}\n"])
def test_a_rule_finds_its_value_wherever_it_stands(name, around):
    text = around.format(VALUES[name][0])
    assert [hit.name for hit in find(text) if hit.issued] == [name]


@pytest.mark.parametrize("name", VALUES)
def test_a_rule_passes_by_a_value_that_is_nearly_one(name):
    assert [hit for hit in find(VALUES[name][1]) if hit.issued] == []


def test_the_sum_of_a_published_token_is_right():
    # From a public write-up of GitHub's format; the token had expired before it was published.
    assert crc32_base62("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ") == "0mLq17"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXkt\n-----END", "private key"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "private key"),
        ("postgres://app:tR4v8kLq20mz@db.example:5432/main", "password in an address"),
        ("amqps://svc:9fK2-mQ7x-Lp@mq.example/", "password in an address"),
        ("password = tR4v8-kLq20-mz", "value under a credential's name"),
        ('"db_password": "tR4v8-kLq20-mz"', "value under a credential's name"),
        ("the API key is q8Wn3kL0-zz91.", "value under a credential's name"),
        ("aws_secret_access_key=" + some(WORDS, 40), "value under a credential's name"),
    ],
)
def test_keys_addresses_and_assignments_are_found(text, name):
    assert name in [hit.name for hit in find(text)]


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE is the one in the manual",
        "-----BEGIN PUBLIC KEY-----\nMIIB",
        "-----BEGIN CERTIFICATE-----",
        "postgres://user:password@localhost/db",
        "https://ann@site.example/a:b@c",
        "password = os.environ['DB_PASSWORD']",
        "password: ${{ secrets.DB_PASSWORD }}",
        "api_key = your-api-key-123",
        "the token is short-lived and rotated every 24 hours",
        "secret = hunter",
        "3f786850e387550fdab836ed7e6dc881de23001b is the commit",
        "6b1f2d3c-4a5e-6b7c-8d9e-0f1a2b3c4d5e",
        "max_tokens = 4096, token count is 2048000000",
        "keyboard layouts: qwertz, azerty; the key is under the blue pot",
    ],
)
def test_what_is_no_credential_is_none(text):
    assert find(text) == []


@pytest.mark.parametrize(
    ("value", "is_one"), [("tR4v8-kLq20-mz", True), ("password", False), ("aaaaaaa1", False), ("short1", False)]
)
def test_a_password_looks_like_one(value, is_one):
    assert secretive(value) is is_one


def test_entropy_is_in_bits_for_each_character():
    assert entropy("aaaa") == 0
    assert entropy("abcd") == 2


def test_reading_costs_what_the_text_is_long():
    # Steps, not seconds: a hostile text must not make any rule start over. Each text is one that such rules stumble on.
    for piece in ("eyJ", "sk-", "a-", "key-0", "://a:", "password=", "AA:", "ghp_a", "x", "-----BEGIN "):
        text = piece * (200_000 // len(piece))
        start = process_time()
        find(text)
        assert process_time() - start < 30.0, piece


@pytest.mark.parametrize(
    "text",
    [
        "Тимчасовий пароль до кабінету: Verba-83-lystok. Реєстратура працює з 8 до 19.",
        "Das Passwort für das Portal: Krabbe-83-lystok",
        "mot de passe : Krabbe-83-lystok, à changer",
        "密码：Krabbe-83-lystok。",  # noqa: RUF001
        "パスワード: Krabbe-83-lystok",
    ],
)
def test_what_is_called_a_password_in_another_language_is_one(text):
    assert {hit.value[-9:] for hit in find(text)} == {"83-lystok"}


@pytest.mark.parametrize(
    "text", ["пароль: Verba", "Uhrzeit und Ort: Krabbe-83-lystok", "Passwort vergessen? Siehe: Seite-2"]
)
def test_a_word_and_what_is_called_something_else_is_none(text):
    assert find(text) == []
