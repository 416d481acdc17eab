"""Templates to answers: autoescaping on, an unknown name is an error, and headers that hold a page to what it needs."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from kaizen_security.server.console.visible import visible, visible_text

_HERE: Final = Path(__file__).parent
STATIC: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "mark.svg": "image/svg+xml",
}
"""Every file that a page may load, and what it is. Nothing else is served."""

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with that, browsers send "Origin: null" on our own forms, and the server could not tell them from strangers'.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""On every page of the console."""


@cache
def environment() -> Environment:
    """The templates, compiled once."""
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["visible"] = visible
    made.filters["visible_text"] = visible_text
    made.globals["static"] = static_address
    return made


@cache
def static_file(name: str) -> bytes:
    """A static file's bytes. Raises KeyError for a name that is not in STATIC."""
    if name not in STATIC:
        raise KeyError(name)
    return (_HERE / "static" / name).read_bytes()


@cache
def static_address(name: str) -> str:
    """Where a static file is served; the address changes with its content, so that browsers may keep it for good."""
    return f"/static/{name}?v={hashlib.sha256(static_file(name)).hexdigest()[:12]}"


def fragment(template: str, **values: object) -> str:
    """A template as text."""
    return environment().get_template(template).render(values)


def page(template: str, **values: object) -> Response:
    """A page with the console's headers. Raises jinja2.UndefinedError when the template needs a value that is not there."""
    return HTMLResponse(fragment(template, **values), headers=HEADERS)


def wants_json(request: Request) -> bool:
    """``?format=json``, or an Accept header that names JSON and not HTML."""
    said = request.query_params.get("format")
    if said:
        return said == "json"
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept
