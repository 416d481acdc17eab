"""Make the shared tables, and the compact Python modules that hold the same data for the package.

    pip install idna==3.20 publicsuffixlist==1.1.2.20261023
    python spec/tables/build.py

Sources: Unicode's IdnaMappingTable and joining types as the ``idna`` package carries them (UTS #46); the names of top-level
domains from the ICANN section of the public suffix list. ``tests/conformance`` checks that the modules hold what the JSON files
say.
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from pathlib import Path

HERE = Path(__file__).parent
MODULES = HERE.parents[1] / "src" / "kaizen_security" / "contract" / "tables"

# Not in the root zone, yet used as the last label of real destinations: RFC 6761, RFC 2606, RFC 8375, RFC 9476, ICANN's
# .internal, and what private networks call themselves.
SPECIAL = (
    "alt arpa corp example home host internal intranet invalid lan local localdomain localhost onion private svc test"
).split()


def idna() -> dict[str, list[list[object]]]:
    """Ranges ``[first, status, mapping?]`` up to the next range's first; status V valid, M mapped, I ignored, D deviation, X
    refused.
    """
    from idna import idnadata, uts46data

    ranges: list[list[object]] = []
    for first, status, mapping in zip(
        uts46data.uts46_starts, uts46data.uts46_statuses, uts46data.uts46_replacements, strict=True
    ):
        entry: list[object] = [first, chr(status)] + ([mapping] if mapping else [])
        if not ranges or ranges[-1][1:] != entry[1:]:
            ranges.append(entry)
    joining = sorted(
        [packed >> 32, (packed & 0xFFFF_FFFF) - 1, letter]
        for letter, ranges_ in idnadata.joining_types.items()
        for packed in ranges_
    )
    return {"unicode": [[uts46data.__version__]], "ranges": ranges, "joining": joining}


def tlds() -> list[str]:
    """Every name of one label in the ICANN section, as an A-label, and ``SPECIAL``."""
    import publicsuffixlist
    from idna import encode

    text = (Path(publicsuffixlist.__file__).parent / "public_suffix_list.dat").read_text()
    section = text.split("===BEGIN ICANN DOMAINS===")[1].split("===END ICANN DOMAINS===")[0]
    names = {line.strip().lstrip("*.").rsplit(".", 1)[-1] for line in section.splitlines() if line and line[:2] != "//"}
    return sorted({encode(name).decode() for name in names if not name.startswith("!")} | set(SPECIAL))


def module(name: str, about: str, data: str) -> None:
    """Write ``data`` as a module whose ``load()`` gives it back."""
    packed = base64.b64encode(zlib.compress(data.encode(), 9)).decode()
    lines = "\n".join(f'    "{packed[i : i + 112]}"' for i in range(0, len(packed), 112))
    (MODULES / f"{name}.py").write_text(
        f'"""{about} Written by ``spec/tables/build.py``; do not edit."""\n\n'
        "from __future__ import annotations\n\nimport binascii\nimport zlib\n\n\n"
        "def load() -> str:\n"
        f'    """The table as JSON text; the same data as ``spec/tables/{name}.json``."""\n'
        "    return zlib.decompress(binascii.a2b_base64(_PACKED)).decode()\n\n\n"
        f"_PACKED = (\n{lines}\n)\n"
    )


def packed(mapping: dict[str, list[list[object]]]) -> str:
    """The mapping in three columns, first code points as distances: what compresses to less than 400 lines."""
    rows = mapping["ranges"]
    firsts = [row[0] for row in rows]
    gaps = [int(b) - int(a) for a, b in zip([0, *firsts], firsts, strict=False)]  # type: ignore[call-overload]
    columns = {
        "gaps": gaps,
        "status": "".join(str(row[1]) for row in rows),
        "to": [row[2] for row in rows if len(row) > 2],
        "mapped": "".join("1" if len(row) > 2 else "0" for row in rows),
        "joining": mapping["joining"],
    }
    return json.dumps(columns, separators=(",", ":"), ensure_ascii=False)


def main() -> int:
    """Write both JSON files and both modules."""
    mapping, names = idna(), tlds()
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in mapping["ranges"])
    joins = json.dumps(mapping["joining"], separators=(",", ":")).replace("],[", "],\n[")
    (HERE / "uts46.json").write_text(
        f'{{"unicode":{json.dumps(mapping["unicode"][0][0])},\n"ranges":[\n{rows}],\n"joining":\n{joins}}}\n'
    )
    (HERE / "tlds.json").write_text(json.dumps(names, indent=0) + "\n")
    module("uts46", "UTS #46 mapping and joining types.", packed(mapping))
    module("tlds", "Top-level domains and special-use names.", json.dumps(names, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
