import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dataset_assets.errors import DamagedError
from dataset_assets.progress import Silence
from dataset_assets.shards.index import read_index
from dataset_assets.trainer.export import merging_export
from dataset_assets.trainer.output.merged import Form


def test_the_samples_come_in_the_order_of_the_indexes(built: Path, tmp_path: Path) -> None:
    paths = sorted((built / "out" / "index").rglob("*.parquet"))
    samples = [(path, len(list(read_samples(path)))) for path in paths]
    form = Form(dialect="jsonl", archive=False, numeric=False)
    with merging_export(samples, tmp_path, form, progress=Silence()) as merged:
        lines = merged.files["meta_merged.jsonl"].read_text().splitlines()
        keys = [line.split('"')[3] for line in lines]
        assert keys == [key for path in paths for key in read_samples(path)]
        assert merged.tally.ids == len(keys) == 20
        rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
        sizes = {tuple(json.loads(line)["train_resolution"]) for line in lines}
        assert sizes == {(72, 48), (48, 72), (64, 64)}
        for line, row in zip(map(json.loads, lines), rows, strict=True):
            size = [row["target_w"], row["target_h"]]
            assert line == {
                "id": row["key"], "tags": "", "caption": row["caption"], "train_resolution": size, "image_size": size
            }  # fmt: skip
        assert {row["caption"] for row in rows} == {"", *(f"photo number {seed}" for seed in range(0, 20, 2))}
    assert list(tmp_path.iterdir()) == [built]


def read_samples(path: Path) -> list[str]:
    """Return the keys of an index."""
    keys: list[str] = pq.read_table(path)["key"].to_pylist()
    return keys


def test_a_damaged_index_is_said(built: Path, tmp_path: Path) -> None:
    path = min((built / "out" / "index").rglob("*.parquet"))
    count = sum(len(table) for table in read_index(path, len(read_samples(path))))
    path.write_bytes(path.read_bytes()[:-9])
    with (
        pytest.raises(DamagedError, match=r"was damaged"),
        merging_export([(path, count)], tmp_path, Form(numeric=False), progress=Silence()),
    ):
        pass
    assert list(tmp_path.iterdir()) == [built]
