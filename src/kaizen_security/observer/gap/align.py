"""Which call explains what was seen: by the places that it names, the places that are its tool's own, and the time.

What a page or a tool's result says explains nothing: whoever wrote it is not the agent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kaizen_security.observer.gap.command import LAUNCHERS
from kaizen_security.observer.gap.expectation import Compiled, below
from kaizen_security.observer.gap.learned import Learned
from kaizen_security.observer.gap.place import Place, shown
from kaizen_security.observer.gap.seen import Seen, What
from kaizen_security.observer.gap.told import Account, Told, program

LEAD = 2.0
"""Seconds that an effect may come before its call is told to have begun: two clocks, two processes."""
GRACE = 5.0
"""Seconds that it may come after the call, or the run, is told to have ended: retries, what a library does aside."""

LONGEST = 3600.0
"""Seconds for which a call without a result, and a run in which nothing more is told, still count as under way: an agent that
leaves one open must not have everything explained by it for good."""

_SYSTEM = tuple("/usr /lib /lib32 /lib64 /bin /sbin /opt /proc/self /dev /sys /etc/ld.so.cache /etc/localtime".split())
"""What every program reads."""

_LIBRARY = frozenset(
    f"unix:{run}/{name}"
    for run in ("/run", "/var/run")
    for name in ("nscd/socket", "systemd/resolve/io.systemd.Resolve", "systemd/userdb/io.systemd.Multiplexer")
)
"""Local services that a C library asks for the names of users and hosts (nscd(8), nss-resolve(8), nss-systemd(8))."""

_LOCALHOST = "localhost"
"""The name that never leaves the machine (RFC 6761, section 6.3)."""
_SERVICE = re.compile(r"(?:_[a-z0-9-]{1,15}\.){1,2}(?=[^_])")
"""What stands before a name that a service is asked of: ``_8443._https.`` (RFC 9460, section 2.3), ``_sip._tcp.`` (RFC 2782)."""

_INSIDE = (".local", ".internal", ".home.arpa")
"""Ends of names that no public server answers (RFC 6762, RFC 8375, ICANN 2024): what resolvers append out of ``search``."""

_DRAFT = re.compile(r"(?:~|\.(?:tmp|temp|new|part|lock|bak|orig|sw[opx]|[0-9]{3,}))+")
_HIDDEN_DRAFT = re.compile(r"(?:\.sw[opx]|\.tmp|\.[A-Za-z0-9]{6})?")
"""What editors and atomic saves append to a file's name (write-file-atomic, vim), and to one with a dot before it (vim, rsync)."""


def covers_run(account: Account, at: float) -> bool:
    """Whether something at that time belongs to the run."""
    return account.begun - LEAD <= at <= _end(account) + GRACE


def _end(account: Account) -> float:
    return account.ended or account.last + LONGEST


def away(account: Account, at: float) -> float:
    """Seconds between a time and the run: 0 while it was under way."""
    return max(0.0, account.begun - at, at - _end(account))


def covers_call(account: Account, call: Told, at: float) -> bool:
    """Whether something at that time may be of that call."""
    if account.timeless:
        return covers_run(account, at)
    ended = call.ended or min(_end(account), call.begun + LONGEST)
    return call.begun - LEAD <= at <= ended + GRACE


def explains(account: Account, call: Told, effect: Seen, rules: Compiled, learned: Learned) -> bool:
    """Whether that call tells of the effect. Does not look at the time."""
    if effect.what is What.PROGRAM:
        name = program(effect.path)
        return bool(call.commands) and (name in call.commands or name in LAUNCHERS)
    if effect.what is What.FILE:
        if call.paths:
            return any(_names(path, effect.path) for path in call.paths)
        return rules.file(effect.path)
    if effect.inner and not _tells(account, call, Place(effect.inner, effect.place.port), rules, learned):
        return False
    return any(_tells(account, call, place, rules, learned) for place in _meant(effect))


def _meant(effect: Seen) -> Iterator[Place]:
    """The place; of a name that was asked for, also what it is without a service before it, and without a search domain, where
    that domain leads nowhere outside.
    """
    yield effect.place
    if effect.what is not What.NAME:
        return
    host = _SERVICE.sub("", effect.place.host, count=1) if effect.place.host.startswith("_") else effect.place.host
    if host != effect.place.host:
        yield Place(host, 0)
    if host.endswith(_INSIDE):
        labels = host.split(".")
        for end in range(len(labels) - 1, 1, -1):
            yield Place(".".join(labels[:end]), 0)


