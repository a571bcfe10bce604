"""The files beside the tars: there when the settings ask for them, as the tars are, and made good when they are not."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dataset_assets.catalog.state import Piece, load_pieces
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DamagedError, IncompleteError
from dataset_assets.progress import Silence
from dataset_assets.release import files
from dataset_assets.release.inspect import inspect_export
from dataset_assets.release.publish import write_manifest
from dataset_assets.shards.verify import verify
from dataset_assets.stages import Stage
from dataset_assets.status import judge_all
from dataset_assets.storage.layout import Layout
from dataset_assets.work import Work
from dataset_assets_tests.datasets import Built, add_photo, build_library, on_disk, settings_in

WIDE = "p1216x832"
BOTH = {"webshart": True}
NONE = {"samples": False, "charts": False}
CHARTS = [f"charts/{name}.png" for name in ("buckets", "captions", "kept", "sizes")]  # test_charts.py has the rest


@contextmanager
def opened(folder: Path, **release: bool) -> Iterator[Dataset]:
    with open_dataset(settings_in(folder, release=release)) as dataset:
        yield dataset


def build(folder: Path, **release: bool) -> Built:
    with opened(folder, **release) as dataset:
        return build_library(dataset)


def layout_of(folder: Path) -> Layout:
    return Layout(folder / "out")


def manifest(folder: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(layout_of(folder).manifest.read_bytes())
    return said


def listed(folder: Path) -> list[str]:
    return [file["path"] for file in manifest(folder).get("files", [])]


def beside(folder: Path) -> dict[str, int]:
    """Return the files beside the tars and when they were written."""
    export = layout_of(folder).export
    paths = [*export.glob("*.parquet"), *export.glob("buckets/*/*.json"), *export.glob("charts/*")]
    return {path.relative_to(export).as_posix(): path.stat().st_mtime_ns for path in sorted(paths)}


def faults(folder: Path) -> list[str]:
    return list(map(str, verify(layout_of(folder).export, workers=1, progress=Silence()).faults))


def recorded(folder: Path) -> dict[str, Piece]:
    with opened(folder) as dataset, dataset.catalog.reading() as connection:
        return {piece.path: piece for piece in load_pieces(connection, Stage.MANIFEST)}


def test_files_are_there_unless_they_are_not_wanted(built: Path) -> None:
    assert listed(built) == [*CHARTS, "samples.parquet"]
    with_files = manifest(built)
    tars = {path: path.stat().st_mtime_ns for path in on_disk(layout_of(built).export).rglob("*.tar")}

    remade = build(built, **NONE).remade

    assert remade == {("manifest", ""), ("dataset_card", "")}
    assert "files" not in manifest(built)
    assert beside(built) == {}
    assert faults(built) == []
    assert manifest(built)["export_id"] == with_files["export_id"]
    assert {path: path.stat().st_mtime_ns for path in tars} == tars
    assert list(recorded(built)) == ["export/manifest.json"]

    assert build(built).remade == remade
    assert manifest(built)["files"] == with_files["files"]


def test_each_tar_has_an_index_for_webshart_where_that_is_wanted(built: Path) -> None:
    remade = build(built, **BOTH).remade

    export = on_disk(layout_of(built).export)
    tars = sorted(path.relative_to(export).as_posix() for path in export.rglob("*.tar"))
    assert remade == {("manifest", ""), ("dataset_card", "")}
    assert listed(built) == [*(path.replace(".tar", ".json") for path in tars), *CHARTS, "samples.parquet"]
    assert list(beside(built)) == listed(built)
    assert faults(built) == []
    assert build(built, **BOTH).remade == set()

    build(built, **NONE)
    assert beside(built) == {}


def test_rows_of_the_table_are_those_of_the_indexes_in_order(built: Path) -> None:
    layout = layout_of(built)
    shards = [shard["path"] for bucket in manifest(built)["buckets"].values() for shard in bucket["shards"]]

    table = pq.read_table(layout.samples)

    indexes = [layout.index(path.split("/")[1], int(path[-10:-4])) for path in shards]
    assert table.to_pylist() == [row for index in indexes for row in pq.read_table(index).to_pylist()]
    assert len(table) == 20


def test_only_the_files_of_tars_that_changed_are_written(built: Path) -> None:
    build(built, **BOTH)
    before, numbers = beside(built), {path: piece.number for path, piece in recorded(built).items()}
    add_photo(built, "new.jpg", seed=99, caption="a new one")

    build(built, **BOTH)

    after = beside(built)
    changed = {path for path in after if after[path] != before.get(path)}
    assert changed == {f"buckets/{WIDE}/shard-000002.json", "samples.parquet", *CHARTS}
    assert {path: piece.number for path, piece in recorded(built).items()} == numbers
    assert faults(built) == []


def test_the_file_of_a_tar_that_is_gone_goes_with_it_and_a_new_one_gets_its_own(built: Path) -> None:
    build(built, **BOTH)
    for path in sorted((built / "raw").glob("*.jpg")):
        if int(path.stem) % 4 == 3:  # the squares
            path.unlink()
    for seed in range(4):
        add_photo(built, f"x{seed}.jpg", (320, 72), seed=seed)  # which come after all others

    build(built, **BOTH)

    assert not any("p1024x1024" in path for path in beside(built))
    assert any("p2048x512" in path for path in beside(built))
    numbers = [piece.number for piece in recorded(built).values()]
    assert len(set(numbers)) == len(numbers)
    assert faults(built) == []
    assert build(built, **BOTH).remade == set()


def lose(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def edit(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-20] + bytes(16) + data[-4:])


@pytest.mark.parametrize("damage", [lose, cut, edit])
@pytest.mark.parametrize("name", ["samples.parquet", "charts/sizes.png", f"buckets/{WIDE}/shard-000001.json"])
def test_a_damaged_file_is_found_and_written_again(built: Path, name: str, damage: Callable[[Path], None]) -> None:
    build(built, **BOTH)
    path, before = layout_of(built).export / name, beside(built)
    whole = path.read_bytes()
    damage(on_disk(path))

    with opened(built, **BOTH) as dataset:
        assert {key for key, verdict in judge_all(dataset).items() if not verdict.fresh} == {
            ("manifest", ""), ("dataset_card", ""),
        }  # fmt: skip
        assert any(name in fault for fault in inspect_export(dataset)) == (damage is not edit)
    assert {fault.partition(":")[0] for fault in faults(built)} == {name}
    build(built, **BOTH)

    assert path.read_bytes() == whole
    assert {other: time for other, time in beside(built).items() if other != name} == {
        other: time for other, time in before.items() if other != name
    }
    assert faults(built) == []


def test_a_file_that_was_touched_is_written_again(built: Path) -> None:
    os.utime(on_disk(layout_of(built).samples), ns=(1, 1))

    with opened(built) as dataset:
        assert judge_all(dataset)["manifest", ""].reason == "export/samples.parquet: touched since"
        build_library(dataset)
        assert judge_all(dataset)["manifest", ""].fresh


def test_a_damaged_index_stops_the_manifest_and_is_made_good_by_the_next_build(built: Path) -> None:
    layout = layout_of(built)
    index, tar = layout.index(WIDE, 1), layout.tar(WIDE, 1)
    whole, written = index.read_bytes(), tar.stat().st_mtime_ns
    place = pq.read_metadata(index).row_group(0).column(0)
    at = place.data_page_offset + place.total_compressed_size - 1
    on_disk(index).write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    on_disk(layout.samples).unlink()

    with pytest.raises(DamagedError, match=r"shard-000001\.parquet was damaged and has been removed: build again"):
        build(built)
    assert not layout.manifest.exists()

    built_again = build(built)

    assert built_again.count("written") == 0
    assert index.read_bytes() == whole
    assert tar.stat().st_mtime_ns == written
    assert faults(built) == []


def test_what_a_lost_catalog_made_is_removed(built: Path) -> None:
    layout = layout_of(built)
    strays = [
        layout.tar("p512x2048", 9),
        layout.tar("p512x2048", 9).with_suffix(".json"),
        layout.tar(WIDE, 0).with_suffix(".json"),
        layout.index("p512x2048", 9),
        layout.chart("of_an_earlier_version"),
    ]
    for stray in strays:
        on_disk(stray.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(on_disk(layout.tar(WIDE, 0)), on_disk(stray))
    mine = layout.export / "buckets" / "notes.json"
    on_disk(mine).touch()
    on_disk(layout.manifest).unlink()

    with opened(built) as dataset:
        write_manifest(dataset)

    assert not any(stray.exists() for stray in strays)
    assert mine.exists()  # it has no name of ours
    assert layout.tar(WIDE, 0).exists()
    assert layout.index(WIDE, 0).exists()


def test_without_images_no_file_is_left(built: Path) -> None:
    build(built, **BOTH)
    for path in (built / "raw").iterdir():
        path.unlink()
    add_photo(built, "tiny.jpg", (20, 20))

    with pytest.raises(IncompleteError, match="there is nothing to export"):
        build(built, **BOTH)

    assert [path for path in layout_of(built).root.glob("export/**/*") if path.is_file()] == []
    assert [path for path in layout_of(built).root.glob("index/**/*") if path.is_file()] == []


@pytest.mark.parametrize("step", ["strays removed", "first file written", "all files written", "manifest written"])
def test_a_manifest_never_lists_what_is_not_so(built: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build(built, **BOTH)
    release = {"webshart": True, "samples": step != "strays removed"}
    if release["samples"]:
        on_disk(layout_of(built).tar(WIDE, 1).with_suffix(".json")).unlink()
        os.utime(on_disk(layout_of(built).samples))
    with monkeypatch.context() as patch:
        match step:
            case "strays removed":
                patch.setattr(files, "_bring", die)
            case "first file written":
                patch.setattr(files, "write_samples", die)
            case "all files written":
                patch.setattr("dataset_assets.release.publish.build_manifest", die)
            case _:
                patch.setattr(
                    Work, "finish", lambda self, **_: die() if self.stage == Stage.MANIFEST else finish(self, **_)
                )
        with pytest.raises(KeyboardInterrupt):
            build(built, **release)

    assert layout_of(built).manifest.exists() == (step == "manifest written")
    build(built, **release)

    assert faults(built) == []
    assert listed(built) == list(beside(built))
    with opened(built, **release) as dataset:
        assert all(verdict.fresh for verdict in judge_all(dataset).values())


finish = Work.finish


def die(*_: object, **__: object) -> None:
    """Be killed."""
    raise KeyboardInterrupt
