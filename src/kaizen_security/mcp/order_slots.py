"""Slots: addresses with a gap that the reader is to fill with what it knows, for ``orders``.

A picture is loaded, and a link is followed, with whatever was put into its address. That an address has a gap is ordinary in text
about programs (``?page={n}``); a gap that is named for what was said in the conversation is not, least of all with a word that it
is to be filled. Pure; linear: from each address a bounded stretch is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kaizen_security.mcp.order_concepts import words_of

# letters of other languages are its subject

MAX_ADDRESSES = 64
"""Addresses of one text whose gaps are looked at."""
AROUND = 200
"""Characters on each side of a gap in which it is said that it is to be filled."""
_ADDRESS = re.compile(r"https?://[^\s\"'<>{}\[\]()`|\\^]{3,300}")
_GAP = re.compile(r"(?:\{\{?|\$\{|<|\[)\s?([^{}<>\[\]()\n]{3,80}?)\s?(?:\}\}?|>|\])")
_CAPITALS = re.compile(r"(?<=[=/])[A-Z][A-Z]+(?:[_-][A-Z]+){1,7}(?=[&/)\"'>\s.,]|$)")
_MARKED = re.compile(r"\]\(\s*$|(?:src|href)=[\"']?$|url\(\s*$", re.IGNORECASE)
_JOINTS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")
SAID = words_of(
    "conversation;chat\\b;dialog(?:ue)?s?\\b;transcript;(?:last|latest|previous|prior|all|user|your|first)_(?:\\w+_)?messages?\\b;"
    "user_(?:said|says|wrote|typed|asked|input|query|question|prompt|request|text|data)\\b;what_(?:the_)?(?:user|was|you|has)\\b;"
    "system_prompt;(?:your|whole|full|entire|current|chat|session)_(?:context|history|memory)\\b;context_window;"
    "gespräch;unterhaltung;chatverlauf;verlauf\\b;was_(?:der|die|du)_;conversa;(?:ha|has|han)_(?:escrito|dicho|pedido);mensaje;"
    "(?:ce_)?que_l_utilisateur;ha_(?:scritto|detto|chiesto);gesprek;rozmow;разговор;переписк;диалог;беседа;samtal;keskustel;"
    "συνομιλ;sohbet;konuşma;percakapan;cuộc_trò_chuyện",
    "对话;聊天;会话;会話;대화;المحادثة;बातचीत",
)
"""What a gap is named for that is to carry the conversation."""
_SMALL = words_of(
    "ids?\\b;uuid;name\\b;number\\b;url\\b;link\\b;slug\\b;type\\b;page\\b;limit\\b;count\\b;token\\b;room\\b;code\\b"
)
"""A gap for one of these carries nothing."""
FILL = words_of(
    "fill;replac;placeholder;substitut;insert;interpolat;percent.encod;url.encod;encoded\\b;base64;in_(?:its|their)_places?\\b;"
    "ausgefüll;ausfüll;ersetz;einsetz;platzhalter;rempla[cç];substitu;complét;encod;codé;reempla;sustitu;rellen;codifica;sostitu;"
    "riempi;preench;vervang;invul;zastąp;wypełni;подстав;замен;заполн;ersätt;fyll;erstat;udfyld;korvaa;täyt;αντικατ;συμπλήρ;"
    "doldur;değiştir;ganti;isi\\b;thay_",
    "替换;填入;填写;置き換え;埋め;채우;바꾸;استبدل;بدل",
)


def slots(text: str) -> Iterator[tuple[str, int, str]]:
    """Kind, weight and words of each sign: an address with a gap for what was said, that it is shown, that it is to be filled."""
    if "://" not in text:
        return
    for n, address in enumerate(_ADDRESS.finditer(text)):
        if n == MAX_ADDRESSES:
            return
        gap = _gap(text, address)
        if not gap:
            continue
        start, end = address.start(), min(len(text), address.end() + 80)
        yield "address with a gap for what was said", 2, f"{text[start:end]}"
        if _MARKED.search(text[max(0, start - 12) : start]):
            yield "link that carries data out", 3, f"{text[start:end]}"
        if FILL.stands_in(
            f"{text[max(0, start - AROUND) : start]} {text[address.end() : address.end() + AROUND]}".lower()
        ):
            yield "gap that the reader is to fill", 2, gap
        return


def _gap(text: str, address: re.Match[str]) -> str:
    """What a gap of an address is named for when it is for what was said; else nothing."""
    stretch = text[address.start() : address.end() + 120].partition("\n")[0]
    own = address.end() - address.start()
    found = [gap[1] for gap in _GAP.finditer(stretch, max(0, own - 1)) if gap.start() <= own + 60]
    found += _CAPITALS.findall(stretch[:own])
    for name in found:
        said = _JOINTS.sub(" ", name).strip().lower()
        if SAID.stands_in(said) and not _SMALL.stands_in(said):
            return said
    return ""
