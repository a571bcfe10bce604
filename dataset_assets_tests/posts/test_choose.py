import random
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.catalog.state import load_pieces
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DamagedError, OrderError, SettingsError
from dataset_assets.posts import gather, parse
from dataset_assets.posts.choose import choose_captions
from dataset_assets.posts.index import index_records, list_faults
from dataset_assets.stages import Stage
from dataset_assets.storage.atomic import write_bytes
from dataset_assets_tests.datasets import on_disk
from dataset_assets_tests.posts.given import (
    caption_as_card,
    caption_with_care,
    captions_of,
    choose_all,
    post,
    settings_for,
    to_lines,
    write_posts,
)
from dataset_assets_tests.posts.test_texts import odd_posts

CARD = {"faithful": caption_as_card, "careful": caption_with_care}
FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet")


def facts_of(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Return the facts of every range's captions."""
    with dataset.catalog.reading() as connection:
        return {piece.partition: dict(piece.facts) for piece in load_pieces(connection, Stage.RECORD_CAPTIONS)}


def tars_of(dataset: Dataset) -> dict[tuple[str, str], str]:
    """Return the digests of all tars, by kind and number."""
    return {
        (kind, tar): digest
        for facts in facts_of(dataset).values()
        for kind, tars in facts["tars"].items()
        for tar, digest in tars.items()
    }


def outputs_of(dataset: Dataset) -> dict[str, str]:
    """Return the digest of what the stage made of each range."""
    with dataset.catalog.reading() as connection:
        return {piece.partition: piece.output for piece in load_pieces(connection, Stage.RECORD_CAPTIONS)}


@pytest.mark.parametrize("mode", CARD)
@pytest.mark.parametrize("ending", FORMATS)
def test_captions_are_what_the_card_makes_of_the_records(tmp_path: Path, mode: str, ending: str) -> None:
    records = odd_posts(600, 11)
    random.Random(3).shuffle(records)
    for part in range(3):
        write_posts(tmp_path / f"{part}.{ending}", records[part::3])

    with open_dataset(settings_for(tmp_path, f"*.{ending}", mode=mode)) as dataset:
        found = choose_all(dataset)

    assert {row["id"]: row["caption"] for row in found} == {record["id"]: CARD[mode](record) for record in records}
    assert [(row["tar"], row["id"]) for row in found] == sorted((number % 10, number) for number in range(600))
    lines = {record["id"]: (f"{place % 3}.{ending}", place // 3 + 1) for place, record in enumerate(records)}
    assert {row["id"]: (row["file"], row["line"]) for row in found} == lines
    assert {row["id"]: row["text_tags"] for row in found} == {
        record["id"]: CARD[mode](record | {"response_finish_reason": ""}) for record in records
    }


def test_it_is_said_where_each_caption_comes_from(tmp_path: Path) -> None:
    records = [
        post(0, "a", "b", "t"),
        post(10, "a", None, "t"),
        post(20, None, " ", "t"),
        post(30, None, None, None),
        post(40, "a", "b", "t", "LENGTH"),
        post(50, "a", "b", "", "LENGTH"),
    ]
    write_posts(tmp_path / "a.jsonl", records)
    said: dict[str, Any] = {}
    for mode in CARD:
        with open_dataset(settings_for(tmp_path, mode=mode)) as dataset:
            rows = choose_all(dataset)
            said[mode] = [(row["caption"], row["variant"], row["status"]) for row in rows]
            counts = choose_captions(dataset, "00-01").report["by_source"]
            assert choose_captions(dataset, "02-03").report["by_source"] == {}
            assert counts == facts_of(dataset)["00-01"]["by_source"]
            said[f"{mode} counts"] = counts

    assert said["careful"] == [
        ("a b", "summary", 3),
        ("a", "summary", 2),
        ("t", "tags", 3),
        ("", "", 0),
        ("t", "tags", 3),
        ("", "", 0),
    ]
    assert said["careful counts"] == {"summary": 1, "summary:partial": 1, "tags": 2, "empty": 2}
    assert said["faithful"] == [
        ("a b", "summary", 3),
        ("a", "summary", 2),
        (" ", "summary", 2),
        ("", "summary", 1),
        ("t", "tags", 3),
        ("", "tags", 1),
    ]
    assert said["faithful counts"] == {"summary": 1, "summary:partial": 2, "tags": 1, "empty": 2}


def test_of_repeated_ids_the_later_row_counts_and_the_earlier_is_listed(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(1, "a1"), post(2, "a2"), post(1, "a3"), post(3, "a4")])
    write_posts(tmp_path / "b.jsonl", [post(3, "b1"), post(11, "b2")])
    listed = {}
    for order in (("a.jsonl", "b.jsonl"), ("b.jsonl", "a.jsonl")):
        with open_dataset(settings_for(tmp_path, *order)) as dataset:
            captions = captions_of(dataset)
            repeated = [tuple(one.values()) for one in list_faults(dataset)]
            listed[order[0]] = captions, repeated
            faults = {key: facts["faults"] for key, facts in facts_of(dataset).items() if facts["faults"]}
            assert faults == {"00-01": {"repeated_id": 1}, "02-03": {"repeated_id": 1}}

    one = ("a.jsonl", 1, "repeated_id", "1")
    assert listed["a.jsonl"] == ({1: "a3", 2: "a2", 3: "b1", 11: "b2"}, [one, ("a.jsonl", 4, "repeated_id", "3")])
    assert listed["b.jsonl"] == ({1: "a3", 2: "a2", 3: "a4", 11: "b2"}, [one, ("b.jsonl", 1, "repeated_id", "3")])


def test_repeated_ids_are_found_over_chunks_and_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "_CHUNK", 1)
    monkeypatch.setattr(gather, "_BLOCK", 1)
    chance = random.Random(5)
    records = [post(chance.randrange(300), f"text {number} {'x' * 9_000}") for number in range(1_000)]
    write_posts(tmp_path / "a.jsonl", records)

    with open_dataset(settings_for(tmp_path, "a.jsonl")) as dataset:
        captions = captions_of(dataset)
        repeated = sum(facts["faults"].get("repeated_id", 0) for facts in facts_of(dataset).values())

    last = {record["id"]: record["regular_summary"] for record in records}
    assert captions == last
    assert repeated == len(records) - len(last)


@pytest.mark.parametrize("width", [1, 3, 10])
def test_the_way_records_are_cut_changes_no_caption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    records = odd_posts(500, 23)
    write_posts(tmp_path / "a.jsonl", records[:250])
    write_posts(tmp_path / "b.parquet", records[250:])
    settings = settings_for(tmp_path, "a.jsonl", "b.parquet", tars_per_partition=width)
    with open_dataset(settings) as dataset:
        whole, digests = choose_all(dataset), tars_of(dataset)
    monkeypatch.setattr(parse, "_GROUP", 1)
    monkeypatch.setattr(gather, "_BLOCK", 2_000)
    with open_dataset(settings) as dataset:
        index_records(dataset, force=True)
        cut = choose_all(dataset)
        for key in settings.records.ranges if settings.records else ():
            choose_captions(dataset, key, force=True)
        assert tars_of(dataset) == digests

    assert cut == whole
    assert [row["id"] for row in whole] == sorted(range(500), key=lambda number: (number % 10, number))


def test_only_the_tars_change_that_new_rows_are_in(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(number, "a", tags="t") for number in range(40)])
    with open_dataset(settings_for(tmp_path)) as dataset:
        choose_all(dataset)
        before = tars_of(dataset)
        write_posts(tmp_path / "b.jsonl", [post(52, "b"), post(77, "b"), post(7, "a", tags="t")])
        index_records(dataset)
        keys = [f"{start:02d}-{start + 1:02d}" for start in range(0, 10, 2)]
        remade = [key for key in keys if not choose_captions(dataset, key).reused]
        after = tars_of(dataset)

    assert remade == ["02-03", "06-07"]
    assert sorted(tar for tar in before if before[tar] != after[tar]) == [
        ("captions", "2"), ("captions", "7"), ("tags", "2"), ("tags", "7"),
    ]  # fmt: skip


