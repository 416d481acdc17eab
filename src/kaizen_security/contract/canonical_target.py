"""Targets: what an action is done to, taken apart into scheme, host, port and path; and whether it is a place on a network.

Sources: WHATWG URL (how browsers and Node read a URL), RFC 3986 (how most Python clients do). Where the two disagree about the
host, ``Target.also`` holds the other reading: a deny looks at all of them, a permission needs all of them. ADR 0002.
"""

from __future__ import annotations

import json
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from kaizen_security.contract.action import EGRESS_KINDS, KINDS
from kaizen_security.contract.canonical_address import format6, ipv6, number
from kaizen_security.contract.canonical_host import DEVIATIONS, host, transitional
from kaizen_security.contract.canonical_values import builder

PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}
"""WHATWG's special schemes, with their ports: a backslash is a slash in them, and any number of slashes begins the host."""

_OPAQUE = frozenset(
    "about arn blob cid data file geo javascript mailto news npm pypi sms tel unix urn view-source".split()
)
"""Schemes that name no host."""
_BUCKETS = frozenset("s3 s3a s3n gs gcs r2 az abfs abfss wasb wasbs dbfs".split())
"""Schemes whose authority is a bucket, which is no host."""
_MAX = 4096
_REMEMBERED = 4096
_SHORT = 256

