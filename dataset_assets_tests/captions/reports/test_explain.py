import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.captions.reports.explain import Explanation, ShownFinding, explain_image
from dataset_assets.captions.select import select_captions
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DatasetError
from dataset_assets.images.crops import make_crops
from dataset_assets.records import sample_key
from dataset_assets.sources.scan import scan_sources
from dataset_assets.storage.parquet import read_table
from dataset_assets_tests.captions.asked import chat, list_samples, photos, say, waterfall
from dataset_assets_tests.datasets import LANDSCAPE, TINY, add_photo, caption, on_disk, partition_keys, settings_in
from dataset_assets_tests.photos import encoded, jpeg, photo

A, B = "caption_a", "caption_b"
SIDECAR: dict[str, Any] = {"name": "caption_sidecar"}


@contextmanager
def opened(folder: Path, *variants: dict[str, Any], **others: Any) -> Iterator[Dataset]:
    with open_dataset(settings_in(folder, captions=waterfall(*variants, **others))) as dataset:
        yield dataset


def statuses(explanation: Explanation) -> list[tuple[str, str, int | None, bool]]:
    return [(one.variant, one.said.status, one.selector, one.won) for one in explanation.captions]


def test_an_image_and_all_that_was_said_of_it(built: Path) -> None:
    with opened(built, chat(A), chat(B), SIDECAR) as dataset:
        refused = say(dataset, A, {"002.jpg": "I cannot."}, status="refused", detail="by itself", created_at=1.5)
        won = say(dataset, B, {"002.jpg": "A hill in the sun."})
        sample = list_samples(dataset)["002.jpg"]
        one = explain_image(dataset, "002.jpg")

    assert (one.image_id, one.key, one.source, one.uri) == ("002.jpg", sample_key("002.jpg"), "folder", "002.jpg")
    assert (one.width, one.height, one.removed, one.no_crop) == (104, 72, False, "")
    assert (one.bucket_id, one.slot, one.shard) == ("p1216x832", sample["slot"], sample["slot"] // 4)
    assert one.partition == f"p1216x832_{one.shard // 2 * 2:06d}-{one.shard // 2 * 2 + 1:06d}"
    assert (one.variant, one.selector_index, one.caption_source, one.drop) == (B, 1, won.id, "")
    assert one.text == "A hill in the sun."
    assert one.why == "selector 1 (caption_b) gave it: selector 0 (caption_a) refused"
    assert statuses(one) == [(A, "refused", 0, False), (B, "ok", 1, True), ("caption_sidecar", "ok", 2, False)]
    first = one.captions[0]
    assert (first.caption_source, first.backend, first.model) == (refused.id, "openai", "test/caption_a")
    assert (first.counts, first.current) == (True, True)
    assert first.findings == [ShownFinding(finding="refused", policy="fall_through", detail='"I cannot."')]
    said = first.said
    assert (said.text, said.detail, said.attempts, said.created_at) == ("I cannot.", "by itself", 1, 1.5)
    assert (said.finish_reason, said.provider, said.cost) == ("stop", "Someone", 0.000123)


def test_it_says_what_the_selection_stage_chooses(built: Path) -> None:
    chosen: dict[str, tuple[Any, ...]] = {}
    with opened(built, chat(A, ask=False), chat(B, ask=False), SIDECAR) as dataset:
        say(dataset, A, dict.fromkeys(photos(*range(12)), ""), status="refused")
        say(dataset, A, dict.fromkeys(photos(12, 13), "a placeholder"), status="placeholder")
        say(dataset, B, {name: f"This is {name}." for name in photos(*range(3, 9))})
        explained = {name: explain_image(dataset, name) for name in photos(*range(20))}
        names = {(sample["bucket_id"], sample["slot"]): name for name, sample in list_samples(dataset).items()}
        for key in partition_keys(dataset):
            for variant in dataset.settings.captions.in_turn:
                caption(dataset, variant, key)
            select_captions(dataset, key)
            for row in read_table(dataset.layout.selection(key)).to_pylist():
                name = names[key.rpartition("_")[0], row["slot"]]
                chosen[name] = (row["variant"], row["selector_index"], row["caption_source"], row["text"], row["drop"])

    assert chosen == {
        name: (one.variant, one.selector_index, one.caption_source, one.text, one.drop)
        for name, one in explained.items()
    }
    assert {one.selector_index for one in explained.values()} == {-1, 1, 2}
    assert {one.drop for one in explained.values()} == {"", "skipped_placeholder"}


def test_captions_that_count_no_more_are_shown_as_such(built: Path) -> None:
    with opened(built, {"name": "caption_title", "field": "title"}, chat(A)) as dataset:
        say(dataset, A, {"000.jpg": "A hill."})
        say(dataset, A, {"000.jpg": "An older hill."}, input_version="d" * 64)
        one = explain_image(dataset, "000.jpg")

    shown = {one.variant: (one.counts, one.selector, one.current) for one in one.captions}
    assert shown == {A: (True, 1, False), "caption_sidecar": (False, None, None)}
    assert [one.variant for one in one.captions] == [A, "caption_sidecar"]


def test_captions_that_no_selector_takes_come_last(built: Path) -> None:
    with opened(built, chat(B), SIDECAR, chat(A), priority=[{"variant": "caption_sidecar"}]) as dataset:
        say(dataset, B, {"000.jpg": "A hill."})
        one = explain_image(dataset, "000.jpg")

    assert statuses(one) == [("caption_sidecar", "ok", 0, True), (B, "ok", None, False)]
    assert one.captions[1].counts


def test_an_image_that_nothing_was_said_of(built: Path) -> None:
    with opened(built, chat(A)) as dataset:
        shutil.rmtree(on_disk(dataset.layout.selection("x").parent))  # no selection is needed
        one = explain_image(dataset, sample_key("001.jpg")[:12])

    assert one.image_id == "001.jpg"
    assert [caption.variant for caption in one.captions] == ["caption_sidecar"]
    assert (one.variant, one.selector_index, one.caption_source, one.text) == ("", -1, -1, "")
    assert one.why == "no selector has a caption for it, so it is exported without one: selector 0 (caption_a) has none"


def test_a_removed_image_keeps_its_captions(built: Path) -> None:
    (built / "raw" / "002.jpg").unlink()

    with opened(built, SIDECAR) as dataset:
        scan_sources(dataset)
        assign_buckets(dataset)
        one = explain_image(dataset, "002.jpg")

    assert (one.removed, one.bucket_id, one.partition, one.slot, one.shard) == (True, "", "", -1, -1)
    assert one.no_crop == "it was removed from its source"
    assert one.why == "it is not exported: it was removed from its source"
    assert statuses(one) == [("caption_sidecar", "ok", 0, False)]
    assert one.captions[0].current is None


def test_images_without_a_slot_say_why(built: Path) -> None:
    add_photo(built, "tiny.jpg", TINY)
    (built / "raw" / "empty.jpg").touch()

    with opened(built, SIDECAR) as dataset:
        scan_sources(dataset)
        unassigned = explain_image(dataset, "tiny.jpg")
        assign_buckets(dataset)
        tiny, empty = explain_image(dataset, "tiny.jpg"), explain_image(dataset, "empty.jpg")

    assert unassigned.no_crop == "it is in no bucket yet: build"
    assert tiny.no_crop == (
        "skipped_too_small: 20×20 pixels; the smallest bucket of its shape, p1024x1024, needs at least 64×64"
    )
    assert empty.no_crop == "skipped_empty_file: the file is empty"
    assert tiny.why == f"it is not exported: {tiny.no_crop}"


def test_a_duplicate_names_the_image_that_is_kept(built: Path) -> None:
    shutil.copy(built / "raw" / "000.jpg", built / "raw" / "a copy.jpg")

    with open_dataset(settings_in(built, duplicates={"exact": "drop"})) as dataset:
        scan_sources(dataset)
        assign_buckets(dataset)
        one, kept = (explain_image(dataset, name) for name in ("a copy.jpg", "000.jpg"))

    assert one.no_crop == "skipped_duplicate: its content is that of 000.jpg"
    assert kept.slot >= 0


def test_with_passthrough_what_is_no_jpeg_says_so(built: Path) -> None:
    (built / "raw" / "b.png").write_bytes(encoded(photo(*LANDSCAPE), "PNG"))

    with open_dataset(settings_in(built, images={"mode": "passthrough_jpeg"})) as dataset:
        scan_sources(dataset)
        assign_buckets(dataset)

        assert explain_image(dataset, "b.png").no_crop == "not_jpeg: it is PNG"


def test_before_there_are_crops(built: Path) -> None:
    add_photo(built, "new.jpg", caption="A new hill.")

    with opened(built, SIDECAR) as dataset:
        scan_sources(dataset)
        assign_buckets(dataset)
        for key in partition_keys(dataset):
            caption(dataset, dataset.settings.captions.variants[0], key)
        one = explain_image(dataset, "new.jpg")

    assert one.no_crop == "it is not made yet"
    assert (one.text, one.why) == ("A new hill.", "selector 0 (caption_sidecar) gave it")


def test_an_image_that_cannot_be_decoded(built: Path) -> None:
    (built / "raw" / "bad.jpg").write_bytes(jpeg(*LANDSCAPE, 99)[:-200])

    with opened(built, chat(A), SIDECAR) as dataset:
        scan_sources(dataset)
        assign_buckets(dataset)
        make_crops(dataset, partition_keys(dataset))
        one = explain_image(dataset, "bad.jpg")

    assert one.slot >= 0
    assert one.no_crop.startswith("decode_errors: ")
    assert one.why == f"it is not exported: {one.no_crop}"
    assert one.selector_index == -1


def test_an_unknown_image_is_an_error(built: Path) -> None:
    with opened(built, SIDECAR) as dataset, pytest.raises(DatasetError, match=r"there is no image 0021.jpg .* 002.jpg"):
        explain_image(dataset, "0021.jpg")
