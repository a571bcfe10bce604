"""docs/sources.md: each example is built from what the page says is there, and gives what it says comes of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sqlalchemy import select

from dataset_assets.buckets.protos import PROTOS, make_buckets
from dataset_assets.catalog.schema import images, slots
from dataset_assets.dataset import open_dataset
from dataset_assets.errors import SourceError
from dataset_assets.images.near import find_near_duplicates
from dataset_assets.progress import Silence
from dataset_assets.settings import load_settings
from dataset_assets.shards.verify import verify
from dataset_assets.sources.folder import IMAGE_EXTENSIONS
from dataset_assets_tests.commands import run
from dataset_assets_tests.datasets import Built, build_library
from dataset_assets_tests.photos import encoded, photo
from dataset_assets_tests.sources.tarballs import make_tar, write_tar

PAGE = Path(__file__).parents[1] / "docs/sources.md"
EXPORT = "data/export"

_PART = re.compile(r"^#+ ([^\n]+)$|^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_GAP = re.compile(r"\s{2,}")
_PICTURE = re.compile(r"(?:(\S+) at )?(\d+)×(\d+)(?:, EXIF orientation (\d))?")
_SHORT = re.compile(r"without its last ([\d,]+) bytes")
_NOTHING = "–"  # in a table: null
_FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF"}
_ORIENTATION = 0x0112
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # as `datasets` writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example of the page: what is there, dataset.toml, and what the page's snippet prints after a build."""

    heading: str
    listing: str
    settings: str
    output: str


def parse_page() -> tuple[list[Example], list[str], list[str]]:
    """Return the examples, of which neighbours may share a listing, the snippets, and what is said word for word."""
    heading = listing = settings = ""
    examples, snippets, quoted = [], [], []
    for title, language, text in _PART.findall(PAGE.read_text()):
        if title:
            heading = title
        elif language == "python":
            snippets.append(text)
        elif language == "text":
            quoted.append(text)
        elif language == "toml":
            settings = text
        elif settings:
            examples.append(Example(heading=heading, listing=listing, settings=settings, output=text))
            settings = ""
        else:
            listing = text
    return examples, snippets, quoted


EXAMPLES, (SHOW_EXPORT, LOAD_PLANNED, SHOW_ALIKE), QUOTED = parse_page()


def find(heading: str) -> Example:
    """Return the only example under a heading."""
    (example,) = [one for one in EXAMPLES if one.heading == heading]
    return example


class Inputs:
    """Makes what is listed. Each picture is another one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pictures = 0
        self._made: dict[str, bytes] = {}

    def make(self, listing: str) -> None:
        """Make each file, with what is in it where lines under its own are indented."""
        for block in re.split(r"\n(?=\S)", listing.rstrip("\n")):
            (name, *said), *inside = [_GAP.split(line.strip()) for line in block.splitlines()]
            path, what = self._folder / name, "".join(said)
            path.parent.mkdir(parents=True, exist_ok=True)
            if what == "an export of":
                self._make_export(path, inside)
            elif path.suffix == ".tar":
                tar = make_tar([(member, self._make_file(member, content)) for member, content in inside])
                short = _SHORT.fullmatch(what)
                path.write_bytes(tar[: -int(short[1].replace(",", ""))] if short else tar)
            elif path.suffix == ".parquet":
                pq.write_table(self._make_table(*inside), path)
            else:
                path.write_bytes(self._make_file(name, what))

    def _make_file(self, name: str, what: str) -> bytes:
        if picture := _PICTURE.fullmatch(what):
            exif = Image.Exif()
            exif[_ORIENTATION] = int(picture[4] or 1)
            data = encoded(self._make_picture(picture), _FORMATS[name.rpartition(".")[2]], exif=exif)
        else:
            data = self._made[what.removeprefix("as ")] if what.startswith("as ") else what.encode()
        self._made[name] = data
        return data

    def _make_picture(self, described: re.Match[str]) -> Image.Image:
        size = int(described[2]), int(described[3])
        if described[1]:
            return Image.open(BytesIO(self._made[described[1]])).resize(size)
        self._pictures += 1
        return Image.fromarray(photo(*size, self._pictures))

    def _make_table(self, names: list[str], *rows: list[str]) -> pa.Table:
        table: dict[str, Any] = {name: list(cells) for name, cells in zip(names, zip(*rows, strict=True), strict=True)}
        table = {name: [*map(int, cells)] if all(map(str.isdigit, cells)) else cells for name, cells in table.items()}
        photos = [None if cell == _NOTHING else self._make_file("photo.jpg", cell) for cell in table["image"]]
        rows_of_images = [data and {"bytes": data, "path": None} for data in photos]
        return pa.table({**table, "image": pa.array(rows_of_images, _IMAGE)})

    def _make_export(self, path: Path, files: Iterable[list[str]]) -> None:
        home = f"made/{path.name}"
        self.make("".join(f"{home}/{name}  {what}\n" for name, what in files))
        build(self._folder / home, '[[sources]]\npath = "."')
        (self._folder / home / EXPORT).rename(path)


def build(folder: Path, settings: str = "") -> Built:
    """Build what the settings say, those that lie in the folder where none are given, and verify what comes of it."""
    if settings:
        (folder / "dataset.toml").write_text(settings)
    with open_dataset(load_settings(folder / "dataset.toml")) as dataset:
        built = build_library(dataset)
    assert verify(folder / EXPORT, workers=1, progress=Silence()).faults == ()
    return built


def make(folder: Path, example: Example) -> Path:
    """Make the inputs of an example and build it; return the folder."""
    Inputs(folder).make(example.listing)
    build(folder, example.settings)
    return folder


def show(folder: Path, snippet: str = SHOW_EXPORT) -> str:
    """Return what a snippet of the page prints of a build."""
    command = [sys.executable, "-c", snippet]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def read_samples(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of samples.parquet by image_id."""
    return {row["image_id"]: row for row in pq.read_table(folder / EXPORT / "samples.parquet").to_pylist()}


