from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.captions.review.words import Prompts, count_words, split_words

ALPHABET = st.sampled_from(["a", "b", "c"])
PROMPT = "Write one short sentence that says what the picture shows"  # 10 words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \n\t ", []),
        ("?! … — -", []),
        ("A Dog.", ["a", "dog"]),
        ('He said: "Stop!"', ["he", "said", "stop"]),
        ("“Stop,” he said…", ["stop", "he", "said"]),
        ("don't  stop\nwell-known", ["don't", "stop", "well-known"]),
        ("red,blue, green", ["red", "blue", "green"]),
        ("a dog—running", ["a", "dog", "running"]),
        ("salt & pepper", ["salt", "pepper"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("黒猫、寝る。", ["黒", "猫", "寝", "る"]),
        ("a 福 sign", ["a", "福", "sign"]),
        ("ソファ・ベッド", ["ソ", "フ", "ァ", "ベ", "ッ", "ド"]),
        ("검은 고양이", ["검은", "고양이"]),
    ],
)
def test_words_are_what_stands_between_spaces(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("...", 0),
        ("A dog.", 2),
        ("Ein Hund läuft am Strand entlang.", 6),
        ("검은 고양이가 거실 소파에서 자고 있다", 6),
        ("एक काली बिल्ली सोफे पर सो रही है", 8),
        ("قطة سوداء تنام على الأريكة", 5),
        ("猫", 1),
        ("黑猫", 1),
        ("黑猫睡", 2),
        ("一只黑猫睡在客厅的沙发上,阳光从窗户照进来。", 10),
        ("黒い猫がリビングのソファで寝ている", 9),
        ("แมวสีดำนอนหลับ", 4),
        ("ແມວ", 1),
        ("A neon sign with 福 and 春 on it", 8),
        ("𠀀𠀁𠀂𠀃", 2),
    ],
)
def test_words_are_counted_in_scripts_with_and_without_spaces(text: str, count: int) -> None:
    assert count_words(split_words(text)) == count


@given(st.text())
def test_any_text_has_words_that_are_not_empty_and_can_be_counted(text: str) -> None:
    words = split_words(text)

    assert all(words)
    assert (count_words(words) == 0) == (words == [])
    assert count_words(words) <= len(words)


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("Write one short sentence that says what", None),  # 7
        ("Write one short sentence that says what the", ("user", 8)),
        ("WRITE one “short” sentence, that says: what the ...", ("user", 8)),
        ("A dog. short sentence that says what the picture shows A dog.", ("user", 8)),
        ("A cat. one short sentence that says what the dog shows", None),
        ("one short sentence that a says what the picture shows", None),
        (PROMPT, ("user", 10)),
        ("You are an assistant who writes captions for images", ("system", 9)),
        ("", None),
    ],
)
def test_a_run_of_eight_words_of_a_prompt_is_found(caption: str, found: tuple[str, int] | None) -> None:
    prompts = Prompts({"system": "You are an assistant who writes captions for images.", "user": f"{PROMPT}."})

    run = prompts.find_run(split_words(caption), 8)

    assert (run and (run[0], len(run[1]))) == found
    if run:
        assert " ".join(run[1]) in " ".join(split_words(caption))


def test_the_longest_run_of_all_prompts_is_found() -> None:
    prompts = Prompts({"system": " ".join("abcdefghij"), "user": " ".join("xabcdefghijkl")})

    assert prompts.find_run(list("--abcdefghijkl--"), 8) == ("user", list("abcdefghijkl"))
    assert prompts.find_run(list("--abcdefgh--"), 8) == ("system", list("abcdefgh"))


@pytest.mark.parametrize("placeholder", ["{{meta.title}}", "{{ image_id }}"])
def test_no_run_goes_across_a_placeholder(placeholder: str) -> None:
    prompts = Prompts({"user": f"The title of this image is {placeholder} and it was given by its owner long ago"})

    assert prompts.find_run(split_words("The title of this image is and it was given by"), 8) is None
    assert prompts.find_run(split_words("The title of this image is Dogs and it was given by"), 8) is None
    assert prompts.find_run(split_words("a title, and it was given by its owner long ago"), 8) == (
        "user",
        ["and", "it", "was", "given", "by", "its", "owner", "long", "ago"],
    )


def test_sixteen_ideographs_are_eight_words() -> None:
    prompts = Prompts({"user": "请用一句简短的话描述这张图片里面的主要内容"})

    assert prompts.find_run(split_words("请用一句简短的话描述这张图"), 8) is None  # 13 characters
    assert prompts.find_run(split_words("猫。请用一句简短的话描述这张图片里面"), 8) == (
        "user",
        list("请用一句简短的话描述这张图片里面"),
    )


def test_without_prompts_nothing_is_found() -> None:
    for prompts in ({}, {"system": "", "user": ""}, {"user": "Describe this image."}):
        assert Prompts(prompts).find_run(split_words(f"Describe this image. {PROMPT}"), 8) is None


@given(st.lists(ALPHABET, max_size=40), st.lists(ALPHABET, max_size=40))
def test_the_run_found_is_the_longest_there_is(words: list[str], prompt: list[str]) -> None:
    run = Prompts({"user": " ".join(prompt)}).find_run(words, 8)

    longest = longest_common(words, prompt)
    assert len(run[1] if run else []) == (longest if longest >= 8 else 0)


def longest_common(ours: Sequence[str], theirs: Sequence[str]) -> int:
    return max(
        (
            size
            for start in range(len(ours))
            for size in range(1, len(ours) - start + 1)
            if any(ours[start : start + size] == theirs[at : at + size] for at in range(len(theirs) - size + 1))
        ),
        default=0,
    )