# What nearly all targets look like, where "xn--" is nowhere in them: nothing in them needs a second thought. Group 2 is a dotted
# address, group 3 a name. What is matched once is not given back: a third less time, and the same texts match.
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_FAST = re.compile(
    rf"(?:(https?|wss?)://)?(?:({_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET})|"
    r"((?:[a-z0-9_-]{1,63}+\.)*+[a-z_][a-z0-9_-]{0,62}+))"
    r"(?::([1-9][0-9]{0,3}+))?+([/?#][!-~]*+)?+\Z"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AUTHORITY_ENDS = re.compile(r"[/?#]")
_SPECIAL_ENDS = re.compile(r"[/?#\\]")
_PORT = re.compile(r"(.*?)(?::([0-9]*))?\Z", re.DOTALL)
_ODD_PORT = re.compile(r":[^:\]]*\Z")
_LABEL = re.compile(r"[a-z0-9_-]+\Z")
_SPACE = re.compile(r"\s")
EDGES = "".join(map(chr, range(33)))
"""White space and controls, which are no part of a target at its ends (WHATWG URL)."""
_GONE = str.maketrans("", "", "\t\n\r")
_PATH = re.compile(r"[/\\~]|\.{1,2}(?:[/\\]|\Z)")
_WINDOWS = re.compile(r"[A-Za-z]:(?:[\\/]|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``scheme`` in lower case; ``host`` canonical or ``""``; ``port`` as stated, else the scheme's, else 0; ``path`` as stated.

    ``is_address``  the host is an IP address
    ``readable``    false: something stands where a host belongs that ``host`` refuses; ``host`` is then the nearest text, good
                    for showing and for denying, never for permitting
    ``also``        other hosts that another client would reach with the same text
    """

    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    is_address: bool = False
    readable: bool = True
    also: tuple[str, ...] = ()


_simple = builder(Target)


def target(text: str) -> Target:
    """``host``, ``host:port``, ``[v6]:port``, a URL, or a path or other text (host ``""``). Never raises.

    A single word is read as a host, since ``redis`` is one; whether an action's target IS a place on a network is
    ``destination``'s answer.
    """
    found = _KNOWN.get(text)
    if found is None:
        found = read(text)
        if len(text) <= _SHORT:
            _remember(text, found)
    return found


_KNOWN: dict[str, Target] = {}
_FORGOTTEN = [0]


def _remember(text: str, found: Target) -> None:
    if len(_KNOWN) >= _REMEMBERED:
        _FORGOTTEN[0] += len(_KNOWN)
        _KNOWN.clear()
    _KNOWN[text] = found


def cache_info() -> tuple[int, int]:
    """Targets remembered and targets forgotten again, since the start of the process."""
    return len(_KNOWN), _FORGOTTEN[0]


def read(text: str) -> Target:
    """``target`` for a caller that remembers itself: nothing is kept here."""
    fast = _FAST.match(text)
    if fast is not None and "xn--" not in text:
        scheme, address, name, port, path = fast.groups("")
        stated = int(port) if port else PORTS[scheme] if scheme else 0
        if address:
            return _simple(scheme, address, stated, path, True, True, ())
        if len(name) <= 253:
            return _simple(scheme, name, stated, path, False, True, ())
    text = text[:_MAX].strip(EDGES).translate(_GONE)
    if not text or _WINDOWS.match(text):
        return Target(path=text)
    scheme = _scheme(text)
    if scheme:
        return _with_scheme(scheme, text[len(scheme) + 1 :])
    if _PATH.match(text):
        # //host/x is a path to a file system and a host to a URL parser: no host, but a deny looks at it.
        doubled = text[:2] in ("//", "\\\\", "/\\", "\\/")
        return Target(path=text, also=_also(_readings(text[2:], special=True)) if doubled else ())
    return _bare(text)


def _scheme(text: str) -> str:
    """The scheme as it stands in ``text``, or ``""``: ``evil.com:443`` has none, ``http:evil.com`` has one."""
    match = _SCHEME.match(text)
    if match is None:
        return ""
    scheme, rest = match[1].lower(), text[match.end() :]
    if scheme in PORTS or scheme in _OPAQUE or rest.startswith("//"):
        return match[1]
    # jdbc:postgresql://db:5432/x
    inner = _SCHEME.match(rest)
    return match[1] if inner is not None and rest.startswith("//", inner.end()) else ""


def _with_scheme(stated: str, rest: str) -> Target:
    scheme = stated.lower()
    if scheme in _OPAQUE:
        return _opaque(scheme, rest)
    special = scheme in PORTS
    if special:
        rest = rest.lstrip("/\\")
    elif rest.startswith("//"):
        rest = rest[2:]
    else:
        return read(rest)  # jdbc:postgresql://…: the scheme that matters is the inner one
    end = (_SPECIAL_ENDS if special else _AUTHORITY_ENDS).search(rest)
    path = rest[end.start() :] if end else ""
    if scheme in _BUCKETS:
        return Target(scheme=scheme, path=rest)
    return _resolved(_readings(rest, special=special), scheme=scheme, path=path)


def _opaque(scheme: str, rest: str) -> Target:
    if scheme == "mailto":
        domains = [part.rpartition("@")[2] for part in re.split(r"[,;]", rest.partition("?")[0])[:16] if "@" in part]
        return Target(scheme=scheme, path=rest, also=_also(domains))
    if scheme == "file" and rest[:2] in ("//", "\\\\"):
        share = _readings(rest[2:], special=True)
        return Target(scheme=scheme, path=rest, also=_also(share) if share[0] else ())
    return Target(scheme=scheme, path=rest)


def _bare(text: str) -> Target:
    end = _SPECIAL_ENDS.search(text)
    authority = text[: end.start()] if end else text
    path = text[end.start() :] if end else ""
    if "@" in authority:
        # x@evil.com is a mail address, user@evil.com:22 an ssh target: no host by itself, but a deny looks at it.
        return Target(path=text, also=_also(_readings(text, special=True)))
    if _SPACE.search(authority):
        return Target(path=text)
    return _resolved([authority, *_compatible(authority)], path=path)


def _readings(rest: str, *, special: bool) -> list[str]:
    """Every ``host:port`` that some client reads at the start of ``rest``, the canonical one first."""
    plain = _AUTHORITY_ENDS.split(rest, maxsplit=1)[0]
    first = _SPECIAL_ENDS.split(rest, maxsplit=1)[0] if special else plain
    readings = [first.rpartition("@")[2]]
    for other in (first, plain):
        readings.append(other.rpartition("@")[2])
        if other.count("@") > 1:
            readings.append(other.split("@", 2)[1])
    readings += [reading.rpartition("@")[2] for reading in _compatible(first)]
    return list(dict.fromkeys(readings))


def _compatible(authority: str) -> list[str]:
    """What is read after full-width ``/ ? # @ : \\`` became the signs that they look like."""
    if authority.isascii():
        return []
    plain = unicodedata.normalize("NFKC", authority)
    return [_SPECIAL_ENDS.split(plain, maxsplit=1)[0], *_SPECIAL_ENDS.split(plain)[1:8]] if plain != authority else []


def _resolved(readings: list[str], *, scheme: str = "", path: str = "") -> Target:
    name, port, ok = _host_port(readings[0])
    try:
        canonical = host(name)
    except ValueError:
        canonical, ok = _nearest(name), False
    others = _also([reading for reading in readings[1:] if ok or reading != readings[0]], known=canonical)
    if canonical and not ok and scheme == "" and not path and "." not in canonical:
        canonical = ""
    return Target(
        scheme=scheme,
        host=canonical,
        port=port or PORTS.get(scheme, 0),
        path=path,
        is_address=number(canonical) is not None,
        readable=ok,
        also=tuple(dict.fromkeys([*_spellings(name, canonical), *others])),
    )


def _host_port(authority: str) -> tuple[str, int, bool]:
    """Host text, port, and whether the port is one."""
    if authority[:1] != "[" and authority.count(":") > 1:
        return authority, 0, True
    match = _PORT.match(authority)
    name, digits = (match[1], match[2] or "") if match else (authority, "")
    if ":" in name and name[:1] != "[":
        return name.partition(":")[0], 0, False
    if digits.isascii() and len(digits) <= 8:
        port = int(digits or 0)
        return name, port if port <= 65535 else 0, port <= 65535
    return name, 0, False


def _also(readings: list[str], known: str = "") -> tuple[str, ...]:
    found = []
    for reading in readings:
        name = _host_port(reading)[0]
        try:
            found.append(host(name))
        except ValueError:
            near = _nearest(name)
            if not _LABEL.match(near, near.rfind(".") + 1):
                continue  # no entry could ever match it
            found.append(near)
        found += _spellings(name, found[-1])
    return tuple(name for name in dict.fromkeys(found) if name and name != known)


def _spellings(name: str, canonical: str) -> list[str]:
    """Other hosts behind the same text: the IDNA2003 name, and the IPv6 address that ``host`` folded into IPv4."""
    spelled = []
    if not name.isascii() and not DEVIATIONS.isdisjoint(name):
        with suppress(ValueError):
            spelled.append(transitional(name))
    if ":" in name and "." in canonical:
        value = ipv6(name.strip("[]").partition("%")[0])
        if value is not None:
            spelled.append(format6(value))
    return [other for other in spelled if other != canonical]


def _nearest(name: str) -> str:
    """The nearest host-like text to something that is no host, so that a deny of a name above it still holds."""
    from kaizen_security.contract.canonical_idna import decoded

    plain = unicodedata.normalize("NFKC", name[:1024]).casefold().strip(EDGES)
    labels = []
    for label in plain.replace("\u3002", ".").split("."):
        label = "".join(char for char in label if unicodedata.category(char) not in ("Cf", "Cc", "Zs"))
        if label.startswith("xn--"):
            with suppress(ValueError):
                label = decoded(label)
        if label:
            labels.append(label)
    return ".".join(labels)[:253]


# --- is it a place on a network? ---------------------------------------------------------------------------------------------

_URL_ONLY = frozenset({"file", "skill_load", "exec", "message"})
_FILES = frozenset(
    "bat bin cab cat cc cfg cpp cs css csv dat db doc docx env exe gz html ini java js json key lock log md mk mov mp pdf pem "
    "php pl png ps pub py rb rs sh so sql srt tar tex tf txt xml yaml yml zip".split()
)
"""Last labels that are a top-level domain, or look like one, but in a tool's target are nearly always a file's ending."""


def destination(kind: str, text: str) -> Target | None:
    """The place on a network that an action of ``kind`` with target ``text`` reaches, or None when it reaches none.

    * ``connect``, ``http``, ``dns``: the target always is one, also a single word, and also when it cannot be read.
    * ``file``, ``skill_load``, ``exec``, ``message``: only a URL with a host (a path, a command line, a person is none).
    * every other kind (``tool_call``): a URL with a host, ``host:port``, a dotted IPv4 or an IPv6 address, or a dotted name
      under a top-level or special-use domain that is not a file's usual ending. So ``orders``, ``public.users``, ``report.pdf``,
      ``42``, ``3.11`` and ``x@y.example`` are none.
    """
    return reached(kind, text, target(text))


def reached(kind: str, text: str, found: Target) -> Target | None:
    """``destination`` for a caller that has ``read`` the text: as ``found``."""
    if found.host and (found.scheme or kind in EGRESS_KINDS):
        return found
    kind = kind if kind in KINDS else kind.strip().lower()
    if not found.host:
        if kind not in EGRESS_KINDS or not text.strip(EDGES):
            return None
        if found.also:
            return Target(scheme=found.scheme, host=found.also[0], path=found.path, also=found.also[1:])
        return found
    if kind in EGRESS_KINDS:
        return found
    if found.scheme:
        return found
    if kind in _URL_ONLY:
        return None
    return found if _is_place(found, text) else None


def _is_place(found: Target, text: str) -> bool:
    if found.port:
        return True
    if found.is_address:
        return ":" in found.host or text.strip(EDGES).count(".") >= 3
    last = found.host.rpartition(".")[2] if "." in found.host else ""
    return bool(last) and found.readable and last not in _FILES and last in _top_level()


@cache
def _top_level() -> frozenset[str]:
    from kaizen_security.contract.tables import tlds

    return frozenset(json.loads(tlds.load()))


# --- URLs --------------------------------------------------------------------------------------------------------------------


def url(text: str) -> str:
    """The canonical URL: scheme and host canonical, the scheme's own port, userinfo and fragment off, dot segments resolved,
    percent-encoding in upper case and only where it is needed; the query stays as it is. Idempotent. Raises ValueError on what
    is no URL with a readable host.
    """
    found = target(text)
    if not found.scheme or not found.host or not found.readable or len(text) > _MAX:
        raise ValueError("not a URL with a host")
    path, mark, query = found.path.partition("#")[0].partition("?")
    if found.scheme in PORTS:
        path = path.replace("\\", "/")
    name = f"[{found.host}]" if ":" in found.host else found.host
    port = f":{found.port}" if found.port and found.port != PORTS.get(found.scheme) else ""
    return f"{found.scheme}://{name}{port}{_url_path(path)}{mark}{_escaped(query)}"


_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_AS_IS = _UNRESERVED | frozenset(b"!$&'()*+,;=:@/?[]|{}^`\"<>\\%") - frozenset(b'"<>`{}|\\^')
_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")


def _escaped(text: str) -> str:
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return "".join(chr(b) if b in _AS_IS else f"%{b:02X}" for b in text.encode("utf-8", "surrogatepass"))


def _url_path(path: str) -> str:
    def normal(match: re.Match[str]) -> str:
        byte = int(match[1], 16)
        return chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"

    segments: list[str] = []
    parts = _ESCAPE.sub(normal, _escaped(path)).split("/")[1:]
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if part == "..":
            del segments[-1:]
        if part not in (".", ".."):
            segments.append(part)
        elif last:
            segments.append("")
    return "/" + "/".join(segments)
