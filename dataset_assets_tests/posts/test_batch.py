from pathlib import Path
from typing import Any

import pyarrow as pa

from dataset_assets.posts.batch import Fields, describe, make_batch, take_rows
from dataset_assets.posts.faults import Faults
from dataset_assets.settings import RecordSettings


def test_the_fields_that_are_read_are_those_that_are_joined_or_asked_each_once() -> None:
    variants = (
        {"name": "one", "join": ("b", "a"), "when": {"field": "kind", "equals": "x"}},
        {"name": "two", "join": ("a",), "when": {"field": "b", "equals": ""}},
    )
    settings = RecordSettings(paths=("a",), id="post", variants=variants)  # type: ignore[arg-type]

    assert Fields.of(settings) == Fields(id="post", names=("b", "a", "kind"))


def test_rows_become_columns(tmp_path: Path) -> None:
    fields = Fields(id="id", names=("a", "b"))

    with Faults("", tmp_path / "faults") as faults:
        batch = take_rows([(5, "x", None), None, (2**62, None, "y")], range(7, 10), fields, faults)
    empty = make_batch([], batch.lines[:0], fields)

    assert faults.counts == {"large_id": 1}
    assert (batch.ids.tolist(), batch.lines.tolist()) == ([5, 2**62], [7, 9])
    assert {name: text.to_pylist() for name, text in batch.texts.items()} == {"a": ["x", None], "b": [None, "y"]}
    assert (len(empty.ids), {name: len(text) for name, text in empty.texts.items()}) == (0, {"a": 0, "b": 0})


def test_values_are_called_what_json_calls_them() -> None:
    values: tuple[Any, ...] = (True, 1, 1.5, "", [], {}, pa.binary())

    assert [describe(value) for value in values] == [
        "a boolean",
        "a number",
        "a number",
        "a text",
        "a list",
        "an object",
        "of type binary",
    ]
