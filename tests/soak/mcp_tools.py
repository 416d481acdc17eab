"""Tools of public MCP servers, as their makers describe them: none is held back when its server is first put before an agent.

The servers are installed from npm and asked for their tools; one that does not start here (it wants an account, say) is left out
and counted.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from kaizen_security.mcp.pins import Pins, Why, judged, settle
from tests.e2e.mcp import official

PACKAGES = (
    "@modelcontextprotocol/server-everything",
    "@modelcontextprotocol/server-filesystem",
    "@modelcontextprotocol/server-memory",
    "@modelcontextprotocol/server-github",
    "@modelcontextprotocol/server-gitlab",
    "@modelcontextprotocol/server-slack",
    "@modelcontextprotocol/server-brave-search",
    "@modelcontextprotocol/server-puppeteer",
    "@modelcontextprotocol/server-sequential-thinking",
    "@modelcontextprotocol/server-google-maps",
    "@playwright/mcp",
    "@notionhq/notion-mcp-server",
    "@upstash/context7-mcp",
    "chrome-devtools-mcp",
    "@supabase/mcp-server-supabase",
    "firecrawl-mcp",
    "tavily-mcp",
    "@sentry/mcp-server",
    "mongodb-mcp-server",
    "@hubspot/mcp-server",
    "exa-mcp-server",
    "@wonderwhy-er/desktop-commander",
)
FULL, SHORT = len(PACKAGES), 3
WORDS = {
    "@modelcontextprotocol/server-filesystem": ["FOLDER"],
    "@supabase/mcp-server-supabase": ["--access-token=sbp_" + "0" * 40],
    "@sentry/mcp-server": ["--access-token=none"],
}
"""What a server wants on its command line."""
TOKENS = """
GITHUB_PERSONAL_ACCESS_TOKEN GITLAB_PERSONAL_ACCESS_TOKEN SLACK_BOT_TOKEN SLACK_TEAM_ID BRAVE_API_KEY GOOGLE_MAPS_API_KEY
FIRECRAWL_API_KEY TAVILY_API_KEY SENTRY_ACCESS_TOKEN PRIVATE_APP_ACCESS_TOKEN EXA_API_KEY NOTION_TOKEN
""".split()
OPENING = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}


def soak(amount: int, directory: Path) -> dict[str, object]:
    """The tools of the first ``amount`` servers, each alone and all of them before one agent."""
    try:
        node, project = "node", official.node()
        if amount > SHORT:
            newer = official.newer_node()
            node, project = str(official.runtime(newer)), directory / "project"
            official.project(project, *PACKAGES[:amount])
    except official.Absent as err:
        return {"absent": str(err)}
    listed, silent = {}, []
    for package in PACKAGES[:amount]:
        try:
            listed[package] = tools_of(node, project / "node_modules" / package, WORDS.get(package, []), directory)
        except (OSError, ValueError, KeyError) as err:
            silent.append(f"{package}: {type(err).__name__}")
    alone, together, apart, others = [], [], [], []
    for package, tools in listed.items():
        alone += [
            f"{package} {one.name}: {one.why.value} {one.said}"
            for one in judged(Pins(server=package), tools, ())
            if one.why.holds
        ]
        rulings = judged(Pins(server=package), tools, others)
        together += [f"{package} {one.name}: {one.why.value}" for one in rulings if one.why.holds]
        apart += [
            f"{package} {one.name}: {one.why.value}"
            for one in judged(Pins(server=package), tools, others, apart=True)
            if one.why.holds
        ]
        others.append(settle(Pins(server=package), rulings, 0.0))
    assert alone == [], alone
    assert apart == [], apart
    # A client that mixes the tools of its servers: a namesake that takes another's calls is a shadow, whatever it was meant to be.
    assert all(Why.SHADOWS.value in one or Why.ALIKE.value in one for one in together), together
    tools = {json.dumps(tool, sort_keys=True) for tools in listed.values() for tool in tools}
    return {
        "servers": len(listed),
        "tools": len(tools),
        "held_alone": len(alone),
        "held_together_where_the_client_keeps_servers_apart": len(apart),
        "held_together_where_it_does_not": together,
        "did_not_start": silent,
    }


def tools_of(node: str, package: Path, words: list[str], directory: Path) -> list[object]:
    """Every tool that the server in this package lists, over all pages."""
    about = json.loads((package / "package.json").read_text())
    scripts = about["bin"]
    script = scripts if isinstance(scripts, str) else next(iter(scripts.values()))
    command = [node, str(package / script), *(word.replace("FOLDER", str(directory)) for word in words)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
    environment = {**kept, **dict.fromkeys(TOKENS, "none"), "HOME": str(directory)}
    found, cursor = [], None
    process = subprocess.Popen(
        ["timeout", "40", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=directory,
    )
    with process:
        try:
            asked(process, 0, "initialize", OPENING)
            process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
            for page in range(1, 50):
                result = asked(process, page, "tools/list", {"cursor": cursor} if cursor else {})
                found += result["tools"]
                cursor = result.get("nextCursor")
                if not cursor:
                    break
        finally:
            process.kill()
    return found


def asked(process, id_, method, params):
    """The result of a request. Raises ValueError when there is none."""
    message = {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith(b"{") and (said := json.loads(line)).get("id") == id_ and "method" not in said:
            return said["result"]
    raise ValueError("the server ended")
