"""Whose account it is behind a host that many share: one row a service, one template for each form of its addresses.

In a template ``{t}`` is the tenant, ``*`` stands for one label of the host or one part of the path, and what follows may be
anything. Templates of one service are tried in order; the first that fits counts. Sources: each service's own documentation of
its URLs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action, Json
from kaizen_security.observer.entities import words_of_name

SERVICES: Mapping[str, str] = {
    "GitHub": "api.github.com/repos/{t} api.github.com/orgs/{t} api.github.com/users/{t} uploads.github.com/repos/{t} "
    "gist.github.com/{t} raw.githubusercontent.com/{t} gist.githubusercontent.com/{t} codeload.github.com/{t} {t}.github.io "
    "github.com/orgs/{t} github.com/{t}",
    "GitLab": "gitlab.com/api/v4/projects/{t} gitlab.com/api/v4/groups/{t} {t}.gitlab.io gitlab.com/{t}",
    "Bitbucket": "api.bitbucket.org/2.0/repositories/{t} api.bitbucket.org/2.0/workspaces/{t} bitbucket.org/{t}",
    "Codeberg": "codeberg.org/api/v1/repos/{t} {t}.codeberg.page codeberg.org/{t}",
    "Amazon S3": "{t}.s3.amazonaws.com {t}.s3.*.amazonaws.com {t}.s3-accelerate.amazonaws.com s3.amazonaws.com/{t} "
    "s3.*.amazonaws.com/{t} s3://{t}",
    "Amazon ECR": "{t}.dkr.ecr.*.amazonaws.com",
    "Amazon SQS": "sqs.*.amazonaws.com/{t}",
    "Amazon API Gateway": "{t}.execute-api.*.amazonaws.com {t}.lambda-url.*.on.aws",
    "Google Cloud Storage": "storage.googleapis.com/storage/v1/b/{t} storage.googleapis.com/upload/storage/v1/b/{t} "
    "storage.googleapis.com/{t} storage.cloud.google.com/{t} {t}.storage.googleapis.com gs://{t}",
    "Google Drive": "drive.google.com/file/d/{t} drive.google.com/drive/folders/{t} docs.google.com/*/d/e/{t} "
    "docs.google.com/*/d/{t} script.google.com/macros/s/{t} "
    "www.googleapis.com/drive/v3/files/{t} sheets.googleapis.com/v4/spreadsheets/{t}",
    "Firebase": "{t}.firebaseio.com {t}.firebaseapp.com {t}.web.app firestore.googleapis.com/v1/projects/{t}",
    "Google BigQuery": "bigquery.googleapis.com/bigquery/v2/projects/{t}",
    "Google Artifact Registry": "*.pkg.dev/v2/{t} gcr.io/v2/{t}",
    "Azure Storage": "{t}.blob.core.windows.net {t}.dfs.core.windows.net {t}.file.core.windows.net {t}.queue.core.windows.net "
    "{t}.table.core.windows.net",
    "Azure": "{t}.azurecr.io {t}.azurewebsites.net {t}.vault.azure.net {t}.openai.azure.com",
    "Cloudflare": "{t}.r2.cloudflarestorage.com {t}.r2.dev *.{t}.workers.dev {t}.pages.dev",
    "DigitalOcean Spaces": "{t}.*.digitaloceanspaces.com",
    "Backblaze": "{t}.s3.*.backblazeb2.com s3.*.backblazeb2.com/{t}",
    "Slack": "hooks.slack.com/services/{t} hooks.slack.com/workflows/{t} {t}.slack.com",
    "Microsoft Teams": "{t}.webhook.office.com",
    "Discord": "discord.com/api/webhooks/{t} discord.com/api/*/webhooks/{t} discordapp.com/api/webhooks/{t}",
    "Telegram": "api.telegram.org/bot{t} api.telegram.org/file/bot{t}",
    "npm": "registry.npmjs.org/{t} www.npmjs.com/package/{t}",
    "PyPI": "pypi.org/project/{t} pypi.org/simple/{t} pypi.org/pypi/{t}",
    "RubyGems": "rubygems.org/gems/{t} rubygems.org/api/v1/gems/{t}",
    "crates.io": "crates.io/api/v1/crates/{t} crates.io/crates/{t}",
    "Docker Hub": "hub.docker.com/r/{t} hub.docker.com/v2/repositories/{t} registry-1.docker.io/v2/{t}",
    "GitHub Packages": "ghcr.io/v2/{t} npm.pkg.github.com/{t}",
    "Quay": "quay.io/v2/{t} quay.io/repository/{t}",
    "Hugging Face": "huggingface.co/api/models/{t} huggingface.co/api/datasets/{t} huggingface.co/api/spaces/{t} "
    "huggingface.co/datasets/{t} huggingface.co/spaces/{t} huggingface.co/{t}",
    "Dropbox": "www.dropbox.com/s/{t} www.dropbox.com/sh/{t} www.dropbox.com/scl/fi/{t} www.dropbox.com/scl/fo/{t} "
    "www.dropbox.com/request/{t}",
    "OneDrive and SharePoint": "{t}-my.sharepoint.com {t}.sharepoint.com 1drv.ms/*/{t}",
    "Notion": "api.notion.com/v1/databases/{t} api.notion.com/v1/pages/{t} api.notion.com/v1/blocks/{t} {t}.notion.site "
    "www.notion.so/{t}",
    "Airtable": "api.airtable.com/v0/{t} airtable.com/{t}",
    "Trello": "api.trello.com/1/boards/{t} api.trello.com/1/lists/{t} trello.com/b/{t}",
    "Zapier": "hooks.zapier.com/hooks/catch/{t}",
    "Make": "hook.*.make.com/{t} hook.integromat.com/{t}",
    "IFTTT": "maker.ifttt.com/trigger/*/with/key/{t} maker.ifttt.com/trigger/*/json/with/key/{t}",
    "Pipedream": "{t}.m.pipedream.net",
    "n8n": "{t}.app.n8n.cloud",
    "Webhook.site": "webhook.site/{t} {t}.webhook.site {t}.emailhook.site",
    "Request inspectors": "{t}.free.beeceptor.com {t}.requestcatcher.com {t}.oast.fun {t}.oast.pro {t}.oast.live {t}.oast.site "
    "{t}.oast.online {t}.oast.me {t}.oastify.com",
    "Tunnels": "{t}.ngrok.io {t}.ngrok-free.app {t}.ngrok.app {t}.trycloudflare.com {t}.loca.lt {t}.serveo.net",
    "Pastebin": "pastebin.com/raw/{t} pastebin.com/u/{t} pastebin.com/{t} paste.ee/r/{t} paste.ee/p/{t} dpaste.org/{t} "
    "hastebin.com/{t} rentry.co/{t}",
    "File drops": "transfer.sh/{t} file.io/{t} gofile.io/d/{t} we.tl/{t}",
    "Twilio": "api.twilio.com/2010-04-01/Accounts/{t}",
    "Mailgun": "api.mailgun.net/v3/{t} api.eu.mailgun.net/v3/{t}",
    "Mailchimp": "*.api.mailchimp.com/3.0/lists/{t}",
    "Hosting": "{t}.vercel.app {t}.netlify.app {t}.herokuapp.com {t}.onrender.com {t}.fly.dev {t}.glitch.me {t}.surge.sh "
    "{t}.repl.co {t}.up.railway.app {t}.a.run.app",
    "Supabase": "{t}.supabase.co",
    "Atlassian": "{t}.atlassian.net",
    "Zendesk": "{t}.zendesk.com",
    "Freshdesk": "{t}.freshdesk.com",
    "Salesforce": "{t}.my.salesforce.com {t}.lightning.force.com",
    "ServiceNow": "{t}.service-now.com",
    "Okta": "{t}.okta.com {t}.auth0.com",
    "Shopify": "{t}.myshopify.com",
    "Snowflake": "{t}.snowflakecomputing.com",
}

_NOBODY = frozenset(
    "www api app login settings search topics features marketplace about pricing explore notifications new docs help support "
    "status static assets cdn favicon.ico robots.txt hooks files".split()
)
"""Parts of such addresses that are the service's own."""

