"""The first bytes of a tunnel: the TLS name in them is noted and decided on, and the tunnel opened where that is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaizen_security.egress import answer
from kaizen_security.egress.hello import Hello

if TYPE_CHECKING:
    from kaizen_security.egress.session import Session


def first_bytes(session: Session, data: bytes) -> bytes | None:
    """The bytes to let go (see ``hello.Peek``); None to wait for more, or when the tunnel is no longer one."""
    peek, record = session.peek, session.record
    assert peek is not None
    assert record is not None
    held = peek.see(data)
    if held is None:
        return None
    hello = peek.hello
    session.peek = None
    seen = session.proxy.seen
    refusal = None
    if hello is not None:
        refusal = seen.saw_hello(record, hello)
    elif peek.host:
        refusal = seen.saw_host(record, peek.host)
    elif peek.unreadable:
        refusal = seen.saw_unreadable(record, peek.speaks)
    if refusal is None:
        return held if session.proxy.opening is None else _opened(session, hello, held)
    named = hello.sni if hello is not None else peek.host
    seen.refused(seen.name_record(record, named, peek.speaks) if named else seen.beside(record), refusal)
    how = f"{peek.speaks}-{'name-refused' if named else 'unreadable'}"
    _end(session, how, tls=peek.speaks == "tls")
    return None


def _opened(session: Session, hello: Hello | None, held: bytes) -> bytes | None:
    """The first bytes again, for a tunnel that stays closed; None once it has been opened, or was not wanted."""
    opening, record, tunnel = session.proxy.opening, session.record, session.tunnel
    assert opening is not None
    assert record is not None
    assert tunnel is not None
    why = opening.closed(record, hello)
    if not why and hello is not None:
        wires = tunnel.detach()
        if wires is not None:
            session.tunnel = None
            session.proxy.replace(session, opening.opened(session, *wires, hello, held))
            return None
        why = "origin-spoke-first"
    record.extra["inspected"] = why
    refusal = opening.refuses(record, why)
    if refusal is None:
        return held
    beside = session.proxy.seen.beside(record)
    _end(session, "not-inspectable", tls=hello is not None)
    session.proxy.seen.refused(beside, refusal)
    return None


def _end(session: Session, how: str, *, tls: bool) -> None:
    assert session.tunnel is not None
    if tls:
        session.wire.send(answer.TLS_ACCESS_DENIED)
    session.tunnel.end(how, reset=not tls)
