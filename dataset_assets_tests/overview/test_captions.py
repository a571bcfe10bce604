from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dataset_assets.captions.sources import register_variants
from dataset_assets.catalog.captions import CaptionSource, SourceIdentity, put_captions, register_source
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DamagedError, OrderError
from dataset_assets.overview.captions import (
    bin_lengths,
    count_characters,
    count_selected,
    count_statuses,
    measure_lengths,
    name_selected,
)
from dataset_assets_tests.captions.captioned import seat
from dataset_assets_tests.datasets import settings_in

SIDECARS = {
    "variants": [{"name": "caption_sidecar"}, {"name": "caption_title", "field": "title"}],
    "priority": [{"variant": "caption_title"}, {"variant": "caption_sidecar"}],
}


def say(dataset: Dataset, source: CaptionSource, statuses: dict[int, str]) -> None:
    row = {"caption_source": source.id, "text": "", "detail": "", "input_version": "v", "created_at": 1.0}
    with dataset.catalog.writing() as connection:
        put_captions(connection, [row | {"image": image, "status": said} for image, said in statuses.items()])


def test_statuses_are_counted_by_variant(tmp_path: Path) -> None:
    with open_dataset(settings_in(tmp_path, captions=SIDECARS)) as dataset:
        assert count_statuses(dataset) == {}
        images = list(seat(dataset, "a", "b", "c").values())
        with dataset.catalog.writing() as connection:
            sources = register_variants(connection, dataset.settings.captions)
            gone = register_source(
                connection, SourceIdentity(variant="caption_gone", backend="sidecar", model="caption")
            )
            model = register_source(connection, SourceIdentity(variant="caption_vlm", backend="openai", model="m"))
        say(dataset, sources["caption_sidecar"], dict(zip(images, ("ok", "missing", "ok"), strict=True)))
        say(dataset, sources["caption_title"], {images[0]: "empty"})
        say(dataset, gone, {images[0]: "ok"})  # of files that nobody reads any more
        say(dataset, model, {images[1]: "refused"})

        assert count_statuses(dataset) == {
            "caption_sidecar": {"ok": 2, "missing": 1}, "caption_title": {"empty": 1}, "caption_vlm": {"refused": 1},
        }  # fmt: skip


def test_after_a_new_prompt_an_image_counts_once(tmp_path: Path) -> None:
    with open_dataset(settings_in(tmp_path, captions=SIDECARS)) as dataset:
        images = list(seat(dataset, "a", "b").values())
        with dataset.catalog.writing() as connection:
            old, new = (
                register_source(connection, SourceIdentity(variant="caption_vlm", backend="openai", model=model))
                for model in ("old", "new")
            )
        say(dataset, old, dict.fromkeys(images, "ok"))
        say(dataset, new, {images[0]: "refused"})

        assert count_statuses(dataset) == {"caption_vlm": {"refused": 1, "ok": 1}}


def test_samples_are_counted_by_the_variant_that_won(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        assert count_selected(dataset) == {"caption_sidecar": 10, "": 10}

    later = settings_in(built, captions=SIDECARS)  # what the export has is not what they say now
    with open_dataset(later) as dataset:
        assert count_selected(dataset) == {"caption_sidecar": 10, "": 10}


def test_before_an_export_nothing_is_selected(tmp_path: Path) -> None:
    with open_dataset(settings_in(tmp_path)) as dataset, pytest.raises(OrderError, match="manifest has not been made"):
        count_selected(dataset)


def test_selectors_of_one_variant_are_counted_together() -> None:
    variants = ["caption_a", "caption_b", "caption_a"]

    assert name_selected({"0": 5, "2": 2}, variants, 7) == {"caption_a": 7, "caption_b": 0}
    assert name_selected({"1": 1}, variants, 4) == {"caption_a": 0, "caption_b": 1, "": 3}
    assert name_selected({}, [], 0) == {}


def test_lengths_are_of_the_captions_in_the_tars(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        lengths = measure_lengths(dataset)

    counts = {lengths.edges[place]: count for place, count in enumerate(lengths.counts) if count}
    assert counts == {len("photo number 0"): 5, len("photo number 10"): 5}


def test_without_tars_there_are_no_lengths(tmp_path: Path) -> None:
    with open_dataset(settings_in(tmp_path)) as dataset:
        lengths = measure_lengths(dataset)

    assert (lengths.edges, lengths.counts) == ((), ())


def test_an_index_that_is_damaged_is_named(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        (built / "out" / "index" / "p1216x832" / "shard-000001.parquet").write_bytes(b"PAR1")

        with pytest.raises(DamagedError, match=r"shard-000001\.parquet was damaged and has been removed"):
            measure_lengths(dataset)


def test_characters_are_counted_and_not_bytes() -> None:
    assert count_characters(pa.table({"caption": ["", "ab", "日本語", "e\u0301"]})).tolist() == [0, 2, 3, 2]


def test_samples_without_a_caption_have_no_length() -> None:
    assert bin_lengths([np.array([0, 3]), np.array([0])]).counts == (0, 0, 0, 1)


def test_a_caption_of_a_megabyte_leaves_the_others_readable() -> None:
    usual = np.arange(100, 400)

    lengths = bin_lengths([usual, np.array([1_000_000])])

    assert lengths.edges[-1] <= 420
    assert sum(lengths.counts) == 301
    assert len(lengths.counts) <= 30


def test_all_captions_are_within_the_bins_where_none_is_far_out() -> None:
    lengths = bin_lengths([np.array([10, 20, 39])])

    assert lengths.edges[-1] > 39
    assert sum(lengths.counts) == 3
