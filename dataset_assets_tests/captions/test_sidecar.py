import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.captions.select import select_captions
from dataset_assets.captions.sidecar import parse_caption, read_captions
from dataset_assets.catalog.captions import CaptionStatus, list_sources, seated_captions
from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import OrderError
from dataset_assets.freshness import judge_inputs
from dataset_assets.images.crops import make_crops
from dataset_assets.settings import Settings, SidecarSettings
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.plan import read_plan
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import caption_stage
from dataset_assets.storage.parquet import read_table
from dataset_assets.work import Outcome
from dataset_assets_tests import children
from dataset_assets_tests.datasets import add_photo, partition_keys, settings_in

OK, EMPTY, UNAVAILABLE, ERROR = CaptionStatus.OK, CaptionStatus.EMPTY, CaptionStatus.MISSING, CaptionStatus.ERROR

READ_IN_A_CHILD = """
import sys
from pathlib import Path
from dataset_assets.captions.sidecar import read_captions
from dataset_assets.dataset import open_dataset
from dataset_assets_tests.datasets import partition_keys, settings_in

with open_dataset(settings_in(Path(sys.argv[1]))) as dataset:
    (variant,), (key,) = dataset.settings.captions.variants, partition_keys(dataset)
    print(read_captions(dataset, variant, key).report["read"])
"""


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(tmp_path)) as dataset:
        yield dataset


def with_variants(folder: Path, *variants: dict[str, Any]) -> Settings:
    names = [{"variant": variant["name"]} for variant in variants]
    return settings_in(folder, captions={"variants": list(variants), "priority": names})


def read(dataset: Dataset, *, look: bool = True, **options: Any) -> dict[str, Outcome]:
    """Bring the captions of all variants in the only partition up to date."""
    if look:
        scan_sources(dataset)
        assign_buckets(dataset)
    (key,) = partition_keys(dataset)
    return {one.name: read_captions(dataset, one, key, **options) for one in variants_of(dataset)}


def variants_of(dataset: Dataset) -> list[SidecarSettings]:
    return [one for one in dataset.settings.captions.variants if isinstance(one, SidecarSettings)]


def selected_text(dataset: Dataset) -> str:
    """Bring everything up to the selection up to date; return the text that the only image gets."""
    read(dataset)
    (key,) = partition_keys(dataset)
    make_crops(dataset, [key])
    select_captions(dataset, key)
    return str(read_table(dataset.layout.selection(key))["text"][0])


def captions(dataset: Dataset) -> dict[tuple[str, str], tuple[str, str]]:
    """Return (status, text) by (variant, name of the image), for images named by their seed."""
    (key,) = partition_keys(dataset)
    partition = Partition.parse(key)
    with dataset.catalog.reading() as connection:
        names = {source.id: source.variant for source in list_sources(connection)}
        rows = seated_captions(connection, partition.bucket_id, partition.slots(4)).to_pylist()
        uris = {row["id"]: row["uri"] for row in read_plan(dataset, key).to_pylist()}
    return {(names[row["caption_source"]], uris[row["id"]]): (row["status"], row["text"]) for row in rows}


@pytest.mark.parametrize(
    ("data", "field", "expected"),
    [
        (b"a caption", None, (OK, "a caption")),
        (b"  two lines\r\nof text \n\n", None, (OK, "two lines\r\nof text")),
        ("\ufeffmarked".encode(), None, (OK, "marked")),
        ("日本語 🐈".encode(), None, (OK, "日本語 🐈")),
        ("\u3000wide spaces\u3000".encode(), None, (OK, "wide spaces")),
        (b"", None, (EMPTY, "")),
        (b"\xef\xbb\xbf", None, (EMPTY, "")),
        (b" \n\t ", None, (EMPTY, "")),
        (b"caf\xe9", None, (ERROR, "")),
        ("utf-16".encode("utf-16"), None, (ERROR, "")),
        (b"nul \0 inside", None, (ERROR, "")),
        (b"\xed\xa0\x80", None, (ERROR, "")),  # half a surrogate pair
        (b"x" * (1 << 20), None, (OK, "x" * (1 << 20))),
        (b"x" * (2 << 20), None, (ERROR, "")),
        (b'{"title": " a title "}', "title", (OK, "a title")),
        ('\ufeff{"title": "marked"}'.encode(), "title", (OK, "marked")),
        (b'{"title": "\\ud83d\\ude00"}', "title", (OK, "😀")),
        (b'{"title": "\\ud83d"}', "title", (ERROR, "")),
        (b'{"title": "nul \\u0000"}', "title", (ERROR, "")),
        (b'{"title": ""}', "title", (EMPTY, "")),
        (b'{"title": null}', "title", (UNAVAILABLE, "")),
        (b'{"other": "x"}', "title", (UNAVAILABLE, "")),
        (b'{"title": 5}', "title", (ERROR, "")),
        (b'{"title": true}', "title", (ERROR, "")),
        (b'{"title": ["a"]}', "title", (ERROR, "")),
        (b'{"title": {"en": "a"}}', "title", (ERROR, "")),
        (b'["title"]', "title", (ERROR, "")),
        (b'"title"', "title", (ERROR, "")),
        (b"5", "title", (ERROR, "")),
        (b"", "title", (ERROR, "")),
        (b'{"title": "cut', "title", (ERROR, "")),
        (b"[" * 100_000, "title", (ERROR, "")),
        (b"9" * 10_000, "title", (ERROR, "")),
    ],
)
def test_a_caption_file(data: bytes, field: str | None, expected: tuple[CaptionStatus, str]) -> None:
    status, text, detail = parse_caption(data, field)

    assert (status, text) == expected
    assert bool(detail) == (status in (ERROR, UNAVAILABLE))
    assert len(detail) < 200


