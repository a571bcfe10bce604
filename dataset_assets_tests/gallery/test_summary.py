import json
from collections import Counter
from pathlib import Path

import pytest

from dataset_assets.errors import StorageError
from dataset_assets.gallery.summary import sum_up
from dataset_assets_tests.datasets import TINY, add_photo, build_library
from dataset_assets_tests.gallery.written import opened, read_gallery


def test_the_numbers_are_the_manifests(built: Path) -> None:
    add_photo(built, "tiny.jpg", TINY)
    with opened(built, shown=6) as dataset:
        build_library(dataset)
        manifest = json.loads(dataset.layout.manifest.read_bytes())
        tars = [path.stat().st_size for path in (built / "out" / "export").rglob("*.tar")]
    data = read_gallery(built)
    overview = data["overview"]

    assert (overview["name"], overview["export_id"]) == ("my-dataset", manifest["export_id"])
    assert (overview["format"], overview["image_mode"]) == ("bucketed_shards_v1", "reencode_jpeg")
    assert overview["created_at"] == manifest["created_at"]
    assert (overview["seen"], overview["exported"], overview["shown"]) == (21, 20, 6)
    assert overview["drops"] == {"skipped_too_small": 1}
    assert overview["drop_texts"].keys() == overview["drops"].keys()
    assert overview["bytes"] == sum(tars)
    assert [tuple(one.values()) for one in overview["buckets"]] == [
        ("p1216x832", 72, 48, 10, 3, 2),
        ("p1024x1024", 64, 64, 5, 2, 2),
        ("p832x1152", 48, 72, 5, 2, 2),
    ]
    shown = Counter(one["bucket_id"] for one in data["samples"])
    assert {one["id"]: one["shown"] for one in overview["buckets"]} == shown
    assert overview["priority"] == ["caption_sidecar"]
    assert overview["statuses"] == {"caption_sidecar": {"ok": 10, "missing": 10}}
    assert overview["selected"] == {"caption_sidecar": 10, "": 10}
    assert sum(overview["lengths"]["counts"]) == 10
    assert sum(overview["kept"]["counts"]) == 20
    assert sum(map(sum, overview["sizes"]["counts"])) == 21


def test_a_selector_is_named_with_what_narrows_it(built: Path) -> None:
    priority = [{"variant": "caption_sidecar", "backend": "sidecar", "model": "m"}]
    with opened(built, captions={"priority": priority}) as dataset:
        build_library(dataset)

    assert read_gallery(built)["overview"]["priority"] == ["caption_sidecar (sidecar, m)"]


def test_a_manifest_that_is_none(built: Path) -> None:
    with opened(built) as dataset:
        (built / "out" / "export" / "manifest.json").write_text("{}")

        with pytest.raises(StorageError, match="is not a manifest"):
            sum_up(dataset, [], None)
