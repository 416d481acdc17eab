"""Orders: sentences in a server's text that tell the model what to do beyond describing a tool.

Each sign alone is ordinary prose: descriptions say *must*, speak of keys, name other tools. Signs of different kinds together are
not: an order **and** its concealment, another tool **and** a changed recipient, a secret file **and** the argument that carries it.
So signs are counted by kind, each kind once, over all the text of one definition (``order_words`` has the kinds). What is quoted as
an example of something that is looked for counts for nothing: text that names a threat is not the threat.

Pure, linear in the text. What it does not see: orders in other languages than English, orders without any such sign.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kaizen_security.mcp.hidden import bare
from kaizen_security.mcp.order_words import EXAMPLE, HEAVY, KINDS

DEFINITION = 4
"""Weight from which a definition is held back."""
RESULT = 7
"""Weight from which a result is: what a page says is not what an agent does."""
MAX_TEXT = 96 << 10
"""Characters of one text that are looked at; of a longer one, half of them at its beginning and half at its end."""

_OUT_OF_SIGHT = re.compile(r"(?:[ \t]*\n){25,}\s*\S|[ \t]{120,}\S")
_IMAGE = re.compile(r"!\[[^\]]{0,200}\]\(\s*https?://[^)\s]{0,300}?(?:\{|\$\{|%7b|<|\[)[^)]{0,80}\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sign:
    """``kind`` in words, ``weight``, and the ``words`` that gave it."""

    kind: str
    weight: int
    words: str


def signs(texts: Iterable[str], *, strangers: Mapping[str, str] | None = None) -> tuple[Sign, ...]:
    """The signs in all the texts of one definition, each kind once, the heaviest first.

    ``strangers``: names of other servers' tools and whose they are; one that is named here is a sign.
    """
    found: dict[str, Sign] = {}
    for text in texts:
        for sign in (
            *_in_sight(text),
            *_of_kinds(_plain(text), found, KINDS),
            *_strangers(_plain(text), strangers or {}),
        ):
            found.setdefault(sign.kind, sign)
    return tuple(sorted(found.values(), key=lambda sign: -sign.weight))


def signs_in_result(text: str) -> tuple[Sign, ...]:
    """The signs in what a call brought back. Looked for only where one of the heavy ones stands, which is next to nowhere."""
    plain = _plain(text)
    heavy = tuple(_of_kinds(plain, {}, HEAVY))
    if not heavy and not _IMAGE.search(text):
        return ()
    return signs((text,))


def _in_sight(text: str) -> Iterable[Sign]:
    if _OUT_OF_SIGHT.search(text):
        yield Sign("text pushed out of sight", 2, "many empty lines or blanks")
    image = _IMAGE.search(text)
    if image:
        yield Sign("link that carries data out", 3, image[0][:120])


def _of_kinds(
    plain: str, found: Mapping[str, Sign], kinds: Iterable[tuple[str, int, re.Pattern[str]]]
) -> Iterable[Sign]:
    for kind, weight_, pattern in kinds:
        match = None if kind in found else pattern.search(plain)
        if match:
            yield Sign(kind, weight_, match[0].strip()[:120])


def _strangers(plain: str, strangers: Mapping[str, str]) -> Iterable[Sign]:
    for name, server in strangers.items():
        # A short name, or one without a joint, is a word like any other.
        if len(name) >= 6 and re.search(r"[_\-A-Z]", name) and name.lower() in plain:
            yield Sign("another server's tool", 2, f"{name} of {server}"[:120])
            return


def _plain(text: str) -> str:
    """Compatibility letters as plain ones, nothing invisible, small letters, one blank, a line a paragraph, no examples."""
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT // 2] + "\n\n" + text[-MAX_TEXT // 2 :]
    text = bare(text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").replace("\u2018", "'")
        text = text.replace("\u201c", '"').replace("\u201d", '"')
    paragraphs = re.split(r"[ \t\r]*\n[ \t\r]*\n\s*", text.lower())
    return EXAMPLE.sub(" ", "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))


def weight(found: tuple[Sign, ...]) -> int:
    """The sum, when the signs are of at least two kinds; one kind alone is prose."""
    return sum(sign.weight for sign in found) if len(found) > 1 else 0
