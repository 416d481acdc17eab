"""What one decision costs: ``python -m benchmarks.inspect [--json] [--sizes 1,100,10000,100000] [--actions 4000]``.

Policy and declaration of growing size judge actions that they never saw (each has its own target), allowed and blocked, and one
action again and again; beside an empty Python call, and the floor of an engine that walks through its entries one by one. One round
of each is measured after the other, the order reversed each round, so that a busy machine is busy for all; of the rounds' p50 and
p99 the median is shown.

The look-up in the baseline is the Observer's, in another process: rows of their own ask all three in one pass over the action, as
the Observer does (``observer.lookup``). Budgets: p50 of 5 µs for a new action, flat in the number of entries, and 1 µs for a
repeated one.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.kept import keep
from kaizen_security.contract.action import Action
from kaizen_security.contract.compiled import Compiled, compile_policies
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import CompiledDeclaration, compile_declaration
from kaizen_security.contract.policy import Policy
from kaizen_security.observer.baseline import Baseline, features
from kaizen_security.observer.lookup import look_up
from kaizen_security.observer.rules import Rules

SIZES = (1, 100, 10_000, 100_000)
ROUNDS = 5
BUDGET_US, REPEATED_US = 5.0, 1.0


def rules(entries: int) -> dict[str, list[str]]:
    """Half domains, a quarter addresses and ranges, an eighth hashes, an eighth tool names; always one pattern, too."""
    return {
        "domains": [f"h{i}.bad{i % 977}.example" for i in range(max(1, entries // 2))],
        "ips": [f"{20 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.{'0/28' if i % 2 else '7'}" for i in range(entries // 4)],
        "hashes": [f"{i:064x}" for i in range(entries // 8)],
        "skill_patterns": [f"tool_{i}" for i in range(entries // 8)] + ["drop_.*"],
    }


def declaration(entries: int) -> Declaration:
    """As many destinations as the codec takes (1,000), with a wildcard and a range for the allowed actions."""
    hosts = tuple(f"s{i}.test" for i in range(min(entries, 990)))
    return Declaration(
        tools=("search", "read", "write"), destinations=(*hosts, "*.good.test", "*.bad0.example", "9.0.0.0/8")
    )


def allowed(kind: str, i: int) -> Action:
    """Nothing is found in it."""
    if kind == "host":
        return Action(kind="connect", target=f"h{i}.good.test:443")
    if kind == "URL":
        return Action(kind="http", tool="search", target=f"https://h{i}.good.test/items/{i}?page=2")
    if kind == "address":
        return Action(kind="connect", target=f"9.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}:443")
    return Action(tool="search", target=f"row-{i}")


def blocked(i: int) -> Action:
    """A name below the first blocked domain, different each time; it is declared, so the block is all there is to say."""
    return Action(kind="connect", target=f"a{i}.h0.bad0.example:443")


@dataclass(frozen=True, slots=True)
class Figure:
    """Microseconds of one decision: the median over the rounds of their p50 and p99."""

    entries: int
    action: str
    p50: float
    p99: float


def timed(judge: Callable[[Action], object], actions: Sequence[Action]) -> tuple[float, float]:
    """p50 and p99 in microseconds, the clock's own cost taken off."""
    clock = time.perf_counter_ns
    taken = []
    for action in actions:
        start = clock()
        judge(action)
        taken.append(clock() - start)
    taken.sort()
    return (taken[len(taken) // 2] - _TICK) / 1000, (taken[len(taken) * 99 // 100] - _TICK) / 1000


def tick() -> int:
    """What two readings of the clock take, in nanoseconds."""
    clock = time.perf_counter_ns
    return statistics.median_low([-(clock() - clock()) for _ in range(2001)])


_TICK = tick()


def judge(compiled: Compiled, declared: CompiledDeclaration) -> Callable[[Action], object]:
    """Policy and declaration, as the client asks them: what policy blocks needs no second opinion."""
    decide, undeclared = compiled.decide, declared.undeclared

    def both(action: Action) -> object:
        verdict = decide(action)
        return verdict if verdict.blocked else undeclared(action) or verdict

    return both


def learned() -> Baseline:
    """What an agent does that has called twelve tools at forty hosts."""
    baseline = Baseline(replica="one")
    for i in range(2000):
        baseline.learn(features(Action(tool=f"tool_{i % 12}", target=f"api{i % 40}.example:443")))
    return baseline


def with_baseline(compiled: Compiled, declared: CompiledDeclaration, baseline: Baseline) -> Callable[[Action], object]:
    """Policy, declaration and baseline."""
    rules = Rules(policy=compiled, declared=declared)
    return lambda action: look_up(rules, baseline, action)


def linear(policy: dict[str, list[str]]) -> Callable[[Action], object]:
    """The floor of an engine that walks through its entries: only the comparison with each domain, nothing canonical."""
    domains = policy["domains"]

    def walk(action: Action) -> bool:
        host = action.target.partition(":")[0]
        return any(host == domain or host.endswith("." + domain) for domain in domains)

    return walk


def empty(action: Action) -> None:
    """What calling a Python function costs."""


def cases(
    sizes: Sequence[int], count: int
) -> Iterator[tuple[int, str, Callable[[Action], object], Callable[[int], list[Action]]]]:
    """``(entries, name, judge, actions of a round)``."""
    baseline = learned()
    yield 0, "empty call", empty, lambda _: [allowed("host", i) for i in range(count)]
    for entries in sizes:
        compiled = compile_policies([Policy("blocklist", rules(entries), "org")])
        declared = compile_declaration(declaration(entries))
        both, three = judge(compiled, declared), with_baseline(compiled, declared, baseline)
        for kind in ("host", "URL", "address", "tool"):
            yield (
                entries,
                f"new {kind}",
                both,
                lambda n, kind=kind: [allowed(kind, n * count + i) for i in range(count)],
            )  # type: ignore[misc]
            yield (
                entries,
                f"new {kind}, and baseline",
                three,
                lambda n, kind=kind: [allowed(kind, n * count + i) for i in range(count)],
            )  # type: ignore[misc]
        yield entries, "new, blocked", both, lambda n: [blocked(n * count + i) for i in range(count)]
        yield entries, "repeated", both, lambda _: [allowed("host", 1)] * count
        yield (
            entries,
            "repeated, with an id",
            both,
            lambda _: [Action(kind="connect", target="h1.good.test:443", id="1")] * count,
        )
        walk, few = linear(rules(entries)), max(5, min(count, 2_000_000 // entries))
        yield (
            entries,
            "linear engine (floor)",
            walk,
            lambda n, few=few: [allowed("host", n * few + i) for i in range(few)],
        )  # type: ignore[misc]


def measure(sizes: Sequence[int], count: int) -> list[Figure]:
    """All figures."""
    several = list(cases(sizes, count))
    seen: dict[int, list[tuple[float, float]]] = {i: [] for i in range(len(several))}
    for number in range(ROUNDS):
        order = range(len(several)) if number % 2 == 0 else reversed(range(len(several)))
        for i in order:
            _, _, both, actions = several[i]
            chosen = actions(number)
            gc.collect()
            seen[i].append(timed(both, chosen))
    return [
        Figure(
            entries, name, statistics.median(p50 for p50, _ in seen[i]), statistics.median(p99 for _, p99 in seen[i])
        )
        for i, (entries, name, _, _) in enumerate(several)
    ]


def compiling(entries: int) -> dict[str, float]:
    """Seconds to compile ``entries``, and megabytes that stay."""
    policy = Policy("blocklist", rules(entries), "org")
    start = time.perf_counter()
    compile_policies([policy])
    seconds = time.perf_counter() - start
    tracemalloc.start()
    kept = compile_policies([policy])
    megabytes = tracemalloc.get_traced_memory()[0] / 1e6
    tracemalloc.stop()
    return {"entries": kept.entries, "seconds": seconds, "megabytes": megabytes}


def machine() -> dict[str, str]:
    """Where this was measured."""
    return {"python": platform.python_version(), "system": platform.platform(), "machine": platform.machine()}


def table(figures: list[Figure], compiled: dict[str, float]) -> str:
    """For people."""
    lines = [f"{'entries':>8}  {'action':24}{'p50 µs':>10}{'p99 µs':>10}"]
    for figure in figures:
        over = ""
        if figure.action == "repeated":
            over = "" if figure.p50 <= REPEATED_US else "  over 1 µs"
        elif figure.action.startswith("new"):
            over = "" if figure.p50 <= BUDGET_US else "  over 5 µs"
        lines.append(f"{figure.entries:>8}  {figure.action:24}{figure.p50:>10.2f}{figure.p99:>10.2f}{over}")
    lines.append(
        f"compile {compiled['entries']:,.0f} entries: {compiled['seconds']:.2f} s, {compiled['megabytes']:.1f} MB kept"
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.inspect", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--keep", action="store_true", help="store the figures in benchmarks/results/inspect.json")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="entries of the policies, comma-separated")
    parser.add_argument("--actions", type=int, default=4000, help="actions of a round")
    asked = parser.parse_args(arguments)
    sizes = [int(size) for size in asked.sizes.split(",")]
    figures, compiled = measure(sizes, asked.actions), compiling(max(sizes))
    rows = [{"entries": f.entries, "action": f.action, "p50_us": f.p50, "p99_us": f.p99} for f in figures]
    if asked.keep:
        keep("inspect", "python -m benchmarks.inspect --keep", {"figures": rows, "compile": compiled})
    if asked.json:
        print(json.dumps({"machine": machine(), "figures": rows, "compile": compiled}, indent=2))
    else:
        print(table(figures, compiled))
    return 0


if __name__ == "__main__":
    sys.exit(main())
