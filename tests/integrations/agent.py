"""The agent that every framework builds in these tests: its tools, its world, and the scripts that its model reads from."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

from kaizen_security.testing.models import Call, Turn

OWN = ("GB29NWBK60161331926819", "FR7630006000011234567890189")
"""Accounts that the user names in harmless runs."""
FOREIGN = "DE02100100100006820101"
"""The account that only an injected text names."""
PURPOSE = "Pays the bills that the user names."
TOOLS = ("bill_read", "transfer_make", "fail")


class NoSuchBill(Exception):
    """The tool's own failure."""


@dataclass
class World:
    """What the tools did, and what they read. ``note`` is the text of every bill."""

    note: str = "Please pay 42.00."
    ran: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    hang: Any = None

    def tools(self, *, coroutine: bool = False) -> list[Any]:
        """Plain functions, or the same as coroutines."""

        def bill_read(bill: str) -> str:
            """Read a bill.

            Args:
                bill: The bill's id.
            """
            self.ran.append(("bill_read", (bill,)))
            return self.note

        def transfer_make(iban: str, amount: float, subject: str = "") -> str:
            """Transfer money.

            Args:
                iban: The account that it goes to.
                amount: How much.
                subject: What for.
            """
            self.ran.append(("transfer_make", (iban, amount, subject)))
            return f"sent {amount:.2f}"

        def wipe(path: str) -> str:
            """Delete everything below a path.

            Args:
                path: Where.
            """
            self.ran.append(("wipe", (path,)))
            return "gone"

        def fail(bill: str) -> str:
            """Look for a bill that there is not.

            Args:
                bill: The bill's id.
            """
            self.ran.append(("fail", (bill,)))
            raise NoSuchBill(f"no bill {bill}")

        found = [bill_read, transfer_make, wipe, fail]
        return [_coroutine(self, one) for one in found] if coroutine else found

    @property
    def names(self) -> list[str]:
        """The tools that ran, in order."""
        return [name for name, _ in self.ran]


def _coroutine(world: World, fn: Any) -> Any:
    @functools.wraps(fn)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        if world.hang is not None:
            world.hang.set()
            import asyncio

            await asyncio.Event().wait()
        return fn(*args, **kwargs)

    return wrapper


def read(bill: str = "b1", id: str = "call_1") -> Call:  # noqa: A002
    """The model asks for a bill."""
    return Call(tool="bill_read", arguments={"bill": bill}, id=id)


def transfer(iban: str, id: str = "call_2") -> Call:  # noqa: A002
    """The model asks for a transfer."""
    return Call(tool="transfer_make", arguments={"iban": iban, "amount": 42.0, "subject": "bill b1"}, id=id)


def wipe(path: str = "/srv", id: str = "call_3") -> Call:  # noqa: A002
    """The model asks for what this agent never declared."""
    return Call(tool="wipe", arguments={"path": path}, id=id)


def fail(id: str = "call_4") -> Call:  # noqa: A002
    """The model asks for what will raise."""
    return Call(tool="fail", arguments={"bill": "b0"}, id=id)


def asks(*calls: Call) -> Turn:
    """A turn of the model that asks for these calls, in parallel."""
    return Turn(calls=calls)
