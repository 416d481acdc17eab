"""Numbers of cards and bank accounts, told from other numbers by their check digits (ISO/IEC 7812, ISO 13616); lists of
telephones; codes for one time, by what they are called.
"""

from __future__ import annotations

import re
import string

MOST = 32

_ANY = re.compile(r"\d[ ./()-]{0,2}\d")
"""Two digits; every number here has them, and most texts have none."""
_CARD = re.compile(r"(?<![\w.-])[2-6](?:[ -]?\d){12,18}(?![\w-])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_PHONE = re.compile(r"(?<![\w+])\+\d{1,3}(?:[ ()./-]{0,2}\d){7,12}(?!\d)")
_READ = {ord(char): str(int(char, 36)) for char in string.ascii_letters}
_SHORT = re.compile(r"(?<![\d.,:/-])\d{4,8}(?![\d:/-]|[.,]\d)")
_NAMES = (
    *(
        "otp",
        "one time code",
        "one-time code",
        "one time passcode",
        "one-time passcode",
        "verification code",
        "security code",
    ),
    *("bestätigungscode", "einmalcode", "code de vérification", "code à usage unique", "código de verificación"),
    *("código de verificação", "codice di verifica", "verificatiecode", "kod weryfikacyjny", "код підтвердження"),
    *(
        "код подтверждения",
        "doğrulama kodu",
        "kode verifikasi",
        "mã xác thực",
        "mã xác nhận",
        "验证码",
        "驗證碼",
        "認証コード",
    ),
    *("확인코드", "인증번호", "ओटीपी", "رمز التحقق", "קוד אימות", "engångskod", "kertakäyttökoodi"),
)
_CALLED = re.compile("|".join(_NAMES).replace("otp", "(?<![a-z])otp(?![a-z])"), re.IGNORECASE)
_SAME = (("\u0131", "i"), ("\u017f", "s"), ("\u0307", ""))
"""What lower case leaves as it is (an i without dot, a long s, the dot of a Turkish I), and the expression does not tell apart."""
_NEAR = 40
"""Characters between what a code is called and the code."""
CODE = "code "
"""Before a code, so that it is known as none of the other numbers."""
LIST = 3
"""Telephone numbers from which on a text is a list of people. One alone is on every letterhead."""


def numbers(text: str) -> list[str]:
    """All of them, in one spelling each."""
    return [*card_numbers(text), *ibans(text), *telephones(text)] if _ANY.search(text) else []


def codes(text: str) -> list[str]:
    """The numbers that ``text`` calls a code for one time: the first behind what it is called, else the last before it."""
    found: dict[str, None] = {}
    if not _may_call(text):
        return []
    for called in _CALLED.finditer(text):
        behind = short_numbers(text[called.end() : called.end() + _NEAR])
        before = short_numbers(text[max(0, called.start() - _NEAR) : called.start()])
        found.update(dict.fromkeys(behind[:1] or before[-1:]))
        if len(found) >= MOST:
            break
    return list(found)


def called_codes(text: str) -> bool:
    """Whether ``text`` speaks of a code for one time."""
    return _may_call(text) and _CALLED.search(text) is not None


def _may_call(text: str) -> bool:
    # The expression takes twenty times as long, and in most texts finds nothing.
    folded = text.lower()
    for letter, same in () if folded.isascii() else _SAME:
        folded = folded.replace(letter, same)
    return any(name in folded for name in _NAMES)


def short_numbers(text: str) -> list[str]:
    """Numbers of four to eight digits that are no part of a date, an amount or a longer number."""
    return _SHORT.findall(text)[:MOST]


def telephones(text: str) -> list[str]:
    """The international numbers in ``text`` when it lists several people's, digits only; else none."""
    if text.count("+") < LIST:
        return []
    found = international(text)
    return found[:MOST] if len(found) >= LIST else []


def international(text: str) -> list[str]:
    """Every telephone number in ``text`` that begins with a country's, digits only, each once."""
    return list(dict.fromkeys("".join(filter(str.isdigit, match.group())) for match in _PHONE.finditer(text)))


def card_numbers(text: str) -> list[str]:
    """The card numbers in ``text``, digits only."""
    found = ("".join(filter(str.isdigit, match.group())) for match in _CARD.finditer(text))
    return [digits for digits in found if luhn(digits) and len(set(digits)) > 1][:MOST]


def ibans(text: str) -> list[str]:
    """The international account numbers in ``text``, without spaces."""
    found = (match.group().replace(" ", "") for match in _IBAN.finditer(text))
    return [number for number in found if mod97(number)][:MOST]


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (Luhn 1960)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        total += value if place % 2 == 0 else value * 2 - 9 * (value > 4)
    return total % 10 == 0


def mod97(number: str) -> bool:
    """Whether an IBAN's check digits fit: moved behind and read as a number, the remainder by 97 is 1."""
    turned = number[4:] + number[:4]
    return turned.isalnum() and turned.isascii() and int(turned.translate(_READ)) % 97 == 1
