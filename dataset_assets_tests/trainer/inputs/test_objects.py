import json
from pathlib import Path

import pytest

from dataset_assets.errors import SourceError
from dataset_assets.trainer.inputs.objects import cut_object, read_object
from dataset_assets.trainer.inputs.rows import NOT_AN_OBJECT, Lack, Role

ALL: frozenset[Role] = frozenset(("tags", "captions", "latents"))


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def parts_of(path: Path, step: int) -> list[str]:
    data = path.read_bytes()
    return [data[start:stop].decode() for start, stop in cut_object(path, step)]


def test_cuts_are_before_keys_and_together_are_the_whole_object(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '\ufeff {"1": {"tags": "a"},\n  "e621/22": {"tags": "b"}, "x": {}, "3": null} \n')
    assert parts_of(path, 1) == ['"1": {"tags": "a"},\n  ', '"e621/22": {"tags": "b"}, "x": {}, ', '"3": null']
    assert parts_of(path, 1000) == ['"1": {"tags": "a"},\n  "e621/22": {"tags": "b"}, "x": {}, "3": null']


def test_texts_that_look_like_keys_are_not_cut(tmp_path: Path) -> None:
    tricky = ['}, "5": {', ', "5":', '"5": {', '\\"}, \\"5\\": {', ': {"5": {', ",", '},"', '5":{', ': {5": {']
    meta = {str(number): {"caption": text, "tags": f"{text}5"} for number, text in enumerate(tricky)}
    path = write(tmp_path / "a.json", json.dumps(meta))
    parts = parts_of(path, 1)
    assert len(parts) == len(tricky)
    for part, (key, entry) in zip(parts, meta.items(), strict=True):
        found = read_object(part.encode(), ALL)
        assert (found.ids, found.captions, found.tags) == ([int(key)], [entry["caption"]], [entry["tags"]])


def test_an_entry_is_read_the_same_alone_and_among_others() -> None:
    odd = {"a": {"5": {"6": 1}}, "tags": "t", "caption": ["x"], "image_size": [1, 2], "train_resolution": None}
    meta = {"7": odd, "8": {"tags": "u", "train_resolution": [3, 4], "image_size": [1, 2]}, "09": {}}
    found = read_object(json.dumps(meta)[1:-1].encode(), ALL)
    assert found.ids == [7, 8, 9]
    assert found.tags == ["t", "u", None]
    assert found.captions == [["x"], None, None]
    assert found.sizes == [(1, 2, Lack.NONE), (3, 4, Lack.NONE), (0, 0, Lack.NO_SIZE)]


def test_only_what_the_roles_need_is_kept() -> None:
    found = read_object(b'"1": {"tags": "a", "caption": "b", "image_size": [1, 2]}', frozenset(("captions",)))
    assert (found.tags, found.captions, found.sizes) == ([], ["b"], [])


def test_keys_that_are_repeated_all_stay_in_their_order() -> None:
    found = read_object(b'"1": {"tags": "a"}, "2": {"tags": "b"}, "1": {"tags": "c"}, "\\u0031": null', ALL)
    assert found.ids == [1, 2, 1, 1]
    assert found.tags == ["a", "b", "c", NOT_AN_OBJECT]


def test_a_key_without_an_id_is_a_fault() -> None:
    text = b'"x": {"tags": "a"}, "4": {"tags": "b"}, "": {}, "-1": {}, "1.5": {}, "9223372036854775808": {}'
    found = read_object(text, ALL)
    assert (found.ids, found.tags) == ([4], ["b"])
    assert [fault["key"] for fault in found.faults] == ["x", "", "-1", "1.5", "9223372036854775808"]


def test_entries_that_are_no_objects_stop_none_of_the_others() -> None:
    found = read_object(b'"1": 5, "2": {"tags": "b"}, "3": "text", "4": [["tags", "x"]]', ALL)
    assert found.tags == [NOT_AN_OBJECT, "b", NOT_AN_OBJECT, NOT_AN_OBJECT]
    assert found.sizes[0] == (0, 0, Lack.NOT_AN_OBJECT)


def test_bytes_that_are_not_utf_8_and_lone_surrogates_are_replaced_and_told() -> None:
    found = read_object(b'"1": {"tags": "caf\xe9"}, "2": {"caption": "a\\ud800b"}, "3": {"more": "\xe9"}', ALL)
    assert (found.tags, found.captions) == (["caf\ufffd", None, None], [None, "a\ufffdb", None])
    assert found.faults == [
        {"fault": "not_utf8", "key": "1", "field": "tags"},
        {"fault": "lone_surrogate", "key": "2", "field": "caption"},
    ]


@pytest.mark.parametrize("folder", ["/data/img/", "C:\\x y\\", "", "a,b/"])
def test_keys_may_be_the_paths_of_files(tmp_path: Path, folder: str) -> None:
    meta = {f"{folder}{number}.jpg": {"caption": f"{number}.jpg", "tags": ', "5.jpg": {'} for number in range(5)}
    path = write(tmp_path / "a.json", json.dumps(meta))
    parts = parts_of(path, 1)
    assert len(parts) == 5
    for number, part in enumerate(parts):
        found = read_object(part.encode(), ALL)
        assert (found.ids, found.captions, found.faults) == ([number], [f"{number}.jpg"], [])
    assert read_object(json.dumps(meta)[1:-1].encode(), ALL).ids == list(range(5))


def test_long_numbers_stop_nothing() -> None:
    text = b'"1": {"tags": ' + b"9" * 5000 + b'}, "2": {"tags": "a", "image_size": ' + b"9" * 5000 + b"}"
    found = read_object(text, ALL)
    assert found.tags == [float("inf"), "a"]
    assert [size[2] for size in found.sizes] == [Lack.NO_SIZE, Lack.NOT_A_SIZE]


@pytest.mark.parametrize(
    "text",
    [
        '"1": {"a": 1',
        '"1", {"tags": "a"}',
        '"1": {}, "2", {"tags": "a"}',
        '"1": {"a": 1}}',
        '"1"',
        '"1": {"a": 1} "2": {}',
        "[" * 100_000,
    ],
)
def test_what_is_not_whole_entries_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_object(text.encode(), ALL)


@pytest.mark.parametrize("text", ["", "  ", "[1, 2]", '"text"'])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match=r"a\.json is not a JSON object: it has to begin with \{"):
        cut_object(write(tmp_path / "a.json", text), 100)


@pytest.mark.parametrize("text", ["{", '{"1": {"tags": "a"', "{]"])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match=r"a\.json is cut short"):
        cut_object(write(tmp_path / "a.json", text), 100)


def test_an_empty_object_has_one_empty_part(tmp_path: Path) -> None:
    assert parts_of(write(tmp_path / "a.json", " { } "), 1) == [" "]
    assert read_object(b" ", ALL).ids == []
