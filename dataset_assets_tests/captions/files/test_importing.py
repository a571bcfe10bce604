import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_assets.captions.chat.prompts import name_input
from dataset_assets.captions.files.exporting import export_captions
from dataset_assets.captions.files.importing import ImportReport, import_captions
from dataset_assets.captions.files.rows import Fault
from dataset_assets.captions.needs import find_owed
from dataset_assets.captions.sources import register_variants
from dataset_assets.captions.view import load_view
from dataset_assets.catalog.captions import (
    CaptionSource,
    SourceIdentity,
    list_sources,
    load_spending,
    put_captions,
    record_answers,
    register_source,
)
from dataset_assets.catalog.database import BATCH
from dataset_assets.catalog.images import update_images
from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import CatalogError, SettingsError, SourceError
from dataset_assets.freshness import judge_inputs
from dataset_assets.status import judge_all
from dataset_assets.storage.parquet import read_table
from dataset_assets_tests import children
from dataset_assets_tests.captions.captioned import (
    BUCKET,
    CHAT,
    HAND,
    PAID,
    all_captions,
    answer,
    record,
    seat,
    texts,
    write_lines,
)
from dataset_assets_tests.catalog.rows import add_images
from dataset_assets_tests.datasets import build_partitions, partition_keys, settings_in

HAND_SOURCE = SourceIdentity(variant="caption_hand", backend="imported", model="")

KILLED_AFTER_ITS_FIRST_BATCH = """
import os, signal, sys
from pathlib import Path
from dataset_assets.captions.files import incoming
from dataset_assets.captions.files.importing import import_captions
from dataset_assets.dataset import open_dataset
from dataset_assets.progress import Silence
from dataset_assets_tests.captions.captioned import HAND
from dataset_assets_tests.datasets import settings_in

class Killer(Silence):
    def start(self, stage, total, unit):
        self.stage = stage

    def advance(self, count):
        if self.stage == "captions import":
            os.kill(os.getpid(), signal.SIGKILL)

incoming.BATCH = 2
folder = Path(sys.argv[1])
with open_dataset(settings_in(folder, captions={"variants": [HAND]})) as dataset:
    import_captions(dataset, folder / "in.jsonl", variant="caption_hand", progress=Killer())
"""


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(tmp_path, captions={"variants": [HAND, CHAT]})) as dataset:
        yield dataset


def take(dataset: Dataset, *rows: Mapping[str, Any] | str | bytes, **options: Any) -> ImportReport:
    """Import rows as JSON Lines, of `caption_hand` where they do not say."""
    path = write_lines(dataset.settings.folder / "in.jsonl", *rows)
    report = import_captions(dataset, path, **({"variant": "caption_hand"} | options))
    counts = (report.imported, report.unchanged, report.kept, report.replaced_by_later, *report.faults.values())
    assert sum(counts) == report.rows
    assert sum(report.by_variant.values()) == report.imported
    return report


def counts(report: ImportReport) -> dict[str, int]:
    """Return how many rows became of what, without what none did."""
    said = {name: getattr(report, name) for name in ("imported", "unchanged", "kept", "replaced_by_later")}
    return {name: count for name, count in (said | dict(report.faults)).items() if count}


def paid(image_id: str, text: str, status: str = "ok", **facts: Any) -> dict[str, Any]:
    """Return a row of `PAID`'s captions as an export has it."""
    identity = {name: getattr(PAID, name) for name in SourceIdentity.__dataclass_fields__}
    row = identity | {"image_id": image_id, "source_created_at": 1_600_000_000} | answer(0, text, status, **facts)
    return {name: value for name, value in row.items() if name != "image"}


def list_all(dataset: Dataset) -> tuple[CaptionSource, ...]:
    with dataset.catalog.reading() as connection:
        return list_sources(connection)


def edits(dataset: Dataset) -> set[tuple[str, str]]:
    with dataset.catalog.reading() as connection:
        return {key for key in load_states(connection) if key[0].startswith("edits/")}


