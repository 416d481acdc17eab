"""JSON by the functions that Python's own ``json`` is made of, without loading ``json``, which brings ``re`` and ``enum`` along.

Where the interpreter has no such functions (another one than CPython), it is ``json`` itself.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    from _json import encode_basestring_ascii, make_encoder, make_scanner
except ImportError:
    make_scanner = None  # type: ignore[assignment, misc]

SPACE = " \t\n\r"
"""What may stand around a document (RFC 8259 2)."""
_CONSTANTS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class _Reading:
    """What the scanner wants to know, as ``json.JSONDecoder`` says it."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, _CONSTANTS.__getitem__


def loads(data: bytes) -> "Any":
    """The document in UTF-8 bytes. Raises ValueError, RecursionError."""
    if make_scanner is not None:
        text = data.decode().strip(SPACE)
        try:
            found, end = make_scanner(_Reading)(text, 0)  # type: ignore[arg-type]  # whatever has these attributes will do
            if end == len(text):
                return found
        except (StopIteration, SystemError):
            pass  # it has no words for what is wrong unless ``json`` is loaded
    import json

    return json.loads(data)


def dumps(document: object, *, sort_keys: bool = False) -> str:
    """The document in ASCII. Raises ValueError, TypeError, RecursionError."""
    if make_scanner is None:
        import json

        return json.dumps(document, sort_keys=sort_keys)
    write = make_encoder({}, _no_json, encode_basestring_ascii, None, ": ", ", ", sort_keys, False, True)
    return "".join(write(document, 0))


def _no_json(value: object) -> None:
    raise TypeError(f"{type(value).__name__} is no JSON")
