"""Whether a request to AWS is signed as it should be: Signature Version 4, checked as the service would, with the standard library.

Source: AWS, "Create a signed AWS API request" (AWS4-HMAC-SHA256).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)


def is_signed(method: str, path: str, headers: Mapping[str, str], body: bytes, *, key_id: str, secret: str) -> bool:
    """Whether ``key_id``'s ``secret`` signed exactly this request. ``headers`` by lower-case names, ``path`` as it was sent."""
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None or found[1] != key_id:
        return False
    _, day, region, service, names, signature = found.groups()
    if "host" not in names.split(";") or "x-amz-date" not in names.split(";"):
        return False
    stem, _, query = path.partition("?")
    canonical = "\n".join(
        [
            method,
            # Every service but S3 encodes what is encoded already once more.
            quote(stem, safe="/-_.~"),
            "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(parse_qsl(query))),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in names.split(";")),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    to_sign = "\n".join(
        ["AWS4-HMAC-SHA256", headers.get("x-amz-date", ""), scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, to_sign.encode(), "sha256").hex(), signature)
