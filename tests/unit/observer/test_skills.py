"""Skills: what is known of definitions when there are more of them than there is room."""

from __future__ import annotations

from kaizen_security.observer.rooms import Few
from kaizen_security.observer.skills import ROOM, Skills


def test_a_definition_that_had_to_go_is_not_called_another_one():
    skills = Skills()
    for n in range(3 * ROOM):
        skills.learn(f"tool {n}", "as it is")
    assert not [n for n in range(3 * ROOM) if skills.changed(f"tool {n}", "as it is")]


def test_another_definition_is_seen_while_there_is_room():
    skills = Skills()
    skills.learn("tool", "as it is")
    assert skills.changed("tool", "another")


def test_what_an_earlier_version_kept_is_read_and_cut_to_the_room():
    earlier = Few(128, range(1, 129))
    read = Skills.from_json({"tools": earlier.to_json(), "definitions": earlier.to_json()}, "skills")
    assert len(read.tools) == len(read.definitions) == ROOM
