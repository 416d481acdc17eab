"""What the user decides by himself: to whom something goes that he asked to send."""

from __future__ import annotations

from kaizen_security.contract.action import Action
from kaizen_security.observer.entities import PLACES
from kaizen_security.observer.origins import Origins, values
from kaizen_security.observer.score import arguments


def named_by_user(action: Action, origins: Origins) -> bool:
    """Whether the user named every place in the arguments, and there is one."""
    places = [value for value in values(arguments(action)) if value.kind in PLACES and not value.inside]
    return bool(places) and all(map(origins.by_user, places))