MOST_URLS = 16
LONGEST = 128
MOST = 16

_URL = re.compile(r"(?:https?|wss?|s3|gs)://[^\s\"'<>`]{1,2000}", re.IGNORECASE)
_ARGUMENTS = frozenset(
    words_of_name(
        "owner org organization organisation account workspace team bucket repo repository project container tenant namespace gist"
    )
)
"""Arguments that say whose account something goes to, by the words of their names."""


class Tenant(NamedTuple):
    """``service`` says whose host it is, and by which argument where one says it; ``name`` is folded."""

    service: str
    name: str
    field: str


def _compiled() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for service, templates in SERVICES.items():
        for template in templates.split():
            scheme, _, rest = template.rpartition("://")
            host, slash, path = rest.partition("/")
            # A bucket's name may hold dots, where it stands first.
            name = "[^/?#:]+?" if host.startswith("{t}.") else "[^/?#:]+" if scheme else "[^./:]+"
            label = re.escape(host).replace(r"\{t\}", f"(?P<t>{name})").replace(r"\*", "[^./:]+")
            below = re.escape(path).replace(r"\{t\}", "(?P<t>[^/?#:]+)").replace(r"\*", "[^/?#]+")
            pattern = re.compile(f"{scheme}://{label}" if scheme else label + (f"/{below}" if slash else "(?:/|\\Z)"))
            key = scheme or ".".join(host.split(".")[-2:])
            found.setdefault(key, []).append((service, pattern))
    return found


