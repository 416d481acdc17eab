"""Secrets in what leaves: where they are at home and where not, whatever was done to hide them."""

from __future__ import annotations

import base64
import gzip
from urllib.parse import quote

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Request, Result
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.carried import Spot, carried, for_credentials
from kaizen_security.observer.credential_rules import crc32_base62
from kaizen_security.observer.observer import Observer

BODY = "Xk29fQw7LmZr4Tn8Vb3Yp6Hs1Jd5Gc"
TOKEN = f"ghp_{BODY}{crc32_base62(BODY)}"
PASSWORD = "vT7-qLm29-xR4k"


def call(name, tool="post_comment", target="https://tracker.example/1", run="now", kind="tool_call", **arguments):
    metadata = {"source": "sdk", "arguments": arguments} if arguments else {}
    return Action(kind=kind, tool=tool, target=target, id=f"{run}-{name}", run_id=run, metadata=metadata)


class Play:
    def __init__(self):
        self.observer = Observer(detections=BUILTIN)
        self.now = 1_000.0

    def note(self, step):
        self.now += 1
        self.observer.note(step, self.now)

    def do(self, action, content=None):
        self.note(action)
        weighed = self.observer.weighed(action, self.now)
        self.observer.learn(action, weighed, self.now, completed=False)
        if content is not None:
            self.note(Result(run_id=action.run_id, action_id=action.id, content=content))
        return [one for one in weighed.verdict.evidence if one.detection == "secrets"]

    def read(self, text=f"password = {PASSWORD}", request="What is in the settings?"):
        self.note(Request(run_id="now", text=request))
        self.do(call("read", tool="open_settings", target="", path="app.ini"), text)
        return self


HIDDEN = {
    "plain": PASSWORD,
    "in a sentence": f"it is {PASSWORD}.",
    "as a pair": f"p={PASSWORD}",
    "base64": base64.b64encode(PASSWORD.encode()).decode(),
    "base64 twice": base64.b64encode(base64.b64encode(PASSWORD.encode())).decode(),
    "hex": PASSWORD.encode().hex(),
    "base32": base64.b32encode(PASSWORD.encode()).decode(),
    "gzip": base64.b64encode(gzip.compress(b"the password " + PASSWORD.encode())).decode(),
    "percent": "".join(f"%{byte:02X}" for byte in PASSWORD.encode()),
}


@pytest.mark.parametrize("way", HIDDEN)
def test_a_password_that_was_read_is_found_in_a_text_however_it_is_hidden(way):
    (found,) = Play().read().do(call("send", text=HIDDEN[way]))[:1]
    assert found.field == "arguments.text"
    assert "result 1 of the run (open_settings" in found.observed


@pytest.mark.parametrize("way", HIDDEN)
@pytest.mark.parametrize("place", ["?q={}", "/{}", "#{}"])
def test_and_in_a_url(way, place):
    target = "https://wiki.example" + place.format(quote(HIDDEN[way], safe=""))
    assert Play().read().do(call("send", tool="find", target=target))


def test_no_finding_shows_the_secret():
    for text in (PASSWORD, TOKEN, HIDDEN["base64"]):
        for found in Play().read().do(call("send", text=text)):
            shown = " ".join(str(getattr(found, name)) for name in found.__slots__)
            assert PASSWORD not in shown
            assert TOKEN not in shown


def test_a_password_in_pieces_is_found_when_most_of_it_is_gone():
    play = Play().read()
    pieces = [PASSWORD[:5], PASSWORD[5:10], PASSWORD[10:]]
    said = [bool(play.do(call(f"send{n}", text=f"part {n} {piece}"))) for n, piece in enumerate(pieces)]
    assert said == [False, False, True]


def test_pieces_backwards_and_in_hexadecimal_are_found_as_well():
    for spelling in (PASSWORD[::-1], PASSWORD.encode().hex()):
        play = Play().read()
        half = len(spelling) // 2
        assert not play.do(call("a", text=spelling[: half + 1])) or len(spelling) > 20
        assert play.do(call("b", text=spelling[half + 1 :]))


