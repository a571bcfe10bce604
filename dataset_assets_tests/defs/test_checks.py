from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dataset_assets.catalog.state import StageState, drop_state, load_states, put_state
from dataset_assets.dataset import open_dataset
from dataset_assets.defs.partitions import list_partitions
from dataset_assets.stages import Stage
from dataset_assets.storage.layout import Layout
from dataset_assets_tests.datasets import add_photo, on_disk, settings_in
from dataset_assets_tests.runs import INDEX, RELEASE, checks, execute_check, failures, instance_in, materialize

KEY = "p1216x832_000000-000001"
BELOW = (Stage.CAPTION_SELECTION, Stage.SHARDS)


@pytest.fixture
def instance(built: Path, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that knows the partitions of the built dataset."""
    with instance_in(tmp_path / "home") as opened:
        materialize(settings_in(built), opened, *INDEX)
        yield opened


def damage(tar: Path) -> None:
    """Change one byte of a tar's first image; its size stays."""
    data = bytearray(tar.read_bytes())
    data[700] ^= 0xFF
    tar.write_bytes(data)


def test_a_sound_dataset_passes_every_check(built: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_in(built)

    said = checks(materialize(settings, instance, *INDEX))
    said |= checks(materialize(settings, instance, *BELOW, keys=list_partitions(instance)))
    said |= checks(materialize(settings, instance, *RELEASE))

    assert {name for name, check in said.items() if check.passed} == {
        "images_usable", "counts_add_up", "shards_intact", "export_complete",
    }  # fmt: skip
    assert set(said) == {"images_usable", "counts_add_up", "caption_coverage", "shards_intact", "export_complete"}
    assert said["shards_intact"].metadata["samples"].value == 20
    assert said["counts_add_up"].metadata["counted"].value == 20


def test_a_damaged_tar_fails_its_check_and_stops_the_manifest(built: Path, instance: dg.DagsterInstance) -> None:
    settings, layout = settings_in(built), Layout(built / "out")
    tar, whole = layout.tar("p1216x832", 1), layout.tar("p1216x832", 1).read_bytes()
    on_disk(layout.manifest).unlink()
    damage(on_disk(tar))

    result = materialize(settings, instance, *BELOW, *RELEASE, keys=[KEY])

    check = checks(result)["shards_intact"]
    assert not result.success
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert str(check.description).startswith("buckets/p1216x832/shard-000001.tar: ")
    first, *faults, last = str(check.metadata["first_faults"].value).splitlines()
    assert (first, last) == ("```text", "```")
    assert check.metadata["faults"].value == len(faults)
    assert not layout.manifest.exists()

    again = materialize(settings, instance, *BELOW, *RELEASE, keys=[KEY])

    assert again.success
    assert checks(again)["shards_intact"].passed
    assert tar.read_bytes() == whole
    assert layout.manifest.is_file()


def test_a_file_too_many_fails_the_export_and_stops_the_card(built: Path, instance: dg.DagsterInstance) -> None:
    settings, layout = settings_in(built), Layout(built / "out")
    on_disk(layout.card).unlink()
    (on_disk(layout.export / "notes[1].txt")).touch()

    result = materialize(settings, instance, *RELEASE)

    check = checks(result)["export_complete"]
    assert not result.success
    assert check.description == "notes[1].txt: the manifest does not list this file"
    assert not layout.card.exists()

    (on_disk(layout.export / "notes[1].txt")).unlink()
    assert materialize(settings, instance, *RELEASE).success
    assert layout.card.is_file()


def test_a_tar_that_is_gone_stops_the_manifest_and_is_named(built: Path, instance: dg.DagsterInstance) -> None:
    on_disk(Layout(built / "out").tar("p1216x832", 0)).unlink()

    result = materialize(settings_in(built), instance, *RELEASE)

    assert not result.success
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert event.step_failure_data.user_failure_data is not None
    assert "shard-000000.tar: No such file" in str(event.step_failure_data.user_failure_data.description)


def test_few_captions_and_few_usable_images_are_warnings(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    add_photo(tmp_path, "0.jpg", caption="one")
    for number in range(1, 4):
        add_photo(tmp_path, f"{number}.jpg", seed=number)
    for number in range(4):
        (tmp_path / "raw" / f"broken {number}.jpg").write_text("no image")

    with instance_in(tmp_path / "home") as instance:
        index = materialize(settings, instance, *INDEX)
        captions = materialize(
            settings,
            instance,
            Stage.RESIZED_CROPS,
            "captions/caption_sidecar",
            Stage.CAPTION_SELECTION,
            keys=list_partitions(instance),
        )

    usable, coverage = checks(index)["images_usable"], checks(captions)["caption_coverage"]
    assert index.success
    assert captions.success
    assert not usable.passed
    assert usable.severity == dg.AssetCheckSeverity.WARN
    assert (usable.metadata["seen"].value, usable.metadata["usable"].value) == (8, 4)
    assert not coverage.passed
    assert coverage.severity == dg.AssetCheckSeverity.WARN
    assert coverage.metadata["coverage"].value == 0.25


def test_counts_that_do_not_add_up_stop_everything_below(built: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_in(built)
    with open_dataset(settings) as dataset, dataset.catalog.writing() as connection:
        state = load_states(connection)[Stage.BUCKET_ASSIGNMENTS, ""]
        report = {**state.report, "assigned": state.report["assigned"] - 1}
        put_state(
            connection, StageState(stage=state.stage, fingerprint=state.fingerprint, output=state.output, report=report)
        )

    result = materialize(settings, instance, *INDEX)

    assert not result.success
    assert not checks(result)["counts_add_up"].passed
    assert checks(result)["counts_add_up"].metadata["counted"].value == 19


def test_a_check_that_is_executed_by_itself_is_of_all_partitions(built: Path, instance: dg.DagsterInstance) -> None:
    settings, tar = settings_in(built), Layout(built / "out").tar("p1216x832", 1)

    sound = checks(execute_check(settings, instance, Stage.SHARDS, "shards_intact"))["shards_intact"]
    captions = checks(execute_check(settings, instance, Stage.CAPTION_SELECTION, "caption_coverage"))
    damage(on_disk(tar))
    broken = execute_check(settings, instance, Stage.SHARDS, "shards_intact")

    assert sound.passed
    assert sound.metadata["samples"].value == 20
    assert captions["caption_coverage"].metadata["images"].value == 20
    check = checks(broken)["shards_intact"]
    assert not check.passed
    assert str(check.description).startswith("buckets/p1216x832/shard-000001.tar: ")
    assert check.metadata["shards"].value == len(list(on_disk(Layout(built / "out").export).rglob("*.tar")))


def test_a_damaged_tar_of_another_partition_is_told_and_stops_nothing(
    built: Path, instance: dg.DagsterInstance
) -> None:
    settings, layout = settings_in(built), Layout(built / "out")
    other = next(key for key in list_partitions(instance) if key != KEY and "p832x1152" in key)
    damage(on_disk(layout.tar("p832x1152", 0)))
    assert not checks(execute_check(settings, instance, Stage.SHARDS, "shards_intact"))["shards_intact"].passed

    result = materialize(settings, instance, *BELOW, keys=[KEY])

    check = checks(result)["shards_intact"]
    assert result.success
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description == f"{other}: tars of it are to be written again"
    assert checks(materialize(settings, instance, *BELOW, keys=[other]))["shards_intact"].passed


def test_a_check_of_one_partition_counts_all(built: Path, instance: dg.DagsterInstance) -> None:
    said = checks(materialize(settings_in(built), instance, *BELOW, keys=[KEY]))

    tars = list(on_disk(Layout(built / "out").export).rglob("*.tar"))
    counted = {name: said["shards_intact"].metadata[name].value for name in ("shards", "samples", "bytes")}
    assert counted == {"shards": len(tars), "samples": 20, "bytes": sum(tar.stat().st_size for tar in tars)}
    assert said["caption_coverage"].metadata["images"].value == 20


def test_tars_that_were_never_read_are_told(built: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_in(built)
    other = next(key for key in list_partitions(instance) if key != KEY)
    with open_dataset(settings) as dataset, dataset.catalog.writing() as connection:
        drop_state(connection, Stage.SHARDS_INTACT, other)

    check = checks(materialize(settings, instance, *BELOW, keys=[KEY]))["shards_intact"]

    assert not check.passed
    assert check.description == f"{other}: its tars were not read since they were written"


def test_a_check_that_is_executed_before_there_is_anything_says_so(tmp_path: Path) -> None:
    add_photo(tmp_path, "0.jpg")

    with instance_in(tmp_path / "home") as instance:
        materialize(settings_in(tmp_path), instance, *INDEX)
        (said,) = failures(execute_check(settings_in(tmp_path), instance, Stage.SHARDS, "shards_intact")).values()

    assert said == "shards has not been made yet: materialize it, or run `dataset-assets build`"
