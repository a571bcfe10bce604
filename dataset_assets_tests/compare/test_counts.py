from pathlib import Path

import numpy as np

from dataset_assets.compare.counts import (
    Names,
    count_buckets,
    count_combinations,
    count_images,
    count_kinds,
    count_samples,
    count_variants,
    name_flags,
    number_tars,
)
from dataset_assets.compare.export import Export, Tar
from dataset_assets.compare.gather import Gathered, Rows
from dataset_assets.compare.match import Kind, Matched, Reason, Tars, match_rows
from dataset_assets.compare.records import BucketCounts, Combined, Counts, Flow, Images, Kinds
from dataset_assets.compare.rows import ROW

ONE_TAR = Tars(buckets=np.zeros(1, np.int32), paths=np.zeros(1, np.int32))


def rows(keys: str, **columns: object) -> Rows:
    """Return a row for each letter."""
    made = np.zeros(len(keys), ROW)
    made["key"] = [key.encode() for key in keys]
    for name, values in columns.items():
        made[name] = values
    return made


def gathered(a: Rows, b: Rows, *variants: str) -> Gathered:
    return Gathered((a, b), list(variants), (frozenset(), frozenset()), 0)


def matched(**columns: tuple[object, object]) -> Matched:
    """Return what is matched of five samples whose columns differ as they are given for both exports."""
    a, b = (rows("abcde", **{name: sides[side] for name, sides in columns.items()}) for side in (0, 1))
    return match_rows(a, b, ONE_TAR, ONE_TAR)


def export(said: str, base: int, *tars: str) -> Export:
    """Return an export with these tars; each lies in the bucket that its folder names."""
    listed = [Tar(path=path, bucket=path.partition("/")[0], count=1, bytes=1, sha256="") for path in tars]
    return Export(folder=Path("/e"), manifest={"format": said, "base_resolution": base}, tars=tuple(listed))


def test_samples_are_counted_with_those_that_were_not_read() -> None:
    a, b = rows("abcd", tar=[0, 0, 0, 0], text=[b"", b"x", b"", b""]), rows("bcdef", tar=[0, 1, 0, 0, 0])
    tars = Tars(buckets=np.zeros(2, np.int32), paths=np.arange(2, dtype=np.int32))

    counts = count_samples(match_rows(a, b, tars, tars), 10)

    assert counts == Counts(a=14, b=15, same=12, changed=1, added=2, removed=1, moved=1, not_read=10)


def test_kinds_are_counted_each_and_combined_the_most_frequent_first() -> None:
    found = matched(
        image=([b"", b"", b"", b"", b""], [b"x", b"x", b"", b"", b""]), text=([b""] * 5, [b"x"] * 3 + [b""] * 2)
    )

    assert count_kinds(found) == Kinds(image=2, caption=3, variant=0, record=0)
    assert count_combinations(found) == [
        Combined(kinds=["image", "caption"], count=2),
        Combined(kinds=["caption"], count=1),
    ]


def test_images_are_counted_by_what_is_different_of_them() -> None:
    found = matched(
        image=([b""] * 5, [b"x", b"x", b"", b"", b""]),
        crop=([0] * 5, [1, 0, 1, 0, 0]),
        source=([0] * 5, [1, 0, 0, 0, 0]),
    )

    assert count_images(found) == Images(bucket=0, crop=2, encoding=0, source=1, bytes_only=1, same_bytes=1)


def test_buckets_add_up_and_moves_are_named() -> None:
    numbers = np.arange(3, dtype=np.int32)
    names = Names(["wide", "tall", "new"], (Tars(numbers[:2], numbers[:2]), Tars(numbers, numbers)))
    a, b = rows("abcd", tar=[0, 0, 1, 1]), rows("bcde", tar=[0, 0, 1, 2], text=[b"", b"", b"x", b""])
    found = match_rows(a, b, *names.tars)

    buckets, moves = count_buckets(names, gathered(a, b), found, {"tall": 7})

    assert buckets == [
        BucketCounts(id="new", a=0, b=1, same=0, changed=0, added=1, removed=0, came=0, went=0),
        BucketCounts(id="tall", a=9, b=8, same=7, changed=1, added=0, removed=0, came=0, went=1),
        BucketCounts(id="wide", a=2, b=2, same=1, changed=0, added=0, removed=1, came=1, went=0),
    ]
    assert moves == [Flow(a="tall", b="wide", count=1)]


def test_variants_are_counted_from_and_to_nowhere_too() -> None:
    a, b = rows("abcd", variant=[0, 0, 0, 1]), rows("bcde", variant=[1, 1, 1, 0])

    flows = count_variants(gathered(a, b, "", "caption_x"), match_rows(a, b, ONE_TAR, ONE_TAR))

    assert flows == [
        Flow(a="", b="caption_x", count=2),
        Flow(a=None, b="", count=1),
        Flow(a="", b=None, count=1),
        Flow(a="caption_x", b="caption_x", count=1),
    ]


def test_flags_are_named_in_their_order() -> None:
    assert name_flags(Kind, Kind.CAPTION | Kind.IMAGE) == ["image", "caption"]
    assert name_flags(Reason, Reason.BYTES | Reason.CROP) == ["crop", "bytes"]
    assert name_flags(Kind, 0) == []


def test_what_is_the_same_in_both_exports_has_one_number() -> None:
    one = export("bucketed_shards_v1", 64, "wide/0.tar", "tall/0.tar")
    other = export("bucketed_shards_v1", 64, "tall/0.tar", "tall/1.tar", "wide/0.tar")

    names = number_tars(one, other)

    assert names.buckets == ["wide", "tall"]
    assert [tars.buckets.tolist() for tars in names.tars] == [[0, 1], [1, 1, 0]]
    assert [tars.paths.tolist() for tars in names.tars] == [[0, 1], [1, 2, 0]]


def test_buckets_of_another_base_or_version_are_named_with_their_base() -> None:
    one, larger = export("bucketed_shards_v1", 64, "wide/0.tar"), export("bucketed_shards_v1", 128, "wide/0.tar")
    several = export("bucketed_shards_v2", 128, "r128_wide/0.tar", "r64_wide/0.tar")

    assert number_tars(one, larger).buckets == ["r64_wide", "r128_wide"]
    assert number_tars(one, several).buckets == ["r64_wide", "r128_wide"]
    assert number_tars(several, several).buckets == ["r128_wide", "r64_wide"]
