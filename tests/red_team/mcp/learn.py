"""Learns the weights of ``order_likeness``: ``python -m tests.red_team.mcp.learn FOLDER [--without CORPUS]``.

Orders are what the corpora's attacks say and their twins do not, and the lines of ``learnt/orders``. All else is what the twins
say, ``learnt/plain``, the corpora's prose, manual pages of the soak of prose, docstrings of Python's library, and the tools of
some public servers, those of the soak of tools among them.

Logistic regression by stochastic gradients (AdaGrad), each passage of two sentences an example. ``--without`` leaves a corpus out,
``--to`` writes elsewhere than into the package. What was fetched is kept in FOLDER.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import random
import re
import sysconfig
import tomllib
from collections import Counter
from pathlib import Path

from kaizen_security.mcp import order_likeness
from kaizen_security.mcp.order_likeness import named, passages
from kaizen_security.mcp.order_plain import plain
from tests.e2e.mcp import official
from tests.red_team.mcp import played
from tests.red_team.mcp.later_corpora import spelt
from tests.soak import mcp_prose, mcp_tools

HERE = Path(__file__).parent
TOLD = ("fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh")
MANUALS = (*mcp_prose.PACKAGES, "manpages-it", "manpages-pl", "manpages-pt-br", "manpages-nl", "manpages-ru")
SERVERS = (
    *mcp_tools.PACKAGES,
    "@aashari/mcp-server-atlassian-jira",
    "@agent-infra/mcp-server-browser",
    "@ai-devkit/memory",
    "@allpepper/memory-bank-mcp",
    "@antv/mcp-server-chart",
    "@brave/brave-search-mcp-server",
    "@browsermcp/mcp",
    "@currents/mcp",
    "@cyanheads/git-mcp-server",
    "@drawio/mcp",
    "@eslint/mcp",
    "@executeautomation/playwright-mcp-server",
    "@mapbox/mcp-server",
    "@mastra/mcp-docs-server",
    "@mobilenext/mobile-mcp",
    "@openbnb/mcp-server-airbnb",
    "@piotr-agier/google-drive-mcp",
    "@softeria/ms-365-mcp-server",
    "@zereight/mcp-gitlab",
    "mcp-server-code-runner",
    "mcp-server-kubernetes",
    "n8n-mcp",
    "next-devtools-mcp",
)
PROSE = ("prose.txt", "second/benign.txt", "third/benign.txt")
ROUNDS, RATE, DECAY = 8, 0.3, 1e-4
SELDOM = 3
"""Passages that a word must stand in."""
SLIGHT = 20
"""Hundredths from which on a weight is kept."""
PASSAGES, DOCSTRINGS = 700, 3500
_SENTENCES = re.compile(r"(?<=[.!?。])\s")


def cases():
    """(corpus, what its attack says, what its twin says) of every case."""
    for corpus in ("", "second", "third"):
        for kind in ("definitions", "texts", "changes"):
            for case in tomllib.loads((HERE / corpus / f"{kind}.toml").read_text())["case"]:
                case = spelt(case)
                yield corpus or "first", case.get("tool", case.get("text", case.get("after"))), case["twin"]
    for corpus in TOLD:
        for case in played.cases(corpus):
            yield corpus, case["attack"], case["twin"]


def said(value):
    """The texts in a value that are sentences."""
    if isinstance(value, str):
        return {value} if len(value) >= 25 and (" " in value or not value.isascii()) else set()
    if isinstance(value, dict):
        return {one for key, under in value.items() for one in said(key) | said(under)}
    return {one for under in value for one in said(under)} if isinstance(value, list) else set()


def features(text):
    return [[f"{table}:{key}" for table, key in named(passage)] for passage in passages(plain(text))]


def examples(folder, without):
    """(features, whether it is an order, how much it counts)."""
    for corpus, attack, twin in cases():
        if corpus != without:
            harmless = said(twin)
            known = {one for text in harmless for one in _SENTENCES.split(text)}
            for text in sorted(said(attack) - harmless):
                rest = " ".join(one for one in _SENTENCES.split(text) if one not in known)
                yield from ((found, True, 1.0) for found in features(rest))
            yield from ((found, False, 2.0) for text in sorted(harmless) for found in features(text))
    for file in (*sorted((HERE / "learnt").glob("*/*.txt")), *(HERE / one for one in PROSE)):
        counts = 1.0 if file.parent.parent.name == "learnt" else 2.0
        for line in file.read_text().splitlines():
            yield from ((found, file.parent.name == "orders", counts) for found in features(line))
    for texts, weight in ((manuals(folder), 1.0), (docstrings(), 0.3), (tools(folder), 1.0)):
        yield from ((found, False, weight) for text in texts for found in features(text))


def manuals(folder):
    kept = folder / "manuals"
    if not kept.exists():
        kept.mkdir()
        mcp_prose.subprocess.run(["apt-get", "download", *MANUALS], cwd=kept, check=True, capture_output=True)
        for package in kept.glob("*.deb"):
            mcp_prose.subprocess.run(["dpkg", "-x", str(package), str(kept / "all")], check=True)
    found = []
    for language in ("", "de", "es", "fr", "zh_CN", "it", "pl", "pt_BR", "nl", "ru"):
        pages = mcp_prose._pages(kept / "all/usr/share/man" / language, 300)
        every = [passage for page in pages for passage in mcp_prose._passages(page)]
        random.Random(2).shuffle(every)
        found += every[:PASSAGES]
    return found


def docstrings():
    found = set()
    for file in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "test" in str(file):
            continue
        try:
            tree = ast.parse(file.read_text())
        except (SyntaxError, UnicodeDecodeError):
            continue
        nodes = (ast.FunctionDef, ast.ClassDef, ast.Module)
        found |= {ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, nodes)}
    every = sorted(one for one in found if 40 < len(one) < 2500)
    random.Random(4).shuffle(every)
    return every[:DOCSTRINGS]


def tools(folder):
    kept = folder / "tools.json"
    if not kept.exists():
        node = str(official.runtime(official.newer_node()).resolve())
        official.project(folder / "project", *SERVERS)
        listed = []
        for server in SERVERS:
            try:
                words = mcp_tools.WORDS.get(server, [])
                listed.append(mcp_tools.tools_of(node, folder / "project/node_modules" / server, words, folder))
            except (OSError, ValueError, KeyError) as err:
                print(f"{server}: {type(err).__name__}")
        kept.write_text(json.dumps(listed))
    return sorted(said(json.loads(kept.read_text())))


def learnt(every):
    """The weight of each feature, and the bias under an empty name."""
    seen = Counter(one for found, _, _ in every for one in found)
    kept = {one for one, times in seen.items() if times >= SELDOM}
    every = [(("", *filter(kept.__contains__, found)), order, counts) for found, order, counts in every]
    weights, squares = dict.fromkeys(("", *kept), 0.0), dict.fromkeys(("", *kept), 1e-6)
    chance = random.Random(1)
    for round_ in range(ROUNDS):
        chance.shuffle(every)
        for found, order, counts in every:
            score = sum(map(weights.__getitem__, found))
            off = counts * ((1 / (1 + math.exp(-max(-30.0, min(30.0, score))))) - order)
            if abs(off) < 1e-3:
                continue
            for one in found:
                step = off + DECAY * weights[one]
                squares[one] += step * step
                weights[one] -= RATE * step / math.sqrt(squares[one])
        print(f"round {round_ + 1} of {ROUNDS}", flush=True)
    return weights


def table(weights):
    found = {"bias": round(100 * weights[""]), "classes": {}, "pairs": {}, "words": {}}
    for one, weight in sorted(weights.items()):
        kind, _, key = one.partition(":")
        if key and abs(round(100 * weight)) >= SLIGHT:
            found[kind][key] = round(100 * weight)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without", default="")
    parser.add_argument("--to", type=Path, default=Path(order_likeness.__file__).with_name("likeness.json"))
    words = parser.parse_args()
    words.folder.mkdir(exist_ok=True)
    order_likeness.MOST_KEPT = 1 << 20
    every = list(examples(words.folder, words.without))
    print(f"{len(every)} passages, {sum(order for _, order, _ in every)} of orders")
    words.to.write_text(json.dumps(table(learnt(every)), ensure_ascii=False, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