def _names(told: str, path: str) -> bool:
    """Whether a told path is the seen one, or a folder above it. A relative one may stand anywhere: nobody knows from where."""
    if told[:1] not in ("/", "\\"):
        told = told.lstrip("~").lstrip("/")
        if path.endswith("/" + told):
            return True
        folder, above = path.rpartition("/")[0], told.rpartition("/")[0]
        return (not above or f"{folder}/".endswith(f"/{above}/")) and _is_draft(told, path)
    return below(path, told) or (told.rpartition("/")[0] == path.rpartition("/")[0] and _is_draft(told, path))


def _is_draft(told: str, path: str) -> bool:
    """Whether one is what the other is written to first, by their names: ``a.py`` and ``a.py.tmp``, ``.a.py.swp``, ``#a.py#``."""
    name, seen = told.rpartition("/")[2], path.rpartition("/")[2]
    if not name or len(seen) <= len(name):
        return False
    if seen.startswith(name):
        return _DRAFT.fullmatch(seen[len(name) :]) is not None
    if seen == f"#{name}#" or seen == f".#{name}":
        return True
    if not seen.startswith(f".{name}."):
        return False
    return any(form.fullmatch(seen[len(name) + 1 :]) is not None for form in (_HIDDEN_DRAFT, _DRAFT))


def _tells(account: Account, call: Told, place: Place, rules: Compiled, learned: Learned) -> bool:
    if names(call, place):
        return True
    target = shown(place)
    if rules.reaches(call.tool, target) or learned.knows(call.tool, place.host):
        return True
    if place.host in account.said and not rules.forbids(target):
        return True
    # A tool of which nothing is said, and which says nothing, may go wherever the agent may, except where that is another's.
    return not names_a_place(call) and is_nobodys(call, target, rules)


def names(call: Told, place: Place) -> bool:
    """Whether the call names that place."""
    return any(named.covers(place) for named in (*call.places, *call.mentioned))


def names_a_place(call: Told) -> bool:
    """Whether the call says where it goes: then it is taken at its word."""
    return bool(call.places or (call.direct and call.mentioned))


def is_nobodys(call: Told, target: str, rules: Compiled) -> bool:
    """Whether the agent may go there, nothing is stated of where the call's tool goes, and it is no other tool's place."""
    return rules.reach(call.tool) is None and rules.permits(target) and not rules.owned(target)


def explaining(
    accounts: Iterable[Account], effect: Seen, rules: Compiled, learned: Learned
) -> list[tuple[Account, Told]]:
    """Every call that explains it, in what was told of by now."""
    return [
        (account, call)
        for account in accounts
        for call in account.calls
        if covers_call(account, call, effect.at) and explains(account, call, effect, rules, learned)
    ]


def needs_no_call(effect: Seen, rules: Compiled, learned: Learned) -> bool:
    """Infrastructure, stated or learned, what every program reads, and the address of a name that is stated as it is."""
    if effect.what is What.PROGRAM:
        return rules.program(program(effect.path))
    if effect.what is What.FILE:
        return any(below(effect.path, folder) for folder in _SYSTEM) or learned.knows("", effect.path)
    if effect.inner and not (rules.infrastructure(effect.inner) or learned.knows("", effect.inner)):
        return False
    if effect.what is What.NAME and any(
        place.host == _LOCALHOST or rules.names(place.host) for place in _meant(effect)
    ):
        return True
    if effect.place.host in _LIBRARY:
        return True
    return any(rules.infrastructure(shown(place)) or learned.knows("", place.host) for place in _meant(effect))


def expected_at(call: Told, rules: Compiled) -> tuple[str, ...]:
    """Where the call says that it went, or where its tool always goes: what is shown beside what was seen."""
    if call.places:
        return tuple(shown(place) for place in call.places[:3])
    reach = rules.reach(call.tool)
    return reach.hosts[:3] if reach is not None else ()


def is_anothers(effect: Seen) -> bool:
    """Whether a program was started by one that was told of and does something itself."""
    return effect.above is not None and effect.above.leads


def leads(effect: Seen) -> bool:
    """Whether what an explained program starts is its own affair: not of a shell, unless a told program started that."""
    return effect.what is What.PROGRAM and (program(effect.path) not in LAUNCHERS or is_anothers(effect))


def commanded(account: Account, at: float) -> bool:
    """Whether a call under way just then tells of a command. Neither before nor after it: the agent itself starts in between."""
    return any(
        call.commands and call.begun <= at <= (call.ended or at) and covers_call(account, call, at)
        for call in account.calls
    )
