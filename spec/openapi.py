"""Write ``spec/openapi.yaml``: what ``kaizen server --openapi`` prints, as YAML for people to read.

python spec/openapi.py            (make spec)
python spec/openapi.py --check    change nothing, fail when it is not up to date
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from kaizen_security.contract.action import Json
from kaizen_security.server.app import description

FILE = Path(__file__).with_name("openapi.yaml")
HEAD = "# Made by `make spec` from the routes of the server and the types that its handlers decode: change those, not this.\n"


class Plain(yaml.SafeDumper):
    """Without anchors: the same answer is written out each time."""

    def ignore_aliases(self, data: object) -> bool:
        """Always."""
        return True


def text(document: Json) -> str:
    """``document`` as the file has it."""
    return HEAD + yaml.dump(document, Dumper=Plain, sort_keys=False, allow_unicode=True, width=120)


def main() -> int:
    """0 when the file is (now) up to date."""
    made = text(description())
    if "--check" in sys.argv[1:]:
        return int(FILE.read_text() != made)
    FILE.write_text(made)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
