"""What is looked for in a request: credentials away from home, canaries, and words of documents that must not leave.

The same scanners as the Observer's, in plain and decoded text. What the Observer knows and this does not is the run: so a
credential in a field that is made for one is left to it, and elsewhere only one in an issuer's own format is a finding. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kaizen_security.contract.finding import Finding
from kaizen_security.interception.documents import FEWEST, Documents
from kaizen_security.observer.canaries import Canaries
from kaizen_security.observer.carried import for_credentials
from kaizen_security.observer.credentials import Hit, find
from kaizen_security.observer.decode import Budget, decoded, turned

WINDOW = 16_384
"""Bytes of a body that are looked at together."""
HOLD = 4_096
"""Bytes before them that are looked at once more, and bytes of the request that are never sent on before all of it has been seen:
longer than what is looked for, in any encoding."""
MOST_LEAKS = 8
MOST_DECODED, MOST_CANDIDATES = 65_536, 512
"""Characters decoded of one piece, and runs of it that are tried: everybody waits for its turn of the loop."""
_FIELD = re.compile(
    r"""([A-Za-z][\w.\[\]-]{0,63})["']?\s{0,4}(?:[:=]|=>)\s{0,4}["']?(?:(?:bearer|token|basic)\s{1,4})?\Z""",
    re.IGNORECASE,
)
_BEFORE = 96
_JOINT = re.compile(r"&|=(?=[A-Za-z0-9+/])")
"""What joins the names and values of a form: what stands between may be encoded by itself."""


class Leak(NamedTuple):
    """``kind`` as in findings, ``name`` what it is, ``size`` characters, ``form`` how it was encoded (``""``: plain).

    ``grave``: refused where things are refused; else it is only told.
    """

    kind: str
    name: str
    where: str
    size: int
    form: str
    grave: bool = True

    def finding(self, host: str) -> Finding:
        """As it is reported: the value itself is in no finding."""
        way = f", as {self.form}" if self.form else ""
        return Finding(
            kind=self.kind,
            value=self.name[:128],
            source="egress",
            detection="egress-payload",
            field=self.where[:256],
            expected=_EXPECTED[self.kind],
            observed=f"{self.name} ({self.size} characters) in the {self.where} of a request to {host}{way}"[:512],
            advice=_ADVICE[self.kind],
            attack="allowed-host",
        )


_EXPECTED = {
    "canary": "no canary anywhere",
    "credential leaves": "no credential outside fields for credentials and its issuer's own host",
    "document leaves": "no copy of a document that must not leave",
    "reading leaves": "no copy of a sensitive reading",
}
_ADVICE = {
    "canary": "Somebody was led to the bait: look at what the agent did before.",
    "credential leaves": "Revoke the credential if it was meant to stay, then look at what led the agent to send it.",
    "document leaves": "Compare what left with what the agent was asked to do; take the document off the list if it may leave.",
    "reading leaves": "Compare what left with what the user asked for.",
}


class Scanner:
    """What is looked for, for all requests. ``host``: where a request goes."""

    def __init__(
        self, canaries: Canaries, documents: Documents, readings: Callable[[str], Documents] | None = None
    ) -> None:
        self._canaries = canaries
        self._documents = documents
        self._readings = readings

    def start(self, host: str, agent: str = "") -> Scan:
        """For one request of ``agent``."""
        known = [(self._documents, "document leaves")] if self._documents.names else []
        if self._readings is not None:
            known.append((self._readings(agent), "reading leaves"))
        return Scan(host, self._canaries, known)


class Scan:
    """One request: what has been found in it. ``leaks`` are told apart by kind and name."""

    __slots__ = ("_canaries", "_documents", "_host", "_rows", "leaks")

    def __init__(self, host: str, canaries: Canaries, documents: Sequence[tuple[Documents, str]]) -> None:
        self._host = host
        self._canaries = canaries
        self._documents = documents
        self._rows: dict[tuple[str, str], set[bytes]] = {}
        self.leaks: dict[tuple[str, str], Leak] = {}

    def text(self, said: str, where: str, name: str = "") -> list[Leak]:
        """What is new in a text. ``name``: of the field that it is the whole value of."""
        found = list(self._look(said, where, name, ""))
        # What an Authorization field encodes (user and password) is where it belongs.
        at_home = name.lower() == "authorization"
        for form, inner in decoded(_JOINT.sub(" ", said), Budget(MOST_DECODED, MOST_CANDIDATES)):
            found += self._look(inner, where, name if at_home or form == "percent" else "", "" if at_home else form)
        if self._canaries.names:
            for form, inner in turned(said):
                found += self._bait(inner, where, form)
        new = [leak for leak in found if (leak.kind, leak.name) not in self.leaks][: MOST_LEAKS - len(self.leaks)]
        for leak in new:
            self.leaks.setdefault((leak.kind, leak.name), leak)
        return list({(leak.kind, leak.name): leak for leak in reversed(new)}.values())

    def _look(self, said: str, where: str, name: str, form: str) -> Iterator[Leak]:
        yield from self._bait(said, where, form)
        for hit in find(said):
            if hit.issued:
                yield from self._credential(hit, said, where, name, form)
        yield from self._copies(said, where, form)

    def _bait(self, said: str, where: str, form: str) -> Iterator[Leak]:
        name = self._canaries.find(said)
        if name:
            yield Leak("canary", f"canary {name}", where, len(said), form)

    def _credential(self, hit: Hit, said: str, where: str, name: str, form: str) -> Iterator[Leak]:
        leak = Leak("credential leaves", hit.name, where, len(hit.value), form)
        if form and form != "percent":
            yield leak  # nobody hides what is in its place
            return
        own = any(self._host == home or self._host.endswith("." + home) for home in hit.homes)
        if own and where == "address":
            return
        at = said.find(hit.value)
        before = _FIELD.search(said, max(0, at - _BEFORE), at)
        if not for_credentials(name or (before[1] if before else "")):
            yield leak
        elif hit.homes and not own:
            # Another's credential where credentials belong: a gateway, mostly. To be seen, not to be stopped.
            yield leak._replace(grave=False)

    def _copies(self, said: str, where: str, form: str) -> Iterator[Leak]:
        for known, kind in self._documents:
            for mark, name in known.rows(said) if known.names else ():
                rows = self._rows.setdefault((kind, name), set())
                rows.add(mark)
                if len(rows) == FEWEST:
                    # Whether a reading may go there is the run's to say, which is not known here.
                    yield Leak(kind, name, where, len(said), form, grave=kind == "document leaves")
