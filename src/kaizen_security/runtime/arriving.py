"""Bodies that arrive in pieces, from whoever sends them: bounded in size and in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable

from kaizen_security.contract.errors import TooLarge


def too_long(limit: int) -> TooLarge:
    """The error for a body of more than ``limit`` bytes."""
    return TooLarge("body", f"is longer than the {limit} bytes that are taken")


async def collected(pieces: AsyncIterable[bytes], *, limit: int, seconds: float, read_away: int) -> bytes:
    """All pieces, counted as they come, whatever length was stated. Of a body that is too long, up to ``read_away`` bytes are read
    and dropped, so that its sender gets to see the answer.

    Raises TooLarge over ``limit`` bytes, TimeoutError when they have not all come within ``seconds``, and what ``pieces`` raises.
    """
    kept: list[bytes] = []
    size = 0
    async with asyncio.timeout(seconds):
        async for piece in pieces:
            size += len(piece)
            if size <= limit:
                kept.append(piece)
            elif size > read_away:
                break
    if size > limit:
        raise too_long(limit)
    return kept[0] if len(kept) == 1 else b"".join(kept)
