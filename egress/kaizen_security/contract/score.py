"""Score: what a verdict's score is made of, so that every contribution can be shown and another threshold can be tried.

Optional on the wire and never text of a run: numbers, names of signals, and where the values of a call came from, as fields and
tools. It says why; it decides nothing for whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, array, boolean, obj, text, texts

KINDS = ("address", "host", "URL", "account", "phone number", "file", "date", "number", "id", "words", "text")
"""What a value can be: those of ``observer.entities``."""
EFFECTS = (
    "sending",
    "paying",
    "changing",
    "creating",
    "removing",
    "giving access",
    "credentials",
    "doing what a source says",
)
"""What a request can ask for and a call can do: those of ``observer.effects``."""
MAX_PARTS = 32
MAX_VALUES = 24
ORIGINS = ("user", "used", "field", "text", "unknown")
"""Said by the user; used here before, unflagged; a field of a result; free text of a result; nowhere that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One signal: ``weight`` (never negative, in log odds) times ``value`` (0 to 1) is its contribution."""

    name: str
    weight: float
    value: float

    @property
    def points(self) -> float:
        """Its contribution, in log odds."""
        return self.weight * self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """Where a value came from: ``field`` of the arguments, its ``kind``, one of ``ORIGINS``; of a result whose, and where in it."""

    field: str
    kind: str
    origin: str
    tool: str = ""
    path: str = ""

    @property
    def words(self) -> str:
        """Where it came from, for people. Tool and path are an agent's words: whoever shows them keeps them from doing harm."""
        inside = self.path.strip(".*$[]")
        place = f"a result of {self.tool or 'a tool'}" + (f" ({inside})" if inside else "")
        return {
            "user": "the user said it",
            "used": "used here before, unflagged",
            "field": f"a field of {place}",
            "text": f"only free text of {place}",
        }.get(self.origin, "nowhere that is known")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """``value`` and ``threshold`` (None: not calibrated yet) in log odds, ``probability`` of serving somebody else.

    ``bias``        what the parts are added to
    ``parts``       the largest first; empty where nothing was found and nothing nearly
    ``steered``     a value that nobody authorised steers the call: the finding is provenance's, else alignment's
    ``asked``       share of the call that the request explains; ``told``: that one place in what was read explains
    ``came``        where the call's values came from
    ``wanted``      which of ``EFFECTS`` the user's request speaks of; ``effects``: which the call has
    """

    value: float
    threshold: float | None = None
    probability: float = 0.0
    bias: float = 0.0
    parts: tuple[Part, ...] = ()
    steered: bool = False
    asked: float = 0.0
    told: float = 0.0
    came: tuple[Came, ...] = ()
    wanted: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()

    def share(self, part: Part) -> float:
        """Of all that speaks against the call, 0 to 1."""
        whole = sum(one.points for one in self.parts)
        return part.points / whole if whole > 0 else 0.0

    def renamed(self, clean: Callable[[str], str]) -> Score:
        """With every name that an agent or a third party may have chosen put through ``clean``."""
        return replace(
            self,
            came=tuple(
                replace(
                    one,
                    field=_renamed(one.field, clean),
                    path=_renamed(one.path, clean),
                    tool=one.tool and clean(one.tool),
                )
                for one in self.came
            ),
        )


def _renamed(path: str, clean: Callable[[str], str]) -> str:
    # ``[]`` and ``*`` stand for the places of a list, ``$`` for a document that is a single value.
    parts = [part.removesuffix("[]") for part in path.split(".")]
    ends = ["[]" * part.endswith("[]") for part in path.split(".")]
    return ".".join(
        (clean(part) if part not in ("", "$", "*") else part) + end for part, end in zip(parts, ends, strict=True)
    )


def encode_score(score: Score) -> dict[str, Json]:
    """``decode_score`` gives it back, rounded to four digits."""
    document: dict[str, Json] = {
        "value": round(score.value, 4),
        "threshold": None if score.threshold is None else round(score.threshold, 4),
        "probability": round(score.probability, 4),
        "bias": round(score.bias, 4),
        "steered": score.steered,
        "asked": round(score.asked, 4),
        "told": round(score.told, 4),
    }
    if score.parts:
        document["parts"] = [
            {"name": one.name, "weight": round(one.weight, 4), "value": round(one.value, 4)} for one in score.parts
        ]
    if score.came:
        document["came"] = [
            {name: said for name in ("field", "kind", "origin", "tool", "path") if (said := getattr(one, name))}
            for one in score.came
        ]
    if score.wanted:
        document["wanted"] = [*score.wanted]
    if score.effects:
        document["effects"] = [*score.effects]
    return document


def decode_score(document: Json, field: str) -> Score:
    """A score. Raises InvalidInput naming the field."""
    doc = obj(document, field)
    path = field + "."
    said = {name: texts(doc, name, path, limit=48) for name in ("wanted", "effects")}
    for name, found in said.items():
        if not set(found) <= set(EFFECTS):
            raise InvalidInput(path + name, f"must be some of {', '.join(EFFECTS)}")
    threshold = doc.get("threshold")
    return Score(
        value=_number(doc, "value", path),
        threshold=None if threshold is None else _number(doc, "threshold", path),
        probability=_number(doc, "probability", path, low=0.0, high=1.0),
        bias=_number(doc, "bias", path),
        parts=tuple(
            _part(one, f"{path}parts[{i}]") for i, one in enumerate(array(doc, "parts", path, limit=MAX_PARTS))
        ),
        steered=boolean(doc, "steered", path),
        asked=_number(doc, "asked", path, low=0.0, high=1.0),
        told=_number(doc, "told", path, low=0.0, high=1.0),
        came=tuple(_came(one, f"{path}came[{i}]") for i, one in enumerate(array(doc, "came", path, limit=MAX_VALUES))),
        wanted=said["wanted"],
        effects=said["effects"],
    )


def _part(document: Json, field: str) -> Part:
    doc = obj(document, field)
    name = text(doc, "name", field + ".", limit=48)
    if not name.replace("_", "a").isalpha() or not name.isascii():
        raise InvalidInput(field + ".name", "must be the name of a signal")
    return Part(
        name=name,
        weight=_number(doc, "weight", field + ".", low=0.0),
        value=_number(doc, "value", field + ".", low=0.0, high=1.0),
    )


def _came(document: Json, field: str) -> Came:
    doc = obj(document, field)
    said = {name: text(doc, name, field + ".", limit=MAX_NAME) for name in ("field", "kind", "origin", "tool", "path")}
    if said["origin"] not in ORIGINS:
        raise InvalidInput(field + ".origin", f"must be one of {', '.join(ORIGINS)}")
    if said["kind"] not in KINDS:
        raise InvalidInput(field + ".kind", f"must be one of {', '.join(KINDS)}")
    return Came(**said)


def _number(doc: Mapping[str, Json], key: str, path: str, *, low: float = -1e6, high: float = 1e6) -> float:
    value = doc.get(key)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or not low <= value <= high:
        raise InvalidInput(path + key, f"must be a number from {low:g} to {high:g}")
    return float(value)
