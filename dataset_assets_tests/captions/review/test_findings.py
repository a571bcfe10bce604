import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.captions.review.findings import Finding, judge_captions, review_captions
from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.errors import DropReason, SettingsError
from dataset_assets.settings import ReviewSettings
from dataset_assets.settings.captions import Policy

Row = tuple[int, int, str, str]  # slot, caption source, status, text

CAPTION = "A red barn in a green field."
FRENCH = "Une grange rouge dans un champ vert sous un ciel bleu."
NOTHING_FOUND = (CaptionStatus.OK, CaptionStatus.MISSING, CaptionStatus.EMPTY, CaptionStatus.ERROR)
SYSTEM = "You are a careful assistant who writes captions for image training."
USER = "Write one short sentence that says what the picture {{meta.title}} shows, and nothing else at all please."
POLICIES = st.sampled_from(get_args(Policy))


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["slot", "caption_source", "status", "text"])


def review(
    *rows: Row, prompts: Mapping[int, tuple[str, str]] | None = None, **settings: Any
) -> list[tuple[int, int, str, str, str]]:
    found = review_captions(frame(rows), ReviewSettings(**settings), prompts or {})
    return list(found.itertuples(index=False, name=None))


def found_in(
    text: str, status: str = "ok", prompts: tuple[str, str] = ("", ""), **settings: Any
) -> list[tuple[str, str]]:
    rows = review((7, 3, status, text), prompts={3: prompts}, **settings)
    return [(finding, detail) for _, _, finding, _, detail in rows]


def judge(rows: Sequence[Row], **settings: Any) -> list[tuple[bool, str]]:
    captions = frame(rows)
    judged = judge_captions(captions, review_captions(captions, ReviewSettings(**settings), {}))
    return list(judged[["usable", "drop"]].itertuples(index=False, name=None))


def test_every_finding_has_a_policy_and_every_policy_but_that_of_blank_crops_a_finding() -> None:
    policies = {
        name for name, field in ReviewSettings.model_fields.items() if get_args(field.annotation) == get_args(Policy)
    }

    assert {str(finding) for finding in Finding} == policies


@pytest.mark.parametrize("status", [status for status in CaptionStatus if status not in NOTHING_FOUND])
def test_the_status_of_an_answer_is_a_finding_with_its_words(status: CaptionStatus) -> None:
    assert found_in("I'm sorry,\n but I can't.", status) == [(status.value, "\"I'm sorry, but I can't.\"")]
    assert found_in("", status) == [(status.value, "")]


@pytest.mark.parametrize("status", NOTHING_FOUND)
def test_a_caption_that_is_ok_or_not_there_is_no_finding(status: CaptionStatus) -> None:
    assert found_in(CAPTION if status == CaptionStatus.OK else "", status) == []


def test_a_long_answer_is_quoted_by_its_beginning() -> None:
    assert found_in(100 * "word ", "refused") == [("refused", f'"{(16 * "word ")[:80].rstrip()}…"')]
    assert found_in(80 * "x", "refused") == [("refused", f'"{80 * "x"}"')]
    assert found_in(81 * "x", "refused") == [("refused", f'"{80 * "x"}…"')]


@pytest.mark.parametrize("status", CaptionStatus)
def test_texts_are_read_of_captions_that_are_ok_or_were_cut_off(status: CaptionStatus) -> None:
    findings = [name for name, _ in found_in("Dog.", status)]

    assert ("too_short" in findings) == (status in (CaptionStatus.OK, CaptionStatus.TRUNCATED))


@pytest.mark.parametrize(
    ("text", "least", "detail"),
    [
        ("A dog.", 3, "2 words, at least 3 wanted"),
        ("Dog", 3, "1 word, at least 3 wanted"),
        ("...", 3, "0 words, at least 3 wanted"),
        ("A dog - ...", 3, "2 words, at least 3 wanted"),
        ("A dog runs", 3, ""),
        ("red,blue,green", 3, ""),
        ("猫", 2, "1 word, at least 2 wanted"),
        ("黑猫睡在沙发上", 4, ""),
        ("黑猫睡在沙发", 4, "3 words, at least 4 wanted"),
        ("แมวสีดำนอน", 4, "3 words, at least 4 wanted"),
        ("แมวสีดำนอนหลับ", 4, ""),
        ("Dog", 0, ""),
        ("  \n ", 3, ""),
        ("", 3, ""),
    ],
)
def test_too_short(text: str, least: int, detail: str) -> None:
    assert found_in(text, min_words=least) == ([("too_short", detail)] if detail else [])


