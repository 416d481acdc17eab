"""Live pages: no person and no organisation keeps the others from theirs."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from kaizen_security.server.console.live import AT_ONCE, PER_PERSON, Streams, TooManyStreams
from kaizen_security.store.base import Role, User


def person(number: int, organisation: int = 1) -> User:
    return User(id=number, organisation=organisation, name="x", role=Role.VIEWER, password="", created_at=0.0)


def opened(streams: Streams, stack: ExitStack, people: list[User]) -> int:
    """As many as there is room for; how many that is."""
    count = 0
    for one in people * PER_PERSON:
        try:
            streams.permit(one)
        except TooManyStreams:
            continue
        stack.enter_context(streams.entered(one))
        count += 1
    return count


def test_one_organisation_does_not_take_every_stream():
    streams = Streams()
    with ExitStack() as stack:
        count = opened(streams, stack, [person(i) for i in range(100)])
        assert 0.9 * AT_ONCE < count < AT_ONCE
        streams.permit(person(1000, organisation=2))
    streams.permit(person(1))


def test_what_is_permitted_and_never_begins_takes_no_place():
    streams = Streams()
    for _ in range(2 * AT_ONCE):
        streams.permit(person(1))
    with ExitStack() as stack:
        assert opened(streams, stack, [person(1)]) == PER_PERSON
        with pytest.raises(TooManyStreams):
            streams.permit(person(1))
