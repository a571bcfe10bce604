import base64
import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._serdes import serialize_value
from PIL import Image

from dataset_assets.defs.build import open_instance, run_build
from dataset_assets.progress import Silence
from dataset_assets.settings import Settings
from dataset_assets.storage.layout import Layout
from dataset_assets_tests import photos
from dataset_assets_tests.datasets import LANDSCAPE, PORTRAIT, SQUARE, add_photo, settings_in
from dataset_assets_tests.runs import INDEX, PARTITIONED, RELEASE, key_of, materialize

LARGEST = 150_000  # bytes of an event: the log keeps every one
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "| a | b |\n|---|---|\n![x](javascript:alert(1)) [y](https://example.org)",
    "\u202egnp.exe\u2066 \u05e9\u05dc\u05d5\u05dd \x1b[31m `code` **bold** &lt;b&gt;",
    "\U0001f408 \u732b " * 20_000,
)
SHAPES = (LANDSCAPE, PORTRAIT, SQUARE, (128, 64), (64, 128), (120, 56), (56, 120))
NAME = "<b>&'\"|`[x](y)\u202e \u732b.jpg"
PICTURE = re.compile(r"!\[([^\]]*)\]\(data:image/(jpeg|png);base64,([A-Za-z0-9+/=]+)\)")

# asset → the pictures in its event
PICTURES = {
    "raw_images": {"source_sizes", "left_out"},
    "bucket_assignments": {"images_by_bucket", "sizes_and_targets", "kept_area", "left_out"},
    "resized_crops": {"crops_seen"},
    "shards": {"samples_seen"},
    "near_duplicates": {"groups_seen"},
    "manifest": {"images_by_bucket", "captions", "captions_by_status", "left_out"},
}


def settings_of(folder: Path, **sections: Any) -> Settings:
    return settings_in(folder, **({"duplicates": {"near": True}, "gallery": {"enabled": False}} | sections))


@pytest.fixture(scope="module")
def _once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    for seed in range(28):
        add_photo(folder, f"{seed:02d} {NAME}", SHAPES[seed % len(SHAPES)], seed=seed, caption=HOSTILE[seed % 4])
    add_photo(folder, "twin.jpg", (208, 144), seed=0)
    (folder / "raw" / f"0 {NAME}").write_bytes(b"")
    for number, (_, data) in enumerate(photos.hostile().values()):
        (folder / "raw" / f"bad {number}.jpg").write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DAGSTER_HOME", raising=False)
        run_build(settings_of(folder), Silence())
    return folder


@pytest.fixture
def folder(_once: Path, tmp_path: Path) -> Path:
    """A built dataset of hostile names, captions and files, for the test alone."""
    return Path(shutil.copytree(_once, tmp_path / "hostile"))


@pytest.fixture
def instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(Layout(folder / "out")) as opened:
        yield opened


def events_of(instance: dg.DagsterInstance) -> list[dg.EventLogEntry]:
    """Return every event of every run, the newest run first."""
    return [record for run in instance.get_runs() for record in instance.all_logs(run.run_id)]


def said_of(instance: dg.DagsterInstance, stage: str) -> list[dict[str, dg.MetadataValue[Any]]]:
    """Return the metadata of every partition's newest event that has any."""
    records = instance.fetch_materializations(key_of(stage), limit=500).records
    found: dict[str | None, dict[str, Any]] = {}
    for record in records:
        event = record.asset_materialization
        if event is not None and (event.metadata.keys() & {"reused", "seen"}):
            found.setdefault(event.partition, dict(event.metadata))
    return list(found.values())


def texts_of(instance: dg.DagsterInstance, stage: str) -> list[str]:
    """Return all Markdown of every partition's newest event, in order."""
    return sorted(
        f"{name}: {value.value}"
        for metadata in said_of(instance, stage)
        for name, value in metadata.items()
        if isinstance(value, dg.MarkdownMetadataValue)
    )


def made(said: list[dict[str, dg.MetadataValue[Any]]]) -> list[dict[str, dg.MetadataValue[Any]]]:
    """Return what is said of partitions of which something is left, and of assets without partitions."""
    return [one for one in said if one.get("crops", one.get("samples", dg.MetadataValue.int(1))).value]


def pictures_in(metadata: dict[str, dg.MetadataValue[Any]]) -> dict[str, list[Image.Image]]:
    """Return the pictures of an event by the name of the entry that they are in."""
    found: dict[str, list[Image.Image]] = {}
    for name, value in metadata.items():
        if isinstance(value, dg.MarkdownMetadataValue) and (embedded := PICTURE.findall(value.value or "")):
            assert all(alt for alt, _, _ in embedded)
            found[name] = [Image.open(BytesIO(base64.b64decode(data))) for _, _, data in embedded]
    return found


