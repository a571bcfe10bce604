import json
import os
import pickle
import random
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.captions.sidecar import read_captions
from dataset_assets.catalog.captions import CaptionStatus, seated_captions
from dataset_assets.catalog.images import known_images
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DropReason, SampleError, SourceError
from dataset_assets.images.crops import make_crops
from dataset_assets.images.store import read_crops
from dataset_assets.settings import SidecarSettings
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.plan import write_plan
from dataset_assets.sources.base import LARGEST_SIDECAR, Listed, split_sidecars
from dataset_assets.sources.parquet import source as parquet
from dataset_assets.sources.parquet.columns import ColumnRule
from dataset_assets.sources.parquet.rows import Row, read_rows
from dataset_assets.sources.parquet.source import ParquetSource
from dataset_assets.sources.scan import scan_sources
from dataset_assets.sources.slices import Handle
from dataset_assets_tests import children
from dataset_assets_tests.datasets import add_photos, on_disk, partition_keys, settings_in
from dataset_assets_tests.sources.tables import IMAGE, images, noise, write

COLUMN = noise(25, 3000)
IDS = [f"id {row}" for row in range(len(COLUMN))]


def source_of(path: Path, prefix: str = "", **rule: Any) -> ParquetSource:
    return ParquetSource(path=path, listings=path.parent / "listings", prefix=prefix, rule=ColumnRule(**rule))


def listing(source: ParquetSource) -> tuple[list[Listed], Counter[str]]:
    ignored: Counter[str] = Counter()
    return list(source.list_images(ignored)), ignored


def faults(listed: list[Listed]) -> list[str]:
    return [one.fault[1] if one.fault else "" for one in listed]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def test_every_row_of_every_file_is_offered_in_a_fixed_order(raw: Path) -> None:
    write(raw / "b.parquet", {"image": COLUMN[:2]})
    write(raw / "a.PARQUET", {"image": images(COLUMN[2:4])})
    write(raw / "train" / "00000-of-00001.parquet", {"image": COLUMN[4:6]})
    for name in ("README.md", "data.json", "c.parquet.tmp", ".hidden.parquet", ".cache/d.parquet", "e.csv", "f"):
        (raw / name).parent.mkdir(exist_ok=True)
        (raw / name).write_text("something else")
    source = source_of(raw, prefix="set/")

    listed, ignored = listing(source)

    assert [(one.uri, one.image_id) for one in listed] == [
        ("a.PARQUET#0", "set/a/0"),
        ("a.PARQUET#1", "set/a/1"),
        ("b.parquet#0", "set/b/0"),
        ("b.parquet#1", "set/b/1"),
        ("train/00000-of-00001.parquet#0", "set/train/00000-of-00001/0"),
        ("train/00000-of-00001.parquet#1", "set/train/00000-of-00001/1"),
    ]
    assert [source.read(one.uri, one.version) for one in listed] == [*COLUMN[2:4], *COLUMN[:2], *COLUMN[4:6]]
    assert [one.size for one in listed] == [len(value) for value in (*COLUMN[2:4], *COLUMN[:2], *COLUMN[4:6])]
    assert ignored == {"md": 1, "json": 1, "csv": 1, "": 1}


def test_the_path_may_be_one_file(raw: Path) -> None:
    path = write(raw / "images.pq", {"image": COLUMN})
    write(raw / "other.parquet", {"image": COLUMN})
    source = source_of(path)

    listed, ignored = listing(source)

    assert [one.uri for one in listed] == [f"images.pq#{row}" for row in range(len(COLUMN))]
    assert listed[3].image_id == "images/3"
    assert [source.read(one.uri, one.version) for one in listed] == COLUMN
    assert ignored == {}


def test_what_we_make_ourselves_is_left_alone(raw: Path) -> None:
    write(raw / "a.parquet", {"image": COLUMN[:1]})
    write(raw / "crops" / "shard.parquet", {"image": COLUMN[:1]})
    source = ParquetSource(path=raw, listings=raw / "listings", skip=(raw / "crops", raw / "listings"))

    assert [[one.uri for one in listing(source)[0]] for _ in range(2)] == [["a.parquet#0"]] * 2


