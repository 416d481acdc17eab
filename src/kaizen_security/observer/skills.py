"""Skills: which definition of each tool or skill this agent normally uses. Hashes only, in fixed room.

Learned from runs in which nothing was flagged, like everything else; joined by union, so merging is commutative, associative and
idempotent. A second definition is only ever added by a person who folds it in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import obj
from kaizen_security.observer.entities import fingerprint
from kaizen_security.observer.rooms import Few

ROOM = 96
"""Tools, and definitions of them, that are kept."""
_EVER = 128
"""The same in documents of any version."""
CARRIES = frozenset({"skill_load", "tool_call"})
"""Kinds of action whose hash is that of a definition; a file's hash says something else."""


def skill_of(action: Action) -> str:
    """Publisher and tool as one name; empty for an action that uses none."""
    if action.kind not in CARRIES or not action.tool:
        return ""
    return f"{canonical.permitted(action.publisher)}\0{canonical.permitted(action.tool)}"


@dataclass(slots=True)
class Skills:
    """``tools``: those of which a definition is known; ``definitions``: the tool and its definition together."""

    tools: Few = field(default_factory=lambda: Few(ROOM))
    definitions: Few = field(default_factory=lambda: Few(ROOM))

    def learn(self, skill: str, mark: str) -> None:
        """The definition ``mark`` of ``skill`` is what the agent uses."""
        self.tools.add(fingerprint(skill))
        self.definitions.add(fingerprint(f"{skill}\0{mark}"))

    def changed(self, skill: str, mark: str) -> bool:
        """Whether definitions of it are known, and this is none of them; False where it may have been one that had to go."""
        found = fingerprint(f"{skill}\0{mark}")
        return fingerprint(skill) in self.tools and found not in self.definitions and self.definitions.tells(found)

    def merge(self, other: Skills) -> Skills:
        """The union."""
        return Skills(self.tools.merge(other.tools), self.definitions.merge(other.definitions))

    def to_json(self) -> dict[str, Json]:
        """The whole state."""
        return {"tools": self.tools.to_json(), "definitions": self.definitions.to_json()}

    @classmethod
    def from_json(cls, document: Json, name: str) -> Skills:
        """Back from a document; an empty one is no skills. Raises InvalidInput naming the field."""
        doc = obj(document, name)
        if not doc:
            return cls()
        if set(doc) != {"tools", "definitions"}:
            raise InvalidInput(name, "must have tools and definitions")
        return cls(*(Few(ROOM, Few.from_json(doc[part], _EVER, f"{name}.{part}")) for part in ("tools", "definitions")))
