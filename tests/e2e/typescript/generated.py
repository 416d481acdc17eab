"""Policies, declarations and actions made by chance, from pieces that have a meaning somewhere: each a document of the contract.

What is made is hostile more often than not: spellings of one host, Unicode that folds into something else, patterns at the edge of
what is taken, documents that are no documents.
"""

# ruff: noqa: RUF001  look-alikes are what this is about

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from kaizen_security.contract import canonical
from kaizen_security.contract.declaration import DataClass

SPEC = Path(__file__).parents[3] / "spec"
_CANONICAL = json.loads((SPEC / "vectors" / "canonical.json").read_text())["vectors"]
_POLICY = json.loads((SPEC / "vectors" / "policy.json").read_text())["vectors"]
_DECLARATION = json.loads((SPEC / "vectors" / "declaration.json").read_text())["vectors"]

SEEN = sorted(
    {vector["input"] for vector in _CANONICAL if isinstance(vector["input"], str)}
    | {
        action[key]
        for vector in _POLICY
        for action in vector["actions"]
        for key in ("target", "tool")
        if action.get(key)
    }
)
HOSTS = (
    "evil.example api.example.com EXAMPLE.com bücher.example xn--bcher-kva.example ⓔvil.example 1.2.3.4 0x7f.1 127.0.0.1 "
    "10.1.2.3 [::1] [::ffff:10.0.0.1] 2001:db8::1 64:ff9b::808:808 2002:a00:1:: fe80::1%eth0 localhost "
    "a.localhost metadata.google.internal faß.de σας.gr a\u200cb.example xn--a.example xn--ls8h.la "
    " 中国.cn 𝔢𝔳𝔦𝔩.example evil。example s.io redis a_b.example -x.example"
).split()
TOOLS = (
    "send_email SendEmail send\u200b_email ｓｅｎｄ_email straße STRASSE ﬁle_read İstanbul ıstanbul ſend K2 Å ǅ Ꭰ ꭰ Σ ς "
    "delete_all shell.exec run\ttool á ａ ½ ² Ⅷ ㈱ ｶﾞ ẞ ŉ \u1f80 \u0390"
).split(" ")
PATTERNS = (
    "send_.* (a+)+$ .*delete.* ^shell$ [a-z]+_\\d{2,3} \\bmail\\b \\w+ [^a-z]+ (?i)SEND (foo|bar)baz? a{2,5} \\x41.* \\S+\\s\\S+ "
    ".*[À-ÿ].* stra(ss|ß)e (?:x|y)* (?P<n>a)b \\u0130.* [\\d_]+ \\W .{3} (?s).* (?=a) \\1 a++ [z-a] ( ) a{ {3} x** ^* \\Q".split()
)
_WORDS = "abcdefghijklmnopqrstuvwxyz0123456789._-"
_ODD = (
    "%25%2e:/@?#[]\\ \t\u200b\u200d\u00ad\ufeff\u3002\uff0e\uff20\u202e\u0301\u0378\u1df5\u2c2f"
    "\U0001e030\U00010d50\U00016ea0\u1c89\ua7cb\x85\x1c\u2028"
)
DATA = (*DataClass, "Cards", " bank_accounts ", "CREDENTIALS\u200b", "mark\u00aded", "contacts.", "medical", "")
KINDS = ("tool_call", "connect", "http", "dns", "file", "exec", "message", "skill_load", " CONNECT ", "Kind", "")


