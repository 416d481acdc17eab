"""The one look-up of policy, declaration and baseline says what the three say when each is asked for itself, the slow way."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.contract.canonical_address import number
from kaizen_security.contract.canonical_target import PORTS, Target
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.observer.baseline import Baseline, features
from kaizen_security.observer.lookup import look_up
from kaizen_security.observer.rules import Rules
from tests.properties.test_contract_policy_canonical import anything
from tests.properties.test_contract_policy_compiled import aimed, labels, names, networks, sets

# The fast path of reading a target as it was before it was made faster, with nothing possessive and each label looked at.
SLOW = re.compile(
    r"(?:(https?|wss?)://)?(?:([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)|"
    r"((?:(?!xn--)[a-z0-9_-]{1,63}\.)*(?!xn--)[a-z_][a-z0-9_-]{0,62}))"
    r"(?::([1-9][0-9]{0,3}))?([/?#][!-~]*)?\Z"
)
PLAIN = st.text("abxn-_.0159:/?#@", max_size=40) | st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "https://", "ws://", "http:"]),
    names | names.map("xn--{}".format) | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,4}){2,4}", fullmatch=True) | labels,
    st.sampled_from(["", ":1", ":443", ":0", ":65536", ":99999", "."]),
    st.sampled_from(["", "/a", "?x=xn--", "#", "/%20", "/ü"]),
)
SOURCES = st.sampled_from(["", "sdk", "egress", "ebpf", "mcp", "unheard-of"])
actions = st.builds(
    Action,
    kind=st.sampled_from(["connect", "tool_call", "http", "HTTP", "file", "dns", "strange"]),
    tool=st.sampled_from(["", "search", "Read", "drop"]) | labels,
    target=st.sampled_from(["", "api.example:443", "orders", "9.9.9.9:53", "[::1]:80"]) | names | PLAIN | anything,
    metadata=SOURCES.map(lambda source: {"source": source} if source else {}),
)


def read_slowly(text):
    """None where the old fast path did not apply."""
    match = SLOW.match(text)
    if match is None:
        return None
    scheme, address, name, port, path = match.groups("")
    stated = int(port) if port else PORTS[scheme] if scheme else 0
    if address:
        if number(address) is None or any(len(part) > 1 and part[0] == "0" for part in address.split(".")):
            return None
        return Target(scheme=scheme, host=address, port=stated, path=path, is_address=True) if dotted(address) else None
    return Target(scheme=scheme, host=name, port=stated, path=path) if len(name) <= 253 else None


def dotted(address):
    return all(int(part) <= 255 for part in address.split("."))


@given(PLAIN | anything)
@example("https://xn--bcher-kva.example/")
@example("h.example/xn--")
@example("1.2.3.256:80")
@example("01.2.3.4")
@example("a" * 64 + ".example")
def test_the_quick_reading_of_a_target_is_the_slow_one(text):
    slow = read_slowly(text)
    if slow is not None:
        assert canonical.read(text) == slow


def unknown(baseline, action):
    """What no learner ever counted, each looked for in its counts."""
    learners = baseline._learners
    return tuple(one for one in features(action) if one[:2] in learners and not learners[one[:2]].count(one.value))


@given(st.data())
def test_one_look_up_says_what_the_three_say_one_by_one(data):
    several = data.draw(sets)
    policy = compile_policies(several)
    entries = names | networks | names.map("*.{}".format) | names.map("{}:443".format)
    declared = compile_declaration(
        Declaration(
            tools=tuple(data.draw(st.lists(labels, max_size=2))),
            destinations=tuple(data.draw(st.lists(entries, max_size=3))),
        )
    )
    baseline = grown(data)
    rules = Rules(policy=policy, declared=declared)
    for action in data.draw(st.lists(actions | aimed(several), min_size=1, max_size=6)):
        place = canonical.read(action.target)
        said, beyond, news = look_up(rules, baseline, action)
        assert said == policy._found(action.tool, action.publisher, action.target, action.hash, place)
        assert said.evidence == policy.findings(action)
        assert beyond == declared.undeclared(action)
        assert news == unknown(baseline, action) == tuple(baseline.news(features(action)))


def learned(actions, replica="one"):
    baseline = Baseline(replica=replica)
    for action in actions:
        baseline.learn(features(action))
    return baseline


def flooded(baseline, start):
    for n in range(start, start + 60):
        baseline.learn(features(Action(tool=f"tool_{n}", target=f"h{n}.example:443")))
    return baseline


STEPS = {
    "flood": lambda baseline, data: flooded(baseline, data.draw(st.integers(0, 200))),
    "merge": lambda baseline, data: baseline.merge(learned(data.draw(st.lists(actions, max_size=3)), "two")),
    "store": lambda baseline, data: Baseline.from_json(baseline.to_json(), replica="one"),
    "start": lambda baseline, data: Baseline.starting_from([baseline], replica="one"),
    "turn": lambda baseline, data: baseline.turn(),
    "fold": lambda baseline, data: baseline.fold(),
}


def grown(data):
    """A baseline that learned, forgot, was folded, merged, written and read."""
    baseline = learned(data.draw(st.lists(actions, max_size=6)))
    for step in data.draw(st.lists(st.sampled_from(sorted(STEPS)), max_size=8)):
        baseline = STEPS[step](baseline, data) or baseline
    return baseline


def test_what_was_new_is_known_as_soon_as_it_is_learned_and_new_again_when_it_is_forgotten():
    baseline = Baseline()
    rules = Rules(policy=compile_policies(()), declared=compile_declaration(Declaration()))
    action = Action(kind="tool_call", tool="search", target="api.example:443")
    assert [one.dimension for one in look_up(rules, baseline, action).news] == ["kind", "tool", "source", "destination"]
    baseline.learn(features(action))
    assert look_up(rules, baseline, action).news == ()
    for n in range(200):
        for _ in range(2):  # twice, so that what was seen once makes room
            baseline.learn(features(Action(tool=f"tool_{n}", target=f"h{n}.example:443")))
    assert [one.dimension for one in look_up(rules, baseline, action).news] == ["tool", "destination"]