def test_no_event_is_large(instance: dg.DagsterInstance) -> None:
    sizes = [len(serialize_value(event)) for event in events_of(instance)]

    assert len(sizes) > 100
    assert 20_000 < max(sizes) < LARGEST


@pytest.mark.parametrize("stage", PICTURES)
def test_an_asset_shows_its_pictures(instance: dg.DagsterInstance, stage: str) -> None:
    said = said_of(instance, stage)

    assert said
    for metadata in made(said):
        pictures = pictures_in(metadata)
        assert pictures.keys() == PICTURES[stage]
        for (picture,) in pictures.values():
            picture.load()
            assert 400 < picture.width < 1300


def test_texts_are_text(instance: dg.DagsterInstance) -> None:
    texts = [
        PICTURE.sub("", value.value or "")
        for stage in ("shards", "resized_crops", "near_duplicates")
        for metadata in said_of(instance, stage)
        for value in metadata.values()
        if isinstance(value, dg.MarkdownMetadataValue)
    ]

    captions = [text.strip() for text in texts if text.strip()]
    assert len(captions) == len(made(said_of(instance, "shards")))
    assert "<script>alert(1)" in "".join(captions)
    for text in captions:
        first, *lines, last = text.splitlines()
        assert first == f"{last}text"
        assert not any(last in line for line in lines)
        assert not set("\u202e\u2066\x1b") & set(text)


def test_numbers_are_numbers(instance: dg.DagsterInstance) -> None:
    (raw,) = said_of(instance, "raw_images")
    (assigned,) = said_of(instance, "bucket_assignments")
    (manifest,) = said_of(instance, "manifest")
    shards = said_of(instance, "shards")
    captions = said_of(instance, "captions/caption_sidecar")

    assert raw["dagster/row_count"].value == raw["seen"].value == raw["usable"].value + raw["dropped"].value
    assert manifest["images_exported"].value == sum(one["dagster/partition_row_count"].value for one in shards)
    assert manifest["images_seen"].value == raw["seen"].value
    assert manifest["dropped"].value == manifest["images_seen"].value - manifest["images_exported"].value
    assert all(isinstance(one["captioned_share"].value, float) for one in made(shards))
    assert sum(one["dagster/partition_row_count"].value for one in captions) == assigned["assigned"].value
    assert max(one["mean_length"].value for one in captions) > 1000
    assert {one["ok_share"].value for one in captions} >= {1.0}


def test_paths_lead_to_what_was_written(instance: dg.DagsterInstance) -> None:
    paths = {
        stage: value.value
        for stage in (*INDEX, *PARTITIONED, *RELEASE, "near_duplicates")
        for metadata in said_of(instance, stage)
        for value in metadata.values()
        if isinstance(value, dg.PathMetadataValue)
    }

    assert paths.keys() >= {
        "raw_images", "resized_crops", "caption_selection", "shards", "manifest", "near_duplicates",
    }  # fmt: skip
    assert all(path and Path(path).exists() for path in paths.values())


def test_what_is_reused_keeps_its_pictures_and_nothing_is_drawn(
    folder: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(folder)
    drawn: list[object] = []

    def draw(*given: object, **_: object) -> None:
        drawn.append(given)

    monkeypatch.setattr("dataset_assets.charts.dataset.draw", draw)
    monkeypatch.setattr("dataset_assets.previews.glimpse.draw_strip", draw)
    before = {stage: texts_of(instance, stage) for stage in PICTURES}

    assert materialize(settings, instance, *INDEX).success
    keys = instance.get_dynamic_partitions("bucket_shards")
    assert materialize(settings, instance, *PARTITIONED, keys=keys).success
    assert materialize(settings, instance, "near_duplicates", *RELEASE).success

    assert {stage: texts_of(instance, stage) for stage in PICTURES} == before
    assert all(
        said["reused"].value is True for stage in PICTURES for said in said_of(instance, stage) if "reused" in said
    )
    assert not drawn


def test_a_plan_that_is_announced_says_how_many_rows_it_has_and_where(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    records = instance.fetch_materializations(key_of("shard_plans"), limit=500).records
    events = {
        str(record.asset_materialization.partition): record.asset_materialization
        for record in records
        if record.asset_materialization
    }

    (assigned,) = said_of(instance, "bucket_assignments")
    rows = [plan.metadata["dagster/partition_row_count"].value for plan in events.values()]
    assert sum(count for count in rows if isinstance(count, int)) == assigned["assigned"].value
    assert all(Path(str(one.metadata["file"].value)).is_file() for one in events.values())


def test_without_charts_in_the_export_its_event_has_them_nevertheless(folder: Path) -> None:
    settings = settings_of(folder, release={"charts": False})

    run_build(settings, Silence())

    with open_instance(Layout(folder / "out")) as instance:
        (manifest,) = said_of(instance, "manifest")
    assert pictures_in(manifest).keys() == PICTURES["manifest"]
    assert not Layout(folder / "out").chart("buckets").exists()