def test_only_the_kinds_change_whose_texts_do(tmp_path: Path) -> None:
    posts = [post(number, "a", tags="t") for number in range(40)]
    path = write_posts(tmp_path / "a.jsonl", posts)
    with open_dataset(settings_for(tmp_path)) as dataset:
        choose_all(dataset)
        before, outputs = tars_of(dataset), outputs_of(dataset)
        write_posts(
            path, [*posts[:25], post(25, "a", tags="other"), *posts[26:36], post(36, "b", tags="t"), *posts[37:]]
        )
        choose_all(dataset)
        after, remade = tars_of(dataset), outputs_of(dataset)

    assert sorted(tar for tar in before if before[tar] != after[tar]) == [("captions", "6"), ("tags", "5")]
    assert [key for key in outputs if outputs[key] != remade[key]] == ["04-05", "06-07"]


def test_a_row_that_moves_to_another_line_changes_no_tar(tmp_path: Path) -> None:
    path = write_posts(tmp_path / "a.jsonl", [post(number, "a") for number in range(10)])
    with open_dataset(settings_for(tmp_path)) as dataset:
        choose_all(dataset)
        before = tars_of(dataset)
        path.write_bytes(b"\n" + path.read_bytes())
        rows = choose_all(dataset)

        assert tars_of(dataset) == before
        assert [row["line"] for row in rows] == [number + 2 for number in range(10)]


