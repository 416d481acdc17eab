"""Tokens of Microsoft Entra ID for Azure OpenAI: client credentials, workload identity federation, managed identity.

Shapes: Microsoft identity platform, "OAuth 2.0 client credentials flow" (with a secret, and with a federated assertion); Azure
Instance Metadata Service, "managed identities"; App Service and Container Apps, "REST endpoint reference". Settings have the names
of Microsoft's own libraries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.net.outbound import Exchange
from kaizen_security.reasoners.tokens import Flow, Steps, checked_url, form, granted

RESOURCE = "https://cognitiveservices.azure.com"
AUTHORITY = "https://login.microsoftonline.com"
IMDS = "http://169.254.169.254"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KINDS = ("client", "workload", "managed")
_TENANT = re.compile(r"[A-Za-z0-9.-]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Client credentials: with ``secret``, or with an ``assertion`` that another identity provider signed (read each time)."""

    tenant: str
    client_id: str
    secret: str = field(default="", repr=False)
    assertion: Callable[[], str] | None = field(default=None, repr=False)
    authority: str = AUTHORITY

    @property
    def places(self) -> tuple[str, ...]:
        """One."""
        return (self.authority,)

    def steps(self, now: float) -> Steps:
        """One request."""
        fields = {"grant_type": "client_credentials", "client_id": self.client_id, "scope": f"{RESOURCE}/.default"}
        if self.assertion is not None:
            fields |= {"client_assertion_type": ASSERTION, "client_assertion": self.assertion()}
        else:
            fields["client_secret"] = self.secret
        return granted((yield form(f"{self.authority}/{self.tenant}/oauth2/v2.0/token", fields)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """The machine's own identity; ``endpoint`` and ``header`` as Container Apps give them, else a virtual machine's."""

    client_id: str = ""
    endpoint: str = ""
    header: str = field(default="", repr=False)
    imds: str = IMDS

    @property
    def places(self) -> tuple[str, ...]:
        """One."""
        return (self.endpoint or self.imds,)

    def steps(self, now: float) -> Steps:
        """One request."""
        asked = {"resource": RESOURCE} | ({"client_id": self.client_id} if self.client_id else {})
        if self.endpoint:
            url = f"{self.endpoint}?{urlencode({'api-version': '2019-08-01', **asked})}"
            document = yield Exchange(url=url, body=b"", method="GET", headers={"X-IDENTITY-HEADER": self.header})
            # This one says when it ends, in Unix seconds, and not after how many.
            until = document.get("expires_on") if isinstance(document, dict) else None
            if isinstance(until, str | int) and str(until).isascii() and str(until).isdigit():
                return granted(document, seconds=max(1.0, float(until) - now))
            return granted(document)
        url = f"{self.imds}/metadata/identity/oauth2/token?{urlencode({'api-version': '2018-02-01', **asked})}"
        return granted((yield Exchange(url=url, body=b"", method="GET", headers={"Metadata": "true"})))


def flow(kind: str, environment: Mapping[str, str], read: Callable[[str], str]) -> Flow:
    """What the environment says, by the names of Microsoft's libraries. ``kind`` is one of ``KINDS``, or ``auto``: what it holds.

    ``read`` gives a file's text. Raises Misconfigured naming the variable.
    """
    client_id = environment.get("AZURE_CLIENT_ID", "")
    if kind == "auto":
        if environment.get("AZURE_CLIENT_SECRET"):
            kind = "client"
        else:
            kind = "workload" if environment.get("AZURE_FEDERATED_TOKEN_FILE") else "managed"
    if kind == "managed":
        return _managed(environment, client_id)
    needed = (
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET" if kind == "client" else "AZURE_FEDERATED_TOKEN_FILE",
    )
    for name in needed:
        if not environment.get(name):
            raise Misconfigured(f"the model's identity: {name} is not set")
    tenant = environment["AZURE_TENANT_ID"]
    if not _TENANT.fullmatch(tenant):
        raise Misconfigured("the model's identity: AZURE_TENANT_ID is no tenant")
    authority = checked_url(environment.get("AZURE_AUTHORITY_HOST") or AUTHORITY, "AZURE_AUTHORITY_HOST")
    if kind == "client":
        return Client(
            tenant=tenant, client_id=client_id, secret=environment["AZURE_CLIENT_SECRET"], authority=authority
        )
    path = environment["AZURE_FEDERATED_TOKEN_FILE"]
    return Client(tenant=tenant, client_id=client_id, assertion=lambda: read(path).strip(), authority=authority)


def _managed(environment: Mapping[str, str], client_id: str) -> Managed:
    endpoint, header = environment.get("IDENTITY_ENDPOINT", ""), environment.get("IDENTITY_HEADER", "")
    if endpoint and header:
        # On the platform's own loopback or link-local address, in plain HTTP: that is how it is offered.
        return Managed(client_id=client_id, endpoint=endpoint.rstrip("/"), header=header)
    imds = environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or IMDS
    return Managed(client_id=client_id, imds=imds.rstrip("/"))
