"""Which call explains what was seen: by the places that it names, the places that are its tool's own, and the time.

What a page or a tool's result says explains nothing: whoever wrote it is not the agent.
"""

from __future__ import annotations

from collections.abc import Iterable

from kaizen_security.observer.gap.expectation import Compiled, below
from kaizen_security.observer.gap.learned import Learned
from kaizen_security.observer.gap.seen import Seen, What, shown
from kaizen_security.observer.gap.told import Account, Place, Told

LEAD = 2.0
"""Seconds that an effect may come before its call is told to have begun: two clocks, two processes."""
GRACE = 5.0
"""Seconds that it may come after the call, or the run, is told to have ended: retries, what a library does aside."""

LONGEST = 3600.0
"""Seconds for which a call without a result, and a run in which nothing more is told, still count as under way: an agent that
leaves one open must not have everything explained by it for good."""

_SYSTEM = tuple("/usr /lib /lib32 /lib64 /bin /sbin /opt /proc/self /dev /sys /etc/ld.so.cache /etc/localtime".split())
"""What every program reads."""


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
    if effect.what is What.FILE:
        if call.paths:
            return any(_names(path, effect.path) for path in call.paths)
        return rules.file(effect.path)
    if effect.inner and not _tells(account, call, Place(effect.inner, effect.place.port), rules, learned):
        return False
    return _tells(account, call, effect.place, rules, learned)


def _names(told: str, path: str) -> bool:
    """Whether a told path is the seen one, or a folder above it. A relative one may stand anywhere: nobody knows from where."""
    return below(path, told) if told[:1] in ("/", "\\") else path.endswith("/" + told.lstrip("~").lstrip("/"))


def _tells(account: Account, call: Told, place: Place, rules: Compiled, learned: Learned) -> bool:
    if any(named.covers(place) for named in (*call.places, *call.mentioned)):
        return True
    target = shown(place)
    if rules.reaches(call.tool, target) or learned.knows(call.tool, place.host):
        return True
    if place.host in account.said and not rules.forbids(target):
        return True
    # A tool of which nothing is said, and which says nothing, may go wherever the agent may, except where that is another's.
    return not call.places and rules.reach(call.tool) is None and rules.permits(target) and not rules.owned(target)


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
    """Infrastructure, stated or learned, and what every program reads."""
    if effect.what is What.FILE:
        return any(below(effect.path, folder) for folder in _SYSTEM) or learned.knows("", effect.path)
    if effect.inner and not (rules.infrastructure(effect.inner) or learned.knows("", effect.inner)):
        return False
    return rules.infrastructure(effect.target) or learned.knows("", effect.place.host)


def expected_at(call: Told, rules: Compiled) -> tuple[str, ...]:
    """Where the call says that it went, or where its tool always goes: what is shown beside what was seen."""
    if call.places:
        return tuple(shown(place) for place in call.places[:3])
    reach = rules.reach(call.tool)
    return reach.hosts[:3] if reach is not None else ()