def test_ids_are_the_columns_in_nfc_with_their_prefix(raw: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "é")
    write(raw / "a.parquet", {"key": [decomposed, "b", None, ""], "image": COLUMN[:4]})

    listed, _ = listing(source_of(raw, prefix="p-", id="key"))

    assert [one.image_id for one in listed] == ["p-é", "p-b", "p-a/2", "p-a/3"]
    assert faults(listed) == ["", "", "no id in this row", "the id is empty"]
    assert {one.fault[0] for one in listed if one.fault} == {DropReason.UNREADABLE}


def test_whole_numbers_are_ids_and_others_are_not(raw: Path) -> None:
    write(raw / "a.parquet", {"key": [7, 10**15], "image": COLUMN[:2]})
    write(raw / "b.parquet", {"key": [7.0, 8.0], "image": COLUMN[:2]})

    listed, _ = listing(source_of(raw, id="key"))

    assert [one.image_id for one in listed] == ["7", "1000000000000000", "b/0", "b/1"]
    assert faults(listed)[2:] == ["the id is double; allowed: text and whole numbers"] * 2


def test_metadata_is_the_json_beside_each_image(raw: Path) -> None:
    columns = {"id": IDS, "image": COLUMN, "title": [f"a «{row}»" for row in IDS], "n": range(len(IDS))}
    write(raw / "a.parquet", columns, row_group_size=10)
    source = source_of(raw, id="id")

    listed, _ = listing(source)

    chosen = random.Random(1).sample(listed, len(listed))
    for one in chosen:
        ((extension, version),) = split_sidecars(one.sidecars).items()
        data = source.read_sidecar(one.uri, extension, version)
        row = IDS.index(one.image_id)
        assert extension == "json"
        assert json.loads(data or b"") == {"title": f"a «id {row}»", "n": row}


def test_named_metadata_is_all_there_is(raw: Path) -> None:
    write(raw / "a.parquet", {"image": COLUMN[:1], "title": ["t"], "n": [1]})
    source = source_of(raw, metadata=("n",))
    ((one,), _) = listing(source)

    assert source.read_sidecar(one.uri, "json", split_sidecars(one.sidecars)["json"]) == b'{"n": 1}'
    assert listing(source_of(write(raw / "b" / "b.parquet", {"image": COLUMN[:1]})))[0][0].sidecars == ""


def test_metadata_that_is_too_long_shows_that(raw: Path) -> None:
    write(raw / "a.parquet", {"image": COLUMN[:1], "title": ["x" * (2 * LARGEST_SIDECAR)]})
    source = source_of(raw)
    ((one,), _) = listing(source)

    data = source.read_sidecar(one.uri, "json", split_sidecars(one.sidecars)["json"])

    assert len(data or b"") == LARGEST_SIDECAR + 1


def test_metadata_has_another_version_when_its_file_or_its_columns_are_others(raw: Path) -> None:
    write(raw / "a.parquet", {"image": COLUMN[:1], "title": ["one"], "other": ["two"]})
    first = listing(source_of(raw, metadata=("title",)))[0][0]
    other = listing(source_of(raw, metadata=("other",)))[0][0]
    write(raw / "a.parquet", {"image": COLUMN[:1], "title": ["two"], "other": ["two"]})
    os.utime(raw / "a.parquet", (0, 1))
    later = listing(source_of(raw, metadata=("title",)))[0][0]

    assert len({first.sidecars, other.sidecars, later.sidecars}) == 3
    assert first.version == other.version != later.version


