"""How an agent comes to trust the authority: its environment, with everything in it that it trusted before."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from kaizen_security.contract.errors import Misconfigured

REPLACING = (
    "SSL_CERT_FILE",  # OpenSSL: Python's ssl, httpx, aiohttp, Ruby, Go
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
)
"""Variables that replace what a program trusts: they get a bundle of all that it trusted, and the authority."""
ADDING = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
"""Variables that add to it: they get the authority alone."""

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def variables(ca: Path, bundle: Path) -> dict[str, str]:
    """What the agent's environment needs."""
    return dict.fromkeys(REPLACING, str(bundle)) | dict.fromkeys(ADDING, str(ca))


def bundle(ca: Path, environ: Mapping[str, str]) -> str:
    """The certificates that are trusted in that environment, and those in ``ca``: PEM. Raises Misconfigured when there are none.

    A store that cannot be found must not become one that holds nothing but our authority.
    """
    trusted = list(_trusted(environ))
    if not trusted:
        raise Misconfigured(
            "no store of trusted certificates was found; name one in SSL_CERT_FILE, so that it can be added to"
        )
    own = _certificates(_read(ca))
    if not own:
        raise Misconfigured(f"{ca} holds no PEM certificate")
    return "\n".join(dict.fromkeys((*trusted, *own))) + "\n"


def _trusted(environ: Mapping[str, str]) -> Iterator[str]:
    paths = ssl.get_default_verify_paths()
    file = environ.get(paths.openssl_cafile_env) or paths.openssl_cafile
    folder = environ.get(paths.openssl_capath_env) or paths.openssl_capath
    found = False
    if file and Path(file).is_file():
        for one in _certificates(_read(Path(file))):
            found = True
            yield one
    if not found and folder and Path(folder).is_dir():
        for path in sorted(Path(folder).iterdir()):
            if path.suffix in (".pem", ".crt", ".0") and path.is_file():
                yield from _certificates(_read(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as err:
        raise Misconfigured(f"{path}: {err.strerror}") from err


def _certificates(pem: str) -> list[str]:
    found = []
    for part in pem.split(_BEGIN)[1:]:
        inside, end, _ = part.partition(_END)
        if end:
            found.append(f"{_BEGIN}\n{inside.strip()}\n{_END}")
    return found
