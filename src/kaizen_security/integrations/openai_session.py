"""One run of the OpenAI Agents SDK as Kaizen goes along with it: see ``integrations.openai_agents``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from kaizen_security.client.noting import RUN
from kaizen_security.integrations.base import Allowed, AttachPoint, Refused
from kaizen_security.integrations.openai_items import request, results
from kaizen_security.integrations.runs import RUNNING, Running

if TYPE_CHECKING:
    from kaizen_security.integrations.openai_agents import KaizenHooks


class Session:
    """One run of the SDK: who acts in it just now, and what was said of the calls that are about to run."""

    def __init__(self, hooks: KaizenHooks, running: Running, above: tuple[str, ...], asked: str = "") -> None:
        self.hooks = hooks
        self.asked = asked
        self.point: AttachPoint = hooks.point
        self.running = running
        self.above = above
        self.said: dict[tuple[str, str, str], Allowed | Refused] = {}
        """By id, tool and arguments: an id is what a model made up, and may be there twice."""
        self.told: set[str] = set()
        """Ids of the calls that ran at the provider and are told."""
        self.read = False
        self.ended: dict[str, str] = {}
        """By the name of an agent that goes on asking for what it is refused: what is to be its last word."""
        self._chains: dict[str, tuple[str, ...]] = {}
        self._acts = ""

    @property
    def last_word(self) -> str:
        """Of the agent that acts, if it is to be stopped; else empty."""
        return self.ended.get(self._acts, "")

    @property
    def chain(self) -> tuple[str, ...]:
        """The agents down to the one that acts."""
        return self._chains.get(self._acts, self.above)

    def acts(self, name: str) -> None:
        """``name`` acts from now on; the first one is whom the run was begun with."""
        if not self._chains:
            self._chains[name] = self.above
        self._acts = name

    def reads(self, items: Any) -> None:
        """What earlier runs of the conversation brought, and what the user said in them. Once."""
        if self.read:
            return
        self.read = True
        for id_, content in results(items):
            self.running.read(content, action_id=id_)
        said = "" if self.above else request(items)
        if said and said not in self.asked:
            self.running.request(said)

    def hands_over(self, giver: str, taker: str) -> None:
        """``giver`` hands the work to ``taker``, unless that one had it before."""
        self._chains.setdefault(taker, (*self._chains.get(giver, self.above), taker))

    def continues(self, agent: Any) -> None:
        """``agent`` acts now, where nobody tells of a hand-over."""
        name = name_of(agent)
        if name != self._acts:
            self.hands_over(self._acts, name)
            self.acts(name)


SESSION: ContextVar[Session | None] = ContextVar("kaizen_openai_agents", default=None)


@contextmanager
def within(session: Session) -> Iterator[None]:
    """Make it the current one, and its run that of this context, for a while."""
    tokens = SESSION.set(session), RUN.set(session.running.id), RUNNING.set(session.running)
    try:
        yield
    finally:
        SESSION.reset(tokens[0])
        RUN.reset(tokens[1])
        RUNNING.reset(tokens[2])


def name_of(thing: Any) -> str:
    """Of an agent or a tool; its kind where it has none."""
    return str(getattr(thing, "name", "") or type(thing).__name__)
