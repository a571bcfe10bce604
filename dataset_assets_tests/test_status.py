import json
from pathlib import Path

import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.errors import StorageError
from dataset_assets.freshness import Verdict
from dataset_assets.stages import Stage, partition_stages
from dataset_assets.status import count_by_stage, judge_all, summarize
from dataset_assets_tests.commands import artifacts
from dataset_assets_tests.datasets import on_disk, partition_keys, settings_in


def test_before_any_build_everything_is_missing(tmp_path: Path) -> None:
    with open_dataset(settings_in(tmp_path)) as dataset:
        verdicts = judge_all(dataset)

    assert {stage for stage, _ in verdicts} == {
        Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS, Stage.MANIFEST, Stage.DATASET_CARD,
    }  # fmt: skip
    assert {verdict.state for verdict in verdicts.values()} == {"missing"}


def test_after_a_build_everything_is_fresh(built: Path) -> None:
    settings = settings_in(built)
    with open_dataset(settings) as dataset:
        counts, keys = count_by_stage(judge_all(dataset)), partition_keys(dataset)

    alone = (Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS, Stage.MANIFEST, Stage.DATASET_CARD)
    assert {stage: dict(count) for stage, count in counts.items()} == {
        **{stage: {"fresh": 1} for stage in alone},
        **{stage: {"fresh": len(keys)} for stage in partition_stages(settings)},
    }


def test_after_a_tar_was_deleted(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        on_disk(dataset.layout.tar("p1216x832", 2)).unlink()
        others = {key: verdict for key, verdict in judge_all(dataset).items() if not verdict.fresh}

    assert others == {
        (Stage.SHARDS, "p1216x832_000002-000003"): Verdict(
            "stale", "export/buckets/p1216x832/shard-000002.tar: No such file or directory"
        ),
        (Stage.SHARDS_INTACT, "p1216x832_000002-000003"): Verdict("stale", "shards is stale"),
        (Stage.MANIFEST, ""): Verdict("stale", "shards is stale"),
        (Stage.DATASET_CARD, ""): Verdict("stale", "manifest is stale"),
    }


def test_after_the_quality_was_changed(built: Path) -> None:
    with open_dataset(settings_in(built, images={"quality": 80})) as dataset:
        counts, keys = count_by_stage(judge_all(dataset)), partition_keys(dataset)

    stale = {stage: count["stale"] for stage, count in counts.items() if count["stale"]}
    assert stale == {
        Stage.RESIZED_CROPS: len(keys),
        Stage.CAPTION_SELECTION: len(keys),
        Stage.SHARDS: len(keys),
        Stage.SHARDS_INTACT: len(keys),
        Stage.MANIFEST: 1,
        Stage.DATASET_CARD: 1,
    }


def test_judging_changes_nothing(built: Path) -> None:
    before = artifacts(built / "out")

    with open_dataset(settings_in(built, images={"quality": 80})) as dataset:
        assert judge_all(dataset) == judge_all(dataset)

    assert artifacts(built / "out") == before


def test_a_summary_is_the_manifests(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        summary = summarize(dataset)
        manifest = json.loads(dataset.layout.manifest.read_bytes())
        tars = list(on_disk(dataset.layout.export).rglob("*.tar"))

    assert summary.export_id == manifest["export_id"]
    assert summary.counts == manifest["summary"]
    assert (summary.shards, summary.bytes) == (len(tars), sum(tar.stat().st_size for tar in tars))
    assert sum(bucket["count"] for bucket in summary.buckets.values()) == 20
    assert summary.buckets["p1216x832"] == {"w": 72, "h": 48, "count": 10, "shards": 3}
    assert summary.captions == {"caption_sidecar": {"ok": 10, "missing": 10}}


def test_no_export_no_summary(tmp_path: Path) -> None:
    with open_dataset(settings_in(tmp_path)) as dataset, pytest.raises(StorageError, match=r"manifest\.json"):
        summarize(dataset)
