"""What a language is to ``order_tongues``: a table of its words."""

from __future__ import annotations

import re
from dataclasses import dataclass

SHORT, LONG = r"[^.!?\n]{0,25}?", r"[^.!?\n]{0,40}?"
BRIEF = r"[^.!?。\n]{0,8}?"
Words = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tongue:
    """The words of one language; each field holds patterns, any of which will do.

    ``heard``    two words of the language, or signs of its script, that English has not
    ``stems``    separated by bars: a text without any of them holds no concealment, override or address in it
    ``edge``     what stands around a word: a word boundary, or nothing where words are not set apart
    ``conceal``  phrases that keep something from the person
    ``unasked``  phrases that keep the person from being asked
    ``void``     verbs that make something void, as orders; ``rule`` is what; ``above``: phrases that put an order above the person
    ``model``    who reads, as it is spoken to; ``must``: phrases that tell it what it has to do
    ``send``     verbs of passing on; ``data`` is what must not be; ``to`` stands before a place or an argument
    ``talk``     the conversation itself; ``hideout``: places where secrets are kept
    ``when``     phrases that say when a tool must be used; ``others``: tools, servers and messages that are not its own
    ``gap``      characters between a verb and what it governs
    ``last``     whether the verb stands after what it governs
    """

    heard: re.Pattern[str]
    stems: str
    edge: str
    conceal: Words
    unasked: Words
    void: Words
    rule: Words
    above: Words
    model: Words
    must: Words
    send: Words
    data: Words
    to: Words
    talk: Words
    hideout: Words
    when: Words
    others: Words
    gap: int = 40
    last: bool = False


def twice(*words: str) -> re.Pattern[str]:
    """Two of the words, near each other."""
    one = rf"\b(?:{'|'.join(words)})"
    return re.compile(rf"{one}[\s\S]{{0,400}}?{one}")
