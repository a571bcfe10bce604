from itertools import pairwise

import pytest

from dataset_assets.compare.records import Words
from dataset_assets.compare.words import compare_words


def marked(a: str, b: str) -> tuple[str, str]:
    """Return both texts with what is not in the other in brackets."""
    first, second = compare_words(a, b)
    return _mark(first), _mark(second)


def _mark(words: list[Words]) -> str:
    return "".join(word.text if word.same else f"[{word.text}]" for word in words)


@pytest.mark.parametrize(
    ("a", "b", "marked_a", "marked_b"),
    [
        ("a red car", "a blue car", "a [red] car", "a [blue] car"),
        ("a car", "a fast car", "a car", "a [fast ]car"),
        ("one two three four", "one three four five", "one [two ]three four", "one three four[ five]"),
        ("", "new", "", "[new]"),
        ("gone", "", "[gone]", ""),
        ("it ends.", "it ends!", "it ends[.]", "it ends[!]"),
        ("all", "other", "[all]", "[other]"),
        ("a a", "a", "a[ a]", "a"),
    ],
)
def test_words_that_the_other_text_has_not_are_marked(a: str, b: str, marked_a: str, marked_b: str) -> None:
    assert marked(a, b) == (marked_a, marked_b)


@pytest.mark.parametrize("text", ["a b", " \n x  y\u202e<b>", "word " * 5000, "x" * 20_000, "é ü—„“ 漢字"])
def test_parts_joined_are_the_texts_again(text: str) -> None:
    other = f"before {text} after"

    first, second = compare_words(text, other)

    assert "".join(word.text for word in first) == text
    assert "".join(word.text for word in second) == other
    assert all(left.same != right.same for left, right in pairwise(second))


def test_texts_of_very_many_words_are_compared_at_their_ends_only() -> None:
    a, b = " ".join(f"a{number}" for number in range(3000)), " ".join(f"b{number}" for number in range(3000))

    first, second = compare_words(f"start {a} middle {a} end", f"start {b} middle {b} end")

    assert [word.same for word in first] == [word.same for word in second] == [True, False, True]
    assert (first[0].text, first[2].text) == ("start ", " end")


def test_one_word_over_and_over_is_compared_at_once() -> None:
    first, second = compare_words("x y " * 240 + "z", "y x " * 240)

    assert "".join(word.text for word in first) == "x y " * 240 + "z"
    assert any(not word.same for word in second)
