"""The reason strings. They are an interface (``docs/reference/reasons.md``): dashboards and runners match on them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from kaizen_security.contract.fields import MAX_NAME

OK = "ok"
NOTHING_COMPARED = "ok: neither a declaration nor an account was given, so nothing was compared"
"""Of ``/v1/score``: who declares and reports nothing contradicts nothing (wire contract: an empty list declares nothing)."""
NO_POLICY_MATCHED = "no policy matched"
CORRELATION = "blocked by correlation: sensitive read then outbound connect"
FAILED_CLOSED = "engine error, failed closed"
OBSERVED_EGRESS = "observed egress"
NO_POLICY_YET = "no policy received yet: judged without policy and declaration"
"""A note on a sidecar's verdict, not a reason: clients that enforce match on it."""

RELEASED = {
    "allow_once": "released once by a person",
    "allow_run": "released for this run by a person",
    "learn": "released and learned as normal by a person",
}
"""Notes on a verdict that a person released, by the answer that was given: clients that enforce match on them."""
RELEASING = frozenset(RELEASED.values())
HELD = "held: waits for a person"
"""A note on the verdict of an action that is held."""
UNANSWERED = "nobody answered in time, so it stays blocked"
DENIED = "a person was asked and blocked it"
"""Notes on the final verdict of an action that was held."""
ANSWERED = ":answered"
"""What the id of a held action ends with in the row that says what came of it."""
JUDGE = "reasoning judge"
"""Who a model is called where people are named."""
AN_AGENTS_KEY = "seen by nobody but a key that agents use: a feed with a key of scope collector would be believed"
"""A note on what a key of scope agent says that network or kernel saw: deployed proxies do, and so may the agent."""
DOUBTED = "no rule had flagged this, it was only doubted"
"""A note on what a reasoning check raised of an action that had no findings."""
JUDGED = ":judged"
"""What the id of an action ends with in the row that says what a reasoning check raised afterwards."""


def about(action_id: str) -> str:
    """The id of the action that a row is about: a further row's own id ends with what it is."""
    return action_id.removesuffix(ANSWERED).removesuffix(JUDGED)


def row_id(action_id: str, ending: str = "") -> str:
    """The id of an action's own row, or with ``ending`` of a further one.

    An agent chooses its ids: one that ends as a further row's does gets a dot, or its row would pass for what a person or a model
    said, would not be counted, and would take that one's place. No row's id is longer than an id may be: it would be refused, and
    what was done would stand nowhere. What is cut off is in the hash.
    """
    own = action_id + ("" if about(action_id) == action_id else ".")
    if len(own) + len(ending) > MAX_NAME:
        mark = "." + sha256(own.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        own = own[: MAX_NAME - len(mark) - len(ending)] + mark
    return own + ending


def blocked_by_policy(kinds: Iterable[str]) -> str:
    """``blocked by policy: <finding kinds, sorted>``; each kind once."""
    return "blocked by policy: " + ", ".join(sorted(set(kinds)))


def undeclared(*, tool: str = "", destination: str = "", data: str = "") -> str:
    """What was used without having been declared; names all of it, tool first. ``destination`` is a host without its port, ``data``
    the classes of data.
    """
    said = []
    if tool:
        said.append(f"used a tool it never declared ({tool})")
    if destination:
        said.append(f"connected to a destination it never declared ({destination})")
    if data:
        said.append(f"handled data it never declared ({data})")
    return "undeclared: this agent " + ", ".join(said) + "."


def anomaly(*, kind: str = "", tool: str = "", destination: str = "") -> str:
    """What this agent has never done before; names all that apply, tool first."""
    said = []
    if tool:
        said.append(f"a tool it has never used ({tool})")
    if destination:
        said.append(f"a destination it has never connected to ({destination})")
    if kind:
        said.append(f"a kind of action it has never done ({kind})")
    return "behavioral anomaly: this agent did " + ", ".join(said) + "."


def judged(word: str, confidence: float, why: str, *, tool: str = "", destination: str = "") -> str:
    """``reasoning judge (malicious, confidence 0.6): <sentence>``; names tool and destination where the sentence does not.

    ``word`` is ``malicious`` or ``suspicious``, ``confidence`` 0 to 1.
    """
    said = f"{JUDGE} ({word}, confidence {confidence:g}): {why}"
    named = (("Tool", tool), ("Destination", destination))
    return " ".join([said, *(f"{role}: {name}." for role, name in named if name and name not in why)])
