"""What the golden vectors of canonical forms cannot say: bounds, caches, and what is loaded when."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kaizen_security.contract import canonical, canonical_host, canonical_target
from kaizen_security.contract.canonical_address import canonical_number, number
from kaizen_security.contract.canonical_target import Target
from kaizen_security.contract.canonical_values import builder


def loaded_by(statement):
    code = f"import sys; from kaizen_security.contract import canonical; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_plain_names_do_not_load_the_tables():
    loaded = loaded_by(
        "canonical.host('example.com'); canonical.target('https://example.com/x'); canonical.host('0x7f.1')"
    )
    assert not {name for name in loaded if name.startswith("kaizen_security.contract.tables.")}


def test_names_beyond_ascii_load_the_mapping():
    assert "kaizen_security.contract.tables.uts46" in loaded_by("canonical.host('b\\u00fccher.example')")


def test_the_caches_are_bounded_and_count_what_they_dropped():
    for i in range(10_000):
        canonical.target(f"h{i}.cache.example")
        canonical.host(f"h{i}.cache.example")
    kept, dropped = canonical_target.cache_info()
    assert kept <= 4096
    assert dropped > 0
    kept, dropped = canonical_host.cache_info()
    assert kept <= 8192
    assert dropped > 0


def test_a_target_that_was_built_quickly_is_a_target():
    quick = canonical.target("https://example.com:8443/x")
    assert quick == Target(scheme="https", host="example.com", port=8443, path="/x")
    assert hash(quick) == hash(Target(scheme="https", host="example.com", port=8443, path="/x"))
    with pytest.raises(AttributeError):
        quick.host = "other"


def test_a_builder_fills_every_field_in_order():
    assert builder(Target)("s", "h", 1, "/p", True, False, ("o",)) == Target(
        scheme="s", host="h", port=1, path="/p", is_address=True, readable=False, also=("o",)
    )


@pytest.mark.parametrize("text", ["1.2.3.4", "255.255.255.255", "2001:db8::1", "::", "example.com", "a1", "a.1b", ""])
def test_the_quick_number_of_a_canonical_host_is_its_number(text):
    assert canonical_number(text) == number(text)


@pytest.mark.parametrize(
    "text", ["https://example.com/a b", "http://example.com/\u00fc", "example.com:443?x", "example.com/"]
)
def test_the_fast_path_reads_what_the_slow_path_reads(text):
    slow = canonical.target(" " + text)
    assert canonical.target(text) == slow


def test_only_what_is_known_to_lie_inside_is_internal():
    assert canonical.is_internal("10.0.0.1")
    assert canonical.is_internal("metadata.google.internal")
    assert not canonical.is_internal("api.internal")
    assert not canonical.is_internal("8.8.8.8")
