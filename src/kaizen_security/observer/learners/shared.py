"""What was learned as one part: what is read (``whole``) is the sum of the parts of all replicas, kept beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from kaizen_security.observer.learners.parts import P, Parted


class Shared(Parted[P]):
    """``whole`` is what is read."""

    __slots__ = ("whole",)

    def _sum_up(self) -> None:
        # Nobody else has learned anything: then what is read is what is taught, and it is kept once.
        self.whole = self._own
        for part in self._others:
            self.whole = self.whole.plus(part)

    def teach(self, lesson: Callable[[P], None]) -> None:
        """Let this replica's part learn, and what is read with it."""
        lesson(self._own)
        if self.whole is not self._own:
            lesson(self.whole)

    @property
    def seen(self) -> int:
        """Observations, all replicas together."""
        return self.whole.total

    def _like(self) -> Self:
        return type(self)(self._make, self.replica)
