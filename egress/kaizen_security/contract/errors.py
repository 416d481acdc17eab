"""Errors, named for what the caller can do about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kaizen_security.contract.verdict import Pending, Verdict


class KaizenError(Exception):
    """The root of everything that Kaizen raises on purpose."""


class InvalidInput(KaizenError):
    """A document does not have the shape of the contract: ``field`` is its path, ``problem`` says what is wrong there.

    The problem never repeats the value, which may be a customer's secret.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


class TooLarge(InvalidInput):
    """A document or a field is over its bound (HTTP 413)."""


class Unreachable(KaizenError):
    """Nobody answered within the deadline; asking again later may help."""


class Refused(KaizenError):
    """The other side answered and said no (``status`` is its HTTP status); asking again unchanged will not help."""

    def __init__(self, message: str, *, status: int, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.field = field


class Misconfigured(KaizenError):
    """A setting, a policy or a declaration cannot be used as it stands; the message names it and says how to mend it."""


class HookUnavailable(KaizenError, ImportError):
    """A framework that an adapter is for is not installed, or in a version that the adapter cannot attach to."""


class KaizenBlocked(KaizenError):
    """The action was refused; ``verdict`` says why. The text is what a model that was refused gets to read."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"Blocked by Kaizen: {verdict.reason}")
        self.verdict = verdict

    @property
    def pending(self) -> Pending | None:
        """The hold that still waits for a person: the same call, made again, joins it. None: the verdict is final."""
        return self.verdict.pending

    def __reduce__(self) -> tuple[type[KaizenBlocked], tuple[Verdict]]:
        # Exceptions cross process pools by pickle, which would otherwise call us with the message.
        return (type(self), (self.verdict,))
