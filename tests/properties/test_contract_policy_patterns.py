"""The automaton agrees with ``re`` on every pattern that it takes, and is linear where ``re`` is not."""

from __future__ import annotations

import random
import re
import time
import warnings

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kaizen_security.contract.action import Action
from kaizen_security.contract.canonical import tool
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.compiled_patterns import Automaton
from kaizen_security.contract.compiled_syntax import parse
from kaizen_security.contract.policy import Policy

atoms = st.sampled_from(
    "a b A _ - \\. \\- \\_ . \\d \\w \\s \\D \\W \\S [ab] [^a] [a-c_] [\\w-] []a] [^\\d] ^ $ "
    "\\b \\B \\A \\Z \\x61 \\141 \\n é ß ﬁ İ 1".split(" ")
)
quantifiers = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,3}", "{,2}", "{1,}", "*?", "+?", "??"])


def glued(below):
    group = below.map(lambda text: f"({text})") | below.map(lambda text: f"(?:{text})")
    repeated = st.tuples(group | atoms, quantifiers).map("".join)
    return st.lists(repeated, max_size=4).map("".join) | st.lists(below, min_size=1, max_size=3).map("|".join)


patterns = st.tuples(st.sampled_from(["", "", "", "(?s)"]), st.recursive(atoms, glued, max_leaves=12)).map("".join)
free = st.text("ab(|)[]{}*+?^$\\.,-1dwb:<P>=!", max_size=15)
subjects = st.text("abcABC_-. 1\nd\u00e9\u00df\ufb01\u0130\u0661", max_size=12)


def python(pattern):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return re.compile(pattern)
        except (re.error, OverflowError, RecursionError):
            return None


def ours(pattern):
    try:
        return parse(pattern)
    except ValueError:
        return None


@given(patterns, subjects)
@settings(deadline=None)
def test_a_pattern_matches_what_re_fullmatch_matches(pattern, subject):
    known, tree = python(pattern), ours(pattern)
    assume(known is not None and tree is not None)
    assume(subject or "B" not in pattern)  # Python before 3.14 holds that \\B is not in the empty text
    # A $ before a last line feed is the one place where re looks beyond the text: a tool's name is compared without it, too.
    assume(not (subject.endswith("\n") and "$" in pattern))
    assert bool(Automaton([tree]).match(subject)) == bool(known.fullmatch(subject))


@given(free)
def test_every_pattern_that_is_taken_is_one_for_python_too(pattern):
    if ours(pattern) is not None:
        assert python(pattern) is not None


@given(patterns)
def test_generated_patterns_are_taken_unless_they_repeat_an_assertion(pattern):
    if ours(pattern) is None:
        assert python(pattern) is None or re.search(r"(\^|\$|\\[bBAZ])\)*[*+?{]", pattern)


@given(st.lists(patterns, min_size=1, max_size=5), subjects)
@settings(deadline=None)
def test_many_patterns_at_once_match_as_each_alone(several, subject):
    trees = [tree for tree in map(ours, several) if tree is not None]
    assume(trees)
    alone = [i for i, tree in enumerate(trees) if Automaton([tree]).match(subject)]
    assert list(Automaton(trees).match(subject)) == alone


# A pattern together with a text that it matches, built side by side: letting a backtracker find one may take for ever.
ATOMS = {"a": "a", "B": "B", "-": "-", "\\.": ".", ".": "X", "\\w": "\u00e9", "\\d": "\u0661", "\\S": "A", "[a-c]": "b"}
ATOMS |= {
    "[^b]": "B",
    "[^\\d]": "A",
    "\u00df": "\u00df",
    "\ufb01": "\ufb01",
    "\\x61": "a",
    "[\\w-]": "-",
    "\u0130": "\u0130",
}
TIMES = {"": 1, "*": 2, "+": 2, "?": 0, "{2}": 2, "{1,3}": 3, "{,2}": 1, "*?": 0}


def paired(below):
    repeated = st.tuples(below, st.sampled_from(sorted(TIMES))).map(
        lambda both: (f"({both[0][0]}){both[1]}", both[0][1] * TIMES[both[1]])
    )
    joined = st.lists(below, min_size=1, max_size=3).map(lambda parts: tuple(map("".join, zip(*parts, strict=True))))
    either = st.tuples(below, below).map(lambda both: (f"(?:{both[0][0]}|{both[1][0]})", both[1][1]))
    return repeated | joined | either


pairs = st.recursive(st.sampled_from(sorted(ATOMS.items())), paired, max_leaves=8)


@given(pairs)
@settings(deadline=None)
def test_a_pattern_that_names_a_tool_as_written_denies_it(pair):
    """Never looser than the deployed clients, who match the name as it is."""
    pattern, name = pair
    assume(name.strip())
    compiled = compile_policies([Policy("blocklist", {"skill_patterns": [pattern]}, "p")])
    assert compiled.decide(Action(tool=name)).blocked


@given(st.text("abcABC_-. 1\u00e9", min_size=1, max_size=12))
def test_a_literal_denies_every_spelling_of_itself(name):
    assume(tool(name))
    compiled = compile_policies([Policy("blocklist", {"skill_patterns": [re.escape(name)]}, "p")])
    for spelled in (name, name.upper(), f" {name}\u200b", name.lower()):
        assert compiled.decide(Action(tool=spelled)).blocked


CRUEL = [
    ("(a+)+$", "a" * 100_000 + "!"),
    ("(a|a)*b", "a" * 100_000),
    ("(a|aa)+$", "a" * 100_000 + "b"),
    ("(.*a){12}", "a" * 100_000 + "\n"),
    ("([a-z]+)*x", "a" * 100_000),
    ("(a*)*(a*)*(a*)*b", "a" * 100_000),
    ("a?" * 200 + "a{200}", "a" * 100_000),
    (".*.*.*.*.*=.*x", "=" * 100_000),
    ("(\\w+\\s?)*!", "word " * 20_000),
    ("(a|b|ab)*c", "ab" * 50_000),
    ("((((a*)*)*)*)*b", "a" * 100_000),
    (".*a.{18}", "".join(random.Random(1).choices("ab", k=100_000))),
    (".*(a.{9}b|b.{11}a)+.{7}", "".join(random.Random(2).choices("ab", k=100_000))),
]


@pytest.mark.parametrize(("pattern", "text"), CRUEL, ids=[pattern[:20] for pattern, _ in CRUEL])
def test_what_makes_a_backtracker_hang_is_linear(pattern, text):
    automaton = Automaton([parse(pattern)])

    def seconds(subject):
        start = time.process_time()
        automaton.match(subject)
        return time.process_time() - start

    seconds(text[:1000])
    # 100 KB; a backtracker needs longer than the universe, a quadratic engine minutes.
    assert seconds(text) < 10
