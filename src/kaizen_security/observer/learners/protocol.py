"""What every learner can do. ``testing.checks.check_learner`` tests it."""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

from kaizen_security.contract.action import Json

X = TypeVar("X", contravariant=True)


class Learner(Protocol[X]):
    """One part of a baseline: what one kind of value (``X``) normally is.

    ``merge`` joins what two replicas learned. It is commutative, associative and idempotent, whatever the order and however often
    the same state arrives, because each replica only ever adds to its own part.
    """

    @property
    def seen(self) -> int:
        """How many observations were learned, all replicas together."""
        ...

    def learn_one(self, x: X) -> None:
        """Take one observation of ``x`` into this replica's part."""
        ...

    def score_one(self, x: X) -> float:
        """Surprise of ``x``: 0 is what always happens, 1 what never did. 0 before grace. Does not change the learner."""
        ...

    def merge(self, other: Self) -> Self:
        """A new learner that knows what both know; it goes on as the same replica as ``self``."""
        ...

    def to_json(self) -> Json:
        """The whole state as a JSON document."""
        ...
