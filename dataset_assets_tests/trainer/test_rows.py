import pytest

from dataset_assets.trainer.rows import LARGEST_ID, NOT_AN_OBJECT, Lack, judge_size, judge_texts, parse_key, parse_keys


@pytest.mark.parametrize(
    ("key", "number"),
    [
        ("5", 5), ("e621/5", 5), ("a/b.c/007", 7), (str(LARGEST_ID), LARGEST_ID), (str(LARGEST_ID + 1), None),
        ("9" * 5000, None), ("", None), ("5/", None), ("-5", None), ("5.0", None), (" 5", None),
        ("٥", None), ("²", None),
    ],
)  # fmt: skip
def test_an_id_is_the_digits_at_the_end_of_a_key(key: str, number: int | None) -> None:
    assert parse_key(key) == number
    assert parse_keys(["1", key]) == (None if number is None else [1, number])


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
        (([True, 1], None), (0, 0, Lack.NOT_A_SIZE)), (("64x32", None), (0, 0, Lack.NOT_A_SIZE)),
    ],
)  # fmt: skip
def test_a_size_is_two_positive_integers_under_either_name(
    values: tuple[object, object], size: tuple[int, ...]
) -> None:
    assert judge_size(*values) == size
