"""Tool names, publishers, hashes and paths in one spelling each."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_CACHED = 4096


def tool(name: str) -> str:
    """The form in which names are compared to DENY: NFKC, format and other invisible characters gone, case folded, white space
    collapsed and trimmed. Idempotent, never raises. Look-alikes of other scripts stay what they are.
    """
    return _tool(name) if len(name) <= 256 else _folded(name)


def publisher(name: str) -> str:
    """The same for a publisher."""
    return tool(name)


def _folded(name: str) -> str:
    if name.isascii() and name.isprintable():
        return " ".join(name.lower().split())
    for _ in range(8):
        once = unicodedata.normalize("NFKC", name).casefold()
        once = "".join(" " if char.isspace() else char for char in once if char.isspace() or not _invisible(char))
        once = unicodedata.normalize("NFKC", " ".join(once.split()))
        if once == name:
            break
        name = once
    return name


_tool = lru_cache(maxsize=_CACHED)(_folded)


def _invisible(char: str) -> bool:
    return (
        unicodedata.category(char) in ("Cf", "Cc")
        or char in _IGNORABLE
        or "\ufe00" <= char <= "\ufe0f"
        or char >= "\U000e0000"
    )


_IGNORABLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
"""Default-ignorable characters (Unicode, DerivedCoreProperties) that are neither Cf nor variation selectors."""


def permitted(name: str) -> str:
    """The form in which names are compared to PERMIT: trimmed and case folded, nothing else, so that no look-alike spelling of
    a permitted name is permitted. Idempotent, never raises.
    """
    name = name.strip()
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold().strip()


_DIGEST = re.compile(r"(?:md5|sha-?(?:1|224|256|384|512))[:=-]")


def digest(text: str) -> str:
    """A hash: trimmed, lower case, without the algorithm's name in front (``sha256:…``). Idempotent, never raises."""
    text = tool(text)
    while match := _DIGEST.match(text):
        text = text[match.end() :].strip()
    return text


# --- paths -------------------------------------------------------------------------------------------------------------------

_DRIVE = re.compile(r"[A-Za-z]:")
_NESTED = re.compile(r"%(?:25)+(?=[0-9a-fA-F]{2})")
_ESCAPES = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_HOME = re.compile(r"\$(?:HOME|\{HOME\})(?=/|\Z)")
_TELLING = re.compile(r"~|file:|[A-Za-z]:|\$HOME\Z|\$\{HOME\}\Z", re.IGNORECASE)
_CWD = "\0cwd"  # no path holds a NUL
_PROCESS = re.compile(r"/proc/(?:self|thread-self|[0-9]+)(?:/task/[0-9]+)?/(root|cwd)\Z")


def path(text: str) -> str:
    """The canonical path: percent-encoding undone until nothing is encoded, ``file://`` and doubled slashes gone, backslash as
    slash, dot segments resolved from the left, ``/proc/self/root`` (and any process's) as ``/``, ``/proc/self/cwd`` as the
    relative path, ``$HOME`` as ``~``.

    The file system is not asked: symbolic links, case and short names stay. What lies above ``~`` or above a relative start
    stays as ``..``. Idempotent. Raises ValueError when it holds a NUL, which C would cut it at.
    """
    text = _unescaped(text)
    if "\0" in text:
        raise ValueError("a path holds a NUL")
    text = _without_scheme(text.replace("\\", "/"))
    text = _HOME.sub("~", text)
    start = _DRIVE.match(text)
    root = start[0].lower() if start else ""
    text = text[len(root) :]
    if text[:1] == "/":
        root += "/"
    home = not root and text[:1] == "~"
    stack = _walk(root, text.split("/"), home=home)
    if stack[:1] == [_CWD]:
        root, stack = "", stack[1:]
    # ./~ is a file in this directory; without its dot it would be the home directory.
    guard = "./" if not root and not home and stack and _TELLING.match(stack[0]) else ""
    return guard + root + "/".join(stack) or "."


def _without_scheme(text: str) -> str:
    while text[:5].lower() == "file:":
        text = text[5:]
        if text[:3] != "///" and text[:2] == "//":
            text = "//" + text[2:].removeprefix("localhost")
    return text


def _unescaped(text: str) -> str:
    while "%" in text:
        once = _ESCAPES.sub(_bytes, _NESTED.sub("%", text))
        if once == text:
            break
        text = once
    return text


def _bytes(match: re.Match[str]) -> str:
    raw = bytes.fromhex(match[0].replace("%", ""))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return match[0]


def _walk(root: str, parts: list[str], *, home: bool) -> list[str]:
    """The segments that are left; ``home``: the first one is the home directory, which nobody here can resolve."""
    stack: list[str] = []
    for part in parts:
        if part in ("", "."):
            continue
        if part != "..":
            stack.append(part)
            if root == "/" and part in ("root", "cwd") and len(stack) <= 5:
                link = _PROCESS.match("/" + "/".join(stack))
                if link:
                    stack = [] if link[1] == "root" else [_CWD]
        elif stack and stack[-1] not in ("..", _CWD) and not (home and len(stack) == 1):
            stack.pop()
        elif not root.endswith("/") or stack:
            stack.append("..")
    return stack