@pytest.mark.parametrize(
    ("text", "most", "detail"),
    [
        ("A dog runs on grass", 5, ""),
        ("A dog runs on the grass", 5, "6 words, at most 5 wanted"),
        ("黑猫睡在沙发上啊啊啊", 5, ""),
        ("黑猫睡在沙发上啊啊啊啊", 5, "6 words, at most 5 wanted"),
        (" ".join(f"word{number}" for number in range(1234)), 1000, "1,234 words, at most 1000 wanted"),
        (" ".join(f"word{number}" for number in range(1234)), 0, ""),
    ],
)
def test_too_long(text: str, most: int, detail: str) -> None:
    assert found_in(text, max_words=most) == ([("too_long", detail)] if detail else [])


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("Write one short sentence that says what: a dog.", ""),
        ("Write one short sentence that says what the dog does.", '"write one short sentence that says what the"'),
        ("A barn. “Shows”, and nothing else at all please", ""),
        ("What the picture shows and nothing else at all", ""),
        ("I am a careful assistant who writes captions for you", ""),
    ],
)
def test_words_of_the_user_prompt(text: str, detail: str) -> None:
    expected = [("prompt_leak", f"8 words of the user prompt: {detail}")] if detail else []

    assert found_in(text, prompts=("", USER)) == expected
    assert found_in(text, prompts=(SYSTEM, USER)) == expected
    assert found_in(text) == []


def test_words_of_the_system_prompt() -> None:
    text = "As a careful assistant who writes captions for image training I see a barn."

    assert found_in(text, prompts=(SYSTEM, USER)) == [
        (
            "prompt_leak",
            '9 words of the system prompt: "a careful assistant who writes captions for image training"',
        )
    ]


def test_a_prompt_is_looked_for_in_the_captions_of_its_own_source() -> None:
    leak = "You are a careful assistant who writes captions."
    rows = [(0, 1, "ok", leak), (0, 2, "ok", leak), (0, 3, "ok", leak)]

    found = review(*rows, prompts={1: (SYSTEM, USER), 2: ("Another prompt.", USER)})

    assert [(source, name) for _, source, name, _, _ in found] == [(1, "prompt_leak")]


@pytest.mark.parametrize("text", ["Sure! Here is a caption: A dog on a beach.", "Caption: A dog runs on a beach."])
def test_words_of_a_chat_before_the_caption(text: str) -> None:
    assert found_in(text) == [("prompt_leak", f'words of a chat around the caption: "{text}"')]


def test_words_of_the_prompt_are_told_before_those_of_a_chat() -> None:
    text = "Sure! You are a careful assistant who writes captions."

    assert [detail[:27] for _, detail in found_in(text, prompts=(SYSTEM, USER))] == ["8 words of the system promp"]


@pytest.mark.parametrize(
    "texts",
    [
        ["A red barn.", "a RED  barn", "A red\nbarn!", "“A red barn…”"],
        ["Straße bei Nacht.", "STRASSE bei Nacht", "straße bei nacht", "Strasse bei Nacht?"],
        ["黑猫睡在沙发上", "黑猫睡在沙发上。", "黑猫睡在沙发上!", "「黑猫睡在沙发上」"],
        ["...", "...", "...", "..."],
    ],
)
def test_the_same_text_on_many_images(texts: list[str]) -> None:
    rows = [(slot, 1, "ok", text) for slot, text in enumerate(texts)]

    def repeated(count: int, of: int) -> list[tuple[int, str, str]]:
        found = review(*rows[:count], repeated_images=of, min_words=0)
        return [(slot, name, detail) for slot, _, name, _, detail in found]

    assert repeated(4, of=4) == [(slot, "repeated", "on 4 images of the partition") for slot in range(4)]
    assert repeated(3, of=2) == [(slot, "repeated", "on 3 images of the partition") for slot in range(3)]
    assert repeated(3, of=4) == []


def test_texts_that_differ_in_a_word_are_not_the_same() -> None:
    rows = [(slot, 1, "ok", f"A red barn with {slot} doors") for slot in range(30)]

    assert review(*rows, repeated_images=2) == []


def test_repetition_is_counted_by_caption_source() -> None:
    rows = [(slot, source, "ok", CAPTION) for slot in range(3) for source in (1, 2)]

    assert review(*rows, repeated_images=4) == []
    assert len(review(*rows, repeated_images=3)) == 6
    assert len(review(*rows, (9, 2, "ok", CAPTION), repeated_images=4)) == 4


