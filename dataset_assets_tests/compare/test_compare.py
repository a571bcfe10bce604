import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.buckets.repack import repack_buckets
from dataset_assets.compare.records import BucketCounts, Combined, Counts, Difference, Flow, Images, Kinds
from dataset_assets.dataset import open_dataset
from dataset_assets.errors import StorageError
from dataset_assets.records import sample_key
from dataset_assets.settings import parse_settings
from dataset_assets.shards import pool
from dataset_assets_tests.compare.pairs import (
    TITLE,
    add_sample,
    bucket,
    check_sums,
    compare,
    compare_whole,
    draw,
    remove_sample,
    say,
    write_pair,
)
from dataset_assets_tests.datasets import PORTRAIT, add_photo, build_library, settings_in
from dataset_assets_tests.datasets import SQUARE as SQUARE_SIZE
from dataset_assets_tests.exports import (
    SETTINGS,
    SQUARE,
    SQUARE_0,
    SQUARE_1,
    WIDE,
    WIDE_0,
    Draft,
    bucket_of,
    edit_manifest,
    make_draft,
    make_sample,
)

_CAPTIONS: dict[str, Any] = SETTINGS["captions"]


def test_an_export_is_the_same_as_itself_and_no_tar_is_read(tmp_path: Path) -> None:
    first, _ = write_pair(tmp_path)

    said = compare(first, first)

    assert said.equal
    assert said.counts == Counts(a=5, b=5, same=5, changed=0, added=0, removed=0, moved=0, not_read=5)
    assert said.bytes_read == 0
    assert not said.settings
    assert not any(said.examples.values())


def test_equal_exports_in_two_places_are_the_same(tmp_path: Path) -> None:
    said = compare(*write_pair(tmp_path))

    assert said.equal
    assert said.counts.not_read == 5
    assert said.a.export_id == said.b.export_id
    assert [one.a for one in said.drops] == [one.b for one in said.drops] == [2, 1]


def test_tars_with_other_bytes_are_read_and_may_hold_the_same_samples(tmp_path: Path) -> None:
    said = compare(*write_pair(tmp_path, lambda draft: draft.tars[SQUARE_0].reverse()))

    assert said.equal
    assert (said.counts.same, said.counts.not_read, said.counts.moved) == (5, 3, 0)
    assert said.bytes_read == sum((tmp_path / name / SQUARE_0).stat().st_size for name in ("a", "b"))


def test_an_added_sample_is_counted_and_shown(tmp_path: Path) -> None:
    said = compare(*write_pair(tmp_path, add_sample, shards={"shard_size": 3}))

    assert said.counts == Counts(a=5, b=6, same=5, changed=0, added=1, removed=0, moved=0, not_read=3)
    assert bucket(said, WIDE) == BucketCounts(id=WIDE, a=2, b=3, same=2, changed=0, added=1, removed=0, came=0, went=0)
    (example,) = said.examples["added"]
    assert (example.image_id, example.key, example.a) == ("new.png", sample_key("new.png"), None)
    assert example.b is not None
    assert (example.b.caption, example.b.tar, example.b.variant) == ("new", WIDE_0, "caption_title")
    assert Flow(a=None, b="caption_title", count=1) in said.variants
    assert not said.equal


def test_a_removed_sample_is_counted_and_shown(tmp_path: Path) -> None:
    said = compare(*write_pair(tmp_path, lambda draft: remove_sample(draft, "c.png")))

    assert said.counts == Counts(a=5, b=4, same=4, changed=0, added=0, removed=1, moved=0, not_read=4)
    (example,) = said.examples["removed"]
    assert (example.image_id, example.b, example.kinds) == ("c.png", None, ())
    assert said.variants == [Flow(a="", b=None, count=1)]


def test_another_caption_is_no_other_image(tmp_path: Path) -> None:
    said = compare(*write_pair(tmp_path, lambda draft: say(draft, "a.png", "a round square, α")))

    assert said.kinds == Kinds(image=0, caption=1, variant=0, record=0)
    assert said.combinations == [Combined(kinds=["caption"], count=1)]
    (example,) = said.examples["caption"]
    assert example.a is not None
    assert example.b is not None
    assert (example.a.caption, example.b.caption) == ("a square, α", "a round square, α")
    assert [word.text for word in example.words_b if not word.same] == ["round "]
    assert example.a.sha256 == example.b.sha256


