import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset_assets.captions.reports.explain import explain_image
from dataset_assets.errors import StorageError
from dataset_assets.gallery.records import TEXT_LIMIT
from dataset_assets.gallery.stage import write_gallery
from dataset_assets.records import sample_key
from dataset_assets_tests.captions.asked import chat, say, waterfall
from dataset_assets_tests.datasets import LANDSCAPE, PORTRAIT, add_photo, build_library
from dataset_assets_tests.gallery.written import list_pictures, opened, read_gallery
from dataset_assets_tests.photos import encoded, photo

MODEL = "caption_model"
CAPTIONS: dict[str, Any] = waterfall(chat(MODEL, ask=False), {"name": "caption_sidecar"})


def write(folder: Path, **sections: Any) -> dict[str, dict[str, Any]]:
    """Return what the gallery of a built dataset says of its samples, by image_id."""
    with opened(folder, **sections) as dataset:
        write_gallery(dataset)
    return {sample["image_id"]: sample for sample in read_gallery(folder)["samples"]}


def test_a_sample_is_what_its_tar_holds(built: Path) -> None:
    samples = write(built)

    assert len(samples) == 20
    for one in samples.values():
        fields = json.loads(one["fields"])
        with (built / "out" / "export" / one["shard"]).open("rb") as file:
            members = file.read()
        assert fields["image_id"] == one["image_id"]
        assert one["key"] == sample_key(one["image_id"])
        assert (one["variant"], one["selector"]) == (fields["caption_variant"], fields["caption_selector_index"])
        assert (one["scale"], one["source_sha256"]) == (fields["crop"]["scale"], fields["source_sha256"])
        assert (one["quality"], one["subsampling"]) == (95, fields["jpeg"]["subsampling"])
        names = [f"{one['key']}.{extension}".encode() for extension in ("jpg", "txt", "json")]
        assert all(name in members for name in names)
    assert (samples["000.jpg"]["text"], samples["000.jpg"]["length"]) == ("photo number 0", 14)
    assert (samples["001.jpg"]["text"], samples["001.jpg"]["length"], samples["001.jpg"]["selector"]) == ("", 0, -1)
    assert (samples["000.jpg"]["source"], samples["000.jpg"]["uri"]) == ("folder", "000.jpg")


def test_the_box_is_where_the_crop_lies_in_its_source(built: Path) -> None:
    samples = write(built, images={"crop": {"strategy": "corner", "allowed_corners": [2, 3]}})

    assert samples["000.jpg"]["box"] == pytest.approx([0, 2 / 50, 1, 1])
    for one in samples.values():
        with Image.open(built / "raw" / one["uri"]) as source:
            left, top, right, bottom = (
                edge * side for edge, side in zip(one["box"], (source.width, source.height) * 2, strict=True)
            )
            part = source.resize((one["w"], one["h"]), Image.Resampling.BICUBIC, (left, top, right, bottom))
        with Image.open(built / "out" / "gallery" / one["large"]["path"]) as crop:
            assert crop.size == (one["w"], one["h"])
            difference = np.abs(np.asarray(part, np.int16) - np.asarray(crop, np.int16)).mean()
        assert difference < 12


def test_every_picture_is_there_with_its_size(built: Path) -> None:
    samples = write(built)

    pictures = list(list_pictures(list(samples.values())))
    assert len(pictures) == 60
    for picture in pictures:
        with Image.open(built / "out" / "gallery" / picture["path"]) as image:
            assert image.size == (picture["w"], picture["h"])


