"""A broken scenario file gives a clear error that names the file and the field."""

from __future__ import annotations

import pytest

from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.redteam.computed import compute, fill
from kaizen_security.redteam.corpus import load
from kaizen_security.redteam.scenario import Effect, Say, Shelf

GOOD = """
id = "one"
attack = "scope-creep"
title = "t"
story = "s"

[agent]
name = "a"
tools = ["look"]

[[baseline]]
request = "look at {what}"
moves = [{ do = "query", tool = "look", arguments = { what = "{what}", n = "{n}" } }]
for = [{ what = "this", n = 1 }, { what = "that", n = 2 }]

[[sessions]]
request = "look"
moves = [
  { name = "page", do = "http_get", tool = "look", target = "https://a.example/", injected = true, result = "bad" },
  { say = "I looked.", to = "b" },
  { name = "leap", do = "query", tool = "leap", expected = { detections = ["declaration"] } },
]
"""
TWIN = """
twin_of = "one"
story = "fine"

[[instead]]
of = "page"
result = "good"

[[instead]]
of = "leap"
tool = "look"
"""


@pytest.fixture
def corpus(tmp_path):
    def write(attack=GOOD, twin=TWIN, **more):
        for shelf in Shelf:
            (tmp_path / shelf).mkdir(exist_ok=True)
        (tmp_path / "scenarios/one.toml").write_text(attack)
        (tmp_path / "benign/one.toml").write_text(twin)
        for name, content in more.items():
            (tmp_path / "benign" / f"{name}.toml").write_text(content)
        return tmp_path

    return write


def test_a_good_file_becomes_a_scenario(corpus):
    (scenario,) = load(corpus())
    assert [dict(session.deeds[0].arguments) for session in scenario.baseline] == [
        {"what": "this", "n": 1},
        {"what": "that", "n": 2},
    ]
    assert [deed.name for deed in scenario.attacks] == ["leap"]
    assert scenario.sessions[0].moves[1] == Say(text="I looked.", to="b")
    page, _, leap = scenario.twin[0].moves
    assert (page.result, page.effect, page.injected) == ("good", Effect.HTTP_GET, False)
    assert (leap.tool, leap.expected) == ("look", None)


BROKEN = {
    "no TOML": (GOOD + "=", "is not a TOML file"),
    "wrong id": (GOOD.replace('id = "one"', 'id = "two"'), "twin: write one in benign/"),
    "no id": (GOOD.replace('id = "one"', ""), "id: has no benign twin"),
    "no title": (GOOD.replace('title = "t"', ""), "title: must be there"),
    "unknown key": (GOOD.replace('title = "t"', 'title = "t"\ncolour = "red"'), "colour: is not known here"),
    "unknown class": (GOOD.replace("scope-creep", "creep"), "attack: must be one of blocked-host,"),
    "unknown agent key": (GOOD.replace("[agent]", "[agent]\nhosts = []"), "agent.hosts: is not known here"),
    "tools no list": (GOOD.replace('["look"]', '"look"'), "agent.tools: must be a list"),
    "unknown effect": (GOOD.replace('do = "http_get"', 'do = "fly"'), "sessions[0].moves[0].do: must be one of http_get"),
    "no URL": (GOOD.replace("https://a.example/", "a.example"), "sessions[0].moves[0].target: must be an http"),
    "unknown move key": (GOOD.replace("injected", "poisoned"), "sessions[0].moves[0].poisoned: is not known here"),
    "no detections": (GOOD.replace('["declaration"]', "[]"), "sessions[0].moves[2].expected.detections: must name"),
    "no hole filled": (GOOD.replace('n = "{n}"', 'n = "{m}"'), "baseline[0].moves[0].arguments.n: has the hole {m}"),
    "no moves": (GOOD.rpartition("moves")[0], "sessions[0].moves: there must be"),
    "a date": (GOOD.replace('result = "bad"', "result = 2026-01-01"), "sessions[0].moves[0].result: is a date or a time"),
    "not a number": (GOOD.replace('result = "bad"', "result = nan"), "sessions[0].moves[0].result: must be a number"),
    "a NUL": (GOOD.replace('result = "bad"', 'result = "\\u0000"'), "file.sessions[0].moves[0].result: holds"),
    "times": (GOOD.replace('story = "s"', 'story = "s"\ntimes = 0'), "times: must be a whole number from 1 to 20"),
    "rungs": (GOOD.replace('story = "s"', 'story = "s"\nrungs = ["top"]'), "rungs[0]: must be one of cooperative"),
    "after": (GOOD.replace('request = "look"', 'request = "look"\nafter = -1'), "sessions[0].after: must be seconds"),
    "encoding": (
        GOOD.replace('"bad"', '{ encoded = "rot13", of = "x" }'),
        "sessions[0].moves[0].result.encoded: must be one of base64",
    ),
    "a write without content": (
        GOOD.replace('do = "http_get"', 'do = "write_file"').replace("https://a.example/", "/x"),
        "sessions[0].moves[0].arguments.content: must be text for write_file",
    ),
    "a query with a target": (
        GOOD.replace('do = "query", tool = "leap"', 'do = "query", tool = "leap", target = "x"'),
        "sessions[0].moves[2].target: query has none",
    ),
    "nothing that attacks": (
        GOOD.replace(', expected = { detections = ["declaration"] }', ", injected = true"),
        "sessions: no move has an expected",
    ),
    "a malicious move without a name": (GOOD.replace('name = "leap", ', ""), "in place of the attack's malicious move None"),
}  # fmt: skip


