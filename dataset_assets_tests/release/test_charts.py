"""The pictures of an export: which there are, when they are drawn again, and that they show nothing but the export."""

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from dataset_assets.catalog.captions import put_captions
from dataset_assets.catalog.schema import caption_sources, images
from dataset_assets.catalog.state import load_pieces
from dataset_assets.dataset import open_dataset
from dataset_assets.release.charts import Chart, make_charts, name_charts
from dataset_assets.release.manifest import load_manifest
from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import TINY, add_photo, build_library, settings_in

NAMES = ("buckets", "sizes", "kept", "captions")
PASSTHROUGH = {"mode": "passthrough_jpeg"}


def build(folder: Path, **sections: Any) -> set[tuple[str, str]]:
    with open_dataset(settings_in(folder, **sections)) as dataset:
        return build_library(dataset).remade


def export_of(folder: Path) -> Path:
    return folder / "out" / "export"


def charts_of(folder: Path, **sections: Any) -> dict[str, Chart]:
    with open_dataset(settings_in(folder, **sections)) as dataset:
        with dataset.catalog.reading() as connection:
            tars = [piece for piece in load_pieces(connection, Stage.SHARDS) if piece.path]
        return {chart.name: chart for chart in make_charts(dataset, tars)}


def written(folder: Path) -> dict[str, int]:
    """Return the pictures of the export and when they were written."""
    return {path.stem: path.stat().st_mtime_ns for path in export_of(folder).glob("charts/*")}


def test_the_pictures_are_listed_with_what_they_are(built: Path) -> None:
    export = export_of(built)
    listed = {file["path"]: file for file in json.loads((export / "manifest.json").read_bytes())["files"]}

    for name in NAMES:
        data = (export / "charts" / f"{name}.png").read_bytes()
        entry = {"path": f"charts/{name}.png", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        assert listed[f"charts/{name}.png"] == entry
        assert Image.open(BytesIO(data)).format == "PNG"
    assert sorted(written(built)) == sorted(NAMES)


def test_the_card_shows_them(built: Path) -> None:
    card = (export_of(built) / "README.md").read_text("utf-8")

    assert [name for name in NAMES if f"](charts/{name}.png)" in card] == list(NAMES)


def test_pictures_are_made_unless_they_are_not_wanted(built: Path) -> None:
    card = export_of(built) / "README.md"
    before = load_manifest(card.with_name("manifest.json"))["export_id"]

    assert build(built, release={"charts": False}) == {("manifest", ""), ("dataset_card", "")}

    assert written(built) == {}
    assert not (card.parent / "charts").exists()
    assert "charts/" not in card.read_text("utf-8")
    assert load_manifest(card.with_name("manifest.json"))["export_id"] == before


def test_what_is_not_cropped_has_no_picture_of_what_crops_keep(built: Path) -> None:
    assert name_charts(settings_in(built, images=PASSTHROUGH)) == ("buckets", "sizes", "captions")
    assert name_charts(settings_in(built)) == NAMES

    build(built, images=PASSTHROUGH)

    assert sorted(written(built)) == ["buckets", "captions", "sizes"]


def test_they_show_what_the_export_has(built: Path) -> None:
    charts = charts_of(built)

    assert charts["buckets"].shown == {"p1216x832": 10, "p832x1152": 5, "p1024x1024": 5}
    assert sum(map(sum, charts["sizes"].shown["counts"])) == 20
    assert sum(charts["kept"].shown["counts"]) == 20
    selected, lengths = charts["captions"].shown
    assert selected == {"caption_sidecar": 10, "": 10}
    assert sum(lengths["counts"]) == 10


def test_they_show_nothing_of_what_is_left_out(built: Path) -> None:
    before = {name: chart.shown for name, chart in charts_of(built).items()}
    drawn, times = {name: chart.draw() for name, chart in charts_of(built).items()}, written(built)
    add_photo(built, "tiny.jpg", TINY)
    with open_dataset(settings_in(built)) as dataset, dataset.catalog.writing() as connection:
        source = connection.execute(caption_sources.select()).first()
        image = connection.execute(images.select()).first()
        assert source
        assert image
        row = {"detail": "", "input_version": "v", "created_at": 1.0, "caption_source": source.id}
        put_captions(connection, [row | {"image": image.id, "status": "refused", "text": "nobody may see this"}])

    assert ("manifest", "") in build(built)

    assert {name: chart.shown for name, chart in charts_of(built).items()} == before
    assert {name: chart.draw() for name, chart in charts_of(built).items()} == drawn
    assert written(built) == times


def test_only_those_are_drawn_again_that_show_something_else(built: Path) -> None:
    before = written(built)
    add_photo(built, "more.jpg", seed=99)  # as large as others, without a caption

    build(built)

    after = written(built)
    assert {name for name in after if after[name] != before[name]} == {"buckets", "sizes", "kept", "captions"}

    (built / "raw" / "000.txt").write_text("a number: zero")  # as long as before
    remade = build(built)
    assert ("shards", "p1216x832_000000-000001") in remade
    assert written(built) == after

    (built / "raw" / "000.txt").write_text("a longer caption than it was")
    build(built)
    last = written(built)
    assert {name for name in last if last[name] != after[name]} == {"captions"}


def test_the_same_export_has_the_same_pictures(built: Path) -> None:
    charts = charts_of(built)

    assert {name: chart.draw() for name, chart in charts.items()} == {
        name: (export_of(built) / "charts" / f"{name}.png").read_bytes() for name in NAMES
    }


def test_numbers_are_jsons(built: Path) -> None:
    shown = {name: chart.shown for name, chart in charts_of(built).items()}

    assert json.loads(json.dumps(shown)) == json.loads(json.dumps(shown, sort_keys=True))
    assert {type(count) for row in shown["sizes"]["counts"] for count in row} == {int}
