import pytest

from dataset_assets.trainer.inputs.rows import (
    NOT_AN_OBJECT,
    Lack,
    decode,
    judge_size,
    judge_texts,
    load_json,
    mend_text,
)


def test_texts_that_are_none_say_why() -> None:
    texts, lacks = judge_texts(["a", "", " \n", None, 5, ["a"], NOT_AN_OBJECT])
    assert texts == ["a", None, None, None, None, None, None]
    assert lacks.tolist() == [
        Lack.NONE, Lack.EMPTY, Lack.EMPTY, Lack.NO_TEXT, Lack.NOT_TEXT, Lack.NOT_TEXT, Lack.NOT_AN_OBJECT
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "size"),
    [
        (([64, 32], None), (64, 32, Lack.NONE)), ((None, [64, 32]), (64, 32, Lack.NONE)),
        (([1, 2], [3, 4]), (1, 2, Lack.NONE)), ((["64", 32], [3, 4]), (3, 4, Lack.NONE)),
        ((None, None), (0, 0, Lack.NO_SIZE)), (([64], None), (0, 0, Lack.NOT_A_SIZE)),
        ((None, [0, 1]), (0, 0, Lack.NOT_A_SIZE)), (([1 << 31, 1], None), (0, 0, Lack.NOT_A_SIZE)),
        (([64.0, 32], None), (64, 32, Lack.NONE)), (([1.5, 2], None), (0, 0, Lack.NOT_A_SIZE)),
        (([float("inf"), 2], None), (0, 0, Lack.NOT_A_SIZE)), (([True, 1], None), (0, 0, Lack.NOT_A_SIZE)),
        (("64x32", None), (0, 0, Lack.NOT_A_SIZE)),
    ],
)  # fmt: skip
def test_a_size_is_two_positive_whole_numbers_under_either_name(
    values: tuple[object, object], size: tuple[int, ...]
) -> None:
    assert judge_size(*values) == size


@pytest.mark.parametrize(
    ("data", "text", "faults"),
    [
        (b"caf\xc3\xa9", "caf\u00e9", []), (b"caf\xe9", "caf\ufffd", ["not_utf8"]),
        (b"a\xe2\x82b", "a\ufffdb", ["not_utf8"]), (b"\\ud800x", "\ufffdx", ["lone_surrogate"]),
        (b"\\ud83d\\ude00", "\U0001f600", []), (b"\xff\\udfff", "\ufffd\ufffd", ["not_utf8", "lone_surrogate"]),
        ("\ufffd".encode(), "\ufffd", []),
    ],
)  # fmt: skip
def test_what_is_no_text_is_replaced_and_told(data: bytes, text: str, faults: list[str]) -> None:
    assert mend_text(load_json(b'"' + data + b'"')) == (text, faults)
    assert mend_text(decode(b"ok")) == ("ok", [])


def test_numbers_of_any_length_are_read() -> None:
    assert load_json(b"[" + b"9" * 5000 + b", 12]") == [float("inf"), 12]
