from pathlib import Path

import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.errors import OrderError
from dataset_assets.posts.summary import summarize_records
from dataset_assets.trainer.tars.stage import write_numbered_tars
from dataset_assets_tests.posts.given import choose_all, post, settings_for, to_lines, write


def test_every_row_and_every_caption_is_in_the_summary(tmp_path: Path) -> None:
    posts = [post(1, "a", "b"), post(2, "a", tags="t"), post(3, tags="t"), post(4), post(1, "c", "d", "t")]
    write(tmp_path / "a.jsonl", to_lines(posts) + b"[]\n" + b'{"id": "5"}\n' + b'{"id": 6, "tags": 7}\n')

    with open_dataset(settings_for(tmp_path, text_tars=["tags"])) as dataset:
        choose_all(dataset)
        for key in ("00-01", "02-03", "04-05", "06-07", "08-09"):
            write_numbered_tars(dataset, key)
        summary = summarize_records(dataset)

    assert (summary.files, summary.rows, summary.records, summary.ids) == (1, 8, 6, 5)
    assert summary.dropped == {"not_an_object": 1, "id_not_an_integer": 1}
    assert summary.noted == {"not_text": 1, "repeated_id": 1}
    assert summary.listed == str(tmp_path / "out/records/*/*.faults.jsonl")
    assert summary.sources == {"empty": 2, "summary": 1, "summary:partial": 1, "tags": 1}
    assert summary.tars == {"captions": 3, "tags": 3}
    assert summary.folder == str(tmp_path / "out" / "export_1k")
    assert summary.bytes == sum(path.stat().st_size for path in (tmp_path / "out" / "export_1k").rglob("*.tar"))


def test_without_a_build_there_is_no_summary(tmp_path: Path) -> None:
    with open_dataset(settings_for(tmp_path)) as dataset, pytest.raises(OrderError, match="caption_records has not"):
        summarize_records(dataset)
