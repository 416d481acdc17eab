"""What a sidecar may say of attach points: numbers that can be counted and times that can be shown."""

from __future__ import annotations

import msgspec
import pytest

from kaizen_security.server import attached
from kaizen_security.server.api import bodies, documents
from kaizen_security.store.profiles import Profile


def read(**said):
    body = msgspec.json.encode({"sidecar": "s", "points": [{"source": "sdk", **said}]})
    return msgspec.json.decode(body, type=bodies.SidecarAttachPoints)


@pytest.mark.parametrize("name", ["alive", "dark", "left", "silent"])
def test_what_could_not_be_shown_is_refused(name):
    with pytest.raises(msgspec.ValidationError, match=name):
        msgspec.json.decode(
            b'{"sidecar":"s","points":[{"source":"sdk","%s":1%s}]}' % (name.encode(), b"0" * 300),
            type=bodies.SidecarAttachPoints,
        )


def test_the_largest_that_is_taken_can_be_shown():
    (point,) = read(alive=2**31 - 1, silent=1e9).points
    told = Profile(sidecar="s", at=1.8e9, document={"points": [point.document()]})
    assert attached.points([told], 1.8e9)[0].alive == 2**31 - 1
    assert documents.attach_points("a", [told], 1.8e9)["points"]
