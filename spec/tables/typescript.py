"""Make ``typescript/src/contract/tables.ts``: what JavaScript's own Unicode functions do not say, or say by another version.

    python3.11 spec/tables/typescript.py

JavaScript normalises and tells categories by whatever Unicode version its engine has; verdicts may not depend on that. So the
module names the code points that Unicode 14.0 (Python 3.11's) does not assign, and the TypeScript side treats those as themselves.
Of UTS #46 it holds only what does not follow from NFKC and case folding, and of case folding only what does not follow from upper
and lower case. ``typescript/test/tables.test.ts`` compares every code point.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

HERE = Path(__file__).parent
MODULE = HERE.parents[1] / "typescript" / "src" / "contract" / "tables.ts"
VERSION = "14.0.0"
_ALL = range(0x110000)
_ROUNDS = 4


def folded(char: str) -> str:
    """NFKC and case folding until nothing changes: what UTS #46 maps most characters to."""
    for _ in range(_ROUNDS):
        once = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())
        if once == char:
            break
        char = once
    return char


def runs(kind: Callable[[int], str], natural: Callable[[int], str]) -> str:
    """Every run of code points whose kind is not the natural one: the letters, the distances, the lengths (``numbers``)."""
    letters, distances, lengths, last, first, before = "", [], [], 0, 0, ""
    for code in range(0x110001):
        letter = "" if code == 0x110000 or kind(code) == natural(code) else kind(code)
        if letter == before:
            continue
        if before:
            letters += before
            distances.append(first - last)
            lengths.append(code - first)
            last = first
        first, before = code, letter
    return " ".join([letters, numbers(distances), numbers(lengths)])


def numbers(values: Iterable[int]) -> str:
    """Numbers in base 26, without anything between them: a capital letter is followed by further digits of the same number."""
    return "".join(_number(value) for value in values)


def _number(value: int) -> str:
    digits = chr(ord("a") + value % 26)
    while value := value // 26:
        digits = chr(ord("A") + value % 26) + digits
    return digits


def shifted(pairs: list[tuple[str, str]]) -> str:
    """Mappings, those in a row that map to characters in a row as one: distances between the first ones, how many, mappings."""
    found: list[list[tuple[str, str]]] = []
    for char, to in pairs:
        run = found[-1] if found else [("", "")]
        steps = {
            ord(one) - ord(other) for one, other in zip((char, to), run[-1], strict=True) if len(one) == 1 == len(other)
        }
        if steps == {1} and len(to) == 1:
            run.append((char, to))
        else:
            found.append([(char, to)])
    firsts = numbers(_distances(ord(run[0][0]) for run in found))
    # Only ASCII, so that no editor and no terminal changes it.
    return json.dumps(" ".join([firsts, numbers(map(len, found)), *(run[0][1] for run in found)]))


def fronted(names: list[str]) -> str:
    """Sorted names, each as how many characters it shares with the one before (a capital letter) and the rest."""
    found, before = "", ""
    for name in names:
        shared = next((at for at, char in enumerate(name) if char != before[at : at + 1]), len(name))
        found += chr(ord("A") + shared) + name[shared:]
        before = name
    return json.dumps(found)


def statuses() -> tuple[str, list[tuple[str, str]]]:
    """The status of every code point (N: what ``folded`` says, V, I, D, X, E: as listed), and the mappings that are listed."""
    rows = json.loads((HERE / "uts46.json").read_text())["ranges"]
    letters: list[str] = []
    listed = []
    for row, following in zip(rows, [*rows[1:], [0x110000]], strict=True):
        first, status, mapping = row[0], row[1], row[2] if len(row) > 2 else ""
        for code in range(first, following[0]):
            natural = folded(chr(code))
            if status == "M" and natural == mapping != chr(code):
                letters.append("N")
            elif status == "M":
                letters.append("E")
                listed.append((chr(code), mapping))
            else:
                if status == "D":
                    listed.append((chr(code), mapping))
                letters.append("N" if status == "V" and natural == chr(code) else status)
    return runs(letters.__getitem__, lambda code: "X" if _is_unassigned(code) else "N"), listed


def main() -> int:
    """Write the module. Needs the Python whose Unicode is that of the version above."""
    if unicodedata.unidata_version != VERSION:
        print(f"this Python has Unicode {unicodedata.unidata_version}, the tables are of {VERSION}", file=sys.stderr)
        return 1
    status, listed = statuses()
    joining = json.loads((HERE / "uts46.json").read_text())["joining"]
    types = {code: letter for first, end, letter in joining for code in range(first, end + 1)}
    transparent = ("Mn", "Me", "Cf")
    joins = runs(
        lambda code: types.get(code, "N"), lambda code: "T" if unicodedata.category(chr(code)) in transparent else "N"
    )
    folds = [(char, fold) for char in map(chr, _ALL) if (fold := char.casefold()) != char.lower().upper().lower()]
    columns = {
        "UNASSIGNED": (
            "distances between the places where code points begin not to be assigned, and to be again",
            json.dumps(numbers(_edges())),
        ),
        "STATUS": (
            "UTS #46 where it does not follow from being assigned: letters, distances, lengths",
            json.dumps(status),
        ),
        "MAPPED": (
            "what is mapped to something else than its folded form: distances, how many in a row, mappings",
            shifted(listed),
        ),
        "FOLDS": (
            "case folding where it is not the lower case of the upper case: distances, how many in a row, mappings",
            shifted(folds),
        ),
        "VIRAMAS": (
            "distances between the characters of canonical combining class 9",
            json.dumps(numbers(_distances(code for code in _ALL if unicodedata.combining(chr(code)) == 9))),
        ),
        "JOINING": (
            "joining types where they do not follow from the category: letters, distances, lengths",
            json.dumps(joins),
        ),
        "TOP_LEVEL": (
            "top-level domains and special-use names: how many characters each shares with the one before (A: none), and the rest",
            fronted(json.loads((HERE / "tlds.json").read_text())),
        ),
    }
    MODULE.write_text(
        "// Written by spec/tables/typescript.py; do not edit.\n\n"
        + "\n".join(f"/** {about}. */\nexport const {name} =\n  {text};" for name, (about, text) in columns.items())
        + "\n"
    )
    return 0


def _is_unassigned(code: int) -> bool:
    return unicodedata.category(chr(code)) == "Cn"


def _edges() -> Iterable[int]:
    return _distances(code for code in _ALL if _is_unassigned(code) != (code > 0 and _is_unassigned(code - 1)))


def _distances(codes: Iterable[int]) -> Iterable[int]:
    last = 0
    for code in codes:
        yield code - last
        last = code


if __name__ == "__main__":
    sys.exit(main())