def test_answers_without_a_caption_are_not_repeated_texts() -> None:
    refused = [(slot, 1, "refused", "I can't help with that.") for slot in range(5)]
    empty = [(slot, 2, "empty", "") for slot in range(5)]

    assert {name for _, _, name, _, _ in review(*refused, *empty, repeated_images=2)} == {"refused"}


def test_language() -> None:
    assert found_in(FRENCH) == []
    assert found_in(FRENCH, languages=("fr",)) == []
    assert found_in(FRENCH, languages=("de", "fr")) == []
    assert found_in(CAPTION, languages=("en",)) == []
    ((name, detail),) = found_in(FRENCH, languages=("en",))
    assert (name, detail[:14]) == ("language", "language fr (0")
    assert found_in(FRENCH[:9], languages=("en",), min_words=0) == []


def test_a_language_that_cannot_be_told_is_an_error_even_without_captions() -> None:
    with pytest.raises(SettingsError, match=r'captions\.review\.languages: "xq" given'):
        review(languages=("xq",))


def test_no_language_model_is_loaded_unless_a_language_is_wanted() -> None:
    program = (
        "import sys, pandas as pd\n"
        "from dataset_assets.captions.review.findings import review_captions\n"
        "from dataset_assets.settings import ReviewSettings\n"
        "rows = pd.DataFrame({'slot': [0], 'caption_source': [1], 'status': ['ok'], 'text': ['Une grange rouge']})\n"
        "for languages in ((), ('en',)):\n"
        "    review_captions(rows, ReviewSettings(languages=languages), {})\n"
        "    print('py3langid' in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "True"]


def test_findings_are_told_whatever_their_policy_is() -> None:
    for policy in get_args(Policy):
        rows = review((0, 1, "truncated", "Dog"), (1, 1, "placeholder", "N/A"), truncated=policy, too_short=policy)

        assert rows == [
            (0, 1, "truncated", policy, '"Dog"'),
            (0, 1, "too_short", policy, "1 word, at least 3 wanted"),
            (1, 1, "placeholder", "drop", '"N/A"'),
        ]


def test_one_caption_may_have_many_findings_and_they_come_in_order() -> None:
    text = "Sure! Une grange rouge dans un champ vert sous un ciel bleu avec un arbre."
    rows = [(slot, source, "truncated", text) for slot, source in ((5, 2), (0, 9), (5, 1))]

    found = review(*rows, repeated_images=2, languages=("en",), max_words=9)

    assert [(slot, source) for slot, source, *_ in found] == [(0, 9)] * 4 + [(5, 1)] * 4 + [(5, 2)] * 4
    assert [name for _, _, name, _, _ in found[:4]] == ["truncated", "language", "too_long", "prompt_leak"]
    found = review(*rows, (0, 1, "ok", text), repeated_images=2, max_words=9)
    assert [name for slot, source, name, _, _ in found if (slot, source) == (0, 1)] == [
        "repeated",
        "too_long",
        "prompt_leak",
    ]


def test_the_table_has_its_columns_and_types_with_and_without_findings() -> None:
    for rows in ([], [(0, 1, "ok", CAPTION)], [(0, 1, "ok", "Dog")]):
        found = review_captions(frame(rows), ReviewSettings(), {})

        assert list(found.columns) == ["slot", "caption_source", "finding", "policy", "detail"]
        assert [str(kind) for kind in found.dtypes] == ["int64", "int32", "str", "str", "str"]
        assert list(found.index) == list(range(len(found)))


def test_a_caption_without_a_text_is_read_as_an_empty_one() -> None:
    captions = frame([(0, 1, "refused", ""), (1, 1, "ok", CAPTION)])
    captions["text"] = [None, CAPTION]

    found = review_captions(captions, ReviewSettings(refused="keep"), {})

    assert list(found.itertuples(index=False, name=None)) == [(0, 1, "refused", "keep", "")]
    assert judge_captions(captions, found)["usable"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("status", "policy", "text", "usable", "drop"),
    [
        ("ok", "", CAPTION, True, ""),
        ("missing", "", "", False, ""),
        ("empty", "", "", False, ""),
        ("error", "", "", False, ""),
        ("truncated", "keep", CAPTION, True, ""),
        ("truncated", "keep", " \n", False, ""),
        ("truncated", "fall_through", CAPTION, False, ""),
        ("truncated", "drop", CAPTION, False, "skipped_caption_review"),
        ("refused", "keep", "I can't help with that.", True, ""),
        ("refused", "fall_through", "I can't help with that.", False, ""),
        ("refused", "drop", "I can't help with that.", False, "skipped_caption_review"),
        ("filtered", "keep", "", False, ""),
        ("filtered", "drop", "", False, "skipped_caption_review"),
        ("placeholder", "keep", "N/A", True, ""),
        ("placeholder", "fall_through", "N/A", False, ""),
        ("placeholder", "drop", "N/A", False, "skipped_placeholder"),
        ("unavailable", "fall_through", "I see no image.", False, ""),
        ("unavailable", "drop", "I see no image.", False, "skipped_image_unavailable"),
    ],
)
def test_what_becomes_of_an_answer_by_its_status(status: str, policy: str, text: str, usable: bool, drop: str) -> None:
    assert judge([(0, 1, status, text)], **({status: policy} if policy else {})) == [(usable, drop)]


@pytest.mark.parametrize(
    ("policy", "usable", "drop"),
    [("keep", True, ""), ("fall_through", False, ""), ("drop", False, "skipped_caption_review")],
)
@pytest.mark.parametrize(
    ("finding", "text", "settings"),
    [
        ("too_short", "Dog", {}),
        ("too_long", CAPTION, {"max_words": 3}),
        ("repeated", CAPTION, {"repeated_images": 2}),
        ("language", FRENCH, {"languages": ("en",)}),
        ("prompt_leak", f"Sure! {CAPTION}", {}),
    ],
)
def test_what_becomes_of_a_caption_by_what_is_found(
    finding: str, text: str, settings: dict[str, Any], policy: str, usable: bool, drop: str
) -> None:
    rows = [(slot, 1, "ok", text) for slot in range(2)]

    assert judge(rows, **settings, **{finding: policy}) == [(usable, drop)] * 2


def test_captions_come_back_whole_with_two_columns_more() -> None:
    captions = frame([(3, 1, "ok", CAPTION), (1, 2, "placeholder", "N/A"), (2, 1, "ok", "Dog")])
    captions["detail"] = ["a", "b", "c"]
    captions.index = pd.Index([7, 5, 6])

    judged = judge_captions(captions, review_captions(captions, ReviewSettings(), {}))

    pd.testing.assert_frame_equal(judged[captions.columns], captions)
    assert list(judged.columns) == [*captions.columns, "usable", "drop"]
    assert judged["usable"].to_dict() == {7: True, 5: False, 6: True}
    assert judged["drop"].to_dict() == {7: "", 5: "skipped_placeholder", 6: ""}


def test_no_captions_are_judged_as_none() -> None:
    judged = judge_captions(frame([]), review_captions(frame([]), ReviewSettings(), {}))

    assert len(judged) == 0
    assert [str(judged[name].dtype) for name in ("usable", "drop")] == ["bool", "str"]


def test_an_answer_that_was_not_reviewed_is_usable_only_when_it_is_ok() -> None:
    rows = [(0, 1, status.value, CAPTION) for status in CaptionStatus]

    judged = judge_captions(frame(rows), review_captions(frame([]), ReviewSettings(), {}))

    assert judged["usable"].tolist() == [status == CaptionStatus.OK for status in CaptionStatus]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(1, 2),
            st.sampled_from(CaptionStatus).map(str),
            st.sampled_from(["", "Dog", CAPTION, f"Sure! {CAPTION}", 3 * f"{CAPTION} "]),
        ),
        unique_by=lambda row: row[:2],
    ),
    st.fixed_dictionaries({name.value: POLICIES for name in Finding}),
)
def test_the_strictest_policy_counts(rows: list[Row], policies: dict[str, Any]) -> None:
    settings = ReviewSettings(**policies, repeated_images=2, max_words=10)
    captions = frame(rows)
    findings = review_captions(captions, settings, {})

    judged = judge_captions(captions, findings)

    for slot, source, status, text, usable, drop in judged.itertuples(index=False, name=None):
        own = findings[(findings["slot"] == slot) & (findings["caption_source"] == source)]
        names, given = own["finding"].tolist(), own["policy"].tolist()
        assert given == [policies[name] for name in names]
        assert (status in names) == (status in policies)
        if "drop" in given:
            reasons = {"placeholder": DropReason.PLACEHOLDER, "unavailable": DropReason.IMAGE_UNAVAILABLE}
            assert (usable, drop) == (False, reasons.get(status, DropReason.CAPTION_REVIEW))
        elif "fall_through" in given:
            assert (usable, drop) == (False, "")
        else:
            assert (usable, drop) == (status == "ok" or (status in policies and text != ""), "")