def test_the_same_caption_of_another_variant_is_counted_apart(tmp_path: Path) -> None:
    def edit(draft: Draft) -> None:
        draft.fields("a.png", caption_variant="caption_sidecar", caption_selector_index=1, caption_source_id=2)

    said = compare(*write_pair(tmp_path, edit))

    assert said.kinds == Kinds(image=0, caption=0, variant=1, record=0)
    assert Flow(a="caption_title", b="caption_sidecar", count=1) in said.variants
    (example,) = said.examples["variant"]
    assert not example.words_a
    assert Difference(key="caption_source_id", a=1, b=2) in example.fields


def test_another_caption_of_another_variant_is_another_caption(tmp_path: Path) -> None:
    def edit(draft: Draft) -> None:
        say(draft, "a.png", "said by another")
        draft.fields("a.png", caption_variant="caption_sidecar")

    said = compare(*write_pair(tmp_path, edit))

    assert said.kinds == Kinds(image=0, caption=1, variant=0, record=0)


def test_another_field_alone_is_a_kind_of_its_own(tmp_path: Path) -> None:
    said = compare(*write_pair(tmp_path, lambda draft: draft.fields("a.png", caption_source_id=7)))

    assert said.kinds == Kinds(image=0, caption=0, variant=0, record=1)
    assert said.examples["record"][0].fields == [Difference(key="caption_source_id", a=1, b=7)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"target_w": 72}, "bucket"),
        ({"crop": {"scale": 0.5, "x": 1, "y": 0, "corner": 3}}, "crop"),
        ({"jpeg": {"quality": 90, "subsampling": "4:4:4"}}, "encoding"),
        ({"source_sha256": "0" * 64}, "source"),
        ({"src_w": 129}, "source"),
    ],
)
def test_fields_tell_in_what_an_image_differs(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    said = compare(*write_pair(tmp_path, lambda draft: draft.fields("a.png", **fields)))

    counts = dict.fromkeys(("bucket", "crop", "encoding", "source"), 0) | {reason: 1}
    assert said.images == Images(**counts, bytes_only=0, same_bytes=1)
    assert said.examples["image"][0].reasons == [reason]


def test_other_bytes_of_a_jpeg_alone_are_another_image(tmp_path: Path) -> None:
    said = compare(*write_pair(tmp_path, lambda draft: draw(draft, "a.png", optimize=True)))

    assert said.images == Images(bucket=0, crop=0, encoding=0, source=0, bytes_only=1, same_bytes=0)
    assert said.examples["image"][0].reasons == ["bytes"]


def test_a_sample_can_have_another_image_and_another_caption(tmp_path: Path) -> None:
    said = compare(
        *write_pair(
            tmp_path,
            lambda draft: draw(draft, "a.png", optimize=True),
            lambda draft: say(draft, "a.png", "b"),
            lambda draft: say(draft, "b.png", "c"),
        )
    )

    assert said.kinds == Kinds(image=1, caption=2, variant=0, record=0)
    assert {tuple(one.kinds): one.count for one in said.combinations} == {("image", "caption"): 1, ("caption",): 1}
    assert said.counts.changed == 2


def test_a_sample_in_another_bucket_leaves_one_and_comes_to_another(tmp_path: Path) -> None:
    def edit(draft: Draft) -> None:
        remove_sample(draft, "a.png")
        target = bucket_of(draft.settings, WIDE)
        draft.tars[WIDE_0].append(make_sample(draft.settings, "a.png", (150, 100), target, "a square, α", TITLE))

    said = compare(*write_pair(tmp_path, edit, shards={"shard_size": 3}))

    assert said.bucket_moves == [Flow(a=SQUARE, b=WIDE, count=1)]
    assert bucket(said, SQUARE).went == bucket(said, WIDE).came == 1
    assert (said.images.bucket, said.images.source, said.counts.changed) == (1, 1, 1)
    assert "bucket" in said.examples["image"][0].reasons


def test_a_sample_in_another_tar_is_moved_and_the_same(tmp_path: Path) -> None:
    def edit(draft: Draft) -> None:
        draft.tars[SQUARE_1].append(remove_sample(draft, "b.png"))

    said = compare(*write_pair(tmp_path, edit))

    assert said.equal
    assert (said.counts.moved, said.counts.same) == (1, 5)
    (example,) = said.examples["moved"]
    assert example.a is not None
    assert example.b is not None
    assert (example.image_id, example.a.tar, example.b.tar) == ("b.png", SQUARE_0, SQUARE_1)


def test_examples_are_those_with_the_smallest_keys(tmp_path: Path) -> None:
    names = ["a.png", "b.png", "sub/d é.png", "e.png"]
    edits = [lambda draft, name=name: say(draft, name, "other") for name in names]

    said = compare(*write_pair(tmp_path, *edits), examples=2)

    assert [one.key for one in said.examples["caption"]] == sorted(map(sample_key, names))[:2]
    assert said.kinds.caption == 4


def test_settings_that_differ_are_listed_with_both_values(tmp_path: Path) -> None:
    captions = _CAPTIONS | {"priority": [{"variant": "caption_title"}, {"variant": "caption_sidecar"}]}

    said = compare(*write_pair(tmp_path, images={"quality": 90}, captions=captions))

    assert said.settings == [
        Difference(key="image_codec.quality", a=95, b=90),
        Difference(key="caption_priority.0.backend", a="sidecar", b=None),
    ]


def test_both_versions_of_the_format_have_the_same_buckets(tmp_path: Path) -> None:
    first, _ = write_pair(tmp_path)
    draft = make_draft()
    names = {"a.png": SQUARE, "b.png": SQUARE, "c.png": SQUARE, "e.png": WIDE, "sub/d é.png": WIDE}
    for image_id, name in names.items():
        draft.fields(image_id, bucket_id=f"r64_{name}")
    draft.tars = {path.replace("/p", "/r64_p"): samples for path, samples in draft.tars.items()}
    two_bases = {"base_resolutions": [64, 32], "divisible": 8}
    draft.settings = parse_settings(SETTINGS | {"buckets": two_bases}, folder=tmp_path)
    draft.write(tmp_path / "v2")

    said = compare(first, tmp_path / "v2")

    assert (said.a.format, said.b.format) == ("bucketed_shards_v1", "bucketed_shards_v2")
    assert said.equal
    assert said.counts.moved == 5
    assert [(one.id, one.same) for one in said.buckets] == [(f"r64_{SQUARE}", 3), (f"r64_{WIDE}", 2)]


def test_the_order_of_the_exports_turns_everything_around(tmp_path: Path) -> None:
    first, second = write_pair(tmp_path, add_sample, lambda draft: say(draft, "a.png", "b"), shards={"shard_size": 3})

    there, back = compare(first, second), compare(second, first)

    assert (there.counts.added, there.counts.removed) == (back.counts.removed, back.counts.added) == (1, 0)
    assert there.kinds == back.kinds
    assert [flow.a for flow in there.variants] == [flow.b for flow in back.variants]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(tmp_path: Path, workers: int) -> None:
    first, second = write_pair(tmp_path, lambda draft: say(draft, "a.png", "b"), images={"quality": 90})

    assert asdict(compare(first, second, workers=workers)) == asdict(compare(first, second))


def test_a_key_that_is_twice_in_an_export_is_refused(tmp_path: Path) -> None:
    def edit(draft: Draft) -> None:
        draft.tars[SQUARE_1].append(draft.sample("a.png"))
        say(draft, "a.png", "b")

    first, second = write_pair(tmp_path, edit)

    with pytest.raises(StorageError, match=f"{sample_key('a.png')} is twice in the second export"):
        compare(first, second)


def test_examples_carry_the_jpegs_of_both_sides(tmp_path: Path) -> None:
    first, second = write_pair(tmp_path, lambda draft: draw(draft, "a.png", optimize=True))

    jpegs = compare_whole(first, second).jpegs

    key = sample_key("a.png")
    assert jpegs.keys() == {(key, 0), (key, 1)}
    assert jpegs[key, 0] == make_draft().sample("a.png")[0][1]
    assert jpegs[key, 1] != jpegs[key, 0]


def test_manifests_of_publishers_need_only_the_paths_of_tars(tmp_path: Path) -> None:
    first, second = write_pair(tmp_path, lambda draft: say(draft, "a.png", "b"))

    def strip(manifest: dict[str, Any]) -> None:
        for name in ("created_at", "export_id", "summary", "image_codec", "caption_sources"):
            del manifest[name]
        for one in manifest["buckets"].values():
            one["shards"] = [shard["path"].rpartition("/")[2] for shard in one["shards"]]

    edit_manifest(second, strip, sign=False)
    said = compare(first, second)

    assert (said.kinds.caption, said.counts.not_read, said.b.export_id) == (1, 0, "")
    assert Difference(key="image_codec.quality", a=95, b=None) in said.settings
    assert said.drops[0] == Difference(key="skipped_too_small", a=2, b=None)


def test_fields_that_only_one_export_has_are_named_and_not_compared(tmp_path: Path) -> None:
    def edit(draft: Draft) -> None:
        for samples in draft.tars.values():
            for members in samples:
                fields = json.loads(members[2][1])
                del fields["crop"], fields["source_sha256"]
                members[2] = (members[2][0], json.dumps(fields).encode())

    said = compare(*write_pair(tmp_path, edit))

    assert said.equal
    assert said.counts.not_read == 0
    assert said.fields == [Difference(key="crop", a=True, b=None), Difference(key="source_sha256", a=True, b=None)]


def test_builds_are_compared_after_every_kind_of_change(tmp_path: Path) -> None:
    """A real build, then one image more, one less, one of another size, another caption, and another quality."""
    for folder in ("one", "two"):
        for seed, name in enumerate("abcdef"):
            add_photo(tmp_path / folder, f"{name}.jpg", seed=seed, caption=f"photo {name}")
    add_photo(tmp_path / "two", "new.jpg", seed=9, caption="photo new")
    (tmp_path / "two/raw/b.jpg").unlink()
    add_photo(tmp_path / "two", "c.jpg", PORTRAIT, seed=2, caption="photo c")
    add_photo(tmp_path / "two", "d.jpg", SQUARE_SIZE, seed=3, caption="photo of d")
    for folder, quality in (("one", 95), ("two", 90)):
        with open_dataset(settings_in(tmp_path / folder, images={"quality": quality})) as dataset:
            build_library(dataset)

    said = compare(tmp_path / "one/out/export", tmp_path / "two/out/export")

    check_sums(said)
    assert said.counts == Counts(a=6, b=6, same=0, changed=5, added=1, removed=1, moved=said.counts.moved, not_read=0)
    assert said.kinds == Kinds(image=5, caption=1, variant=0, record=0)
    assert (said.images.bucket, said.images.source, said.images.encoding) == (2, 2, 5)
    assert sum(flow.count for flow in said.bucket_moves) == 2
    assert said.settings == [Difference(key="image_codec.quality", a=95, b=90)]


def test_a_repack_moves_samples_and_changes_none(tmp_path: Path) -> None:
    photos = [add_photo(tmp_path, f"{seed}.jpg", seed=seed, caption=f"photo {seed}") for seed in range(6)]
    export = tmp_path / "out/export"
    with open_dataset(settings_in(tmp_path)) as dataset:
        build_library(dataset)
        in_order = sorted(photos, key=lambda photo: sample_key(photo.name))  # slots are taken in this order
        in_order[0].unlink()
        build_library(dataset)
        shutil.copytree(export, tmp_path / "before")
        repack_buckets(dataset)
        build_library(dataset)

    said = compare(tmp_path / "before", export)

    assert said.equal
    assert (said.counts.same, said.counts.moved, said.counts.not_read) == (5, 1, 0)
    assert not said.settings
    assert len(said.examples["moved"]) == 1


def test_processes_say_the_same_as_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = write_pair(tmp_path, lambda draft: say(draft, "a.png", "b"), images={"quality": 90})
    expected = asdict(compare(first, second, workers=2))

    monkeypatch.setattr(pool, "_WORTH_A_PROCESS", 1)  # bytes
    monkeypatch.setattr(pool, "_MOST_THREADS", 0)  # without processes there would be none

    assert asdict(compare(first, second, workers=2)) == expected
