"""Whether the place that a call names may have sent it on to where it was seen: a redirect (RFC 9110, section 15.4).

TLS hides the answer that says so, so what it would look like is compared: a declared place that is no tool's own, after the named
place was reached, in the same call, with no more sent than the request that it repeats.
"""

from __future__ import annotations

from kaizen_security.observer.gap.align import covers_call, is_nobodys, names
from kaizen_security.observer.gap.expectation import Compiled
from kaizen_security.observer.gap.place import shown
from kaizen_security.observer.gap.seen import Seen, What
from kaizen_security.observer.gap.told import Account, Told

MOST = 4 << 10
"""Bytes that a request which was sent on has at most: a TLS hello with a post-quantum key, a long URL, cookies."""
UNKNOWN = 1 << 10
"""The same where the bytes of the connection to the named place are not known, as long as it is open."""
MORE = 256
"""Bytes that the further request may have beyond a quarter more than the first: another URL, a ``Referer``."""
HOSTS = 4
"""Hosts that one call is sent on to."""
TRIES = 2
"""Requests to each."""


def sent_on(accounts: list[Account], effect: Seen, rules: Compiled) -> list[tuple[Account, Told]]:
    """The calls that may have been sent on to the effect."""
    return [
        (account, call)
        for account in accounts
        for call in account.calls
        if covers_call(account, call, effect.at) and may_lead(call, effect, rules) and effect.up <= most(call)
    ]


def may_lead(call: Told, effect: Seen, rules: Compiled) -> bool:
    """Whether a place that the call names was reached before the effect, which is where the agent may go. Bytes aside."""
    if effect.what is What.NAME:
        # Who asks for a name and does not go there was not sent there.
        return any(one.sent_on and one.place.host == effect.place.host for one in call.carriers)
    if effect.what is not What.CONNECTION or effect.inner or effect.hollow:
        return False
    if not is_nobodys(call, shown(effect.place), rules):
        return False
    if not any(one.at <= effect.at and not one.refused for one in _first(call)):
        return False
    further = {one.place.host for one in call.carriers if not names(call, one.place)}
    return effect.place.host in further or len(further) < HOSTS


def most(call: Told) -> int:
    """Bytes of one request that is sent on."""
    sizes = [one.up for one in _first(call) if one.up]
    return min(MOST, max(sizes) * 5 // 4 + MORE) if sizes else UNKNOWN


def _first(call: Told) -> list[Seen]:
    return [one for one in call.carriers if names(call, one.place)]