def dump(dataset: Dataset) -> str:
    connection = sqlite3.connect(dataset.layout.catalog)
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["all.parquet", "all.jsonl", "all.jsonl.gz"])
def test_a_lost_catalog_gets_back_what_was_paid_for(dataset: Dataset, tmp_path: Path, name: str) -> None:
    ids = seat(dataset, "a", "b", "c")
    other = replace(PAID, variant="caption_long_gone", parameters="{}")
    record(dataset, PAID, answer(ids["a"], " öne\n", "truncated"), answer(ids["b"], "two", created_at=1.1))
    record(dataset, PAID, answer(ids["b"], "", "error"), answer(ids["c"], "", "refused", input_version=""))
    record(dataset, other, answer(ids["a"], "three"), created_at=1_500_000_000)
    with dataset.catalog.writing() as connection:
        update_images(connection, [{"id": ids["c"], "removed": True}])
    export_captions(dataset, tmp_path / name)

    with open_dataset(settings_in(tmp_path, dataset={"root": "new"}, captions={"variants": [CHAT]})) as new:
        again = seat(new, "0 that was not there", "c", "b", "a")
        report = import_captions(new, tmp_path / name)

        assert again["a"] != ids["a"]
        assert all_captions(new) == all_captions(dataset)
        assert all_captions(new)["b", PAID]["attempts"] == 2
        assert {(one.identity, one.created_at) for one in list_all(new)} == {
            (PAID, 1_600_000_000),
            (other, 1_500_000_000),
        }
        assert counts(report) == {"imported": 4}
        assert report.by_variant == {"caption_chat": 3, "caption_long_gone": 1}
        assert counts(import_captions(new, tmp_path / name)) == {"unchanged": 4}


def test_sources_are_numbered_in_the_order_in_which_they_came_to_be(dataset: Dataset) -> None:
    seat(dataset, "a")
    rows = [
        paid("a", "x", variant="caption_chat", model="same second, later in the settings", source_created_at=200),
        paid("a", "x", model="first", source_created_at=100),
        paid("a", "x", variant="caption_hand", model="same second", source_created_at=200),
        {"image_id": "a", "text": "x", "model": "now"},
        paid("a", "x", model="first", source_created_at=50),
    ]

    assert counts(take(dataset, *rows)) == {"imported": 4, "replaced_by_later": 1}
    assert [(one.id, one.model) for one in list_all(dataset)] == [
        (1, "first"),
        (2, "same second"),
        (3, "same second, later in the settings"),
        (4, "now"),
    ]
    assert list_all(dataset)[0].created_at == 50


def test_a_source_that_a_build_made_before_the_import_gets_its_age_back(dataset: Dataset) -> None:
    ids = seat(dataset, "a", "b")
    with dataset.catalog.writing() as connection:
        unused = register_source(connection, PAID, created_at=1_700_000_000)
        used = register_source(connection, replace(PAID, model="used"), created_at=1_700_000_000)
        record_answers(connection, used, [answer(ids["a"], "a caption")])

    take(dataset, paid("a", "old"), paid("b", "old", model="used"), paid("b", "new", source_created_at=1_800_000_000))

    assert {one.id: one.created_at for one in list_all(dataset)} == {unused.id: 1_600_000_000, used.id: 1_700_000_000}


def test_prompts_that_the_settings_still_have_are_known_again(dataset: Dataset, tmp_path: Path) -> None:
    ids = seat(dataset, "a")
    with dataset.catalog.writing() as connection:
        source = register_variants(connection, dataset.settings.captions)["caption_chat"]
        record_answers(connection, source, [answer(ids["a"], "text")])
    export_captions(dataset, tmp_path / "all.parquet")

    with open_dataset(settings_in(tmp_path, dataset={"root": "new"}, captions={"variants": [CHAT]})) as new:
        seat(new, "a")
        import_captions(new, tmp_path / "all.parquet")

        assert [(one.system_prompt, one.user_prompt) for one in list_all(new)] == [
            ("You are a system prompt.", "You are a user prompt.")
        ]


def test_what_was_paid_for_is_not_asked_for_again(built: Path, tmp_path: Path) -> None:
    new = Path(shutil.copytree(built, tmp_path / "new"))
    with open_dataset(settings_in(built, captions={"variants": [CHAT]})) as dataset:
        assert sum(len(slots) for slots in owed(dataset).values()) == 20
        with dataset.catalog.writing() as connection:
            source = register_variants(connection, dataset.settings.captions)["caption_chat"]
            for key in partition_keys(dataset):
                samples = load_view(dataset, key).samples
                rows = zip(samples["id"], samples["source_sha256"], strict=True)
                answers = [answer(row, f"of {row}", input_version=checksum) for row, checksum in rows]
                record_answers(connection, source, answers)
        assert export_captions(dataset, tmp_path / "all.parquet", variants=["caption_chat"]) == 20

    with open_dataset(settings_in(new, captions={"variants": [CHAT]})) as dataset:
        assert sum(len(slots) for slots in owed(dataset).values()) == 20
        assert counts(import_captions(dataset, tmp_path / "all.parquet")) == {"imported": 20}
        assert not any(owed(dataset).values())
        with dataset.catalog.reading() as connection:
            assert load_spending(connection) == {}