_BY_DOMAIN = _compiled()


@lru_cache(maxsize=2048)
def tenant(url: str) -> tuple[str, str]:
    """The service and the tenant in a URL, or in a host alone; two empty texts when there is none."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme.lower() in ("s3", "gs"):
        return _match(scheme.lower(), f"{scheme.lower()}://{rest}")
    host = canonical.target(url).host
    path = (rest if separator else url).partition("/")[2]
    return _match(".".join(host.split(".")[-2:]), f"{host}/{_decoded(path)}" if path else host)


def _decoded(path: str) -> str:
    return unquote(path.replace("%2F", "%252F").replace("%2f", "%252f"))


def _match(domain: str, text: str) -> tuple[str, str]:
    for service, pattern in _BY_DOMAIN.get(domain, ()):
        match = pattern.match(text)
        name = match["t"].casefold().partition("%2f")[0] if match else ""
        if name and name not in _NOBODY:
            return service, name[:LONGEST]
    return "", ""


def tenants(action: Action) -> tuple[Tenant, ...]:
    """The tenants that an action names: in its target, in URLs in its arguments, and in arguments that say an account."""
    if len(action.target) <= 256 and action.metadata.keys() <= {"source"}:
        return _of_target(action.target)
    return _tenants(action)


@lru_cache(maxsize=1024)
def _of_target(target: str) -> tuple[Tenant, ...]:
    return _tenants(Action(target=target))


def _tenants(action: Action) -> tuple[Tenant, ...]:
    found: dict[Tenant, None] = {}
    shared = ""
    if action.target:
        shared, name = tenant(action.target)
        if name:
            found[Tenant(shared, name, "target")] = None
        shared = shared or _shared(canonical.target(action.target).host)
    for key, value in action.metadata.items():
        if key != "source":
            for one in _named(value, key, key, shared or canonical.tool(action.tool), 0):
                found[one] = None
                if len(found) >= MOST:
                    break
    return tuple(found)[:MOST]


@lru_cache(maxsize=2048)
def _shared(host: str) -> str:
    """The service that a host belongs to, when no tenant stands in its address."""
    for service, pattern in _BY_DOMAIN.get(".".join(host.split(".")[-2:]), ()):
        if host and pattern.pattern.startswith(re.escape(host) + "/"):
            return service
    return ""


def _named(value: Json, path: str, name: str, where: str, depth: int) -> Iterator[Tenant]:
    if isinstance(value, Mapping) and depth < 8:
        for key, below in value.items():
            if not _says_nothing(str(key), below):
                yield from _named(below, f"{path}.{key}"[:200], str(key), where, depth + 1)
    elif isinstance(value, (list, tuple)) and depth < 8:
        for below in value:
            yield from _named(below, path + "[]", name, where, depth + 1)
    elif isinstance(value, str):
        if "://" in value:
            yield from _linked(value, path)
        elif 0 < len(value) <= LONGEST and says_account(name):
            yield Tenant(f"{where}, {name.casefold()[:64]}", value.strip().casefold(), path)


def _linked(text: str, path: str) -> Iterator[Tenant]:
    for match in islice(_URL.finditer(text), MOST_URLS):
        service, found = tenant(match.group())
        if found:
            yield Tenant(service, found, path)


def _says_nothing(name: str, value: Json) -> bool:
    # Nearly always; so it is asked before anything dear is done.
    return isinstance(value, str) and "://" not in value and not says_account(name)


@lru_cache(maxsize=1024)
def says_account(name: str) -> bool:
    """Whether an argument of that name says whose account something goes to: ``owner``, ``bucketName``, ``repo``."""
    words = words_of_name(name[:64])
    return bool(words) and len(words) <= 2 and not _ARGUMENTS.isdisjoint(words)
