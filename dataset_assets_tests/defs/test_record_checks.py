from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dataset_assets.catalog.state import StageState, load_states, put_state
from dataset_assets.dataset import open_dataset
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage
from dataset_assets_tests.posts.given import post, settings_for, to_lines, write
from dataset_assets_tests.runs import RANGES, checks, execute_check, instance_in, materialize

KEYS = ["00-01", "02-03", "04-05", "06-07", "08-09"]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_in(tmp_path / "home") as opened:
        yield opened


def build(settings: Settings, instance: dg.DagsterInstance) -> dict[str, dg.AssetCheckEvaluation]:
    """Run every stage and return what the checks said."""
    said = checks(materialize(settings, instance, Stage.CAPTION_RECORDS))
    ranges = materialize(settings, instance, *RANGES, keys=KEYS)
    assert ranges.success
    return said | checks(ranges) | checks(materialize(settings, instance, Stage.TRAINER_METADATA))


def lines_of(ids: range) -> bytes:
    return to_lines(post(number, f"text {number}", tags="a") for number in ids)


def edit_report(settings: Settings, stage: str, key: str, **changes: Any) -> None:
    """Change what a stage said of itself, as no stage does."""
    with open_dataset(settings) as dataset, dataset.catalog.writing() as connection:
        state = load_states(connection)[stage, key]
        kept = {name: getattr(state, name) for name in ("stage", "partition", "fingerprint", "output")}
        put_state(connection, StageState(**kept, report={**state.report, **changes}))


def test_good_records_pass_every_check(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    write(tmp_path / "a.jsonl", lines_of(range(100)) + b"[]\n")
    (tmp_path / "lat.jsonl").write_bytes(
        to_lines({"id": number, "train_resolution": [64, 64]} for number in range(100))
    )

    said = build(settings_for(tmp_path, "a.jsonl", trainer={"latents": "lat.jsonl"}), instance)

    assert {name: check.passed for name, check in said.items()} == dict.fromkeys(
        ("records_read", "records_add_up", "members_add_up", "metadata_complete", "captions_add_up"), True
    )
    assert {name: value.value for name, value in said["records_add_up"].metadata.items()} == {
        "records": 100,
        "counted": 100,
    }
    assert {name: value.value for name, value in said["captions_add_up"].metadata.items()} == {
        "captions": 100,
        "counted": 100,
    }


def test_many_rows_that_cannot_be_used_are_a_warning_that_names_them(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    write(tmp_path / "a|b.jsonl", lines_of(range(100)) + b"[]\n" * 30)

    check = build(settings_for(tmp_path, trainer={}), instance)["records_read"]

    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert (check.metadata["rows"].value, check.metadata["dropped"].value) == (130, 30)
    lines = str(check.metadata["first_faults"].value).splitlines()
    assert len(lines) == 2 + 20
    assert lines[1] == "a|b.jsonl, line 101: not_an_object: a list"


def test_no_records_are_a_warning(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    write(tmp_path / "a.jsonl", b"")

    (read, added) = checks(materialize(settings_for(tmp_path), instance, Stage.CAPTION_RECORDS)).values()

    assert {read.check_name: read.passed, added.check_name: added.passed} == {
        "records_read": False,
        "records_add_up": True,
    }
    assert "first_faults" not in {**read.metadata, **added.metadata}


def test_metadata_that_lacks_much_is_a_warning(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    write(tmp_path / "a.jsonl", lines_of(range(100)))
    (tmp_path / "lat.jsonl").write_bytes(to_lines({"id": number, "train_resolution": [64, 64]} for number in range(10)))

    check = build(settings_for(tmp_path, "a.jsonl", trainer={"latents": "lat.jsonl"}), instance)["metadata_complete"]

    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    missing = check.metadata["missing"]
    assert isinstance(missing, dg.TableMetadataValue)
    assert {tuple(record.data.values()) for record in missing.records} == {("latent", 90), ("tags", 0), ("caption", 0)}


@pytest.mark.parametrize(
    ("stage", "key", "change", "name"),
    [
        (Stage.CAPTION_RECORDS, "", {"rows": 101}, "records_add_up"),
        (Stage.CAPTIONS_1KTAR, "02-03", {"members": {"captions": 19}}, "members_add_up"),
        (Stage.TRAINER_METADATA, "", {"ids": 101}, "captions_add_up"),
    ],
)
def test_counts_that_do_not_add_up_stop_the_run(
    tmp_path: Path, instance: dg.DagsterInstance, stage: str, key: str, change: dict[str, Any], name: str
) -> None:
    settings = settings_for(tmp_path, trainer={})
    write(tmp_path / "a.jsonl", lines_of(range(100)))
    build(settings, instance)
    edit_report(settings, stage, key, **change)

    result = materialize(settings, instance, stage, keys=[key] if key else [])

    assert not result.success
    assert not checks(result)[name].passed
    assert checks(result)[name].severity == dg.AssetCheckSeverity.ERROR


def test_a_check_that_is_executed_by_itself_is_of_all_ranges(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_for(tmp_path)
    write(tmp_path / "a.jsonl", lines_of(range(100)))
    build(settings_for(tmp_path, trainer={}), instance)

    check = checks(execute_check(settings, instance, Stage.CAPTIONS_1KTAR, "members_add_up"))["members_add_up"]

    assert check.passed
    assert {name: value.value for name, value in check.metadata.items()} == {"captions": 100, "members": 100}


def test_a_fault_of_another_range_is_told_and_stops_nothing(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_for(tmp_path, trainer={})
    write(tmp_path / "a.jsonl", lines_of(range(100)))
    build(settings, instance)
    edit_report(settings, Stage.CAPTIONS_1KTAR, KEYS[0], members={})

    result = materialize(settings, instance, *RANGES, keys=[KEYS[1]])

    check = checks(result)["members_add_up"]
    assert result.success
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (check.metadata["captions"].value, check.metadata["members"].value) == (100, 80)