def test_any_variants_and_any_order_of_them(tmp_path: Path) -> None:
    variants = [
        {"name": "title", "join": ["title", "artist", "year"]},
        {"name": "alt", "join": ["alt"], "when": {"field": "alt_lang", "equals": "en"}},
        {"name": "never", "join": ["nothing"]},
    ]
    write_posts(
        tmp_path / "a.jsonl",
        [
            {"post_id": 1, "title": "T", "artist": "A", "year": "1999", "alt": "alt", "alt_lang": "en"},
            {"post_id": 2, "title": "T", "year": 1999, "alt": "alt", "alt_lang": "de"},
            {"post_id": 3, "alt": "alt", "alt_lang": "de"},
        ],
    )
    with open_dataset(
        settings_for(tmp_path, id="post_id", variants=variants, priority=["alt", "title"], text_tars=["title", "never"])
    ) as dataset:
        rows = choose_all(dataset)

    said = [(row["caption"], row["variant"], row["status"], row["text_title"], row["text_never"]) for row in rows]
    assert said == [
        ("alt", "alt", 3, "T A 1999", ""),
        ("T", "title", 2, "T", ""),
        ("", "", 0, "", ""),
    ]
    assert "text_alt" not in rows[0]


def test_a_text_of_a_megabyte_is_a_caption(tmp_path: Path) -> None:
    text = "word " * 200_000
    write_posts(tmp_path / "a.jsonl", [post(1, text), post(2, "short"), post(11, text)])

    with open_dataset(settings_for(tmp_path)) as dataset:
        assert captions_of(dataset) == {1: text.strip(), 2: "short", 11: text.strip()}


def test_other_line_ends_than_a_line_feed_stay_in_a_faithful_text(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(1, "a\u2028b\u0085c\nd\re")])

    with open_dataset(settings_for(tmp_path, mode="faithful")) as dataset:
        assert captions_of(dataset) == {1: "a\u2028b\u0085cde"}
    with open_dataset(settings_for(tmp_path)) as dataset:
        assert captions_of(dataset) == {1: "a b c d e"}


def test_the_same_bytes_come_out_again(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", odd_posts(300, 1))
    write_posts(tmp_path / "b.jsonl", odd_posts(300, 2))
    with open_dataset(settings_for(tmp_path)) as dataset:
        choose_all(dataset)
        made = {path.name: path.read_bytes() for path in (on_disk(dataset.layout.root / "records")).rglob("*.*")}
        index_records(dataset, force=True)
        for key in ("00-01", "02-03", "04-05", "06-07", "08-09"):
            assert not choose_captions(dataset, key, force=True).reused
        again = {path.name: path.read_bytes() for path in (on_disk(dataset.layout.root / "records")).rglob("*.*")}

    assert made == again
    assert len(made) == 2 + 5 + 5


def test_a_damaged_parsed_file_is_named_and_read_again(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(1, "the caption of one")])
    with open_dataset(settings_for(tmp_path)) as dataset:
        index_records(dataset)
        (path,) = dataset.layout.parsed.glob("*.parquet")
        data = bytearray(path.read_bytes())
        data[4:40] = bytes(36)
        write_bytes(path, bytes(data))
        with pytest.raises(DamagedError, match="was damaged and has been removed: build again"):
            choose_captions(dataset, "00-01")

        assert captions_of(dataset) == {1: "the caption of one"}


def test_records_have_to_be_read_first(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(1, "a")])
    with open_dataset(settings_for(tmp_path)) as dataset:
        with pytest.raises(OrderError, match="caption_records has not been made yet"):
            choose_captions(dataset, "00-01")
        index_records(dataset)
    with (
        open_dataset(settings_for(tmp_path, mode="faithful")) as dataset,
        pytest.raises(OrderError, match=r"caption_records is stale \(changed: settings\)"),
    ):
        choose_captions(dataset, "00-01")


def test_a_range_that_there_is_not_is_said(tmp_path: Path) -> None:
    with open_dataset(settings_for(tmp_path)) as dataset, pytest.raises(SettingsError, match="no range of tars 00-99"):
        choose_captions(dataset, "00-99")


def test_ids_of_every_size_find_their_tar(tmp_path: Path) -> None:
    ids = [0, 9, 2**31, 2**40 + 7, 2**63 - 1]
    (tmp_path / "a.jsonl").write_bytes(to_lines(post(number, str(number)) for number in ids))
    with open_dataset(settings_for(tmp_path)) as dataset:
        rows = choose_all(dataset)

    assert sorted((row["id"], row["tar"], row["caption"]) for row in rows) == [
        (number, number % 10, str(number)) for number in ids
    ]