def owed(dataset: Dataset) -> dict[str, list[int]]:
    """Return the slots that the model would be asked about, by partition."""
    with dataset.catalog.writing() as connection:
        registered = {name: one.id for name, one in register_variants(connection, dataset.settings.captions).items()}

    def name(variant: Any, sample: Mapping[str, Any]) -> str:
        return name_input(variant, sample, variant.user_prompt)

    return {
        key: find_owed(dataset.settings.captions, load_view(dataset, key), registered, name)["caption_chat"]
        for key in partition_keys(dataset)
    }


def test_an_import_makes_stale_what_it_changes_and_the_next_build_selects_it(built: Path) -> None:
    settings = settings_in(built, captions={"variants": [HAND, {"name": "caption_sidecar"}]})
    with open_dataset(settings) as dataset:
        build_partitions(dataset)
        first, *others = partition_keys(dataset)
        image_id = str(read_table(dataset.layout.plan(first))["image_id"][1])

        report = take(dataset, {"image_id": image_id, "text": "written by hand"})

        assert report.partitions == 1
        with dataset.catalog.reading() as connection:
            states = load_states(connection)
        stage = "captions/caption_hand"
        verdict = judge_inputs(settings, states, stage, first)
        assert (verdict.state, verdict.reason) == ("stale", "changed: edits/caption_hand")
        assert all(judge_inputs(settings, states, stage, key).fresh for key in others)
        assert judge_all(dataset)["captions/caption_sidecar", first].fresh

        remade = {key for key, outcome in build_partitions(dataset).items() if not outcome.reused}

        assert remade == {(name, first) for name in (stage, "caption_selection", "shards")}
        chosen = {row["slot"]: row for row in read_table(dataset.layout.selection(first)).to_pylist()}
        plan = {row["slot"]: row["image_id"] for row in read_table(dataset.layout.plan(first)).to_pylist()}
        by_hand = {plan[slot]: row["text"] for slot, row in chosen.items() if row["variant"] == "caption_hand"}
        assert by_hand == {image_id: "written by hand"}

        assert counts(take(dataset, {"image_id": image_id, "text": "written by hand"})) == {"unchanged": 1}
        assert judge_all(dataset)[stage, first].fresh


def test_captions_made_elsewhere_come_in_with_an_id_and_a_text(dataset: Dataset) -> None:
    seat(dataset, "a", "b")

    report = take(
        dataset,
        {"image_id": "a", "text": " a text\n", "tags": ["ignored"]},
        {"image_id": "b", "text": " ", "created_at": 5, "cost": 1},
        model="a person",
    )

    identity = replace(HAND_SOURCE, model="a person")
    assert (counts(report), report.partitions) == ({"imported": 2}, 1)
    said = all_captions(dataset)
    assert said["a", identity].pop("created_at") > 1_700_000_000
    rest: dict[str, Any] = {"detail": "", "input_version": "", "attempts": 1, "finish_reason": "", "provider": ""}
    rest |= {"prompt_tokens": 0, "completion_tokens": 0, "latency": 0}
    assert said == {
        ("a", identity): {"status": "ok", "text": "a text", "cost": 0, **rest},
        ("b", identity): {"status": "empty", "text": "", "cost": 1, "created_at": 5, **rest},
    }


def test_parquet_made_elsewhere(dataset: Dataset, tmp_path: Path) -> None:
    seat(dataset, "a", "b")
    table = pa.table({"n": [1, 2, 3], "text": ["x", None, "z"], "image_id": ["a", "b", "none"]})
    pq.write_table(table, tmp_path / "in.parquet")

    report = import_captions(dataset, tmp_path / "in.parquet", variant="caption_hand")

    assert counts(report) == {"imported": 1, "missing_field": 1, "unknown_image": 1}
    assert [(one.row, one.fault) for one in report.examples] == [(2, Fault.MISSING_FIELD), (3, Fault.UNKNOWN_IMAGE)]
    assert texts(dataset) == {"a": "x"}