def test_a_source_is_shown_upright(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "turned.jpg"
    path.parent.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    path.write_bytes(encoded(photo(*LANDSCAPE), exif=exif))
    with opened(tmp_path) as dataset:
        build_library(dataset)

    (one,) = write(tmp_path).values()

    assert (one["src_w"], one["src_h"]) == (one["origin"]["w"], one["origin"]["h"]) == PORTRAIT
    assert one["w"] < one["h"]


def test_what_is_passed_through_is_shown_whole(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.jpg", (208, 144))
    images = {"mode": "passthrough_jpeg"}
    with opened(tmp_path, images=images) as dataset:
        build_library(dataset)

    (one,) = write(tmp_path, images=images).values()

    assert one["box"] == [0, 0, 1, 1]
    assert (one["w"], one["h"], one["quality"], one["subsampling"]) == (208, 144, 0, "source")
    assert (one["large"]["w"], one["large"]["h"]) == (208, 144)


def test_all_captions_and_why_one_won_are_those_of_captions_show(built: Path) -> None:
    with opened(built, captions=CAPTIONS) as dataset:
        say(dataset, MODEL, {"002.jpg": "I cannot."}, status="refused")
        say(dataset, MODEL, {"001.jpg": "A hill."}, created_at=1.5)
        build_library(dataset, force=True)
        explained = {name: explain_image(dataset, name) for name in ("000.jpg", "001.jpg", "002.jpg")}
    samples = {one["image_id"]: one for one in read_gallery(built)["samples"]}

    assert {name: one.why for name, one in explained.items()} == {name: samples[name]["why"] for name in explained}
    assert samples["002.jpg"]["why"] == "selector 1 (caption_sidecar) gave it: selector 0 (caption_model) refused"
    refused, sidecar = samples["002.jpg"]["captions"]
    assert (refused["variant"], refused["status"], refused["won"]) == (MODEL, "refused", False)
    assert (refused["model"], refused["findings"], refused["cost"]) == (f"test/{MODEL}", ["refused"], 0.000123)
    assert (sidecar["variant"], sidecar["won"], sidecar["selector"], sidecar["current"]) == (
        "caption_sidecar", True, 1, True,
    )  # fmt: skip
    assert [one["created_at"] for one in samples["001.jpg"]["captions"] if one["won"]] == [1.5]


def test_hostile_names_and_texts_are_kept_as_they_are_and_cut(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)> \u202egpj.\u2028%20&'`${}.jpg"
    text = '</script><script>alert("1")</script>' + "\u202e" + "word " * 200_000
    add_photo(tmp_path, name, caption=text)
    with opened(tmp_path) as dataset:
        build_library(dataset)

    (one,) = write(tmp_path).values()

    assert one["image_id"] == name
    assert one["length"] == len(text.rstrip())
    assert one["text"] == text[:TEXT_LIMIT]
    assert (one["captions"][0]["text"], one["captions"][0]["length"]) == (text[:TEXT_LIMIT], len(text.rstrip()))
    assert one["origin"] is not None


def test_sources_that_are_gone_or_others_cost_their_picture_alone(built: Path) -> None:
    (built / "raw" / "000.jpg").unlink()
    (built / "raw" / "001.jpg").write_bytes(b"not what it was")

    samples = write(built)

    assert {name for name, one in samples.items() if one["origin"] is None} == {"000.jpg", "001.jpg"}
    assert all((built / "out" / "gallery" / one["large"]["path"]).exists() for one in samples.values())


def test_a_whole_source_that_is_gone(built: Path) -> None:
    shutil.rmtree(built / "raw")

    assert {one["origin"] for one in write(built).values()} == {None}


def test_an_image_of_the_export_that_is_damaged_is_named(built: Path) -> None:
    with opened(built) as dataset:
        tar = built / "out" / "export" / "buckets" / "p1216x832" / "shard-000000.tar"
        data = bytearray(tar.read_bytes())
        data[512:600] = bytes(88)
        tar.write_bytes(data)

        with pytest.raises(StorageError, match=r"buckets/p1216x832/shard-000000.tar: the image of [0-9a-f]{64} is dam"):
            write_gallery(dataset)


def test_a_tar_that_is_gone(built: Path) -> None:
    with opened(built) as dataset:
        (built / "out" / "export" / "buckets" / "p1216x832" / "shard-000000.tar").unlink()

        with pytest.raises(StorageError, match=r"cannot read .*shard-000000.tar: No such file"):
            write_gallery(dataset)


def test_a_source_that_is_no_jpeg_is_shown_too(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "a.gif"
    path.parent.mkdir()
    path.write_bytes(encoded(photo(*LANDSCAPE), "GIF"))
    with opened(tmp_path) as dataset:
        build_library(dataset)

    (one,) = write(tmp_path).values()

    assert (one["origin"]["w"], one["origin"]["h"]) == LANDSCAPE
