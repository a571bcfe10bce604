from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_assets.errors import DamagedError, SourceError
from dataset_assets.trainer.inputs.columns import find_tags, list_groups, read_columns
from dataset_assets.trainer.inputs.rows import Input, Lack, Role
from dataset_assets_tests.trainer.metas import write_parquet


def read(path: Path, *roles: Role, own: bool = False) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
    source = Input(path=path, roles=frozenset(roles), own=own)
    parts = list(read_columns(source, range(len(list_groups(source)))))
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
    assert found["id"] == [5, 7]
    assert faults == [{"fault": "no_id", "row": 1}, {"fault": "no_id", "row": 2}]
    numbers = pa.table({"id": pa.array([1, None, 3, (1 << 64) - 1], pa.uint64())})
    pq.write_table(numbers, tmp_path / "b.parquet")
    found, faults = read(tmp_path / "b.parquet", "ids")
    assert found == {"id": [1, 3]}
    assert faults == [{"fault": "no_id", "row": 1}, {"fault": "id_out_of_range", "row": 3}]


def test_whole_floats_are_ids_and_sizes(tmp_path: Path) -> None:
    columns = {
        "id": pa.array([1.0, None, 3.5, 4.0, float("nan")]),
        "width": [64.0, 1.0, 1.0, 1.5, 1.0],
        "height": [32.0, 1.0, 1.0, 2.0, 1.0],
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    found, faults = read(tmp_path / "a.parquet", "ids", "latents")
    assert (found["id"], found["width"]) == ([1, 4], [64, 0])
    assert found["latent_lack"] == [Lack.NONE, Lack.NOT_A_SIZE]
    kinds = ["no_id", "id_not_an_integer", "no_id"]
    assert faults == [{"fault": fault, "row": row} for fault, row in zip(kinds, (1, 2, 4), strict=True)]


def test_columns_of_odd_types_are_counted_and_stop_nothing(tmp_path: Path) -> None:
    moments = pa.array([1, 2], pa.timestamp("ns"))
    columns = {
        "id": pa.array(["1", "e621/2"]).cast(pa.string_view()),
        "tags": pa.array(["a", None]).cast(pa.string_view()),
    }
    table = pa.table(columns | {"caption": moments, "train_resolution": pa.array([["a"], None]), "width": moments})
    pq.write_table(table, tmp_path / "a.parquet")
    found, faults = read(tmp_path / "a.parquet", "ids", "tags", "captions", "latents")
    assert (found["id"], found["tags"], faults) == ([1, 2], ['"a"', None], [])
    assert found["spelling"][0] == 0 != found["spelling"][1]
    assert found["caption_lack"] == [Lack.NOT_TEXT] * 2
    assert found["latent_lack"] == [Lack.NOT_A_SIZE, Lack.NO_SIZE]
    pq.write_table(pa.table({"id": moments}), tmp_path / "b.parquet")
    assert [fault["fault"] for fault in read(tmp_path / "b.parquet", "ids")[1]] == ["id_not_an_integer"] * 2


def test_text_that_is_not_utf_8_is_replaced_and_told_with_its_row(tmp_path: Path) -> None:
    data = pa.array([b"ok", b"caf\xe9", None], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 3, data.buffers())
    pq.write_table(pa.table({"id": [None, 2, 3], "tags": broken}), tmp_path / "a.parquet")
    found, faults = read(tmp_path / "a.parquet", "tags")
    assert (found["id"], found["tags"]) == ([2, 3], ['"caf\\ufffd"', None])
    assert faults == [{"fault": "no_id", "row": 0}, {"fault": "not_utf8", "row": 1, "field": "tags"}]


def test_of_columns_with_one_name_the_first_counts(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array(["a"]), pa.array(["b"])], names=["id", "tags", "tags"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet", "tags")[0]["tags"] == ['"a"']


def test_damage_of_an_input_and_of_our_own_file_are_told_apart(tmp_path: Path) -> None:
    rows = [{"id": number, "tags": f"tag {number}"} for number in range(1000)]
    path = write_parquet(tmp_path / "a.parquet", rows, group=1000)
    whole = path.read_bytes()
    for data in (whole[:-9], whole[:100] + bytes(200) + whole[300:]):
        path.write_bytes(data)
        with pytest.raises(SourceError, match=r"a\.parquet cannot be read as Parquet: [^\n]*$"):
            read(path, "tags")
        with pytest.raises(DamagedError, match=r"a\.parquet is damaged"):
            read(path, "ids", own=True)


@pytest.mark.parametrize(
    "sizes",
    [
        [[64, 32], [1, 2]],
        [[64, 32], None, [0, 5], [1, 2, 3], [1]],
        [[64.0, 32.0], [1.5, 2.0]],
    ],
)
def test_sizes_are_lists_of_two_positive_whole_numbers(tmp_path: Path, sizes: list[Any]) -> None:
    for name in ("train_resolution", "image_size"):
        rows = [{"id": number, name: size} for number, size in enumerate(sizes)]
        found, _ = read(write_parquet(tmp_path / "a.parquet", rows, group=10), "latents")
        good = [size for size in sizes if size in ([64, 32], [1, 2])]
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
        list_groups(Input(path=write_parquet(tmp_path / "a.parquet", [{"name": 1}]), roles=frozenset()))
