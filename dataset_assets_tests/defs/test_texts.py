import pytest

from dataset_assets.defs.texts import as_line, caption_lines, cut, escape, quote

HOSTILE = [
    "<script>x</script>",
    "a | b\n| c |",
    "![x](javascript:y) http://evil.example/x.png) www.evil.example a@evil.example",
    "```\n[out](http://evil.example) ````",
    "&#41; &lt;b&gt;",
]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain words, 1.5 — and é 猫", "plain words, 1.5 — and é 猫"),
        ("<b>|`", "<b>|`"),
        ("two\nlines\r\n\tand more ", "two lines and more"),
        ("a\0b\x1b[31mc\x85d", "a b [31mc d"),
        ("photo\u202egpj.exe\u2066 x \u2069", "photogpj.exe x"),
        ("half \ud800 a pair", "half a pair"),
        ("\u200eleft\u200f \u061cright z\u200be\u200cr\u200do\u2060 \ufeffwidth", "left right zero width"),
        ("one\u2028two\u2029three", "one two three"),
        ("", ""),
    ],
)
def test_a_line_is_one_and_has_nothing_that_is_not_seen(text: str, line: str) -> None:
    assert as_line(text) == line


def test_nothing_in_what_is_escaped_is_markup() -> None:
    assert escape("<b>|`\n*x*") == "&#60;b&#62;&#124;&#96; &#42;x&#42;"


def test_hostile_texts_stay_in_their_block_and_are_themselves() -> None:
    (block,) = quote(HOSTILE)

    first, *lines, last = block.splitlines()
    assert (first, last) == ("`````text", "`````")
    assert lines == [" ".join(text.split()) for text in HOSTILE]


def test_without_texts_there_is_no_block() -> None:
    assert quote([]) == []


def test_a_long_caption_is_cut_and_runs_over_several_lines() -> None:
    name, *lines = caption_lines("n" * 1_000, "caption_x", "z" * 1_000_000)

    assert name == "n" * 100 + "… · caption_x"
    assert "".join(lines) == "z" * 300 + "…"
    assert max(map(len, lines)) <= 84


def test_a_long_text_ends_in_an_ellipsis() -> None:
    assert cut("x" * 300) == "x" * 300
    assert cut("x" * 301) == "x" * 300 + "…"
