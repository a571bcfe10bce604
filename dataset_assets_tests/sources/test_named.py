import os
import pickle
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_assets.errors import SourceError
from dataset_assets.sources.named import NamedObject, find_named, find_time, pin
from dataset_assets.storage.location import Location
from dataset_assets.storage.objects import ObjectPath
from dataset_assets.storage.parquet import open_file
from dataset_assets_tests.fakes.object_proxy import ObjectProxy
from dataset_assets_tests.objects import gets, put

DATA = bytes(range(256)) * 4096 * 21  # 21 MiB


def names_of(root: ObjectPath, pattern: str) -> list[str]:
    return [str(one).removeprefix(f"{root}/") for one in find_named(f"{root}/{pattern}", Path("/"))]


def test_objects_are_found_in_the_order_of_paths_on_a_disk(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    for name in (
        "b.jsonl",
        "a.jsonl",
        "x/a.jsonl",
        "x-1/a.jsonl",
        "x/.b.jsonl",
        ".c.jsonl",
        "x/y/a.jsonl",
        "x/y.jsonl/",
    ):
        put(object_root / name, b"")
        if not name.endswith("/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
    object_proxy.requests.clear()

    for pattern in ("*.jsonl", "**/*.jsonl", "*/a.jsonl", "x/*", "**", "a.jsonl", "none*", "none.jsonl", "none/*"):
        on_disk = [Path(str(one)).relative_to(tmp_path).as_posix() for one in find_named(pattern, tmp_path)]
        assert names_of(object_root, pattern) == on_disk
    assert gets(object_proxy) == []


def test_the_characters_of_patterns_in_the_name_of_an_object_are_no_pattern(object_root: ObjectPath) -> None:
    for name in ("a[1].jsonl", "a1.jsonl"):
        put(object_root / name, b"")

    assert names_of(object_root, "a[1].jsonl") == ["a[1].jsonl"]
    assert names_of(object_root, "a?.jsonl") == ["a1.jsonl"]


def test_a_folder_of_thousands_is_listed_by_pages_and_none_below_it(
    object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    from moto.s3.models import s3_backends

    bucket, _, key = object_root.url.removeprefix("s3://").partition("/")
    for number in range(2100):
        s3_backends["123456789012"]["aws"].put_object(bucket, f"{key}/{number:05d}.jsonl", b"")
        s3_backends["123456789012"]["aws"].put_object(bucket, f"{key}/below/{number:05d}.jsonl", b"")
    object_proxy.forget()

    assert len(names_of(object_root, "*.jsonl")) == 2100
    assert len(object_proxy.requests) == 3


def test_a_listing_that_fails_finds_nothing_and_says_why(object_root: ObjectPath, object_proxy: ObjectProxy) -> None:
    put(object_root / "a.jsonl", b"")
    for status, code in ((500, "InternalError"), (403, "AccessDenied")):
        object_proxy.fail("error", target="list-type", times=1000, status=status, code=code)
        with pytest.raises(SourceError, match=rf"^source {object_root}: cannot be read: .+$"):
            find_named(f"{object_root}/*.jsonl", Path("/"))
        object_proxy.forget()
    object_proxy.fail("error", method="HEAD", times=1000, status=403, code="Forbidden")
    with pytest.raises(SourceError, match=rf"^source {object_root}/a.jsonl: cannot be read: .+$"):
        find_named(f"{object_root}/a.jsonl", Path("/"))
    with pytest.raises(SourceError, match="there is no bucket"):
        find_named("s3://no-such-bucket-anywhere/*.jsonl", Path("/"))


def test_an_object_whose_name_means_another_one_is_named(object_root: ObjectPath) -> None:
    put(object_root / "a?versionId=1.jsonl", b"")

    with pytest.raises(SourceError, match=r"versionId=1\.jsonl: cannot be read: .* means another object"):
        find_named(f"{object_root}/a*", Path("/"))


def test_an_object_is_the_same_as_long_as_its_bytes_are(object_root: ObjectPath) -> None:
    place = object_root / "a.jsonl"
    put(place, b"one")
    before = pin(place)
    (listed,) = find_named(f"{object_root}/*", Path("/"))
    time.sleep(1.1)  # which is what a store tells the time by
    put(place, b"one")
    again = pin(place)
    put(place, b"two")
    other = pin(place)

    assert stamp(before) == stamp(listed) == stamp(again) != stamp(other)
    times = [find_time(one, one.stat()) for one in (before, again, other)]
    assert times[1] > times[0]
    assert abs(times[2] - time.time()) < 60


def stamp(place: Location) -> tuple[int, int]:
    return place.stat().st_size, place.stat().st_mtime_ns


def test_a_file_on_a_disk_is_what_it_is(tmp_path: Path) -> None:
    place = tmp_path / "a b.jsonl"
    place.touch()
    os.utime(place, ns=(0, 1_700_000_000_250_000_000))

    assert pin(tmp_path / "none.jsonl") == tmp_path / "none.jsonl"
    assert find_named("a*.jsonl", tmp_path) == find_named(f"file://{tmp_path}/a%20*.jsonl", Path("/"))
    assert find_time(place, place.stat()) == 1_700_000_000.25


def test_an_object_that_is_not_there_is_named(object_root: ObjectPath) -> None:
    with pytest.raises(SourceError, match=rf"^source {object_root}/a.json: cannot be read: No such file or directory$"):
        pin(object_root / "a.json")


def test_it_is_read_by_parts_from_any_place_on(object_root: ObjectPath, object_proxy: ObjectProxy) -> None:
    place = object_root / "a.bin"
    put(place, DATA)
    found = pickle.loads(pickle.dumps(pin(place)))  # as it goes to a worker
    assert isinstance(found, NamedObject)
    object_proxy.forget()

    with found.open("rb") as file:
        assert b"".join(iter(lambda: file.read(1 << 20), b"")) == DATA
    assert len(gets(object_proxy)) == len(object_proxy.requests) <= 6
    object_proxy.forget()
    with found.open("rb") as file:
        for start in (20 << 20, 3 << 20, 9 << 20):
            file.seek(start)
            assert file.read(1000) == DATA[start : start + 1000]
    assert object_proxy.received == 3 << 18
    with found.open_ranges() as ranges:
        ranges.seek(-5, 2)
        assert ranges.read() == DATA[-5:]
    assert object_proxy.received == (3 << 18) + 5


def test_columns_of_a_table_are_read_and_no_others(
    object_root: ObjectPath, object_proxy: ObjectProxy, tmp_path: Path
) -> None:
    rows = 400_000
    table = pa.table({"id": range(rows), "text": [f"{n * 7919:030d}" for n in range(rows)]})
    pq.write_table(table, tmp_path / "a.parquet", compression="none", use_dictionary=False)
    put(object_root / "a.parquet", (tmp_path / "a.parquet").read_bytes())
    place = pin(object_root / "a.parquet")
    object_proxy.forget()

    file = open_file(place)
    assert file.read(["id"]).column("id").to_pylist() == list(range(rows))
    file.close(force=True)
    assert object_proxy.received < 5 << 20 < place.stat().st_size


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "error", "status": 403, "code": "AccessDenied"}, "told to"),
        ({"kind": "error", "status": 500}, "told to"),
        ({"kind": "reset"}, ".+"),
        ({"kind": "shorten"}, ".+ bytes came where .+ were asked for.*"),
    ],
)
def test_what_a_store_does_not_give_is_an_error_and_no_end(
    object_root: ObjectPath, object_proxy: ObjectProxy, fault: dict[str, object], said: str
) -> None:
    put(object_root / "a.bin", DATA[: 1 << 20])
    place = pin(object_root / "a.bin")
    with place.open("rb") as file:
        file.read(1 << 18)
        object_proxy.fail(target=r"a\.bin", times=1000, **fault)  # type: ignore[arg-type]
        with pytest.raises(SourceError, match=rf"^source {place}: cannot be read: {said}$"):
            file.read()


def test_an_object_that_is_another_one_meanwhile_is_not_read_on(object_root: ObjectPath) -> None:
    put(object_root / "a.bin", DATA[: 1 << 20])
    place = pin(object_root / "a.bin")
    with place.open("rb") as file:
        file.read(1 << 18)
        put(object_root / "a.bin", DATA[1 : 1 + (1 << 20)])
        with pytest.raises(
            SourceError, match=rf"^source {place}: cannot be read: it has changed since it was found; run"
        ):
            file.read()
    (object_root / "a.bin").remove()
    with place.open("rb") as file, pytest.raises(SourceError, match="removed after it was found; run it"):
        file.read(1)