class Maker:
    """One stream of cases; the same ``seed`` makes the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def case(self) -> dict[str, object]:
        """Policies, a declaration and up to four actions of one run."""
        chance = self._random
        hosts = [self._host() for _ in range(4)]
        tools = [self._tool() for _ in range(3)]
        return {
            "policies": [self._policy(hosts, tools) for _ in range(chance.choice((0, 1, 1, 2, 3)))],
            "declaration": self._declaration(hosts, tools),
            "actions": [self._action(hosts, tools) for _ in range(chance.randint(1, 4))],
        }

    def _text(self) -> str:
        chance = self._random
        shape = chance.random()
        if shape < 0.35:
            return self._mutated(chance.choice(SEEN))
        if shape < 0.6:
            return "".join(chance.choices(_WORDS, k=chance.randint(1, 12)))
        if shape < 0.8:
            return "".join(chance.choice(_WORDS + _ODD) for _ in range(chance.randint(1, 10)))
        return "".join(self._character() for _ in range(chance.randint(1, 8)))

    def _character(self) -> str:
        chance = self._random
        top = chance.choice((0x80, 0x250, 0x3000, 0x10000, 0x20000, 0x110000))
        code = chance.randrange(top)
        # A lone surrogate is refused by the codec: seldom, so that the rest is seen too.
        return chr(code) if not 0xD800 <= code < 0xE000 or chance.random() < 0.02 else "é"

    def _mutated(self, text: str) -> str:
        chance = self._random
        for _ in range(chance.randint(0, 2)):
            at = chance.randint(0, len(text))
            piece = chance.choice((chance.choice(_ODD), chance.choice(_WORDS), self._character(), ""))
            text = text[:at] + piece + text[at + chance.randint(0, 1) :]
        return text

    def _host(self) -> str:
        chance = self._random
        host = chance.choice(HOSTS) if chance.random() < 0.6 else self._text()
        if chance.random() < 0.2:
            host = chance.choice(("www.", "a.b.", "*.", ".")) + host
        return self._mutated(host) if chance.random() < 0.15 else host

    def _tool(self) -> str:
        return self._random.choice(TOOLS) if self._random.random() < 0.6 else self._text()

    def _target(self, hosts: list[str]) -> str:
        chance = self._random
        host = chance.choice(hosts) if chance.random() < 0.7 else self._host()
        if host.startswith(("*.", ".")) and chance.random() < 0.8:
            host = "a" + host.lstrip("*")
        before = chance.choice(
            (
                "",
                "",
                "https://",
                "http://",
                "HTTPS:\\\\",
                "ftp://u:p@",
                "user@",
                "//",
                "mailto:x@",
                "s3://",
                "jdbc:pg://",
            )
        )
        after = chance.choice(("", "", ":443", ":80", ":0x", ":99999", "/v1/x", "/../a?q=1#f", "?x", "\\y", "."))
        return before + host + after if chance.random() < 0.85 else self._text()

    def _several(self, one: Callable[[], object], most: int = 4) -> list[object]:
        return [one() for _ in range(self._random.randint(0, most))]

    def _domain(self, hosts: list[str]) -> str:
        """Mostly one that is taken: a policy that is refused tells no more of its other entries."""
        chance = self._random
        for _ in range(8):
            host = chance.choice(hosts) if chance.random() < 0.8 else self._host()
            if chance.random() < 0.3 and "." in host:
                host = host[host.index(".") + chance.randint(0, 1) :]
            try:
                if not canonical.host(host.removeprefix("*").removeprefix("."))[-1].isdigit() or chance.random() < 0.02:
                    return host
            except ValueError:
                if chance.random() < 0.02:
                    return host
        return "evil.example"

    def _pattern(self, tools: list[str]) -> str:
        chance = self._random
        tool = chance.choice(tools)
        shape = chance.random()
        if shape < 0.3:
            return tool if tool.isalnum() else "shell"
        if shape < 0.6:
            head = "".join(f"\\{char}" if char in "\\.*+?()[]{}|^$" else char for char in tool[:3])
            return head + chance.choice((".*", "[^ ]*", "\\w+", "(x|.)*", ".+?", ".{0,9}"))
        return chance.choice(PATTERNS[: -12 if chance.random() < 0.95 else None])

    def _policy(self, hosts: list[str], tools: list[str]) -> dict[str, object]:
        chance = self._random
        mode = chance.choice((*["blocklist"] * 20, *["allowlist"] * 6, *["correlation"] * 6, "other"))
        names = lambda: chance.choice(tools) if chance.random() < 0.7 else self._tool()  # noqa: E731
        rules: dict[str, object] = {}
        if mode == "blocklist":
            rules = {
                "publishers": self._several(names, 1),
                "ips": self._several(self._range, 2),
                "domains": self._several(lambda: self._domain(hosts), 3),
                "hashes": self._several(self._hash, 1),
                "skill_patterns": self._several(lambda: self._pattern(tools), 2),
            }
            rules = {key: value for key, value in rules.items() if chance.random() < 0.6}
        elif mode == "allowlist":
            rules = {
                "tools": [*tools[:1], *self._several(names, 3)],
                "publishers": self._several(names, 1)[: chance.random() < 0.2],
            }
        elif mode == "correlation":
            rules = {"risky_sequence": "read_then_connect"}
        if chance.random() < 0.02:
            rules[chance.choice(("domains", "nothing", "tools"))] = chance.choice((None, "text", [1], [""], {}))
        return {
            "mode": mode,
            "rules": rules,
            "name": chance.choice(("", "one", "p2")),
            "enabled": chance.random() > 0.1,
        }

    def _range(self) -> str:
        chance = self._random
        base = chance.choice(
            ("10.0.0.0/8", "1.2.3.4", "0x7f.0.0.1", "::1", "2001:db8::/32", "::ffff:10.0.0.0/104", "fe80::/10")
        )
        return base if chance.random() < 0.95 else self._mutated(base)

    def _hash(self) -> str:
        return self._random.choice(("sha256:ABCDEF", "abcdef", "md5:sha1-AA", " SHA-256=ab "))

    def _declaration(self, hosts: list[str], tools: list[str]) -> dict[str, object]:
        chance = self._random
        if chance.random() < 0.3:
            return {}
        place = lambda: chance.choice((chance.choice(hosts), self._target(hosts), self._range()))  # noqa: E731
        declared: dict[str, object] = {"destinations": self._several(place, 3)}
        declared["tools"] = self._several(lambda: chance.choice(tools), 2)
        if chance.random() < 0.2:
            declared["data"] = self._several(lambda: chance.choice(DATA), 3)
        return declared

    def _action(self, hosts: list[str], tools: list[str]) -> dict[str, object]:
        chance = self._random
        action: dict[str, object] = {"kind": chance.choice(KINDS), "tool": "", "target": ""}
        if chance.random() < 0.7:
            action["tool"] = chance.choice(tools) if chance.random() < 0.7 else self._tool()
        if chance.random() < 0.8:
            action["target"] = self._target(hosts)
        if chance.random() < 0.15:
            action["publisher"] = chance.choice(tools)
        if chance.random() < 0.1:
            action["hash"] = self._hash()
        if chance.random() < 0.2:
            action["metadata"] = {"sensitive": chance.choice((True, False, 1, "", "x", [], {}))}
        if chance.random() < 0.5:
            action["run_id"] = "run"
        return action
