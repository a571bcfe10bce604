import base64
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from dataset_assets.charts.dataset import draw_sizes
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.defs.charts import chart_buckets, chart_release, chart_sources
from dataset_assets.overview.images import measure_sizes
from dataset_assets.stages import Stage
from dataset_assets.status import load_report
from dataset_assets_tests.datasets import settings_in

LARGEST = 100_000  # bytes of an event's pictures: Base64 makes a third more of them


def sizes_of(charts: dict[str, dg.MarkdownMetadataValue]) -> dict[str, int]:
    """Return how many bytes each picture has."""
    return {name: len(picture_of(value)) for name, value in charts.items()}


def picture_of(value: dg.MarkdownMetadataValue) -> bytes:
    assert value.value is not None
    return base64.b64decode(value.value.split("base64,")[1].removesuffix(")"))


def test_sources_show_sizes_and_only_where_there_is_something_left_out_what(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        report = load_report(dataset, Stage.RAW_IMAGES)

        assert chart_sources(dataset, report).keys() == {"source_sizes"}
        some = chart_sources(dataset, {**report, "drops": {"decode_errors": 2, "not_jpeg": 0}})
        assert some.keys() == {"source_sizes", "left_out"}
        assert chart_sources(dataset, {**report, "drops": {"decode_errors": 0}}).keys() == {"source_sizes"}


def test_sources_are_shown_without_the_buckets_of_the_build_before(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        sources = chart_sources(dataset, load_report(dataset, Stage.RAW_IMAGES))["source_sizes"]
        buckets = chart_buckets(dataset, load_report(dataset, Stage.BUCKET_ASSIGNMENTS))["sizes_and_targets"]

        assert picture_of(sources) == draw_sizes(replace(measure_sizes(dataset), targets=()))
        assert picture_of(buckets) == draw_sizes(measure_sizes(dataset))
        assert picture_of(sources) != picture_of(buckets)


def test_as_many_buckets_and_reasons_as_there_are_fit_into_an_event(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        report = load_report(dataset, Stage.BUCKET_ASSIGNMENTS)
        buckets = {f"r1024_p{1000 + number}x{2000 - number}": 999_999 - number for number in range(640)}
        drops = dict.fromkeys(["skipped_too_small", "not_jpeg", "skipped_duplicate", "decode_errors"], 123_456)

        charts = chart_buckets(dataset, {**report, "buckets": buckets, "drops": drops})

    assert charts.keys() == {"images_by_bucket", "sizes_and_targets", "kept_area", "left_out"}
    assert sum(sizes_of(charts).values()) < LARGEST


def release_of(dataset: Dataset) -> dict[str, dg.MarkdownMetadataValue]:
    return chart_release(dataset, {"decode_errors": 1})


def test_charts_of_the_export_are_shown_as_they_lie_there(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        charts = release_of(dataset)

        assert charts.keys() == {"images_by_bucket", "captions", "captions_by_status", "left_out"}
        assert picture_of(charts["images_by_bucket"]) == dataset.layout.chart("buckets").read_bytes()
        assert picture_of(charts["captions"]) == dataset.layout.chart("captions").read_bytes()


@pytest.mark.parametrize("gone", [True, False])
def test_those_that_do_not_lie_there_are_drawn_alike(built: Path, gone: bool) -> None:
    with open_dataset(settings_in(built)) as dataset:
        before = release_of(dataset)
        for name in ("buckets", "captions"):
            path = Path(str(dataset.layout.chart(name)))
            path.unlink() if gone else path.write_bytes(b"of another time")
    with open_dataset(settings_in(built, release={"charts": gone})) as dataset:
        assert release_of(dataset) == before
