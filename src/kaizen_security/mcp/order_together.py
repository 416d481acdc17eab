"""Together: which concepts in one sentence make a sign, in whatever order they stand, for ``orders``.

A phrase is worded in a hundred ways, what it has to name is not: to keep something from a person one names the person, the telling
and a negation; to take something out, the thing and where it goes. A sign is a rare concept and the others within its reach.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kaizen_security.mcp import order_concepts as concepts
from kaizen_security.mcp import order_concepts_further as further
from kaizen_security.mcp.order_concepts import Concept
from kaizen_security.mcp.order_kinds import END

BOUND = 40
"""Characters between two concepts that belong together."""
_CLAUSE = re.compile(
    r"[,;:()\u2013\u2014\uff0c\u3001]| - | and | but | und | aber | et | mais | y | pero | e | ma | mas | en | maar "
)
_BEFORE = re.compile(r"(?:not|never|no|no need|nothing|without|refrain\w*|n't)\b")
"""English denials stand before what they deny."""
FEW = 8
"""Anchors in one text that are looked at one by one."""


@dataclass(frozen=True, slots=True)
class Together:
    """A sign that is several concepts in one sentence: ``anchor``, the rarest of them, and ``others`` within ``reach`` characters.

    ``never``: what takes the meaning away. ``bound``: the first two of ``others`` belong together, with few words and no clause
    between them: what is not known, and whom to ask then, are two things. Linear: each anchor looks at a bounded stretch.
    """

    name: str
    weight: int
    anchor: Concept
    others: tuple[Concept, ...] = ()
    never: Concept | None = None
    reach: int = 90
    bound: bool = False

    @property
    def stems(self) -> tuple[str, ...]:
        """A text without any of them cannot hold it; none: every text may."""
        return self.anchor.stems

    def search(self, text: str) -> re.Match[str] | None:
        """The first place where all of it stands."""
        return next(self.finds(text), None)

    def finds(self, text: str) -> Iterator[re.Match[str]]:
        """Every place where it stands."""
        for found in self._anchors(text):
            start, end = self._stretch(text, found)
            around = f"{text[start : found.start()]} {text[found.end() : end]}"
            denied = self.never is not None and self.never.stands_in(text[start:end])
            if not denied and all(other.stands_in(around) for other in self.others) and self._belong(around):
                yield found

    def _belong(self, around: str) -> bool:
        """Whether the first two of the others belong together, where they have to."""
        if not self.bound:
            return True
        one, other = (tuple(concept.finds_in(around)) for concept in self.others[:2])
        return any(_are_near(around, first, second) for first in one for second in other)

    def _anchors(self, text: str) -> Iterable[re.Match[str]]:
        """The anchors that may have the others within reach: of many, those that have none near are left out at once."""
        anchors = self.anchor.finds(text)
        if len(anchors) <= FEW:
            return anchors
        for other in self.others:
            others = other.finds(text)
            starts, ends = [one.start() for one in others], [one.end() for one in others]
            anchors = tuple(
                found
                for found in anchors
                if (first := bisect_right(ends, found.start() - self.reach)) < len(starts)
                and starts[first] < found.end() + self.reach
            )
        return anchors

    def _stretch(self, text: str, found: re.Match[str]) -> tuple[int, int]:
        left, right = max(0, found.start() - self.reach), min(len(text), found.end() + self.reach)
        start = max(left, text.rfind("\n", left, found.start()) + 1, text.rfind(END, left, found.start()) + 1)
        ends = [at for at in (text.find(END, found.end(), right), text.find("\n", found.end(), right)) if at >= 0]
        return start, min(ends, default=right)


def _are_near(text: str, denial: re.Match[str], denied: re.Match[str]) -> bool:
    if denial.start() < denied.end() and denied.start() < denial.end():
        return True
    if denied.start() < denial.start() and _BEFORE.match(denial[0]):
        return False
    between = text[min(denial.end(), denied.end()) : max(denial.start(), denied.start())]
    return len(between) <= BOUND and not _CLAUSE.search(between)


SILENCE = Together(
    "concealment from the user",
    2,
    concepts.PERSON,
    (concepts.NOT, concepts.TELLING),
    further.SPARED,
    reach=60,
    bound=True,
)
ADDRESSED = Together("words to the model that reads", 3, concepts.ADDRESSED)
PROGRAMME = Together("words to the model that reads", 3, concepts.PROGRAMME)
VIEW = Together("concealment from the user", 3, concepts.VIEW)
LINK = Together(
    "link that carries a secret out", 5, further.ENDS_OPEN, (concepts.SECRET | concepts.TALK, concepts.MOVE), reach=120
)
HEAVY = (ADDRESSED, PROGRAMME, VIEW, LINK)
"""They mark the places of a result that are looked at."""
SPOKEN = (ADDRESSED, PROGRAMME)
"""They count in what a call brought back only."""
KINDS = (
    VIEW,
    LINK,
    SILENCE,
    Together(
        "concealment from the user",
        2,
        concepts.SAYING,
        (concepts.NOT, concepts.THIS),
        concepts.pattern_of(r"\b(?:git|it|server|api|command|request)s? (?:did|could)(?: not|n't)\b"),
        reach=30,
    ),
    Together("override of other instructions", 2, concepts.PERSON, (concepts.DESPITE, concepts.WISH), reach=50),
    Together("override of other instructions", 3, concepts.VOIDS, (concepts.AUTHORITY,), reach=40),
    Together("text pushed out of sight", 2, concepts.UNSEEN),
    Together("no person is to be asked", 2, concepts.CONSENT, (concepts.GIVEN,), reach=50),
    Together("no person is to be asked", 2, concepts.PERSON, (concepts.NOT, concepts.CONSENT), reach=60, bound=True),
    Together(
        "data put into an argument or sent away",
        2,
        concepts.SECRET,
        (concepts.MOVE, concepts.DEST),
        never=concepts.FORBIDS,
        reach=70,
    ),
    Together(
        "data put into an argument or sent away",
        2,
        concepts.TALK,
        (concepts.MOVE, concepts.DEST),
        never=concepts.FORBIDS | concepts.words_of("environ"),
        reach=70,
    ),
    Together(
        "the conversation drawn out",
        3,
        concepts.DRAWN,
        (concepts.TALK, concepts.WHOLE),
        never=concepts.pattern_of(r"\benv|\bn['o]t\b"),
    ),
    Together(
        "data put into an argument or sent away",
        2,
        concepts.SECRET,
        (further.REPLY, further.CONTENTS),
        concepts.FORBIDS,
    ),
    Together(
        "data put into an argument or sent away",
        2,
        further.PRINTED,
        (concepts.MOVE | concepts.words_of("fill"), concepts.DEST),
    ),
    Together("credentials of the user", 2, further.PRINTS_SECRET, (concepts.MOVE | concepts.words_of("fill"),)),
    Together("the conversation itself", 1, concepts.TALK),
    Together("the conversation itself", 1, further.ASKED, (further.VERBATIM,)),
    Together("taken whole", 1, further.ASKED, (further.VERBATIM,)),
    Together("taken whole", 1, concepts.TALK, (concepts.WHOLE,)),
    Together("word against other tools", 2, concepts.OTHERS, (concepts.AGAINST,), reach=70),
    Together("effect by presence alone", 2, concepts.PRESENCE),
    Together("standing order beyond the tool", 2, concepts.EVERY),
    Together("standing order beyond the tool", 2, further.EACH_REPLY, (further.CALLING,), reach=70),
    Together("demand on when tools are used", 2, concepts.FROM_NOW),
    Together("use of another tool", 2, concepts.CALLS),
    Together("link that carries data out", 2, concepts.OPEN),
    Together("change to where another call goes", 2, concepts.RECIPIENT, (concepts.ALWAYS,), reach=60),
    Together(
        "what is private made public",
        2,
        concepts.FOREIGN,
        (concepts.OUTSIDE, concepts.MOVE | concepts.words_of("add\\b;publish;pull_request")),
        never=concepts.words_of("keys?\\b;certificat"),
        reach=160,
    ),
)
SLOTS = (
    Together(
        "argument that asks for what the run knows",
        3,
        concepts.TALK,
        (concepts.WHOLE,),
        never=concepts.FORBIDS | concepts.words_of("transcript"),
        reach=200,
    ),
    Together(
        "argument that asks for a secret kept elsewhere",
        3,
        concepts.SECRET | concepts.ENVIRONMENT,
        (concepts.SOURCE,),
        never=concepts.FORBIDS | concepts.FALLS_BACK | concepts.words_of("configmap"),
        reach=200,
    ),
    Together(
        "credentials of the user",
        1,
        concepts.SECRET | concepts.ENVIRONMENT,
        (concepts.SOURCE,),
        never=concepts.FORBIDS | concepts.FALLS_BACK | concepts.words_of("configmap"),
        reach=200,
    ),
)
"""They count in what one argument says of itself: name, title, description, default and choices together."""


def filled_by_another(text: str, own: frozenset[str]) -> str:
    """What is written like a tool's name, is no name of this server (``own``: tools and arguments), and stands in one sentence with
    a name that is set apart, as of an argument: what it returns is to be put there. Empty when there is none.
    """
    for found in concepts.FOREIGN_TOOL.finditer(text):
        if found[0] not in own:
            start, end = _NEARBY._stretch(text, found)
            if "`" in text[start : found.start()].rstrip("`") + text[found.end() : end].lstrip("`"):
                return found[0]
    return ""


_NEARBY = Together("", 0, Concept(), reach=160)


def spoken_against(text: str, start: int, end: int) -> bool:
    """Whether the sentence around a tool's name says that it is not to be used any more, or that another is to take its place."""
    found = re.compile(r"").match(text, start)
    assert found is not None
    left, _ = _NEARBY._stretch(text, found)
    _, right = _NEARBY._stretch(text, found)
    return concepts.AGAINST.stands_in(f"{text[left:start]} {text[end:right]}")