def test_metadata_that_is_kept_no_more_is_said_and_comes_back(raw: Path) -> None:
    write(raw / "a.parquet", {"image": COLUMN[:1], "title": ["t"]})
    source = source_of(raw)
    ((one,), _) = listing(source)
    version = split_sidecars(one.sidecars)["json"]
    for path in source.listings.iterdir():
        on_disk(path).unlink()

    with pytest.raises(OSError, match="scan the source again"):
        source.read_sidecar(one.uri, "json", version)
    with pytest.raises(OSError, match="scan the source again"):
        source.read_sidecar(one.uri, "json", "12-34")  # of another kind of source, under the same name
    assert listing(source)[0] == [one]
    assert source.read_sidecar(one.uri, "json", version) == b'{"title": "t"}'


def test_a_file_that_did_not_change_is_not_opened_again(raw: Path) -> None:
    path = write(raw / "a.parquet", {"image": images(COLUMN), "title": IDS})
    source = source_of(raw)
    first, _ = listing(source)
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert listing(source)[0] == first


def test_of_a_file_that_changed_or_went_nothing_old_is_kept(raw: Path) -> None:
    for name in "abc":
        write(raw / f"{name}.parquet", {"image": COLUMN[:2], "title": IDS[:2]})
    source = source_of(raw)
    listing(source)
    before = {path.name for path in source.listings.iterdir()}

    write(raw / "a.parquet", {"image": COLUMN[2:4], "title": IDS[:2]})
    os.utime(raw / "a.parquet", (0, 1))
    (raw / "b.parquet").unlink()
    listed, _ = listing(source)

    after = {path.name for path in source.listings.iterdir()}
    assert (len(before), len(after), len(before & after)) == (6, 4, 2)
    assert [source.read(one.uri, one.version) for one in listed] == [*COLUMN[2:4], *COLUMN[:2]]


def test_paths_are_of_files_beside_the_parquet_file_or_anywhere(raw: Path, tmp_path: Path) -> None:
    files = {"sub/photos/a #1.jpg": b"one", "sub/100%.jpg": b"two", "b.jpg": b"three"}
    for name, data in files.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(data)
    (tmp_path / "far.jpg").write_bytes(b"four")
    (raw / "sub" / "folder.jpg").mkdir()
    names = ["photos/a #1.jpg", "100%.jpg", "../b.jpg", f"{tmp_path}/far.jpg", "gone.jpg", "folder.jpg", "x" * 5000]
    write(raw / "sub" / "a.parquet", {"image": names})
    source = source_of(raw)

    listed, _ = listing(source)

    assert faults(listed) == ["", "", "", "", "No such file or directory", "not a regular file", "File name too long"]
    assert [one.size for one in listed] == [3, 3, 5, 4, 0, 0, 0]
    assert [source.read(one.uri, one.version) for one in listed[:4]] == [b"one", b"two", b"three", b"four"]
    with source.open(listed[0].uri, listed[0].version) as file:
        assert file.read() == b"one"


