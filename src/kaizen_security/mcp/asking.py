"""Asking: what a server must not ask a person for, and what it must not make the assistant say."""

from __future__ import annotations

import re

from kaizen_security.contract.action import Json
from kaizen_security.mcp.definitions import texts
from kaizen_security.mcp.hidden import visible
from kaizen_security.mcp.order_claims import claimed

_SECRET_FIELDS = (
    "password",
    "passwd",
    "secret",
    "apikey",
    "accesstoken",
    "privatekey",
    "creditcard",
    "cvv",
    "ssn",
    "mnemonic",
    "seedphrase",
    "recoveryphrase",
    "passwort",
    "kennwort",
    "geheimzahl",
    "contraseña",
    "claveprivada",
    "motdepasse",
    "codesecret",
    "密码",
    "口令",
    "私钥",
)
_WALLET = re.compile(
    r"(?i:(?:seed|recovery|mnemonic) (?:phrase|words)"
    r"|\b(?:twelve|twenty-four|12|24)[ -]words?\b[^.\n]{0,60}?\b(?:wallet|wrote down)\b"
    r"|(?:palabras|frase) de recuperación|frase semilla"
    r"|phrase de récupération|wiederherstellungs(?:phrase|wörter)|frase di recupero|frase de recuperação"
    r"|助记词|リカバリーフレーズ|복구 문구|секретная фраза)"
)
_OTHER_CODES = "".join(
    f"(?<!{one}[ -])"
    for one in "country area dialling dial postal zip promo discount coupon voucher source error status qr tracking".split()
)
_CODE = re.compile(
    rf"(?i:\b(?:{_OTHER_CODES}codes?|digits|(?-i:PIN)|(?:the|your|a|this|that) pin|passcode"
    r"|(?:the|your|a|this|that|digit|verification|security|confirmation|login) number(?! of\b)"
    r"|ziffern|chiffres|dígitos|cifre|código|codice)\b[^.!?\n]{0,60}?"
    r"(?:\b(?:sent|texted|e-?mailed|messaged|shown|pushed) (?:to )?(?:you|your)\b|\b(?:just )?sent (?:to )?you\b"
    r"|\b(?:has|have|had) (?:just )?(?:sent|texted|e-?mailed)\b|authenticator|(?<!for )\bsms\b|two-factor|\b2fa\b"
    r"|geschickt|gesandt|envoyé|enviado|inviat)"
    r"|(?:one-time|einmal|à usage unique|de un solo uso) ?"
    r"(?:code|pass(?:codes?|words?|phrases?|wort|wörter)?\b|kennwort|código|codice))"
)
"""A code for this once, which somebody else sent so that only this person has it."""
_USERINFO = re.compile(r"[\x00-\x20]*(?i:https?):[\\/]*([^/?#\\]+)@")
_GONE = str.maketrans("", "", "\t\n\r")
"""What browsers take out of a URL; further signs before it and blanks within they let pass."""
_LETTERS_ONLY = re.compile(r"[\W_]+")


def secrets_asked(params: Json) -> list[str]:
    """What a question wants to know that nobody may ask for: fields for secrets, and words that open a wallet."""
    return [*_secret_fields(params), *_wallet_words(params), *_codes(params), *_disguised(params)]


def claims(body: Json) -> tuple[str, ...]:
    """What turns of the assistant that a server wrote say of a consent, one sentence each."""
    turns = body.get("messages") if isinstance(body, dict) else None
    found = []
    for turn in turns if isinstance(turns, list) else ():
        if isinstance(turn, dict) and turn.get("role") == "assistant":
            found += [said for text in texts(turn.get("content")) if len(text) > 20 and (said := claimed(text))]
    return tuple(f'consent that nobody gave: "{visible(said)}"' for said in found[:4])


def _secret_fields(params: Json) -> list[str]:
    schema = params.get("requestedSchema") if isinstance(params, dict) else None
    properties = schema.get("properties") if isinstance(schema, dict) else None
    names = properties if isinstance(properties, dict) else {}
    return [name for name in names if any(word in _LETTERS_ONLY.sub("", name.lower()) for word in _SECRET_FIELDS)]


def _wallet_words(params: Json) -> list[str]:
    """The words that open a wallet, wherever a question names them: nobody may ask for those."""
    return [found[0] for text in texts(params) if (found := _WALLET.search(text))][:1]


def _disguised(params: Json) -> list[str]:
    """A page that a person is sent to whose address begins with another host's name, as one that signs in there."""
    url = params.get("url") if isinstance(params, dict) else None
    shown = _USERINFO.match(url.translate(_GONE)) if isinstance(url, str) else None
    return [f"a visit to a page that is not at {shown[1][:80]}"] if shown else []


def _codes(params: Json) -> list[str]:
    return [found[0][:120] for text in texts(params) if (found := _CODE.search(text))][:1]
