"""What the user decides by himself: to whom something goes that he asked to send, and whose word is to be followed."""

from __future__ import annotations

from kaizen_security.contract.action import Action
from kaizen_security.observer.effects import Effect
from kaizen_security.observer.entities import PLACES
from kaizen_security.observer.origins import Origins
from kaizen_security.observer.score import arguments
from kaizen_security.observer.values import values


def named_by_user(action: Action, origins: Origins) -> bool:
    """Whether the user named every place in the arguments, and there is one."""
    places = [value for value in values(arguments(action)) if value.kind in PLACES and not value.inside]
    return bool(places) and all(map(origins.by_user, places))


def left_open(number: int, origins: Origins) -> bool:
    """Whether the user said that what this result of the run says is to be done."""
    return number < len(origins.sources) and Effect.OPEN in origins.sources[number].reached.left
