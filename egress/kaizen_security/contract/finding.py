"""Finding: what one detection says of one action."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Names the rule, the field, what was expected, what was seen, and what to do about it.

    Kind, value and source may be given by position, as deployed code does; the rest are keywords only.

    ``kind``       what is wrong, in the words of the wire contract (``malicious domain``, ``undeclared tool`` …)
    ``value``      the offending value in canonical form, at most 512 characters
    ``source``     who says so: ``policy:NAME``, ``declaration``, ``baseline``
    ``detection``  the name of the detection (its page in the reference)
    ``field``      the field of the action that it is about
    ``attack``     id of an attack class in ``contract.attacks``, or empty
    """

    kind: str
    value: str
    source: str = "policy"
    _: KW_ONLY
    detection: str = ""
    field: str = ""
    expected: str = ""
    observed: str = ""
    advice: str = ""
    attack: str = ""