def test_txt_comes_before_caption(dataset: Dataset, tmp_path: Path) -> None:
    for name, files in {"both.jpg": ("txt", "caption"), "one.jpg": ("caption",), "none.jpg": ()}.items():
        photo = add_photo(tmp_path, name)
        for extension in files:
            photo.with_suffix(f".{extension}").write_text(f"from {extension}\n")
    photo.with_suffix(".json").write_text('{"caption": "not asked for"}')

    report = read(dataset)["caption_sidecar"].report

    assert captions(dataset) == {
        ("caption_sidecar", "both.jpg"): (OK, "from txt"),
        ("caption_sidecar", "one.jpg"): (OK, "from caption"),
        ("caption_sidecar", "none.jpg"): (UNAVAILABLE, ""),
    }
    assert (report["images"], report["read"], report["statuses"]) == (3, 3, {"ok": 2, "missing": 1})


def test_extensions_in_capitals_count(dataset: Dataset, tmp_path: Path) -> None:
    add_photo(tmp_path, "one.JPG").with_suffix(".TXT").write_text("loud")

    read(dataset)

    assert captions(dataset)["caption_sidecar", "one.JPG"] == (OK, "loud")


def test_variants_read_their_own_files(tmp_path: Path) -> None:
    photo = add_photo(tmp_path, "one.jpg", caption="a txt")
    photo.with_suffix(".caption").write_text("a caption")
    photo.with_suffix(".json").write_text(json.dumps({"title": "a title", "alt": 7}))
    settings = with_variants(
        tmp_path,
        {"name": "plain"},
        {"name": "second", "extension": "caption"},
        {"name": "title", "field": "title"},
        {"name": "alt", "extension": "json", "field": "alt"},
    )
    with open_dataset(settings) as dataset:
        read(dataset)

        assert captions(dataset) == {
            ("plain", "one.jpg"): (OK, "a txt"),
            ("second", "one.jpg"): (OK, "a caption"),
            ("title", "one.jpg"): (OK, "a title"),
            ("alt", "one.jpg"): (ERROR, ""),
        }


def test_only_what_changed_is_read_again(dataset: Dataset, tmp_path: Path) -> None:
    photos = [add_photo(tmp_path, f"{seed}.jpg", seed=seed, caption=f"old {seed}") for seed in range(4)]
    read(dataset)
    photos[0].with_suffix(".txt").write_text("a new text")
    photos[1].with_suffix(".txt").unlink()

    report = read(dataset)["caption_sidecar"].report

    assert report["read"] == 2
    assert captions(dataset) == {
        ("caption_sidecar", "0.jpg"): (OK, "a new text"),
        ("caption_sidecar", "1.jpg"): (UNAVAILABLE, ""),
        ("caption_sidecar", "2.jpg"): (OK, "old 2"),
        ("caption_sidecar", "3.jpg"): (OK, "old 3"),
    }


def test_what_is_fresh_is_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    photo = add_photo(tmp_path, "one.jpg", caption="a text")
    first = read(dataset)["caption_sidecar"]
    again = read(dataset)["caption_sidecar"]
    os.utime(photo, ns=(0, 0))  # the image, not its caption
    image_changed = read(dataset)["caption_sidecar"]
    forced = read(dataset, force=True)["caption_sidecar"]

    assert [one.reused for one in (first, again, image_changed, forced)] == [False, True, True, False]
    assert forced.report["read"] == 1
    assert {one.state.output for one in (first, again, image_changed, forced)} == {first.state.output}


def test_a_file_that_only_moved_in_time_changes_no_result(dataset: Dataset, tmp_path: Path) -> None:
    photo = add_photo(tmp_path, "one.jpg", caption="a text")
    first = read(dataset)["caption_sidecar"]
    os.utime(photo.with_suffix(".txt"), ns=(0, 0))

    again = read(dataset)["caption_sidecar"]

    assert again.report["read"] == 1
    assert again.state.output == first.state.output


