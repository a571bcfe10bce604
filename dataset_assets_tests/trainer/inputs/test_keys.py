import pytest

from dataset_assets.posts.batch import LARGEST_ID
from dataset_assets.trainer.inputs.keys import judge_id, read_key, read_keys


@pytest.mark.parametrize(
    ("key", "number"),
    [
        ("5", 5), ("e621/5", 5), ("a/b.c/007", 7), (str(LARGEST_ID), LARGEST_ID), (str(LARGEST_ID + 1), None),
        ("9" * 5000, None), ("", None), ("5/", None), ("-5", None), ("5.0", None), (" 5", None),
        ("٥", None), ("²", None), ("123.jpg", 123), ("/data/img/123.jpg", 123), ("C:\\x\\123.png", 123),
        ("5.mp4", 5), ("fox-5.jpg", None), ("5.", None), ("5.tar.gz", None), ("a\n/5", 5), ("5\n", None),
    ],
)  # fmt: skip
def test_an_id_is_the_last_name_of_a_path_without_its_ending(key: str, number: int | None) -> None:
    found, among = read_key(key), read_keys(["1", key])
    assert (found and found[0]) == number
    assert (among and among[0]) == (None if number is None else [1, number])


def test_a_plain_number_has_the_spelling_0_and_every_other_way_one_of_its_own() -> None:
    ways = ["1", "01", "001", "e621/1", "danbooru/1", "1.jpg", "1.png", "e621/01", "e621/1.jpg"]
    spellings = [found[1] for way in ways if (found := read_key(way))]
    assert spellings[0] == 0
    assert len(set(spellings)) == len(ways)
    assert read_key("e621/22") == (22, spellings[3])
    assert read_keys(["1", "20"]) == ([1, 20], [])
    assert read_keys(["1", "01"]) == ([1, 1], spellings[:2])


@pytest.mark.parametrize(
    ("value", "judged"),
    [
        (5, (5, 0)), (5.0, (5, 0)), (5.5, "id_not_an_integer"), (float(1 << 54), "id_not_an_integer"),
        (float("inf"), "id_not_an_integer"), (float("nan"), "no_id"), (None, "no_id"), (True, "id_not_an_integer"),
        ([1], "id_not_an_integer"), (-1, "id_out_of_range"), (-1.0, "id_out_of_range"),
        (LARGEST_ID + 1, "id_out_of_range"), (LARGEST_ID, (LARGEST_ID, 0)), ("7", (7, 0)), ("x", "no_id"),
    ],
)  # fmt: skip
def test_an_id_is_an_integer_a_whole_float_or_a_key(value: object, judged: object) -> None:
    assert judge_id(value) == judged
