"""What to type to attach an agent, filled with this server's address and the agent's name. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippets:
    """Text to copy: a shell's or Python's, already quoted for it."""

    key: str
    python: str
    proxy: str
    cli: str


def snippets(agent: str, address: str, *, key: str = "") -> Snippets:
    """Snippets for ``agent`` with the control plane at ``address`` (a URL). Both are quoted, for a name may hold anything.

    ``key`` is a key that was made just now; without one, the command that makes one on the server's machine stands in its place.
    """
    # ascii: what is copied has nothing in it that cannot be seen.
    name, url = ascii(agent), ascii(address)
    shell_name, shell_url = _for_a_shell(agent), _for_a_shell(address)
    return Snippets(
        key=f"export KAIZEN_API_KEY={key}\n"
        if key
        else f"kaizen keys create --name={shell_name} --agent={shell_name} --scope=sdk\n",
        python=(
            "from kaizen_security import Kaizen\n"
            f"kaizen = Kaizen(agent={name}, base_url={url})\n"
            "search = kaizen.guard(search)   # any function that is a tool of your agent\n"
        ),
        proxy=(
            "# with a key of its own, of scope collector: what it says with the agent's key is the agent's word\n"
            f"KAIZEN_AGENT={shell_name} KAIZEN_API_URL={shell_url} kaizen egress\n"
            "export HTTP_PROXY=http://127.0.0.1:8080 HTTPS_PROXY=http://127.0.0.1:8080\n"
        ),
        cli=f"KAIZEN_API_URL={shell_url} kaizen inspect --agent={shell_name} --tool send_mail --target mail.example:443\n",
    )


def _for_a_shell(text: str) -> str:
    """``text`` as one word for bash or zsh. What cannot be seen, or is no ASCII, is written as an escape, as in ``ascii``."""
    if text.isascii() and text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(_escaped(char) for char in text) + "'"


def _escaped(char: str) -> str:
    if char in "'\\":
        return "\\" + char
    return char if char.isascii() and char.isprintable() else f"\\U{ord(char):08x}"