def test_captions_of_other_variants_stay_when_one_is_added(tmp_path: Path) -> None:
    photo = add_photo(tmp_path, "one.jpg", caption="a txt")
    photo.with_suffix(".json").write_text('{"title": "a title"}')
    with open_dataset(with_variants(tmp_path, {"name": "plain"})) as dataset:
        read(dataset)
    with open_dataset(with_variants(tmp_path, {"name": "title", "field": "title"}, {"name": "plain"})) as dataset:
        outcomes = read(dataset)

        assert {name: outcome.reused for name, outcome in outcomes.items()} == {"title": False, "plain": True}
        assert captions(dataset).keys() == {("title", "one.jpg"), ("plain", "one.jpg")}


@pytest.mark.parametrize("reverse", [False, True])
def test_ids_of_sources_follow_the_settings(tmp_path: Path, reverse: bool) -> None:
    add_photo(tmp_path, "one.jpg", caption="a txt")
    variants = [{"name": name} for name in ("b", "a", "c")]
    with open_dataset(with_variants(tmp_path, *variants)) as dataset:
        scan_sources(dataset)
        assign_buckets(dataset)
        (key,) = partition_keys(dataset)
        for variant in sorted(variants_of(dataset), key=lambda one: one.name, reverse=reverse):
            read_captions(dataset, variant, key)  # in whatever order the stages run
        with dataset.catalog.reading() as connection:
            assert [(source.id, source.variant) for source in list_sources(connection)] == [
                (1, "b"),
                (2, "a"),
                (3, "c"),
            ]


def test_a_caption_that_is_no_file_is_not_waited_for(dataset: Dataset, tmp_path: Path) -> None:
    os.mkfifo(add_photo(tmp_path, "pipe.jpg").with_suffix(".txt"))
    add_photo(tmp_path, "link.jpg").with_suffix(".txt").symlink_to("nowhere")
    add_photo(tmp_path, "folder.jpg").with_suffix(".txt").mkdir()

    report = read(dataset)["caption_sidecar"].report

    assert report["statuses"] == {"missing": 3}


def test_a_caption_that_is_gone_since_the_scan_is_unavailable(dataset: Dataset, tmp_path: Path) -> None:
    photo = add_photo(tmp_path, "one.jpg", caption="a text")
    scan_sources(dataset)
    assign_buckets(dataset)
    photo.with_suffix(".txt").unlink()

    assert read(dataset, look=False)["caption_sidecar"].report["statuses"] == {"missing": 1}


def test_a_caption_that_may_not_be_read_is_tried_again(dataset: Dataset, tmp_path: Path) -> None:
    add_photo(tmp_path, "other.jpg", caption="another text")
    file = add_photo(tmp_path, "one.jpg", caption="a text").with_suffix(".txt")
    scan_sources(dataset)
    assign_buckets(dataset)
    file.chmod(0)

    assert children.run(READ_IN_A_CHILD, tmp_path, powerless=True) == "2"

    assert captions(dataset)["caption_sidecar", "one.jpg"] == (ERROR, "")
    (key,) = partition_keys(dataset)
    with dataset.catalog.reading() as connection:
        verdict = judge_inputs(dataset.settings, load_states(connection), caption_stage("caption_sidecar"), key)
    assert (verdict.state, verdict.retry) == ("stale", True)
    file.chmod(0o600)
    assert read(dataset)["caption_sidecar"].report["read"] == 1
    assert captions(dataset)["caption_sidecar", "one.jpg"] == (OK, "a text")
    assert read(dataset)["caption_sidecar"].reused


def test_the_captions_of_an_image_are_there_when_it_comes_back(dataset: Dataset, tmp_path: Path) -> None:
    photo = add_photo(tmp_path, "one.jpg", caption="a text")
    add_photo(tmp_path, "other.jpg")
    read(dataset)
    away = photo.rename(tmp_path / "away")
    read(dataset)
    away.rename(photo)

    report = read(dataset)["caption_sidecar"].report

    assert report["read"] == 0
    assert captions(dataset)["caption_sidecar", "one.jpg"] == (OK, "a text")


def test_there_are_no_captions_without_a_plan(dataset: Dataset) -> None:
    with pytest.raises(OrderError, match="shard_plans"):
        read_captions(dataset, variants_of(dataset)[0], "p64x64_000000-000001")


def test_a_file_that_is_no_longer_read_gives_no_caption(tmp_path: Path) -> None:
    photo = add_photo(tmp_path, "one.jpg", caption="a text")
    chosen: list[str] = []
    for extension in (None, "caption", "txt"):
        variant = {"name": "plain"} | ({"extension": extension} if extension else {})
        with open_dataset(with_variants(tmp_path, variant)) as dataset:
            chosen.append(selected_text(dataset))
        if extension is None:
            photo.with_suffix(".caption").write_text("a better one")

    assert chosen == ["a text", "a better one", "a text"]

    photo.with_suffix(".txt").unlink()
    with open_dataset(with_variants(tmp_path, {"name": "plain", "extension": "txt"})) as dataset:
        assert selected_text(dataset) == ""
