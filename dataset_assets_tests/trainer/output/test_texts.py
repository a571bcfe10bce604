import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.trainer.output.texts import (
    MARKS,
    escape_strings,
    escape_texts,
    estimate_tokens,
    find_marks,
    make_strings,
    read_texts,
    unescape,
)

TEXTS = ["plain text", "", 'quote "', "back\\slash", "tab\t", "del\x7f", "é", "雨", "😀", "\u2028", "\x00", "~ !#[]"]


def test_texts_are_escaped_as_json_dumps_does() -> None:
    expected = [json.dumps(text) for text in TEXTS]
    assert escape_texts(TEXTS).to_pylist() == expected
    assert escape_strings(make_strings(TEXTS)).to_pylist() == expected
    assert escape_strings(make_strings(["a", None, "b"])).to_pylist() == ['"a"', None, '"b"']
    assert escape_texts([None, "\ud800"]).to_pylist() == [None, '"\\ud800"']
    assert [unescape(text) for text in expected] == TEXTS


def test_lone_surrogates_are_replaced_where_utf_8_is_needed() -> None:
    texts = ["a\ud800b", None, "😀"]
    strings, escaped = read_texts(texts)
    assert strings.to_pylist() == make_strings(texts).to_pylist() == ["a\ufffdb", None, "😀"]
    assert escaped.to_pylist() == ['"a\\ud800b"', None, '"\\ud83d\\ude00"']


def test_texts_are_read_both_ways() -> None:
    strings, escaped = read_texts(["a", None, "é"])
    assert (strings.to_pylist(), escaped.to_pylist()) == (["a", None, "é"], ['"a"', None, '"\\u00e9"'])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0), ("fox", 1), ("a red fox", 3), ("fox, cat", 3), ("male_focus", 3), ("2girls", 2), ("1024", 4),
        ("wait...", 2), ("café", 2), ("雨が降る", 4), ("  a  ", 1), ("it's", 3), ("\n", 0), ("😀", 1), ("a\x00b", 2),
        ("a" * 12, 1), ("a" * 13, 2), ("b" * 24 + "é", 3),
        ("b" * 25 + "   ", 3), ("c" * 1_000_000, 83_334), ("d" * 30 + "." * 30, 4), ("." * 30, 1),
    ],
)  # fmt: skip
def test_tokens_are_words_and_punctuation(text: str, tokens: int) -> None:
    assert estimate_tokens(make_strings([text])).tolist() == [tokens]
    around = make_strings(["abc", text, "é", None, text, ",", text])
    assert estimate_tokens(around).tolist() == [1, tokens, 1, 0, tokens, 1, tokens]
    assert estimate_tokens(around.slice(1, 3)).tolist() == [tokens, 1, 0]


def test_marks_are_found_in_the_text_that_has_them() -> None:
    texts = ["a", "{", "b}", None, "", "|x", "{a|b}\n", "\r", ""]
    found = find_marks(make_strings(texts))
    names = [[name for bit, name in enumerate(MARKS) if mark & (1 << bit)] for mark in found]
    assert names == [[], ["{"], ["}"], [], [], ["|"], ["newline", "{", "}", "|"], ["newline"], []]
    assert find_marks(make_strings(texts).slice(5, 2)).tolist() == found[5:7].tolist()


@given(
    st.lists(
        st.one_of(
            st.none(), st.text(alphabet="ab 1,{}|\n\r.é雨", max_size=6).map(lambda text: text.replace("b", "b" * 13))
        ),
        max_size=8,
    )
)
def test_every_text_is_measured_as_if_it_were_alone(texts: list[str | None]) -> None:
    for measure in (find_marks, estimate_tokens):
        alone = [int(measure(make_strings([text]))[0]) for text in texts]
        assert measure(make_strings(texts)).tolist() == alone


def test_nothing_is_measured_of_no_texts() -> None:
    none = pa.array([], pa.large_string())
    assert find_marks(none).dtype == np.uint8
    assert (len(find_marks(none)), len(estimate_tokens(none)), len(escape_strings(none))) == (0, 0, 0)
