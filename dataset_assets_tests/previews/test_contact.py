from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from dataset_assets.dataset import open_dataset
from dataset_assets.errors import OrderError, StorageError
from dataset_assets.previews.contact import draw_export, write_sheet
from dataset_assets_tests.datasets import add_photo, build_library, on_disk, settings_in


def test_a_sheet_is_drawn_once_for_a_manifest(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        first = write_sheet(dataset)
        drawn = dataset.layout.contact_sheet.read_bytes()
        for tar in on_disk(dataset.layout.export).rglob("*.tar"):
            tar.rename(tar.with_suffix(".away"))  # it could not be drawn now
        again = write_sheet(dataset)

    assert (first.reused, again.reused) == (False, True)
    assert drawn == draw_export_of(built)


def draw_export_of(built: Path) -> bytes:
    """Return the contact sheet of an export whose tars were put away, after putting them back."""
    export = built / "out" / "export"
    for tar in export.rglob("*.away"):
        tar.rename(tar.with_suffix(".tar"))
    return draw_export(export, title="my-dataset")


def test_a_sheet_follows_the_export_and_its_name(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        write_sheet(dataset)
        before = dataset.layout.contact_sheet.read_bytes()
        add_photo(built, "new.jpg", seed=99)
        build_library(dataset)
        assert not write_sheet(dataset).reused
        after = dataset.layout.contact_sheet.read_bytes()
    with open_dataset(settings_in(built, dataset={"name": "another"})) as dataset:
        assert not write_sheet(dataset).reused
        named = dataset.layout.contact_sheet.read_bytes()

    assert len({before, after, named}) == 3


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"torn")])
def test_a_sheet_that_is_lost_or_torn_is_drawn_again(built: Path, damage: Callable[[Path], object]) -> None:
    with open_dataset(settings_in(built)) as dataset:
        write_sheet(dataset)
        before = dataset.layout.contact_sheet.read_bytes()
        damage(on_disk(dataset.layout.contact_sheet))

        assert not write_sheet(dataset).reused
        assert dataset.layout.contact_sheet.read_bytes() == before


def test_no_sheet_before_a_manifest(tmp_path: Path) -> None:
    with open_dataset(settings_in(tmp_path)) as dataset, pytest.raises(OrderError, match="manifest has not been made"):
        write_sheet(dataset)


def test_an_export_becomes_a_picture(built: Path) -> None:
    sheet = draw_export(built / "out" / "export", title="a [title] with “quotes” 日本")

    with Image.open(BytesIO(sheet)) as image:
        assert image.format == "PNG"
        assert len(set(image.convert("RGB").resize((64, 64)).get_flattened_data())) > 50  # there are photographs on it


def test_the_same_export_gives_the_same_bytes_and_another_title_others(built: Path) -> None:
    export = built / "out" / "export"

    assert draw_export(export, title="a") == draw_export(export, title="a")
    assert draw_export(export, title="a") != draw_export(export, title="b")


def test_it_needs_nothing_but_the_export(built: Path, tmp_path: Path) -> None:
    before = draw_export(built / "out" / "export", title="t")

    moved = (built / "out" / "export").rename(tmp_path / "elsewhere")
    (built / "out").rename(tmp_path / "gone")

    assert draw_export(moved, title="t") == before


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"manifest\.json"):
        draw_export(tmp_path, title="t")


def test_a_tar_that_is_not_there(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        tar = min(on_disk(dataset.layout.export).rglob("*.tar"))
        tar.unlink()

        with pytest.raises(StorageError, match=f"cannot read {tar}: No such file"):
            draw_export(dataset.layout.export, title="t")


@pytest.mark.parametrize("size", [0, 100, 700, 1500])
def test_a_tar_that_is_cut_off(built: Path, size: int) -> None:
    export = built / "out" / "export"
    tar = min(export.rglob("*.tar"))
    tar.write_bytes(tar.read_bytes()[:size])

    with pytest.raises(StorageError, match=tar.name):
        draw_export(export, title="t")


def test_an_image_that_is_damaged(built: Path) -> None:
    export = built / "out" / "export"
    for tar in export.rglob("*.tar"):
        data = bytearray(tar.read_bytes())
        data[512:600] = bytes(88)  # of the first image
        tar.write_bytes(data)

    with pytest.raises(StorageError, match="is damaged"):
        draw_export(export, title="t")
