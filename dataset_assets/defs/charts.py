"""Which charts an asset shows: numbers of overview/, drawn by charts/. When they are drawn is carry.py's to say."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from dataset_assets.charts.again import draw_once
from dataset_assets.charts.dataset import (
    draw_buckets,
    draw_captions,
    draw_drops,
    draw_kept,
    draw_sizes,
    draw_statuses,
)
from dataset_assets.dataset import Dataset
from dataset_assets.defs.pictures import show_picture
from dataset_assets.overview.captions import count_selected, count_statuses, measure_lengths
from dataset_assets.overview.images import has_crops, measure_kept, measure_sizes
from dataset_assets.release.manifest import load_manifest

Charts = dict[str, Any]  # metadata


def chart_sources(dataset: Dataset, report: Mapping[str, Any]) -> Charts:
    """Return the sizes of the sources' images, and what cannot be used; their buckets are still to be chosen."""
    sizes = replace(measure_sizes(dataset), targets=())
    return {"source_sizes": show_picture(draw_sizes(sizes), "Sizes of the sources' images")} | _chart_drops(
        report["drops"]
    )


def chart_buckets(dataset: Dataset, report: Mapping[str, Any]) -> Charts:
    """Return images by bucket, their sizes against those of the buckets, what crops keep of them, and what has none."""
    charts = {
        "images_by_bucket": show_picture(draw_once(draw_buckets, report["buckets"]), "Images by bucket"),
        "sizes_and_targets": show_picture(
            draw_once(draw_sizes, measure_sizes(dataset)), "Sizes of the sources' images, and of the buckets"
        ),
    }
    if has_crops(dataset.settings):
        kept = draw_once(draw_kept, measure_kept(dataset))
        charts["kept_area"] = show_picture(kept, "Share of each image's area that its crop keeps")
    return charts | _chart_drops(report["drops"])


def chart_release(dataset: Dataset, drops: Mapping[str, int]) -> Charts:
    """Return what is in the export and what is not; charts that lie in it are taken as they are."""

    def count_buckets() -> dict[str, int]:
        buckets: Any = load_manifest(dataset.layout.manifest)["buckets"]
        return {bucket_id: entry["count"] for bucket_id, entry in buckets.items()}

    buckets = _take(dataset, "buckets", lambda: draw_buckets(count_buckets()))
    captions = _take(dataset, "captions", lambda: draw_captions(count_selected(dataset), measure_lengths(dataset)))
    return {
        "images_by_bucket": show_picture(buckets, "Images by bucket"),
        "captions": show_picture(captions, "Captions by variant, and how long they are"),
        "captions_by_status": show_picture(draw_statuses(count_statuses(dataset)), "Captions by variant and status"),
    } | _chart_drops(drops)


def _take(dataset: Dataset, name: str, draw: Callable[[], bytes]) -> bytes:
    path = dataset.layout.chart(name)
    return path.read_bytes() if dataset.settings.release.charts and path.is_file() else draw()


def _chart_drops(drops: Mapping[str, int]) -> Charts:
    """Return images that were left out by reason; nothing where none was."""
    return {"left_out": show_picture(draw_drops(drops), "Images left out, by reason")} if any(drops.values()) else {}
