"""Both languages judge the same cases: ``python -m tests.e2e.typescript.differential [CASES] [SEED]``.

Decision, reason, evidence to the last field, policy version, what goes beyond the declaration, and which documents are refused by
which error (of a document's shape also by which field) have to be the same. What 100,000 cases or more said is stored in
``benchmarks/results/``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.kept import keep
from kaizen_security.contract import canonical, reasons
from kaizen_security.contract.bundle import decode_policy
from kaizen_security.contract.codec import decode_action, decode_declaration, encode_finding, encode_verdict
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.contract.errors import InvalidInput, KaizenError
from kaizen_security.contract.verdict import Decision, Verdict
from tests.e2e.typescript.generated import Maker

TYPESCRIPT = Path(__file__).parents[3] / "typescript"
AT_ONCE = 2000
STORED_FROM = 100_000


def refused(err: KaizenError) -> dict[str, str]:
    """An error, in words that both languages share."""
    return {"refused": type(err).__name__, **({"field": err.field} if isinstance(err, InvalidInput) else {})}


def judged(case: dict) -> dict[str, object]:
    """What Python says of one case."""
    said: dict[str, object] = {}
    try:
        compiled = compile_policies([decode_policy(policy) for policy in case["policies"]])
    except KaizenError as err:
        compiled = None
        said["policies"] = refused(err)
    try:
        declaration = compile_declaration(decode_declaration(case["declaration"]))
    except KaizenError as err:
        declaration = None
        said["declaration"] = refused(err)
    memory = compiled.correlation() if compiled else None
    said["actions"] = [_action(document, compiled, memory, declaration) for document in case["actions"]]
    return said


def _action(document: dict, compiled, memory, declaration) -> dict[str, object]:
    try:
        action = decode_action(document)
    except KaizenError as err:
        return refused(err)
    said: dict[str, object] = {"tool": canonical.tool(action.tool), "permitted": canonical.permitted(action.tool)}
    try:
        said["url"] = canonical.url(action.target)
    except ValueError:
        said["url"] = None
    if compiled is not None:
        verdict = compiled.decide(action)
        risky = memory.see(action)
        if compiled.correlates and risky is not None and verdict.allowed:
            verdict = Verdict(Decision.BLOCK, reasons.CORRELATION, (risky,), policy_version=compiled.version)
        said["verdict"] = encode_verdict(verdict)
    if declaration is not None:
        said["undeclared"] = [encode_finding(finding) for finding in declaration.undeclared(action)]
    return said


def built() -> Path:
    """The other side's judge, bundled."""
    out = TYPESCRIPT / "dist-test" / "judge.mjs"
    esbuild = TYPESCRIPT / "node_modules" / ".bin" / "esbuild"
    subprocess.run(
        [
            esbuild,
            "test/judge.ts",
            "--bundle",
            "--platform=node",
            "--format=esm",
            "--log-level=error",
            f"--outfile={out}",
        ],
        cwd=TYPESCRIPT,
        check=True,
    )
    return out


def disagreements(cases: int, seed: int, seen: Counter[str] | None = None) -> list[tuple[dict, dict, dict]]:
    """Cases of which the two say different things, with what each says; at most twenty. ``seen`` counts what was said."""
    node = shutil.which("node") or "node"
    with subprocess.Popen([node, built()], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        return list(islice(_compared(other, Maker(seed), cases, Counter() if seen is None else seen), 20))


def _compared(
    other: subprocess.Popen[bytes], maker: Maker, cases: int, seen: Counter[str]
) -> Iterator[tuple[dict, dict, dict]]:
    assert other.stdin is not None
    assert other.stdout is not None
    for first in range(0, cases, AT_ONCE):
        batch = [maker.case() for _ in range(min(AT_ONCE, cases - first))]
        other.stdin.write(json.dumps(batch).encode() + b"\n")
        other.stdin.flush()
        for case, theirs in zip(batch, json.loads(other.stdout.readline()), strict=True):
            ours = json.loads(json.dumps(judged(case)))
            for action in ours["actions"]:
                said = action.get("verdict", {}).get("decision", "no policy to judge by")
                seen["refused" if "refused" in action else said] += 1
            if ours != theirs:
                yield case, ours, theirs


def main(argv: list[str]) -> int:
    """Judge and say where the two disagree; status 1 if they do."""
    cases = int(argv[0]) if argv else 100_000
    seed = int(argv[1]) if len(argv) > 1 else 1
    seen: Counter[str] = Counter()
    found = disagreements(cases, seed, seen)
    for case, ours, theirs in found:
        print(json.dumps({"case": case, "python": ours, "typescript": theirs}))
    print(f"{cases} cases, seed {seed}: {len(found)} disagreements; actions: {dict(seen)}")
    if cases >= STORED_FROM:
        command = f"python -m tests.e2e.typescript.differential {cases} {seed}"
        keep("typescript-differential", command, {"cases": cases, "disagreements": len(found), "actions": dict(seen)})
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