def test_an_image_in_a_file_of_its_own_changes_by_itself(raw: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (raw / name).write_bytes(b"one")
    write(raw / "a.parquet", {"image": ["a.jpg", "b.jpg"]})
    source = source_of(raw)
    before, _ = listing(source)

    (raw / "a.jpg").write_bytes(b"other")
    write(raw / "a.parquet", {"image": ["a.jpg", "b.jpg", "a.jpg"]})
    after, _ = listing(source)

    assert [one.version == other.version for one, other in zip(before, after, strict=False)] == [False, True]
    with pytest.raises(SampleError) as caught:
        source.read(before[0].uri, before[0].version)
    assert caught.value.reason == DropReason.SOURCE_CHANGED
    assert source.read(before[1].uri, before[1].version) == b"one"


def test_bytes_paths_urls_and_nothing_in_one_column(raw: Path) -> None:
    (raw / "b.jpg").write_bytes(b"outside")
    values = [
        {"bytes": b"inside", "path": "a.jpg"},
        {"bytes": None, "path": "b.jpg"},
        {"bytes": None, "path": "http://example.org/c.jpg"},
        None,
    ]
    write(raw / "a.parquet", {"image": pa.array(values, IMAGE)})
    source = source_of(raw)

    listed, _ = listing(source)

    assert faults(listed) == ["", "", "is a URL", "no image in this row"]
    assert [source.read(one.uri, one.version) for one in listed[:2]] == [b"inside", b"outside"]


@pytest.mark.parametrize(
    "name", ["with space.parquet", "hash#1.parquet", "100%41.parquet", "é 😀.parquet", "a:b.parquet"]
)
def test_any_name_is_listed_and_read(raw: Path, name: str) -> None:
    write(raw / f"sub {name}" / name, {"image": COLUMN[:2]})
    source = source_of(raw)

    listed, _ = listing(source)

    assert [one.image_id for one in listed] == [f"sub {name}/{name.removesuffix('.parquet')}/{row}" for row in (0, 1)]
    assert [source.read(one.uri, one.version) for one in listed] == COLUMN[:2]


def test_a_name_that_is_no_utf8(raw: Path) -> None:
    plain = write(raw / "a.parquet", {"image": COLUMN[:1]})
    plain.rename(os.fsdecode(os.fsencode(raw) + b"/\xff.parquet"))
    source = source_of(raw)

    ((one,), _) = listing(source)

    assert (one.uri, one.image_id) == ("%FF.parquet#0", r"\xff/0")
    assert source.read(one.uri, one.version) == COLUMN[0]


def test_a_file_from_before_1970(raw: Path) -> None:
    os.utime(write(raw / "a.parquet", {"image": COLUMN}), ns=(-(10**18), -(10**18)))
    source = source_of(raw)

    assert [source.read(one.uri, one.version) for one in listing(source)[0]] == COLUMN


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no Parquet at all" * 9, b"PAR1" + bytes(99) + b"PAR1"])
def test_a_file_that_is_damaged_is_counted_and_the_others_are_used(raw: Path, data: bytes) -> None:
    write(raw / "a.parquet", {"image": COLUMN[:1]})
    (raw / "b.parquet").write_bytes(data)
    write(raw / "c.parquet", {"image": COLUMN[:1]})

    first, broken, last = listing(source_of(raw, prefix="p/"))[0]

    assert (first.uri, last.uri) == ("a.parquet#0", "c.parquet#0")
    assert (broken.uri, broken.image_id, broken.size) == ("b.parquet", "p/b.parquet", len(data))
    assert broken.fault is not None
    assert broken.fault[0] == DropReason.UNREADABLE


def test_a_file_that_was_repaired_is_used(raw: Path) -> None:
    path = write(raw / "a.parquet", {"image": COLUMN})
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert [one.uri for one in listing(source_of(raw))[0]] == ["a.parquet"]

    path.write_bytes(whole)
    assert faults(listing(source_of(raw))[0]) == [""] * len(COLUMN)


def test_files_that_are_none_are_counted(raw: Path) -> None:
    os.mkfifo(raw / "pipe.parquet")
    (raw / "dangling.parquet").symlink_to("nowhere")

    listed, _ = listing(source_of(raw))

    assert [one.uri for one in listed] == ["dangling.parquet", "pipe.parquet"]
    assert faults(listed) == ["No such file or directory", "not a regular file"]


def test_a_column_that_is_missing_stops_the_scan_and_names_the_file(raw: Path) -> None:
    write(raw / "a.parquet", {"image": COLUMN[:1]})
    write(raw / "captions.parquet", {"key": ["a"], "text": ["b"]})

    with pytest.raises(SourceError) as caught:
        listing(source_of(raw))

    assert str(caught.value) == (
        f"source {raw}/captions.parquet: there is no column image, which `image` under [[sources]] names; "
        "there are: key, text"
    )


def test_a_missing_path_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such folder"):
        listing(source_of(tmp_path / "nowhere"))


LIST = """
import sys
from collections import Counter
from pathlib import Path
from dataset_assets.errors import SourceError
from dataset_assets.sources.parquet.source import ParquetSource

try:
    for one in ParquetSource(path=Path(sys.argv[1]), listings=Path(sys.argv[2])).list_images(Counter()):
        print(one.uri)
except SourceError as error:
    print(error)
"""


def test_a_file_that_may_not_be_read_stops_the_scan(raw: Path, tmp_path: Path) -> None:
    write(raw / "a.parquet", {"image": COLUMN[:1]})
    write(raw / "b.parquet", {"image": COLUMN[:1]}).chmod(0o000)

    said = children.run(LIST, raw, tmp_path / "kept", powerless=True)

    assert said.splitlines() == ["a.parquet#0", f"source {raw}/b.parquet: cannot be read: Permission denied"]


def test_a_file_that_is_written_to_meanwhile_stops_the_scan(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(raw / "a.parquet", {"image": COLUMN})

    def read_slowly(file: Handle, rule: ColumnRule) -> Iterator[list[Row]]:
        yield from read_rows(file, rule)
        os.utime(path, (0, 1))

    monkeypatch.setattr(parquet, "read_rows", read_slowly)

    with pytest.raises(SourceError, match="it changed while it was read; build again when it is complete"):
        listing(source_of(raw))
    monkeypatch.undo()
    assert faults(listing(source_of(raw))[0]) == [""] * len(COLUMN)


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY"])
def test_a_file_that_changed_after_the_scan_is_not_read(raw: Path, encoding: str) -> None:
    how: dict[str, Any] = {"use_dictionary": False, "column_encoding": {"image": encoding}}
    path = write(raw / "a.parquet", {"image": COLUMN}, **how)
    source = source_of(raw)
    listed, _ = listing(source)

    reasons = []
    for change in (lambda: os.utime(path, (0, 1)), lambda: path.write_bytes(b""), path.unlink, path.mkdir):
        change()
        for read in (source.read, source.open):
            with pytest.raises(SampleError) as caught:
                read(listed[3].uri, listed[3].version)
            reasons.append(caught.value.reason)

    assert reasons == [DropReason.SOURCE_CHANGED] * 6 + [DropReason.UNREADABLE] * 2


@pytest.mark.parametrize(
    ("uri", "version"),
    [("a.jpg", "12-34"), ("a.parquet#0", ""), ("a.parquet#0", "1-2@3-4"), ("a.tar/b.jpg", "1f.2.3.4")],
)
def test_what_another_kind_of_source_listed_is_not_read(raw: Path, uri: str, version: str) -> None:
    write(raw / "a.parquet", {"image": COLUMN})

    with pytest.raises(SampleError) as caught:
        source_of(raw).read(uri, version)

    assert caught.value.reason == DropReason.SOURCE_CHANGED


def test_a_source_crosses_process_borders_after_it_has_read(raw: Path) -> None:
    write(raw / "a.parquet", {"image": COLUMN}, compression="zstd")
    source = source_of(raw)
    listed, _ = listing(source)
    source.read(listed[0].uri, listed[0].version)

    other = pickle.loads(pickle.dumps(source))

    assert other == source
    assert other.read(listed[5].uri, listed[5].version) == COLUMN[5]


READ = """
import random, sys
from collections import Counter
from pathlib import Path
from dataset_assets.sources.parquet.source import ParquetSource

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

path, kept = map(Path, sys.argv[1:])
before = peak()
source = ParquetSource(path=path, listings=kept)
listed = [(one.uri, one.version, one.size) for one in source.list_images(Counter())]
after = peak()
chosen = random.Random(5).sample(listed, 3000)
assert all(len(source.read(uri, version)) == size for uri, version, size in chosen)
print(len(listed), after - before, peak() - after)
"""


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_twenty_thousand_images_are_listed_and_read_with_flat_memory(raw: Path, compression: str) -> None:
    schema = pa.schema([("image", IMAGE), ("title", pa.string())])
    with pq.ParquetWriter(raw / "a.parquet", schema, compression=compression) as writer:
        for seed in range(10):  # row groups of 60 MB
            column = images(noise(2000, 60_000, seed))
            writer.write_table(pa.table([column, ["a title"] * 2000], schema=schema), row_group_size=2000)

    count, for_listing, for_reading = map(int, children.run(READ, raw / "a.parquet", raw / "kept").split())

    assert count == 20_000
    assert for_listing < 150  # MB
    assert for_reading < 10


def plan(dataset: Dataset) -> None:
    scan_sources(dataset)
    assign_buckets(dataset)
    for key in partition_keys(dataset):
        write_plan(dataset, key)


def crop(folder: Path, source: dict[str, Any]) -> dict[str, bytes]:
    """Return the crops of a source by their ids, after making them from nothing."""
    with open_dataset(settings_in(folder, dataset={"root": source["name"]}, sources=[source])) as dataset:
        plan(dataset)
        make_crops(dataset, partition_keys(dataset))
        rows = [row for path in (on_disk(dataset.layout.root / "crops")).rglob("*.parquet") for row in read_crops(path)]
        with dataset.catalog.reading() as connection:
            assert set(known_images(connection)["reason"].to_pylist()) == {""}
    return {row["image_id"]: row["jpeg"] for row in rows}


def test_the_same_photographs_give_the_same_crops_as_from_a_folder(tmp_path: Path) -> None:
    paths = add_photos(tmp_path, 12)
    photos = [path.read_bytes() for path in paths]
    names = [path.name for path in paths]
    expected = crop(tmp_path, {"name": "folder", "path": "raw"})
    assert len(expected) == 12

    write(tmp_path / "bytes" / "a.parquet", {"id": names, "image": images(photos)}, row_group_size=5)
    write(tmp_path / "paths" / "a.parquet", {"id": names, "image": [f"../raw/{name}" for name in names]})
    pictures = datasets.Features({"id": datasets.Value("string"), "image": datasets.Image()})
    rows = [{"path": None, "bytes": photo} for photo in photos]
    hub = datasets.Dataset.from_dict({"id": names, "image": rows}, features=pictures)
    (tmp_path / "hub").mkdir()
    hub.to_parquet(str(tmp_path / "hub" / "train-00000-of-00001.parquet"))
    linked = datasets.Dataset.from_dict({"id": names, "image": [str(path) for path in paths]}, features=pictures)
    (tmp_path / "linked").mkdir()
    linked.to_parquet(str(tmp_path / "linked" / "train.parquet"))

    for name in ("bytes", "paths", "hub", "linked"):
        assert crop(tmp_path, {"kind": "parquet", "name": name, "path": name, "id": "id"}) == expected


def test_a_column_is_a_variant_of_the_captions(tmp_path: Path) -> None:
    photos = [path.read_bytes() for path in add_photos(tmp_path, 4)]
    titles = ["first", None, "third", "fourth"]
    write(tmp_path / "set" / "a.parquet", {"image": images(photos), "title": titles})
    source = {"kind": "parquet", "name": "set", "path": "set"}
    captions = {"variants": [{"name": "caption_title", "backend": "sidecar", "field": "title"}]}
    with open_dataset(settings_in(tmp_path, sources=[source], captions=captions)) as dataset:
        (variant,) = dataset.settings.captions.variants
        assert isinstance(variant, SidecarSettings)
        plan(dataset)
        keys = partition_keys(dataset)
        first = [read_captions(dataset, variant, key).report["read"] for key in keys]
        again = [read_captions(dataset, variant, key).reused for key in keys]
        with dataset.catalog.reading() as connection:
            ids = dict(known_images(connection).select(["id", "image_id"]).to_pandas().to_numpy().tolist())
            parts = [Partition.parse(key) for key in keys]
            rows = [
                row for one in parts for row in seated_captions(connection, one.bucket_id, one.slots(4)).to_pylist()
            ]

    assert (sum(first), set(again)) == (4, {True})
    assert {ids[row["id"]]: (row["status"], row["text"]) for row in rows} == {
        "a/0": (CaptionStatus.OK, "first"),
        "a/1": (CaptionStatus.MISSING, ""),
        "a/2": (CaptionStatus.OK, "third"),
        "a/3": (CaptionStatus.OK, "fourth"),
    }
