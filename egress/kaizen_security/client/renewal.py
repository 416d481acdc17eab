"""Renewal: the organisation's policy for this agent, fetched, verified, kept on disk and kept up to date.

From ``GET /v1/bundle`` (signed, see ``contract.bundle``); from a server that has none, ``GET /v1/policy``, but never again once a
signed bundle was seen: whoever stands between must not be able to take the signature away.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from time import monotonic

from kaizen_security.client import own
from kaizen_security.client.files import write_whole
from kaizen_security.client.http import Connection, understood
from kaizen_security.contract.bundle import MAX_BUNDLE, Bundle, decode_policy, key_hash, signing_key, unseal
from kaizen_security.contract.errors import InvalidInput, KaizenError
from kaizen_security.contract.fields import array, obj

FIRST = 3.0
"""Seconds that a constructor waits for the policy."""
WAIT = 25
"""Seconds that the server may hold a question back until something changes."""
PACE = 10.0
"""Seconds between questions to a server that answers at once."""
LONGEST_PAUSE = 60.0


class Renewal:
    """``apply(bundle, origin)`` puts a policy into force (it raises Misconfigured for one that cannot be used).

    ``missing(why)`` says that there is none; ``problem`` is why the newest attempt failed.
    """

    def __init__(
        self,
        url: str,
        *,
        agent: str,
        api_key: str,
        headers: Mapping[str, str],
        cache: str,
        apply: Callable[[Bundle, str], None],
        missing: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self.problem = ""
        self._connection = Connection(url, max_bytes=MAX_BUNDLE)
        self._agent = agent
        self._key = signing_key(key_hash(api_key))
        self._headers = dict(headers)
        self._cache = cache
        self._apply = apply
        self._missing = missing
        self._clock = clock
        self._newest = -1  # of the bundles seen; -1: none, since a bundle may have version 0
        self._etag = ""
        # Over a Unix socket without a key the channel says who is there, and the sidecar seals with the empty key.
        self._signed = bool(api_key) or url.startswith("unix://")
        self._in_force = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def first(self) -> None:
        """What a constructor does: ask, and fall back on what is on disk."""
        self._from_cache()
        self.once(FIRST, wait=0)

    def once(self, deadline: float, *, wait: int) -> bool:
        """Ask once; true when the policy in force is known to be the newest."""
        try:
            fetched = self._fetch(deadline, wait)
            if fetched is not None:
                self._apply(*fetched)
                self._in_force = True
            self.problem = ""
        except KaizenError as err:
            self.problem = str(err)
            if not self._in_force:
                self._missing(f"the organisation's policy could not be had: {err}")
            return False
        return True

    def start(self) -> None:
        """Go on asking in a thread of its own. Again after a fork."""
        if self._stop.is_set():
            return
        thread = own.thread(self._work, "kaizen-policy")
        if own.start(thread):
            self._thread = thread

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()

    def _work(self) -> None:
        pause = 1.0
        while not self._stop.is_set():
            began = monotonic()
            good = self.once(WAIT + 5.0, wait=WAIT)
            if not good:
                self._stop.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = 1.0
            if monotonic() - began < 1.0:
                self._stop.wait(PACE)

    def _fetch(self, deadline: float, wait: int) -> tuple[Bundle, str] | None:
        """The newest policy and where it is from; None when it is the one in force. Raises KaizenError."""
        agent = _quoted(self._agent)
        if self._signed:
            status, body = self._get(
                f"/v1/bundle?agent={agent}" + (f"&wait={wait}" if wait and self._in_force else ""), deadline
            )
            if status == 304 and self._in_force:
                return None
            if status not in (404, 405, 501) or self._newest >= 0:
                understood(status, body, limit=MAX_BUNDLE)
                bundle = self._unsealed(body, newest=max(self._newest, 0))
                if bundle.expires_at and bundle.expires_at <= self._clock():
                    raise InvalidInput("bundle.expires_at", "has passed")
                self._newest = bundle.version
                self._keep(body)
                return bundle, "bundle"
        status, body = self._get(f"/v1/policy?agent={agent}", deadline)
        if status == 304 and self._in_force:
            return None
        document = obj(understood(status, body, limit=MAX_BUNDLE), "policy")
        policies = tuple(
            decode_policy(item, field=f"policies[{i}]") for i, item in enumerate(array(document, "policies"))
        )
        return Bundle(agent=self._agent, version=0, policies=policies), "policy"

    def _get(self, path: str, deadline: float) -> tuple[int, bytes]:
        headers = {**self._headers, "Accept": "application/json"}
        if self._etag and self._in_force:
            headers["If-None-Match"] = self._etag
        status, got, body = self._connection.request("GET", path, None, headers, deadline)
        if 200 <= status < 300:
            etag = got.get("etag", "")
            self._etag = etag if len(etag) <= 256 and etag.isascii() and etag.isprintable() else ""
        return status, body

    def _unsealed(self, data: bytes, *, newest: int) -> Bundle:
        """Its expiry is looked at whenever it is used, so here any time before it will do; 0.0 means that it has none."""
        return unseal(data, self._key, agent=self._agent, now=-1.0, newest=newest)

    # --- on disk

    def _from_cache(self) -> None:
        """What was in force when an earlier process ran. Expired is still taken: it may block, and says that it has expired."""
        if not self._cache or not self._signed:
            return
        try:
            with open(self._cache, "rb") as file:
                data = file.read(MAX_BUNDLE + 1)
            bundle = self._unsealed(data, newest=0)
            self._apply(bundle, "cache")
        except FileNotFoundError:
            return
        except (OSError, KaizenError) as err:
            self.problem = f"the policy kept on disk cannot be used: {err}"
            return
        self._newest = bundle.version
        self._in_force = True

    def _keep(self, data: bytes) -> None:
        if not self._cache:
            return
        try:
            os.makedirs(os.path.dirname(self._cache), mode=0o700, exist_ok=True)
            write_whole(self._cache, data)
        except OSError as err:
            self.problem = f"the policy cannot be kept on disk: {err.strerror or err}"


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
