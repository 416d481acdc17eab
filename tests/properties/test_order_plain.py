"""Laws of the text that ``orders`` reads: what is told by signs is what patterns would tell."""

import re
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from kaizen_security.mcp.definitions import latin, may_be_latin
from kaizen_security.mcp.order_kinds import END
from kaizen_security.mcp.order_plain import _paragraphs, plain

PARAGRAPH = re.compile(r"(?<![ \t\r])[ \t\r]*+\n[ \t\r]*+\n\s*+")
ENDS = re.compile(r"[.!?](?=\s|$)|\u3002")
BLANK = st.text(alphabet=" \t\r\n\v\f\x1c\x1e\x85\xa0\u2028ab.", max_size=14)


@given(BLANK)
@example("\n\n")
@example("a\n\n\v\n\n")
@example("\r\n\r\na")
@example("\v\n\n\v\n\nb")
@example("a\n \t\r\n b \n")
def test_a_paragraph_ends_at_an_empty_line(text):
    if "\n" in text:
        assert _paragraphs(text) == "\n".join(" ".join(part.split()) for part in PARAGRAPH.split(text))


@given(st.text(alphabet=" \nab.!?\u3002\u00e9", max_size=20))
@example("a.")
@example("a..! \nb?")
@example("\u3002.\u3002")
def test_each_sign_that_ends_a_sentence_is_marked(text):
    # Quotes and figures of other scripts aside: those are other laws.
    read = "\n".join(" ".join(part.split()) for part in PARAGRAPH.split(unicodedata.normalize("NFKC", text)))
    if "\n" not in text:
        read = " ".join(unicodedata.normalize("NFKC", text).split())
    assert plain(text) == ENDS.sub(rf"{END}\g<0>", read)


@given(st.text(alphabet="abc \u0430\u0435\u03bf\u00e9\u4e00", max_size=12))
def test_words_without_letters_that_look_latin_stay(text):
    assert may_be_latin(text) or all(latin(word) == word for word in re.findall(r"[^\W\d_]+", text))
