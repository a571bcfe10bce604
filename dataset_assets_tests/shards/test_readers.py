"""The public readers of WebDataset read an export as it is: with and without captions, streamed and not."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dataset_assets_tests.exports import Draft, make_draft

LOAD = """
import json, sys
from datasets import Image, load_dataset

loaded = load_dataset("webdataset", data_files=sys.argv[1], split="train", streaming=sys.argv[2] == "streaming")
loaded = loaded.cast_column("jpg", Image(decode=False))
print(json.dumps([row | {"jpg": len(row["jpg"]["bytes"])} for row in loaded]))
"""


def expected(draft: Draft) -> list[dict[str, Any]]:
    """Return what a reader should say of each sample, in the order of the tars."""
    rows = []
    for path in sorted(draft.tars):
        for (name, jpeg), (_, text), (_, fields) in draft.tars[path]:
            key = name.removesuffix(".jpg")
            rows.append({"__key__": key, "jpg": len(jpeg), "txt": text.decode(), "json": json.loads(fields)})
    return rows


@pytest.fixture
def drafts(tmp_path: Path) -> dict[str, Draft]:
    """Two exports under tmp_path: captions in most samples, and the first tar's samples without any."""
    drafts = {"captioned": make_draft(), "empty first": make_draft()}
    members = drafts["empty first"].tars[min(drafts["empty first"].tars)]
    for sample in members:
        fields = json.loads(sample[2][1])
        fields |= {"caption_variant": "", "caption_selector_index": -1, "caption_source_id": -1}
        sample[1:] = [(sample[1][0], b"\n"), (sample[2][0], json.dumps(fields).encode())]
    for name, draft in drafts.items():
        draft.write(tmp_path / name)
    return drafts


@pytest.mark.parametrize("mode", ["streaming", "prepared"])
@pytest.mark.parametrize("name", ["captioned", "empty first"])
def test_datasets_reads_an_export(name: str, mode: str, drafts: dict[str, Draft], tmp_path: Path) -> None:
    home = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / name / "buckets" / "*" / "shard-*.tar"), mode],
        env=os.environ | home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    columns = ("__key__", "jpg", "txt", "json")
    rows = [{column: row[column] for column in columns} for row in json.loads(done.stdout)]
    assert rows == expected(drafts[name])


# webdataset leaves the last tar to the garbage collector.
@pytest.mark.filterwarnings(r"ignore:Exception ignored in. <_io\.FileIO:pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_an_export(drafts: dict[str, Draft], tmp_path: Path) -> None:
    import webdataset

    urls = sorted(map(str, (tmp_path / "captioned").rglob("shard-*.tar")))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
    rows = expected(drafts["captioned"])
    assert [(sample["__key__"], sample["txt"], sample["json"]) for sample in samples] == [
        (row["__key__"], row["txt"], row["json"]) for row in rows
    ]
    gc.collect()  # here, where the warning is expected
    assert [sample["jpg"].size for sample in samples] == [(row["json"]["w"], row["json"]["h"]) for row in rows]