@pytest.mark.parametrize(("attack", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_attack_is_refused_with_file_and_field(corpus, attack, said):
    place = corpus(attack)
    with pytest.raises(Misconfigured) as refused:
        load(place)
    assert str(refused.value).startswith(str(place))
    assert said.partition(": ")[2] in str(refused.value)
    assert ".toml: " in str(refused.value)
    if said.partition(": ")[0] != "twin":
        assert said in str(refused.value)


BROKEN_TWINS = {
    "of nothing": (TWIN.replace('"one"', '"two"'), "has no benign twin"),
    "incomplete": (
        TWIN.rpartition("[[instead]]")[0],
        "instead: has nothing in place of the attack's malicious move 'leap'",
    ),
    "too much": (TWIN + "\n[[instead]]\nof = 'say'\n", "instead.of: 'say' names no malicious move"),
    "expecting": (TWIN + "\nexpected = { detections = ['x'] }\n", "instead: 'leap': a twin's move expects nothing"),
    "unknown key": (TWIN.replace("story", "why"), "why: is not known here"),
    "unknown change": (TWIN + "\ncolour = 'red'\n", "twin[0].moves[2].colour: is not known here"),
}


@pytest.mark.parametrize(("twin", "said"), BROKEN_TWINS.values(), ids=BROKEN_TWINS)
def test_a_broken_twin_is_refused_with_file_and_field(corpus, twin, said):
    with pytest.raises(Misconfigured) as refused:
        load(corpus(twin=twin))
    assert said in str(refused.value)
    assert "one.toml: " in str(refused.value)


def test_benign_work_may_not_expect_anything(corpus):
    work = GOOD.replace('id = "one"', 'id = "work"').replace('attack = "scope-creep"', "")
    with pytest.raises(Misconfigured, match=r"work\.toml: sessions: benign work expects no detection"):
        load(corpus(work=work))


def test_a_twin_of_nothing_is_refused(corpus):
    with pytest.raises(Misconfigured, match=r"more\.toml: twin_of: there is no scenario 'two'"):
        load(corpus(more=TWIN.replace('"one"', '"two"')))


def test_an_id_is_the_file_s_name(corpus):
    work = 'id = "other"\ntitle = "t"\nstory = "s"\n[agent]\nname = "a"\n[[sessions]]\nrequest = "r"\nmoves = [{ say = "x" }]'
    with pytest.raises(Misconfigured, match=r"work\.toml: id: must be 'work'"):
        load(corpus(work=work))


def test_an_unknown_setting_for_randomising_is_refused_with_file_and_field(corpus):
    with pytest.raises(Misconfigured, match=r"one\.toml: randomise\.kept: is not known"):
        load(corpus(GOOD + "\n[randomise]\nkept = []\n"), seed=1)


def test_an_empty_folder_is_no_corpus(tmp_path):
    with pytest.raises(Misconfigured, match="no scenario in"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"encoded": "base64", "of": "a?b"}, "YT9i"),
        ({"encoded": "base64url", "of": "??"}, "Pz8"),
        ({"encoded": "base32", "of": "ab"}, "mfra"),
        ({"encoded": "hex", "of": "ab"}, "6162"),
        ({"encoded": "hex", "of": "ab", "start": 2}, "62"),
        ({"encoded": "percent", "of": "a b/"}, "a%20b%2F"),
        ({"encoded": "reversed", "of": "abc"}, "cba"),
        ({"encoded": "plain", "of": "abcd", "start": 1, "end": 3}, "bc"),
        ({"join": ["a", {"encoded": "hex", "of": "b"}]}, "a62"),
        ({"encoded": "hex", "of": {"join": ["a", "b"]}}, "6162"),
    ],
)
def test_values_are_computed_as_written(value, text):
    assert compute({"deep": [value]}, "x") == {"deep": [text]}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"encoded": "hex", "of": 1}, "x.of"),
        ({"encoded": "hex", "of": "a", "till": 3}, "x.till"),
        ({"encoded": "hex", "of": "a", "start": "b"}, "x"),
        ({"join": "ab"}, "x.join"),
        ({"join": ["a", 1]}, "x.join"),
        ({"join": ["a"], "more": 1}, "x.join"),
    ],
)
def test_what_cannot_be_computed_is_refused_with_its_field(value, field):
    with pytest.raises(InvalidInput) as refused:
        compute(value, "x")
    assert refused.value.field == field


def test_a_hole_alone_takes_the_value_itself_and_in_a_text_its_words():
    assert fill({"n": "{n}", "t": "n is {n}"}, {"n": 3}, "x") == {"n": 3, "t": "n is 3"}