def test_bad_rows_of_every_kind_are_counted_and_stop_nothing(dataset: Dataset) -> None:
    seat(dataset, "a", "b")

    report = take(
        dataset,
        {"image_id": "a", "text": "first"},
        '{"image_id": "a", "text": "cut',
        b'{"image_id": "a", "text": "caf\xe9"}',
        {"text": "of nothing"},
        {"image_id": "a", "text": None},
        {"image_id": 5, "text": "x"},
        {"image_id": "a", "text": 5},
        {"image_id": "a", "text": "x", "status": "great"},
        {"image_id": "a", "text": "nul \0"},
        r'{"image_id": "a", "text": "\ud83d"}',
        {"image_id": "elsewhere", "text": "x"},
        {"image_id": "a", "text": "x", "variant": "caption_none"},
        {"image_id": "a", "text": "last"},
        {"image_id": "b", "text": "b"},
    )

    assert counts(report) == {
        "imported": 2,
        "replaced_by_later": 1,
        "invalid_json": 2,
        "missing_field": 2,
        "bad_value": 2,
        "unknown_status": 1,
        "bad_characters": 2,
        "unknown_image": 1,
        "variant_not_configured": 1,
    }
    assert report.rows == 14
    assert sorted(problem.row for problem in report.examples) == list(range(2, 13))
    assert texts(dataset) == {"a": "last", "b": "b"}


def test_rows_of_no_variant_are_counted(dataset: Dataset) -> None:
    seat(dataset, "a")

    report = take(dataset, {"image_id": "a", "text": "x"}, paid("a", "y"), variant=None)

    assert counts(report) == {"imported": 1, "no_variant": 1}


@pytest.mark.parametrize(
    ("known", "row", "expected"),
    [
        ({}, {}, "unchanged"),
        ({}, {"attempts": 7, "cost": 5.0}, "unchanged"),  # usage alone is no other answer
        ({"created_at": 5.0}, {"created_at": 6.0, "text": "new"}, "imported"),
        ({"created_at": 5.0}, {"created_at": 5.0, "text": "new"}, "imported"),  # edited by hand
        ({"created_at": 5.0}, {"created_at": 4.0, "text": "new"}, "kept"),
        ({"created_at": 5.0}, {"created_at": None, "text": "new"}, "imported"),
        ({"created_at": 5.0}, {"created_at": None}, "unchanged"),
        ({}, {"status": "error", "text": "", "created_at": 9e9}, "kept"),
        ({"status": "error"}, {"created_at": 9e9, "status": "refused"}, "imported"),
        ({"status": "error"}, {"created_at": 1.0, "status": "refused"}, "kept"),
        ({"status": "error"}, {"created_at": 1.0}, "imported"),  # an ok that is older
        ({"status": "error", "input_version": ""}, {"created_at": 1.0}, "imported"),
        ({"status": "error"}, {"created_at": 1.0, "input_version": "of another image"}, "kept"),
        ({"status": "error"}, {"created_at": 9e9, "input_version": "of another image"}, "imported"),
    ],
)
def test_what_wins_over_what_the_catalog_has(
    dataset: Dataset, known: dict[str, Any], row: dict[str, Any], expected: str
) -> None:
    ids = seat(dataset, "a")
    record(dataset, PAID, answer(ids["a"], "old") | known)
    before = dump(dataset)
    given = paid("a", "old") | row

    assert counts(take(dataset, given)) == {expected: 1}

    if expected == "imported":
        said = all_captions(dataset)["a", PAID]
        assert {name: said[name] for name in row if row[name] is not None} == {
            name: value for name, value in row.items() if value is not None
        }
        assert said["text"] == given["text"]
        assert edits(dataset) == {("edits/caption_chat", f"{BUCKET}_000000-000001")}
    else:
        assert dump(dataset) == before


def test_in_a_file_the_later_row_wins_whatever_it_says(dataset: Dataset) -> None:
    seat(dataset, "a")

    report = take(dataset, paid("a", "newer", created_at=9.0), paid("a", "later", created_at=8.0))

    assert counts(report) == {"imported": 1, "replaced_by_later": 1}
    assert texts(dataset) == {"a": "later"}


