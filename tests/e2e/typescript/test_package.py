"""What ``npm pack`` makes, in an empty project: installed offline, from ESM, CommonJS and TypeScript, with the docs' examples."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import tarfile

import pytest

from tests.docs.blocks import blocks
from tests.docs.test_prose import PAGES
from tests.e2e.line import Line
from tests.e2e.typescript.conftest import TYPESCRIPT, environment

ENTRIES = ("", "/vercel", "/openai-agents", "/mcp", "/langchain", "/audit")
BUDGET = 44 * 1024
"""Bytes of what an agent loads, minified and compressed by gzip. May only shrink."""
TARBALL = 63 * 1024
"""Bytes of what npm downloads: every entry, types, licence. May only shrink."""


def run(words, cwd, **how):
    done = subprocess.run(words, cwd=cwd, env={**environment(), **how}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(sdk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    [packed] = json.loads(run(["npm", "pack", "--json", "--pack-destination", folder], TYPESCRIPT))
    (folder / "package.json").write_text('{"name": "empty", "private": true, "type": "module"}')
    run(["npm", "install", "--offline", "--no-audit", "--no-fund", f"./{packed['filename']}"], folder)
    # Frameworks that the examples use, as they were installed for the tests.
    for name in ("ai", "zod", "langchain", "@openai", "@langchain", "@modelcontextprotocol"):
        (folder / "node_modules" / name).symlink_to(TYPESCRIPT / "node_modules" / name)
    return folder


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with Line.started(tmp_path_factory.mktemp("line")) as line:
        yield line


def test_it_brings_nothing_with_it_and_names_no_registry(project):
    lock = json.loads((project / "package-lock.json").read_text())
    assert set(lock["packages"]) == {"", "node_modules/kaizen-security"}
    for folder in (TYPESCRIPT, TYPESCRIPT / "runtimes"):
        assert '"resolved"' not in (folder / "package-lock.json").read_text()


def test_what_is_packed_is_built_and_typed_and_nothing_else(project):
    [tarball] = project.glob("*.tgz")
    with tarfile.open(tarball) as packed:
        names = [member.name for member in packed.getmembers()]
    assert {re.sub(r".*?(\.d\.c?ts|\.c?js|package\.json|README\.md|LICENSE)$", r"\1", name) for name in names} <= {
        ".js",
        ".cjs",
        ".d.ts",
        ".d.cts",
        "package.json",
        "README.md",
        "LICENSE",
    }


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_loads_from_both_kinds_of_modules(project, entry):
    name = json.dumps("kaizen-security" + entry)
    esm = run(
        ["node", "--input-type=module", "-e", f"console.log(Object.keys(await import({name})).sort().join())"], project
    )
    cjs = run(
        ["node", "--input-type=commonjs", "-e", f"console.log(Object.keys(require({name})).sort().join())"], project
    )
    assert esm == cjs
    assert ("guardT" in esm) or ("Kaizen" in esm) or (esm == "audit\n")


def has(project, feature):
    return run(["node", "-p", feature], project).strip() == "true"


def test_what_import_and_require_give_is_one_and_the_same(project):
    if not has(project, "process.features.require_module"):
        pytest.skip("this Node gives no ESM file to require")
    code = "import('kaizen-security').then((it) => console.log(it.Verdict === require('kaizen-security').Verdict))"
    assert run(["node", "--input-type=commonjs", "-e", code], project) == "true\n"


@pytest.fixture(scope="module")
def older(project):
    """Node as it was when it gave no ESM file to ``require`` (before 20.19)."""
    flag = "--no-experimental-require-module"
    known = has(project, "process.allowedNodeEnvironmentFlags.has('--experimental-require-module')")
    return ["node", *([flag] if known else []), "--input-type=commonjs", "-e"]


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_node_that_gives_no_esm_to_require_has_every_entry(project, older, entry):
    code = f"console.log(Object.keys(require({json.dumps('kaizen-security' + entry)})).sort().join())"
    esm = run(["node", "--input-type=module", "-e", code.replace("require", "await import")], project)
    assert run([*older, code], project) == esm


def test_a_node_that_gives_no_esm_to_require_judges_and_connects(project, older):
    used = (
        "const { evaluate, Kaizen } = require('kaizen-security');\n"
        "const rules = { domains: ['xn--bcher-kva.example'] };\n"
        "console.log(evaluate({ target: 'b\u00fccher.example' }, [{ mode: 'blocklist', rules }]).reason);\n"
        "const kaizen = new Kaizen({ apiKey: 'kz_live_x', baseUrl: 'https://127.0.0.1:1', report: false, data: '' });\n"
        "kaizen.inspect({ tool: 'x' }).then(() => console.log(kaizen.problem)).finally(() => kaizen.close());"
    )
    assert run([*older, used], project).splitlines() == [
        "blocked by policy: malicious domain",
        "cannot reach https://127.0.0.1:1: ECONNREFUSED",
    ]


TYPED = """
import { evaluate, Kaizen, type Verdict } from "kaizen-security";
import { guardTools } from "kaizen-security/vercel";
import { guardTransport } from "kaizen-security/mcp";
import { guardMcpServer } from "kaizen-security/openai-agents";
import { audit } from "kaizen-security/audit";
const kaizen = new Kaizen({ mode: "enforce", policies: [{ mode: "blocklist", rules: { ips: ["10.0.0.0/8"] } }] });
const double = kaizen.guard((n: number) => n * 2);
export const two: Promise<number> = double(1);
export const verdict: Verdict = evaluate({ tool: "x" }, []);
export const tools = guardTools(kaizen, { a: { execute: async (input: { q: string }) => input.q } });
export const said: Promise<string> = tools.a.execute({ q: "x" });
// @ts-expect-error no such field
void kaizen.inspect({ tol: "x" });
export const stop: () => void = audit(kaizen.named("helper"));
export const late: Promise<Verdict> = kaizen.enforce({ tool: "x" }, { signal: new AbortController().signal });
void [guardTransport, guardMcpServer];
"""


@pytest.mark.parametrize("kind", ["nodenext", "node16"])
def test_its_types_serve_both_kinds_of_modules(project, kind):
    names = [f"typed.{ending}" for ending in ("mts", "cts")]
    for name in names:
        (project / name).write_text(TYPED)
    tsc = TYPESCRIPT / "node_modules/typescript/bin/tsc"
    words = ["node", tsc, "--noEmit", "--strict", "--module", kind, "--target", "es2023", "--types", "node"]
    run([*words, "--typeRoots", TYPESCRIPT / "node_modules/@types", *names], project)


def test_what_a_log_shows_has_its_name_though_the_build_shortens_names(project):
    code = (
        "import { evaluate, Kaizen, KaizenBlocked, Misconfigured } from 'kaizen-security';\n"
        "const verdict = evaluate({ tool: 'x' }, []);\n"
        "const kaizen = new Kaizen({ agent: 'a', apiKey: 'kz_live_SECRET', report: false, sync: false, data: '' });\n"
        "console.log(verdict, kaizen, KaizenBlocked.name, String(new KaizenBlocked(verdict)));\n"
        "try { new Kaizen({ deadline: 'x' }); } catch (err) { console.log(err.constructor === Misconfigured, err.stack); }"
    )
    out = run(["node", "--input-type=module", "-e", code], project)
    assert out.startswith("Verdict {")
    assert (
        'Kaizen {"agent":"a","mode":"observe","problem":""} KaizenBlocked KaizenBlocked: Blocked by Kaizen: no ' in out
    )
    assert "true Misconfigured: the option deadline: must be a number" in out
    assert "SECRET" not in out


TRACED = """
import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { pathToFileURL } from "node:url";
const [dist, maps] = process.argv.slice(1);
const { Kaizen } = await import(pathToFileURL(`${dist}/index.js`));
try { new Kaizen({ deadline: "x" }); } catch (err) {
  for (const [, file, line, column] of err.stack.matchAll(/dist.([\\w.-]+js):(\\d+):(\\d+)/g)) {
    const map = new SourceMap(JSON.parse(readFileSync(`${maps}/${file}.map`, "utf8")));
    const { originalSource, originalLine } = map.findEntry(line - 1, column - 1);
    const source = readFileSync(new URL(originalSource, pathToFileURL(`${maps}/x`)), "utf8").split("\\n");
    console.log(originalSource, source[originalLine].trim());
  }
}
"""


def test_a_stack_trace_is_told_by_the_maps_of_its_build(sdk):
    words = ["node", "--input-type=module", "-e", TRACED, sdk, TYPESCRIPT / "maps"]
    first, *_, last = run(words, TYPESCRIPT).splitlines()
    assert first == "../src/client/settings.ts throw new Misconfigured(`${where}: ${(err as Error).message}`);"
    assert last == "../src/client/kaizen.ts const settings = load(stated);"


def bundled(project, source, *more):
    entry = project / "entry.mjs"
    entry.write_text(source)
    esbuild = TYPESCRIPT / "node_modules/.bin/esbuild"
    return run([esbuild, "entry.mjs", "--bundle", "--minify", "--platform=node", "--format=esm", *more], project)


def test_a_bundler_takes_only_what_is_used(project):
    all_of_it = bundled(project, 'import { Kaizen } from "kaizen-security"; console.log(Kaizen);')
    judging = bundled(project, 'import { evaluate } from "kaizen-security"; console.log(evaluate);')
    error = bundled(project, 'import { KaizenBlocked } from "kaizen-security"; console.log(KaizenBlocked);')
    assert "KZSPOOL1" in all_of_it
    assert "KZSPOOL1" not in judging
    assert "/v1/bundle" not in judging
    assert len(error) < 12_000
    assert len(error) < len(judging) < len(all_of_it)


def test_no_pattern_that_is_known_is_made_anew_at_each_call(sdk):
    for path in sdk.glob("*.js"):
        assert not re.search(r'new RegExp\("[^"]*","u"\)', path.read_text()), path


def test_all_of_it_is_within_its_budget(project):
    [tarball] = project.glob("*.tgz")
    assert tarball.stat().st_size <= TARBALL
    whole = bundled(project, 'export * from "kaizen-security";')
    assert len(gzip.compress(whole.encode(), 9)) <= BUDGET


JAVASCRIPT = [(page, block) for page in PAGES for block in blocks(page) if block.tag == "javascript"]


@pytest.mark.parametrize(("page", "block"), JAVASCRIPT, ids=lambda it: f"{it.line}" if hasattr(it, "line") else it.name)
def test_every_example_of_the_docs_runs_on_a_real_line(project, line, page, block):
    assert block.reason == ""
    out = run(["node", "--input-type=module", "-e", block.body], project, **line.environment)
    assert out.strip()


def test_what_an_agent_did_is_in_the_console_of_the_line(project, line):
    out = run(
        [
            "node",
            "--input-type=module",
            "-e",
            'import { Kaizen } from "kaizen-security";\n'
            'const kaizen = new Kaizen({ agent: "seen", policies: [{ mode: "blocklist", name: "p", rules: { domains: '
            '["evil.example"] } }] });\n'
            'await kaizen.declare({ tools: ["search"] });\n'
            'console.log((await kaizen.inspect({ tool: "send", target: "evil.example:443" })).reason);\n'
            'console.log((await kaizen.inspect({ tool: "delete_all" })).reason);\n'
            "if (!(await kaizen.flush(20))) throw new Error(kaizen.problem);\n"
            "const { settings } = kaizen;\n"
            "const rows = `${process.env.KAIZEN_API_URL}/v1/verdicts?agent=seen`;\n"
            "const headers = { Authorization: `Bearer ${settings.apiKey}` };\n"
            "for (let tries = 0; tries < 100; tries++) {\n"
            "  const { verdicts } = await (await fetch(rows, { headers })).json();\n"
            "  if (verdicts.length > 1) {\n"
            "    console.log(verdicts.map(({ action }) => action.tool).sort().join('\\n'));\n"
            "    break;\n"
            "  }\n"
            "  await new Promise((resolve) => setTimeout(resolve, 100));\n"
            "}",
        ],
        project,
        **line.environment,
    )
    blocked, undeclared, *rows = out.splitlines()
    assert blocked == "blocked by policy: malicious domain"
    assert undeclared == "undeclared: this agent used a tool it never declared (delete_all)."
    assert rows == ["delete_all", "send"]
