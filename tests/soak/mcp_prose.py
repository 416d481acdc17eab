"""Ordinary prose in five languages, as a server might return it or describe a tool with it: next to nothing of it is held back.

The prose is Debian's manual pages in German, Spanish, French, Chinese and English, which nobody here wrote: they give orders to
their reader on every line, and speak of passwords, keys and hidden files. Each page is taken for a result, each passage of some 600
characters for a tool's description. The short form reads the topics of Python's own help.
"""

from __future__ import annotations

import gzip
import random
import re
import subprocess
from pathlib import Path
from pydoc_data.topics import topics

from kaizen_security.mcp.orders import DEFINITION, orders_in_result, signs, weight

FULL, SHORT = 1000, 20
"""Pages of each language."""
PACKAGES = ("manpages", "manpages-dev", "manpages-de", "manpages-es", "manpages-fr", "manpages-zh")
FOLDERS = {"English": "", "German": "de", "Spanish": "es", "French": "fr", "Chinese": "zh_CN"}
PASSAGE = 600
MOST_HELD = 0.003
"""Share of passages that may be held back as definitions: a manual of a mail filter does tell where to send what."""
MOST_PAGES_HELD = 0.001
"""Share of pages of a language that may be held back as results."""
_ROFF = ((r'(?m)^[.\']\\".*$', ""), (r"\\f[A-Z(][A-Z]?|\\&|\\\((?:bu|co)", ""), (r"(?m)^\.[A-Za-z]+ ?", ""))


def soak(amount: int, directory: Path) -> dict[str, object]:
    """``amount`` pages of each language."""
    if amount <= SHORT:
        return {"Python's help": _read(list(topics.values())[:amount])}
    try:
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=directory, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as err:
        return {"absent": f"Debian's manual pages cannot be had here: {err}"}
    for package in directory.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(directory / "all")], check=True)
    found = {language: _read(_pages(directory / "all/usr/share/man" / at, amount)) for language, at in FOLDERS.items()}
    assert all(one["held_as_results"] <= MOST_PAGES_HELD * one["pages"] for one in found.values()), found
    assert all(one["held_as_definitions"] <= MOST_HELD * one["passages"] for one in found.values()), found
    return found


def _pages(folder: Path, amount: int) -> list[str]:
    files = sorted(folder.glob("man*/*.gz"))
    random.Random(1).shuffle(files)
    return [text for text in map(_page, files[:amount]) if text]


def _page(file: Path) -> str:
    try:
        text = gzip.decompress(file.read_bytes()).decode()
    except (OSError, UnicodeDecodeError):
        return ""
    for mark, instead in _ROFF:
        text = re.sub(mark, instead, text)
    return text.replace("\\-", "-")


def _read(pages: list[str]) -> dict[str, int]:
    passages = [passage for page in pages for passage in _passages(page)]
    return {
        "pages": len(pages),
        "held_as_results": sum(bool(orders_in_result(page)) for page in pages),
        "passages": len(passages),
        "held_as_definitions": sum(weight(signs([passage])) >= DEFINITION for passage in passages),
    }


def _passages(page: str) -> list[str]:
    found, passage = [], ""
    for paragraph in re.split(r"\n\s*\n|\n(?=[A-Z])", page):
        passage += paragraph + "\n"
        if len(passage) >= PASSAGE:
            found.append(passage)
            passage = ""
    return found