def read_slots(folder: Path) -> dict[str, int]:
    """Return the slot of every image that has one, by image_id."""
    with open_dataset(load_settings(folder / "dataset.toml")) as dataset, dataset.catalog.reading() as connection:
        found = select(images.c.image_id, slots.c.slot).join_from(slots, images)
        return {image_id: slot for image_id, slot in connection.execute(found)}


def digests(folder: Path) -> dict[str, str]:
    """Return the digests of an export's tars by their paths."""
    buckets = json.loads((folder / EXPORT / "manifest.json").read_text())["buckets"].values()
    return {shard["path"]: shard["sha256"] for bucket in buckets for shard in bucket["shards"]}


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.heading for example in EXAMPLES])
def test_an_example_gives_what_the_page_says(tmp_path: Path, example: Example) -> None:
    make(tmp_path, example)

    assert show(tmp_path) == example.output


def test_an_example_is_built_by_the_command_line_just_so(tmp_path: Path) -> None:
    example = find("Merging two exports")
    Inputs(tmp_path).make(example.listing)
    (tmp_path / "dataset.toml").write_text(example.settings)

    done, verified = run(tmp_path, "build"), run(tmp_path, "verify", EXPORT)

    assert (done.returncode, verified.returncode) == (0, 0), done.stderr + verified.stdout
    assert show(tmp_path) == example.output


def test_the_same_id_from_two_sources_names_both(tmp_path: Path) -> None:
    example = find("Merging two exports")
    Inputs(tmp_path).make(example.listing)

    with pytest.raises(SourceError) as caught:
        build(tmp_path, re.sub(r"prefix = .*\n", "", example.settings))

    assert f"{caught.value}\n" in QUOTED


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    example = find("Parquet")
    Inputs(tmp_path).make(example.listing)

    with pytest.raises(SourceError) as caught:
        build(tmp_path, example.settings.replace('id = "number"', 'id = "key"'))

    source, _, said = str(caught.value).partition(": ")
    assert source == f"source {tmp_path}/rows/train.parquet"
    assert f"{said}\n" in QUOTED


def test_a_tar_that_is_cut_off_says_where(tmp_path: Path) -> None:
    make(tmp_path, find("Damaged archives"))

    with open_dataset(load_settings(tmp_path / "dataset.toml")) as dataset, dataset.catalog.reading() as connection:
        found = select(images.c.detail).where(images.c.uri == "part-0.tar")
        detail = connection.execute(found).scalar_one()
    assert re.sub(r"(byte|last) \d+", r"\1 …", detail) + "\n" in QUOTED


def test_an_archive_that_lost_images_gives_them_new_slots_when_it_is_whole(tmp_path: Path) -> None:
    example = find("Damaged archives")
    whole = re.sub(r"  +without .*", "", example.listing)
    found = []
    for listing in (whole, example.listing, whole):
        Inputs(tmp_path).make(listing)
        build(tmp_path, example.settings)
        found.append(read_slots(tmp_path))

    assert found == [{"000": 0, "001": 0}, {"000": 0}, {"000": 0, "001": 1}]


