"""What lenient readers make of the lines that a relay let through: which tools they would call."""

from __future__ import annotations

import json


def _last(pairs):
    return dict(pairs)


def _first(pairs):
    return dict(reversed(pairs))


def _folded(pairs):
    return {key.casefold().strip(): value for key, value in pairs}


READERS = (_last, _first, _folded)
"""A reader that takes the last of two keys, one that takes the first, and one that takes letters of either case."""


def called(lines, *, lined=True):
    """Every tool that some reader would call; a name that is no text comes as what it is. ``lined``: a line end ends a message."""
    found = []
    for line in lines:
        for text in line.splitlines() if lined else [line]:
            for reader in READERS:
                document = json.loads(text, object_pairs_hook=reader)
                for message in document if isinstance(document, list) else [document]:
                    method, params = message.get("method"), message.get("params")
                    if str(method).strip().casefold() == "tools/call":
                        found.append(params.get("name") if isinstance(params, dict) else params)
    return found
