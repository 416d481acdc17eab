"""The Python side says what ``bpf/shapes.h`` says."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from kaizen_security.collectors.kernel import shapes
from kaizen_security.collectors.kernel.bpf import ATTACH, VARIANTS, package
from kaizen_security.collectors.kernel.shapes import Agent, Kind, Name, Reason
from tests.architecture.tree import ROOT

HEADER = (ROOT / "bpf/shapes.h").read_text()
SIZES = {"__u8": 1, "char": 1, "__u16": 2, "__u32": 4, "__u64": 8}


def enumeration(first: str) -> dict[str, int]:
    body = next(
        body for body in re.findall(r"enum \{(.*?)\};", HEADER, re.DOTALL) if body.split()[0].strip(",") == first
    )
    return {name: int(value) for name, value in re.findall(r"(\w+) = (\d+)", body)}


def size(name: str) -> int:
    body = re.search(rf"struct {name} \{{(.*?)\n\}};", HEADER, re.DOTALL)
    assert body, name
    constants = {n: int(v) for n, v in re.findall(r"#define (\w+) (\d+)", HEADER)}
    total = 0
    for kind, _, count in re.findall(r"(\w+) (\w+)(?:\[(\w+)\])?;", re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL)):
        total += SIZES[kind] * (constants.get(count) or int(count or 1))
    return total


def test_numbers_are_the_same():
    assert enumeration("CONNECT") == {kind.name: kind.value for kind in Kind}
    assert enumeration("PASSED") == {
        reason.name: reason.value for reason in Reason if reason is not Reason.REFUSED_PROGRAM
    }
    assert enumeration("ENFORCE") == {flag.name: flag.value for flag in Agent}
    assert {n: name for name, n in enumeration("OPENED").items()}.keys() == shapes.METHODS.keys()
    assert enumeration("NAME_EXACT") == {f"NAME_{flag.name}": flag.value for flag in Name}


def test_counters_stand_in_the_same_order():
    body = re.search(r"enum \{ (HOOKED.*?), COUNTERS \};", HEADER)
    assert body
    assert tuple(word.strip().lower() for word in body[1].split(",")) == shapes.COUNTERS


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("agent", shapes.AGENT),
        ("settings", shapes.SETTINGS),
        ("address_key", shapes.ADDRESS_KEY),
        ("name_key", shapes.NAME_KEY),
        ("permit", shapes.PERMIT),
        ("file_key", shapes.FILE_KEY),
        ("head", shapes.HEAD),
        ("place", shapes.PLACE),
    ],
)
def test_layouts_are_of_the_same_size(name: str, layout):
    assert size(name) == layout.size


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_the_wheel_carries_is_whole_and_has_every_program(variant: str):
    built = package(variant)
    without = set() if "unix" in variant else {"connect_unix"}
    files = {"file_open", "inode_unlink", "inode_rename", "path_truncate"} if "lsm" in variant else set()
    assert (set(ATTACH) | files | {"forked", "exited", "executed", "gone"}) - without == set(built.programs)
    assert set(shapes.VALUE_SIZES) - (set() if files else {"shut"}) <= set(built.maps)
    assert len(built.instructions) % 8 == 0


def test_what_the_wheel_carries_is_what_its_source_builds():
    for tool in ("clang", "bpftool", "gcc"):
        try:
            version = subprocess.run([tool, "--version"], capture_output=True, text=True).stdout
        except FileNotFoundError:
            pytest.skip(f"{tool} is not installed")
        if tool == "clang" and "version 14." not in version:
            pytest.skip("the wheel's programs are built with Debian 12's clang 14")
    done = subprocess.run([sys.executable, "bpf/build.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