def test_later_rows_win_across_batches(dataset: Dataset) -> None:
    names = [f"{number:05d}" for number in range(BATCH + 5)]
    seat(dataset, *names)
    rows = [{"image_id": name, "text": f"of {name}"} for name in names]

    report = take(dataset, *rows, *({"image_id": name, "text": "again"} for name in names[:3]))

    assert counts(report) == {"imported": BATCH + 5, "replaced_by_later": 3}
    assert texts(dataset) == {name: "again" if name in names[:3] else f"of {name}" for name in names}
    assert report.partitions == len(edits(dataset)) == -(-len(names) // 8)


def test_a_dry_run_says_the_same_and_writes_nothing(dataset: Dataset) -> None:
    ids = seat(dataset, "a", "b", "c")
    record(dataset, PAID, answer(ids["a"], "a"))
    rows: list[dict[str, Any] | str] = [
        paid("a", "a"),
        paid("b", "b"),
        paid("a", "", "error", model="other"),
        {"image_id": "c", "text": "c"},
        {"image_id": "c", "text": "d"},
        "bad",
    ]
    before = dump(dataset)

    dry = take(dataset, *rows, dry_run=True)

    assert dump(dataset) == before
    assert counts(dry) == {"imported": 3, "unchanged": 1, "replaced_by_later": 1, "invalid_json": 1}
    assert take(dataset, *rows) == dry
    assert (dry.by_variant, dry.partitions) == ({"caption_chat": 2, "caption_hand": 1}, 2)


def test_costs_that_come_in_are_no_spending(dataset: Dataset) -> None:
    ids = seat(dataset, "a", "b")
    record(dataset, PAID, answer(ids["a"], "a", cost=0.5))

    take(dataset, paid("b", "b", cost=7.0))

    with dataset.catalog.reading() as connection:
        assert {name: one.cost for name, one in load_spending(connection).items()} == {"caption_chat": 0.5}
    assert all_captions(dataset)["b", PAID]["cost"] == 7.0


def test_an_image_without_a_slot_makes_nothing_stale(dataset: Dataset) -> None:
    with dataset.catalog.writing() as connection:
        add_images(connection, "a")

    report = take(dataset, {"image_id": "a", "text": "x"})

    assert (counts(report), report.partitions) == ({"imported": 1}, 0)
    assert edits(dataset) == set()


def test_a_variant_must_be_configured(dataset: Dataset) -> None:
    with pytest.raises(SettingsError, match=r'^variant "caption_none" given; allowed: caption_hand, caption_chat$'):
        take(dataset, {"image_id": "a", "text": "x"}, variant="caption_none")


def test_a_file_that_breaks_off_changes_nothing(dataset: Dataset, tmp_path: Path) -> None:
    names = [f"{number:05d}" for number in range(BATCH + 5)]
    seat(dataset, *names)
    whole = write_lines(tmp_path / "whole.jsonl.gz", *({"image_id": name, "text": name} for name in names))
    (tmp_path / "cut.jsonl.gz").write_bytes(whole.read_bytes()[:-30])
    before = dump(dataset)

    with pytest.raises(SourceError, match=r"^cannot read .*cut\.jsonl\.gz: "):
        import_captions(dataset, tmp_path / "cut.jsonl.gz", variant="caption_hand")

    assert dump(dataset) == before


def test_captions_and_the_mark_that_they_changed_come_together_or_not_at_all(dataset: Dataset) -> None:
    seat(dataset, "a")
    with dataset.catalog.writing() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER no_marks BEFORE INSERT ON stage_state BEGIN SELECT RAISE(ABORT, 'no marks'); END"
        )

    with pytest.raises(CatalogError, match="no marks"):
        take(dataset, {"image_id": "a", "text": "x"})

    assert all_captions(dataset) == {}


def test_a_killed_import_leaves_no_caption_that_nobody_notices(dataset: Dataset, tmp_path: Path) -> None:
    names = [f"{number:02d}" for number in range(16)]
    seat(dataset, *names)
    path = write_lines(tmp_path / "in.jsonl", *({"image_id": name, "text": name} for name in ("00", "01", "08", "09")))
    first, second = (("edits/caption_hand", f"{BUCKET}_00000{n}-00000{n + 1}") for n in (0, 2))

    child = children.start(KILLED_AFTER_ITS_FIRST_BATCH, tmp_path)
    _, complaints = child.communicate(timeout=120)

    assert (child.returncode, complaints) == (-signal.SIGKILL, "")
    assert texts(dataset) == {"00": "00", "01": "01"}
    assert edits(dataset) == {first}
    report = import_captions(dataset, path, variant="caption_hand")
    assert counts(report) == {"imported": 2, "unchanged": 2}
    assert texts(dataset).keys() == {"00", "01", "08", "09"}
    assert edits(dataset) == {first, second}


def test_what_an_import_replaces_is_replaced_whole(dataset: Dataset) -> None:
    ids = seat(dataset, "a")
    with dataset.catalog.writing() as connection:
        source = register_source(connection, HAND_SOURCE)
        row = {"image": ids["a"], "caption_source": source.id, "status": "error", "text": "", "detail": "old"}
        put_captions(connection, [row | {"input_version": "old", "created_at": 5.0, "attempts": 9, "provider": "old"}])

    take(dataset, json.dumps({"image_id": "a", "text": "new", "created_at": 6}))

    said = all_captions(dataset)["a", HAND_SOURCE]
    assert {name: said[name] for name in ("status", "text", "detail", "input_version", "attempts", "provider")} == {
        "status": "ok",
        "text": "new",
        "detail": "",
        "input_version": "",
        "attempts": 1,
        "provider": "",
    }
