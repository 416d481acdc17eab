"""Regular expressions of the package: none takes time that grows with the square of its text, or faster.

Every compiled pattern of every module is given texts that are made from the pattern itself: what each of its repeats accepts, many
times over, behind what stands before the repeat, and in front of something that no repeat accepts. What takes more than ``STEEP``
times as long when the text is twice as long, at two doublings one after the other, is no linear pattern. The short form makes the
texts and matches short ones: how long something takes is no ground to fail on a machine that does other things beside.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]

import kaizen_security

FULL, SHORT = 16_000, 50
"""Characters of the first text; the others have twice and four times as many."""
STEEP = 3.0
"""Times the time for twice the text: a linear pattern takes two, a quadratic one four."""
GLANCE = 2048
"""Characters of a first text: what is done with it within MEASURABLE is not looked at closer."""
MEASURABLE = 0.0005
ENOUGH = 0.3
"""Seconds from which on no longer text is needed."""
LOOKS = 3
"""How often a text that seems steep is looked at: the machine may have done something else meanwhile."""
TOO_LONG = 5.0
"""Seconds by the clock after which a search is given up. While a timer of processor time runs, Linux counts that in whole ticks."""
LONG = 16
"""A repeat of at least so many is one."""
ENDS = ("\0", "\n", "!", "é", '"')
KNOWN = (r"\s+$", r"\w+@", r"(a+)+b", r"<a[^>]*x")
"""Not linear: they have to be found, or the soak finds nothing."""

ACCEPTED: dict[str, str] = {}
"""Patterns that are not linear, by ``module.name``, and what bounds the text that they are given."""


def patterns() -> dict[str, re.Pattern[str]]:
    """Every pattern that stands in a module of the package, by module and name."""
    for module in pkgutil.walk_packages(kaizen_security.__path__, "kaizen_security."):
        if not module.name.endswith(("__main__", ".migrations.env")):
            try:
                importlib.import_module(module.name)
            except ImportError:
                continue  # an adapter of something that is not installed here
    found: dict[int, tuple[str, re.Pattern[str]]] = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] == "kaizen_security":
            for where, value in _within(vars(module), f"{name}.", 5):
                found.setdefault(id(value), (where, value))
    return {where: value for where, value in found.values() if isinstance(value.pattern, str)}


def _within(value: object, where: str, deep: int) -> Iterator[tuple[str, re.Pattern[str]]]:
    if isinstance(value, re.Pattern):
        yield where, value
    elif deep and isinstance(value, dict):
        for key, one in list(value.items()):
            if not str(key).startswith("__"):
                yield from _within(one, f"{where}{key}" if where.endswith(".") else f"{where}[{key}]", deep - 1)
    elif deep and isinstance(value, (tuple, list, set, frozenset)):
        for number, one in enumerate(value):
            yield from _within(one, f"{where}[{number}]", deep - 1)
    elif deep and str(getattr(value, "__module__", "")).startswith("kaizen_security"):
        parts = {name: getattr(value, name, None) for name in getattr(type(value), "__slots__", ())}
        yield from _within({**parts, **getattr(value, "__dict__", {})}, f"{where}.", deep - 1)


# --- texts -------------------------------------------------------------------------------------------------------------------


def texts(pattern: re.Pattern[str]) -> Iterator[Callable[[int], str]]:
    """Texts against a pattern, each by how long it is to be."""
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    repeats = list(_repeats(tree, ""))
    bodies = [body for _, body in repeats]
    seen = set()
    for before, body in repeats:
        for unit, ends in (
            *((unit, ENDS) for unit in (body, before + body)),
            *((body + other, ENDS[:1]) for other in bodies[:8]),
        ):
            for start in (before, ""):
                for end in ends:
                    if unit and (start, unit, end) not in seen:
                        seen.add((start, unit, end))
                        yield _pumped(start, unit, end)


def _pumped(start: str, unit: str, end: str) -> Callable[[int], str]:
    return lambda length: start + unit * (length // len(unit)) + end


def _repeats(tree: parser.SubPattern, before: str) -> Iterator[tuple[str, str]]:
    """Of each long repeat an example of what stands before it, and examples of what it repeats."""
    for code, value in tree:
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            if value[1] is codes.MAXREPEAT or value[1] >= LONG:
                for variant in range(4):
                    yield before, _example(value[2], variant)
            yield from _repeats(value[2], before)
        elif code is codes.BRANCH:
            for branch in value[1]:
                yield from _repeats(branch, before)
        elif code in (codes.SUBPATTERN, codes.ATOMIC_GROUP, codes.ASSERT):
            inner = value if code is codes.ATOMIC_GROUP else value[-1]
            yield from _repeats(inner, before)
        before += _one(code, value, 0)


def _example(tree: parser.SubPattern, variant: int) -> str:
    return "".join(_one(code, value, variant) for code, value in tree)


def _one(code: object, value: object, variant: int) -> str:
    """Something that this part accepts; ``variant`` takes other characters and branches."""
    match code:
        case codes.LITERAL:
            return chr(value)
        case codes.NOT_LITERAL:
            return next(char for char in _alphabet(variant) if ord(char) != value)
        case codes.ANY:
            return _alphabet(variant)[0]
        case codes.IN:
            return _member(value, variant)
        case codes.BRANCH:
            return _example(value[1][variant % len(value[1])], variant)
        case codes.SUBPATTERN:
            return _example(value[-1], variant)
        case codes.ATOMIC_GROUP:
            return _example(value, variant)
        case codes.MAX_REPEAT | codes.MIN_REPEAT | codes.POSSESSIVE_REPEAT:
            return _example(value[2], variant) * max(value[0], variant % 2)
        case _:
            return ""  # assertions and places take no room; what a reference repeats is left out


def _alphabet(variant: int) -> str:
    return ("a0 -.", "- a.0", "0.a /", "é=a-0")[variant]


def _member(items: list[tuple[object, object]], variant: int) -> str:
    """A character of a class."""
    if items and items[0][0] is codes.NEGATE:
        shut = re.compile("[" + "".join(_written(*item) for item in items[1:]) + "]")
        return next((char for char in _alphabet(variant) + "b,;\t~\u4e00" if not shut.match(char)), "")
    code, value = items[variant % len(items)]
    match code:
        case codes.LITERAL:
            return chr(value)
        case codes.RANGE:
            return chr(value[variant % 2])
        case codes.CATEGORY:
            open_ = re.compile(_written(code, value))
            return next((char for char in _alphabet(variant) + "b,;\t~" if open_.match(char)), "")
    return ""


_CLASSES = {
    codes.CATEGORY_DIGIT: r"\d",
    codes.CATEGORY_NOT_DIGIT: r"\D",
    codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_NOT_SPACE: r"\S",
    codes.CATEGORY_WORD: r"\w",
    codes.CATEGORY_NOT_WORD: r"\W",
}


def _written(code: object, value: object) -> str:
    if code is codes.LITERAL:
        return re.escape(chr(value))
    if code is codes.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    return _CLASSES[value]


# --- measuring ---------------------------------------------------------------------------------------------------------------


_METHODS = "(match|fullmatch|search|sub|subn|finditer|findall|split)"


def used(where: str) -> tuple[str, ...]:
    """By which methods the package uses a pattern; ``search`` where that cannot be told, and where it is used with more of them."""
    parts = re.split(r"[.\[]+", where)
    module = next(".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in sys.modules)
    name = where[len(module) + 1 :].partition("[")[0].partition(".")[0]
    source = inspect.getsource(sys.modules[module]) if name.startswith("_") else _sources()
    calls = set(re.findall(rf"\b{re.escape(name)}\.{_METHODS}\b", source))
    # One of several is called by the name of a variable, which is this one everywhere.
    calls = calls or set(re.findall(rf"\bpattern\.{_METHODS}\(", inspect.getsource(sys.modules[module])))
    return tuple(sorted(calls)) if calls and calls <= {"match", "fullmatch"} else ("search",)


@cache
def _sources() -> str:
    return "\n".join(file.read_text() for file in Path(kaizen_security.__path__[0]).rglob("*.py"))


def seconds(call: Callable[[str], object], text: str, times: int = 1) -> float:
    """Processor time, the least of several; infinite when it takes TOO_LONG by the clock."""

    def over(number: int, frame: object) -> None:
        raise TimeoutError

    least = math.inf
    before = signal.signal(signal.SIGALRM, over)
    try:
        for _ in range(times):
            signal.setitimer(signal.ITIMER_REAL, TOO_LONG)
            began = time.process_time()
            call(text)
            least = min(least, time.process_time() - began)
    except TimeoutError:
        return math.inf
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return least


def growth(call: Callable[[str], object], make: Callable[[int], str], longest: int) -> float:
    """Times the time for twice the text, the lesser of the last two doublings; 0.0 when it is done too soon to say."""
    glanced = seconds(call, make(GLANCE))
    if glanced < MEASURABLE:  # the square of that many steps takes longer
        return 0.0
    # Four times the text takes a linear pattern four times as long, a quadratic one sixteen times.
    if glanced < 6 * seconds(call, make(GLANCE // 4)):
        return 0.0
    took, length = list[float](), 512
    while length <= longest and (not took or took[-1] < ENOUGH):
        took.append(seconds(call, make(length), 3))
        length *= 2
    if math.inf in took:
        return math.inf
    if len(took) < 3 or took[-1] < MEASURABLE:
        return 0.0
    first, second, third = (max(one, 1e-7) for one in took[-3:])
    return min(third / second, second / first)


def steep(pattern: re.Pattern[str], methods: tuple[str, ...], longest: int) -> tuple[float, str]:
    """The first growth over STEEP that holds when it is looked at again, and its text when short; (0.0, "") when there is none."""
    for method in methods:
        call = getattr(pattern, method)
        for make in texts(pattern):
            found, looks = growth(call, make, longest), 1
            while found > STEEP and looks < LOOKS and found < math.inf:
                found, looks = min(found, growth(call, make, longest)), looks + 1
            if found > STEEP:
                return found, f"{method} {make(24)!r}"
    return 0.0, ""


def soak(amount: int, directory: Path) -> dict[str, object]:
    """Texts of up to ``4 * amount`` characters; the short form makes short ones, and measures nothing."""
    every = patterns()
    assert len(every) > 100, "the patterns of the package are not found"
    if amount <= SHORT:
        for pattern in every.values():
            for make in texts(pattern):
                pattern.search(make(SHORT))
        assert "a" * SHORT + ENDS[0] in {make(SHORT) for make in texts(re.compile(KNOWN[1]))}
        return {"patterns": len(every), "measured": "nothing"}
    for pattern in map(re.compile, KNOWN):
        assert steep(pattern, ("search",), 4 * amount)[0], f"{pattern.pattern} is not found to be steep"
    found = {where: steep(pattern, used(where), 4 * amount) for where, pattern in every.items()}
    bad = {where: f"{ratio:.1f} {text}" for where, (ratio, text) in found.items() if ratio}
    unknown = {where: said for where, said in bad.items() if where not in ACCEPTED}
    assert not unknown, unknown
    assert not ACCEPTED.keys() - bad.keys(), "accepted, and linear by now"
    return {"patterns": len(every), "texts": sum(1 for one in every.values() for _ in texts(one)), "accepted": bad}
