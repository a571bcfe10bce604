from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_assets.errors import SourceError
from dataset_assets.trainer.columns import find_tags, list_groups, read_columns
from dataset_assets.trainer.rows import Input, Lack, Role
from dataset_assets_tests.trainer.metas import write_parquet


def read(path: Path, *roles: Role, own: bool = False) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
    parts = list(read_columns(Input(path=path, roles=frozenset(roles), own=own), range(len(list_groups(path)))))
    return pa.concat_tables([table for table, _ in parts]).to_pydict(), [one for _, found in parts for one in found]


def test_texts_come_as_json_has_them_with_why_there_is_none(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": 1, "tags": 'a "b"\n', "more": 1},
        {"id": 2, "tags": None},
        {"id": 3, "tags": " \t"},
        {"id": 4, "tags": "é"},
    ]
    found, faults = read(write_parquet(tmp_path / "a.parquet", rows), "tags")
    assert found["tags"] == ['"a \\"b\\"\\n"', None, None, '"\\u00e9"']
    assert found["tags_lack"] == [Lack.NONE, Lack.NO_TEXT, Lack.EMPTY, Lack.NONE]
    assert (set(found), faults) == ({"id", "tags", "tags_lack"}, [])


def test_a_column_of_another_type_is_no_text_and_one_that_is_absent_has_none(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [{"id": 1, "caption": 5}, {"id": 2, "caption": None}])
    found, _ = read(path, "captions", "tags")
    assert found["caption_lack"] == [Lack.NOT_TEXT, Lack.NO_TEXT]
    assert found["tags_lack"] == [Lack.NO_TEXT, Lack.NO_TEXT]


def test_texts_of_a_dictionary_are_texts(tmp_path: Path) -> None:
    table = pa.table({"id": [1, 2], "tags": pa.array(["a", "b"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet", "tags")[0]["tags"] == ['"a"', '"b"']


def test_captions_are_measured(tmp_path: Path) -> None:
    found, _ = read(write_parquet(tmp_path / "a.parquet", [{"id": 1, "caption": "a fox, {2}"}]), "captions")
    assert (found["marks"], found["tokens"]) == ([0b110], [6])


def test_ids_are_integers_or_keys_and_what_is_none_is_a_fault_with_its_row(tmp_path: Path) -> None:
    keys = write_parquet(tmp_path / "a.parquet", [{"key": key} for key in ("e621/5", "x", None, "7")])
    found, faults = read(keys, "ids")
    assert found == {"id": [5, 7]}
    assert faults == [{"fault": "no_id", "row": 1}, {"fault": "no_id", "row": 2}]
    numbers = pa.table({"id": pa.array([1, None, 3, (1 << 64) - 1], pa.uint64())})
    pq.write_table(numbers, tmp_path / "b.parquet")
    found, faults = read(tmp_path / "b.parquet", "ids")
    assert found == {"id": [1, 3]}
    assert [fault["row"] for fault in faults] == [1, 3]


@pytest.mark.parametrize(
    "sizes",
    [
        [[64, 32], [1, 2]],
        [[64, 32], None, [0, 5], [1, 2, 3], [1]],
        [[64.0, 32.0], [1.5, 2.0]],
    ],
)
def test_sizes_are_lists_of_two_positive_integers(tmp_path: Path, sizes: list[Any]) -> None:
    for name in ("train_resolution", "image_size"):
        rows = [{"id": number, name: size} for number, size in enumerate(sizes)]
        found, _ = read(write_parquet(tmp_path / "a.parquet", rows, group=10), "latents")
        good = [size for size in sizes if size in ([64, 32], [1, 2]) and isinstance(size[0], int)]
        pairs = zip(found["width"], found["height"], found["latent_lack"], strict=True)
        assert [[width, height] for width, height, lack in pairs if lack == Lack.NONE] == good
        assert found["latent_lack"].count(Lack.NO_SIZE) == sizes.count(None)


def test_sizes_may_be_two_columns(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": 1, "width": 64, "height": 32},
        {"id": 2, "width": None, "height": None},
        {"id": 3, "width": 5, "height": 0},
    ]
    found, _ = read(write_parquet(tmp_path / "a.parquet", rows), "latents")
    assert found["latent_lack"] == [Lack.NONE, Lack.NO_SIZE, Lack.NOT_A_SIZE]
    assert (found["width"][0], found["height"][0]) == (64, 32)


def test_our_own_records_say_of_what_a_caption_is_made(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": 1, "caption": "a", "variant": "summary", "status": 3, "text_tags": "t"},
        {"id": 2, "caption": "b", "variant": "summary", "status": 2, "text_tags": ""},
        {"id": 3, "caption": "", "variant": "", "status": 1, "text_tags": ""},
    ]
    path = write_parquet(tmp_path / "a.parquet", rows)
    found, _ = read(path, "ids", "tags", "captions", own=True)
    assert found["source"] == ["summary", "summary:partial", ""]
    assert found["tags"] == ['"t"', None, None]
    assert found["caption_lack"] == [Lack.NONE, Lack.NONE, Lack.EMPTY]
    assert find_tags(path)
    assert not find_tags(write_parquet(tmp_path / "b.parquet", [{"id": 1}]))


def test_a_table_without_ids_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no column id or key: name given"):
        list_groups(write_parquet(tmp_path / "a.parquet", [{"name": 1}]))
