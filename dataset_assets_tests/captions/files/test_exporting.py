import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dataset_assets.captions.files.exporting import export_captions
from dataset_assets.captions.files.formats import COLUMNS
from dataset_assets.captions.sources import register_variants
from dataset_assets.catalog.captions import record_answers
from dataset_assets.catalog.database import BATCH
from dataset_assets.catalog.images import update_images
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import SettingsError, StorageError
from dataset_assets_tests.captions.captioned import CHAT, HAND, PAID, answer, record, seat
from dataset_assets_tests.datasets import settings_in

FORMATS = ("out.parquet", "out.jsonl", "out.jsonl.gz")
OTHER = replace(PAID, variant="caption_other")


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(tmp_path, captions={"variants": [HAND, CHAT]})) as dataset:
        yield dataset


def load(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_says_everything(dataset: Dataset, tmp_path: Path, name: str) -> None:
    ids = seat(dataset, "a b/ü.jpg")
    text = 'one "two"\n\u2028 三 😀 \\'
    record(dataset, PAID, answer(ids["a b/ü.jpg"], text, "truncated", detail="cut off"))

    assert export_captions(dataset, tmp_path / name) == 1

    (row,) = load(tmp_path / name)
    assert row == {
        "image_id": "a b/ü.jpg",
        "source": "folder",
        "variant": "caption_chat",
        "backend": "openrouter",
        "model": "m/old",
        "system_prompt_sha256": "a" * 64,
        "user_prompt_sha256": "b" * 64,
        "parameters": '{"max_tokens":300}',
        "source_created_at": 1_600_000_000,
        "status": "truncated",
        "text": text,
        "detail": "cut off",
        "input_version": "c" * 64,
        "created_at": 1_700_000_000.25,
        "attempts": 1,
        "finish_reason": "stop",
        "provider": "Someone",
        "prompt_tokens": 300,
        "completion_tokens": 40,
        "cost": 0.000123,
        "latency": 0.1 + 0.2,
    }
    assert list(row) == COLUMNS.names


@pytest.mark.parametrize("name", FORMATS)
def test_rows_come_by_image_and_source_and_the_same_each_time(dataset: Dataset, tmp_path: Path, name: str) -> None:
    ids = seat(dataset, "a", "b", "c")
    with dataset.catalog.writing() as connection:
        update_images(connection, [{"id": ids["b"], "removed": True}])
    record(dataset, OTHER, answer(ids["c"], "c other"), answer(ids["a"], "a other"))
    record(dataset, PAID, *(answer(ids[image], f"{image} paid") for image in "cba"))
    first, again = tmp_path / "first" / name, tmp_path / "again" / name

    assert export_captions(dataset, first) == export_captions(dataset, again) == 5

    assert [row["text"] for row in load(first)] == ["a other", "a paid", "b paid", "c other", "c paid"]
    assert first.read_bytes() == again.read_bytes()


def test_variants_can_be_chosen(dataset: Dataset, tmp_path: Path) -> None:
    ids = seat(dataset, "a")
    record(dataset, PAID, answer(ids["a"], "paid"))
    record(dataset, OTHER, answer(ids["a"], "other"))

    counts = {
        variants: export_captions(dataset, tmp_path / "out.jsonl", variants=variants, overwrite=True)
        for variants in [("caption_other",), ("caption_hand",), ("caption_chat", "caption_other"), ()]
    }

    assert list(counts.values()) == [1, 0, 2, 2]
    assert [row["text"] for row in load(tmp_path / "out.jsonl")] == ["paid", "other"]
    with pytest.raises(SettingsError, match=r"^variant caption_none given; allowed: caption_chat, .*caption_other$"):
        export_captions(dataset, tmp_path / "more.jsonl", variants=["caption_none", "caption_chat"])
    assert not (tmp_path / "more.jsonl").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_of_nothing_has_no_rows(dataset: Dataset, tmp_path: Path, name: str) -> None:
    assert export_captions(dataset, tmp_path / name) == 0
    assert load(tmp_path / name) == []


def test_a_large_export_is_written_in_row_groups(dataset: Dataset, tmp_path: Path) -> None:
    ids = seat(dataset, *(f"{number:05d}" for number in range(BATCH + 10)))
    record(dataset, PAID, *(answer(row, f"of {name}") for name, row in ids.items()))

    assert export_captions(dataset, tmp_path / "out.parquet") == BATCH + 10

    with pq.ParquetFile(tmp_path / "out.parquet") as file:
        assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [BATCH, 10]
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"
        assert file.schema_arrow.equals(COLUMNS)
    assert [row["text"] for row in load(tmp_path / "out.parquet")] == [f"of {name}" for name in ids]


def test_a_file_that_is_there_is_not_overwritten_unasked(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("precious")

    with pytest.raises(StorageError, match="is there already"):
        export_captions(dataset, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "precious"
    export_captions(dataset, tmp_path / "out.jsonl", overwrite=True)
    assert (tmp_path / "out.jsonl").read_text() == ""


def test_another_format_is_refused_before_anything_is_written(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\*\.parquet, \*\.jsonl"):
        export_captions(dataset, tmp_path / "new" / "out.csv")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_a_place_that_cannot_be_written_to(dataset: Dataset, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")

    for path in (tmp_path / "file" / name, tmp_path / ("x" * 300 + name)):
        for overwrite in (False, True):
            with pytest.raises(StorageError, match=r"^cannot write"):
                export_captions(dataset, path, overwrite=overwrite)


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_that_breaks_off_leaves_nothing(dataset: Dataset, tmp_path: Path, name: str) -> None:
    ids = seat(dataset, "a")
    record(dataset, PAID, answer(ids["a"], "text"))
    with dataset.catalog.writing() as connection:
        connection.exec_driver_sql("UPDATE captions SET text = x'ff', cost = 'no number'")

    with pytest.raises((ValueError, TypeError)):
        export_captions(dataset, tmp_path / "new" / name)

    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_texts_of_prompts_stay_in_the_catalog(dataset: Dataset, tmp_path: Path, name: str) -> None:
    ids = seat(dataset, "a")
    with dataset.catalog.writing() as connection:
        source = register_variants(connection, dataset.settings.captions)["caption_chat"]
        record_answers(connection, source, [answer(ids["a"], "text")])

    export_captions(dataset, tmp_path / name)

    assert (source.system_prompt, source.user_prompt) == ("You are a system prompt.", "You are a user prompt.")
    (row,) = load(tmp_path / name)
    assert row["user_prompt_sha256"] == source.user_prompt_sha256
    assert "You are a" not in json.dumps(row)
    assert b"You are a" not in (tmp_path / name).read_bytes()