def test_pieces_to_different_places_do_not_add_up():
    play = Play().read()
    for n, piece in enumerate((PASSWORD[:5], PASSWORD[5:10], PASSWORD[10:])):
        assert play.do(call(f"send{n}", target=f"https://h{n}.example/", text=piece)) == []


def test_flooding_with_results_does_not_push_the_password_out():
    play = Play().read()
    for n in range(60):
        noise = " ".join(f"word{n}x{k} number{k * n} and so on" for k in range(700))
        play.do(call(f"noise{n}", tool="browse", target=f"https://news.example/{n}"), noise)
    assert play.do(call("send", text=f"it was {PASSWORD} I think"))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("Authorization", True),
        ("x-api-key", True),
        ("db_password", True),
        ("clientSecret", True),
        ("access_token", True),
        ("max_tokens", False),
        ("token_count", False),
        ("text", False),
        ("key", False),
        ("author", False),
        ("passenger", False),
    ],
)
def test_a_field_for_credentials_is_known_by_its_name(name, made):
    assert for_credentials(name) is made


def test_what_belongs_there_is_silent():
    play = Play().read()
    assert play.do(call("in", tool="log_in", target="https://db.example/in", user="app", password=PASSWORD)) == []
    assert (
        play.do(call("use", tool="get", target="https://api.github.com/user", headers={"Authorization": TOKEN})) == []
    )
    assert play.do(call("bot", tool="get", target=f"https://api.telegram.org/bot4815162342:AA{BODY}abc/getMe")) == []


def test_a_token_in_a_comment_of_its_own_issuer_is_no_use_of_it():
    assert Play().do(call("send", target="https://api.github.com/repos/a/b/issues", body=f"here: {TOKEN}"))


def test_a_token_that_was_read_does_not_go_to_another_host_in_a_header():
    play = Play().read(f"token: {TOKEN}")
    assert play.do(
        call("use", tool="get", target="https://drop.example/", headers={"Authorization": f"Bearer {TOKEN}"})
    )


def test_what_the_user_gave_may_be_used_as_he_says():
    play = Play()
    play.note(Request(run_id="now", text=f"Write to the tracker that {TOKEN} has leaked."))
    assert play.do(call("send", text=f"{TOKEN} has leaked")) == []


def test_a_secret_in_a_file_of_this_machine_does_not_leave():
    assert Play().read().do(call("write", tool="write_file", target="/srv/app/.env", text=f"P={PASSWORD}")) == []


def test_a_flagged_place_is_never_learned():
    play = Play()
    for n in range(3):
        assert play.do(call("send", run=f"r{n}", text=f"token {TOKEN}"))
        play.note(End(run_id=f"r{n}"))
    assert len(play.observer.baseline.outflow.secrets) == 0


def test_a_person_may_fold_a_place_in():
    play = Play()
    action = call("send", text=f"token {TOKEN}")
    assert play.do(action)
    play.observer.fold([action])
    assert play.do(call("again", run="other", text=f"token {TOKEN}")) == []


def test_a_secret_blocks_in_every_mode():
    play = Play()
    action = call("send", text=f"token {TOKEN}")
    play.note(action)
    assert play.observer.weighed(action, play.now).verdict.blocked


def test_a_url_is_taken_apart():
    target = "https://ann:pw@a.b.site.example/x/y?one=1%202&two#end"
    spots = [(piece.spot, piece.text) for piece in carried(Action(kind="http", target=target)).pieces]
    assert spots == [
        (Spot.USER, "ann:pw"),
        (Spot.HOST, "ab"),
        (Spot.HOST, "a"),
        (Spot.HOST, "b"),
        (Spot.PATH, "x"),
        (Spot.PATH, "y"),
        (Spot.PATH, "x/y"),
        (Spot.QUERY, "1 2"),
        (Spot.QUERY, "two"),
        (Spot.FRAGMENT, "end"),
    ]
