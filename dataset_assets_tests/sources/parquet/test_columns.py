import json
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from dataset_assets.errors import SourceError
from dataset_assets.sources.parquet.columns import (
    BY_NAME,
    ColumnRule,
    Columns,
    choose_columns,
    read_ids,
    read_metadata,
    read_paths,
    take,
)
from dataset_assets_tests.sources.tables import IMAGE, SHAPES, images

BROKEN = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"\xff\xfea"))


def choose(columns: dict[str, Any], **rule: Any) -> Columns:
    return choose_columns(pa.table(columns).schema, ColumnRule(**rule))


def batch(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


@pytest.mark.parametrize("shape", SHAPES)
def test_bytes_are_found_in_a_column_or_in_its_structure(shape: str) -> None:
    chosen = choose({"image": images([b"a"], shape)})

    nested = shape in ("struct", "bytes only", "no path")
    assert chosen.data == (("image", "bytes") if nested else ("image",))
    assert chosen.path == (("image", "path") if shape == "struct" else None)
    assert (chosen.id, chosen.metadata) == (None, ())


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_text_is_paths(kind: pa.DataType) -> None:
    assert choose({"image": pa.array(["a.jpg"], kind)}) == Columns(data=None, path=("image",), id=None, metadata=())
    plain = choose({"image": pa.array(["a.jpg"], pa.string()).dictionary_encode()})
    assert plain.path == ("image",)


def test_a_column_of_nothing_holds_no_image() -> None:
    assert choose({"image": pa.nulls(3)}) == Columns(data=None, path=None, id=None, metadata=())


def test_fields_of_structures_are_named_with_dots() -> None:
    image = pa.array([{"small": b"a", "full": {"bytes": b"b", "path": "c"}}])
    info = pa.array([{"id": 7, "title": "x"}])

    chosen = choose({"data": image, "info": info}, image="data.full", id="info.id", metadata=("info.title",))

    assert chosen.data == ("data", "full", "bytes")
    assert chosen.path == ("data", "full", "path")
    assert (chosen.id, chosen.metadata) == (("info", "id"), (("info", "title"),))
    assert chosen.small == ["data.full.path", "info.id", "info.title"]
    assert choose({"data": image}, image="data.small").data == ("data", "small")


def test_a_column_whose_name_holds_a_dot() -> None:
    assert choose({"the.image": [b"a"]}, image="the.image").data == ("the.image",)
    both = {"a": pa.array([{"b": 1}]), "a.image": pa.array([{"jpg": b"x"}])}
    assert choose(both, image="a.image.jpg").data == ("a.image", "jpg")


def test_metadata_is_every_column_of_text_numbers_and_truth_values() -> None:
    columns = {
        "image": images([b"a"]),
        "key": ["k"],
        "title": ["t"],
        "category": pa.array(["c"]).dictionary_encode(),
        "width": pa.array([1], pa.uint16()),
        "score": [0.5],
        "safe": [True],
        "tags": [["a", "b"]],
        "few tags": pa.array([["a", "b"]], pa.list_(pa.string(), 2)),
        "embedding": [[0.5, 1.5]],
        "thumbnail": [b"a"],
        "taken": [date(2024, 1, 2)],
        "price": [Decimal("1.50")],
        "more": [{"a": 1}],
        "nothing": pa.nulls(1),
    }

    chosen = choose(columns, id="key")

    names = [name for (name,) in chosen.metadata]
    assert names == ["title", "category", "width", "score", "safe", "tags", "few tags"]


def test_named_metadata_is_that_and_may_be_the_id() -> None:
    columns = {"image": images([b"a"]), "key": ["k"], "title": ["t"], "width": [1]}

    assert choose(columns, id="key", metadata=("width", "key")).metadata == (("width",), ("key",))


def test_columns_of_the_same_name_are_no_metadata() -> None:
    table = pa.table([images([b"a"]), ["a"], ["b"], ["c"]], names=["image", "twice", "twice", "once"])

    assert choose_columns(table.schema, BY_NAME).metadata == (("once",),)
    with pytest.raises(SourceError, match=r"^there are 2 columns twice$"):
        choose_columns(table.schema, ColumnRule(id="twice"))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            {"image": "picture"},
            "there is no column picture, which `image` under [[sources]] names; there are: image, title, n",
        ),
        ({"image": "image.jpg"}, "there is no column image.jpg, which"),
        ({"image": "title.bytes"}, "there is no column title.bytes, which"),
        ({"id": "key"}, "there is no column key, which `id` under"),
        ({"metadata": ("title", "topic")}, "there is no column topic, which `metadata` under"),
        (
            {"image": "n"},
            "the column n is int64; allowed: bytes, paths as text, and structures of bytes and path",
        ),
        (
            {"metadata": ("image",)},
            "the column image is struct<bytes: binary, path: string>; allowed: text, numbers, truth values",
        ),
    ],
)
def test_a_column_that_is_not_there_or_is_another_is_named(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(SourceError) as caught:
        choose({"image": images([b"a"]), "title": ["t"], "n": [1]}, **rule)

    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("image", [{"data": b"a"}, {"bytes": "text"}, {"bytes": b"a", "path": 5}])
def test_other_structures_are_no_images(image: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="structures of bytes and path"):
        choose({"image": [image]})


def test_of_many_columns_and_of_a_long_type_a_part_is_said() -> None:
    with pytest.raises(SourceError, match=r"c28, c29, …$"):
        choose({f"c{index}": [1] for index in range(99)})
    with pytest.raises(SourceError, match=r"is struct<f0: int64.{40,60}…; allowed"):
        choose({"image": [{f"f{index}": 1 for index in range(99)}]})


def test_ids_are_text_or_whole_numbers() -> None:
    rows = batch(
        text=["a", None, "", "é", "a\0b"],
        number=pa.array([1, None, -3, 0, (1 << 64) - 1 >> 1], pa.int64()),
        stored=[b"a", b"\xff", None, b"", b"b"],
        dictionary=pa.array(["x", "y", "x", None, "z"]).dictionary_encode(),
    )

    assert read_ids(rows, ("text",)) == [
        ("a", ""),
        ("", "no id in this row"),
        ("", "the id is empty"),
        ("é", ""),
        ("", "the id holds a NUL character"),
    ]
    assert [one for one, _ in read_ids(rows, ("number",))] == ["1", "", "-3", "0", "9223372036854775807"]
    assert [fault for _, fault in read_ids(rows, ("stored",))] == [
        "",
        "the id is not UTF-8",
        "no id in this row",
        "the id is empty",
        "",
    ]
    assert [one for one, _ in read_ids(rows, ("dictionary",))] == ["x", "y", "x", "", "z"]


@pytest.mark.parametrize(("values", "kind"), [([1.0, 2.5], "double"), ([True, None], "bool"), ([["a"], []], "list")])
def test_ids_of_other_types_are_none(values: list[Any], kind: str) -> None:
    for image_id, fault in read_ids(batch(id=values), ("id",)):
        assert image_id == ""
        assert fault.startswith(f"the id is {kind}")
        assert fault.endswith("; allowed: text and whole numbers")


def test_paths_are_as_python_reads_them() -> None:
    assert read_paths(batch(path=["a/é.jpg", None, ""]), ("path",)) == ["a/é.jpg", "", ""]
    assert read_paths(batch(path=BROKEN), ("path",)) == ["\udcff\udcfe", "a"]


def test_metadata_is_one_json_object_a_row() -> None:
    rows = batch(
        title=["a «title»", None],
        category=pa.array(["x", "y"]).dictionary_encode(),
        n=pa.array([1, None], pa.uint8()),
        half=pa.array([1.5, 0.25], pa.float16()),
        score=[float("nan"), float("-inf")],
        safe=[True, False],
        tags=[["a", None, "é"], None],
        broken=BROKEN,
        info=[{"author": "me"}, None],
    )
    names = ("title", "category", "n", "half", "score", "safe", "tags", "broken")

    first, second = read_metadata(rows, (*((name,) for name in names), ("info", "author")))

    assert json.loads(first) == {
        "title": "a «title»",
        "category": "x",
        "n": 1,
        "half": 1.5,
        "score": None,
        "safe": True,
        "tags": ["a", None, "é"],
        "broken": "��",
        "info.author": "me",
    }
    assert json.loads(second)["title"] is None
    assert json.loads(second)["info.author"] is None
    assert "«title»".encode() in first


def test_a_field_is_null_where_what_it_is_in_is() -> None:
    inner = pa.array([{"bytes": b"a", "path": "p"}, {"bytes": b"hidden", "path": "p"}], IMAGE)
    rows = pa.RecordBatch.from_arrays(
        [pa.StructArray.from_arrays([inner], ["image"], mask=pa.array([False, True]))], names=["data"]
    )

    assert take(rows, ("data", "image", "bytes")).to_pylist() == [b"a", None]


def test_a_type_of_somebodys_own_is_what_it_is_stored_as() -> None:
    column = pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "caption", "someone"), pa.array(["a", None]))
    rows = pa.RecordBatch.from_arrays([column], names=["title"])

    assert choose({"image": [b"a", b"b"], "title": column}).metadata == (("title",),)
    assert [json.loads(one) for one in read_metadata(rows, (("title",),))] == [{"title": "a"}, {"title": None}]