def test_the_crops_are_those_of_the_table(tmp_path: Path) -> None:
    said = re.findall(r"^\| `(center|random|corner)` \| (−?\d+) \| (\d+) \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
    found = {}
    for number, example in enumerate(one for one in EXAMPLES if one.heading == "Crops"):
        folder = tmp_path / str(number)
        folder.mkdir()
        (row,) = read_samples(make(folder, example)).values()
        strategy = re.findall(r'strategy = "(\w+)"', example.settings)[0]
        found[strategy] = (row["crop_corner"], row["crop_x"], row["crop_y"])
    assert found == {name: tuple(int(cell.replace("−", "-")) for cell in cells) for name, *cells in said}


def test_what_is_passed_through_keeps_its_bytes(tmp_path: Path) -> None:
    make(tmp_path, find("Passing JPEGs through"))

    stored = {name: row["source_sha256"] for name, row in read_samples(tmp_path).items()}
    assert stored == {
        name: sha256((tmp_path / "photographs" / name).read_bytes()).hexdigest()
        for name in ("harbour.jpg", "square.jpg")
    }


def test_a_loader_gets_what_was_planned(tmp_path: Path) -> None:
    make(tmp_path, find("Passing JPEGs through"))

    assert show(tmp_path, LOAD_PLANNED) in QUOTED


def test_merged_exports_keep_the_bytes_of_their_jpegs(tmp_path: Path) -> None:
    make(tmp_path, find("Merging two exports"))

    before = set()
    for row in (row for name in ("cats", "dogs") for row in read_samples_of(tmp_path / "exports" / name)):
        with (tmp_path / "exports" / row["export"] / row["shard"]).open("rb") as tar:
            tar.seek(row["jpg_offset"])
            before.add(sha256(tar.read(row["jpg_size"])).hexdigest())
    assert {row["source_sha256"] for row in read_samples(tmp_path).values()} == before


def read_samples_of(export: Path) -> list[dict[str, Any]]:
    """Return the rows of an export's samples.parquet, each with the export's name."""
    return [{**row, "export": export.name} for row in pq.read_table(export / "samples.parquet").to_pylist()]


def test_images_that_look_alike_are_reported(tmp_path: Path) -> None:
    make(tmp_path, find("The same look"))

    with open_dataset(load_settings(tmp_path / "dataset.toml")) as dataset:
        find_near_duplicates(dataset)

    assert show(tmp_path, SHOW_ALIKE) in QUOTED


def test_the_same_photographs_give_the_same_tars_from_every_kind_of_source(tmp_path: Path) -> None:
    names = {f"{number}.jpg": size for number, size in enumerate([(900, 600), (640, 640), (600, 820)])}
    photos = {name: encoded(photo(*size, seed)) for seed, (name, size) in enumerate(names.items())}
    (tmp_path / "folder").mkdir()
    for name, data in photos.items():
        (tmp_path / "folder" / name).write_bytes(data)
    members = [(f"k{name}", data) for name, data in photos.items()]
    members += [(f"k{name[:-4]}.json", json.dumps({"id": name}).encode()) for name in photos]
    write_tar(tmp_path / "tars/a.tar", members)
    (tmp_path / "rows").mkdir()
    pq.write_table(pa.table({"image": [*photos.values()], "id": [*photos]}), tmp_path / "rows/a.parquet")
    (tmp_path / "first").mkdir()
    build(tmp_path / "first", '[[sources]]\npath = "../folder"\n[images]\nmode = "passthrough_jpeg"')

    kinds = {
        "folder": 'path = "../folder"',
        "tars": 'path = "../tars"\nid = "json"',
        "parquet": 'path = "../rows"\nid = "id"\nmetadata = ["id"]',
        "bucketed_shards": f'path = "../first/{EXPORT}"',
    }
    found = {}
    for kind, keys in kinds.items():
        (tmp_path / f"of {kind}").mkdir()
        build(tmp_path / f"of {kind}", f'[[sources]]\nkind = "{kind}"\n{keys}')
        found[kind] = digests(tmp_path / f"of {kind}")
    assert len(found["folder"]) == 3
    assert all(one == found["folder"] for one in found.values())


def test_what_the_page_says_of_archives_that_change(tmp_path: Path) -> None:
    make(tmp_path, find("Tars"))
    before = digests(tmp_path)

    os.utime(tmp_path / "tars/part-0.tar")
    touched = build(tmp_path)
    assert touched.count("encoded") == 2
    assert digests(tmp_path) == before

    shutil.rmtree(tmp_path / "data/listings")
    assert build(tmp_path).remade == set()

    (tmp_path / "tars/part-0.tar").rename(tmp_path / "tars/part-9.tar")
    renamed = build(tmp_path)
    assert (renamed.scan.state.report["added"], renamed.scan.state.report["removed"]) == (2, 2)


def test_the_page_names_every_extension_of_an_image() -> None:
    (said,) = re.findall(r"^Which extensions are an image's.*?\.", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", said)) == IMAGE_EXTENSIONS


def test_so_many_buckets_are_left_at_a_small_base() -> None:
    counts = re.findall(r"of the (\d+) protos, (\d+) at base (\d+)", PAGE.read_text())
    assert counts == [(str(len(PROTOS)), str(len(make_buckets([256], 32))), "256")]
