import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.catalog.state import load_pieces, load_states, void_state
from dataset_assets.dataset import open_dataset
from dataset_assets.errors import OrderError
from dataset_assets.freshness import (
    VERSIONS,
    Verdict,
    fingerprint,
    fingerprint_settings,
    judge,
    judge_inputs,
    list_inputs,
)
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage, caption_stage, partition_stages, upstream
from dataset_assets.storage.layout import Layout
from dataset_assets_tests.datasets import add_photos, build_library, on_disk, settings_in

WIDE = "p1216x832"
FIRST, SECOND = f"{WIDE}_000000-000001", f"{WIDE}_000002-000003"
SIDECAR = caption_stage("caption_sidecar")

Verdicts = dict[tuple[str, str], Verdict]


def judge_all(settings: Settings) -> Verdicts:
    with open_dataset(settings) as dataset, dataset.catalog.reading() as connection:
        return judge(settings, dataset.layout, load_states(connection), load_pieces(connection))


def stale(verdicts: Verdicts) -> dict[tuple[str, str], str]:
    return {key: verdict.reason for key, verdict in verdicts.items() if not verdict.fresh}


def test_after_a_build_everything_is_fresh(built: Path) -> None:
    settings = settings_in(built)

    verdicts = judge_all(settings)

    assert stale(verdicts) == {}
    partitions = {partition for _, partition in verdicts if partition}
    assert len(partitions) == 4
    assert set(verdicts) == {
        *((stage, "") for stage in ("raw_images", "bucket_assignments", "manifest", "dataset_card")),
        *((stage, partition) for stage in partition_stages(settings) for partition in partitions),
    }


def test_stages_come_after_those_they_are_made_from(built: Path) -> None:
    settings = settings_in(built)
    order = list(dict.fromkeys(stage for stage, _ in judge_all(settings)))

    for stage in order:
        assert all(order.index(before) < order.index(stage) for before in upstream(settings, stage))


def test_before_a_build_everything_is_missing(tmp_path: Path) -> None:
    verdicts = judge_all(settings_in(tmp_path))

    assert {verdict for verdict in verdicts.values()} == {Verdict("missing", "not made yet")}
    assert len(verdicts) == 4


@pytest.mark.parametrize(
    ("sections", "changed"),
    [
        ({"sources": [{"path": "./raw"}]}, {"raw_images"}),
        ({"buckets": {"divisible": 16}}, {"bucket_assignments", "manifest"}),
        ({"images": {"quality": 80}}, {"resized_crops", "manifest"}),
        ({"images": {"crop": {"corner_jitter": 3}}}, {"resized_crops", "manifest"}),
        ({"images": {"max_pixels": 10_000_000}}, {"raw_images", "manifest"}),
        ({"images": {"timeout_seconds": 5}}, set()),
        ({"work": {"workers": 7}}, set()),
        ({"shards": {"shard_size": 5}}, {"bucket_assignments", "resized_crops", "manifest"}),
        ({"shards": {"shards_per_partition": 3}}, {"bucket_assignments", "manifest"}),
        ({"release": {"samples": False}}, {"manifest"}),
        ({"release": {"webshart": True}}, {"manifest"}),
        ({"captions": {"missing_caption_policy": "drop"}}, {"shards", "manifest"}),
        ({"captions": {"priority": []}}, {"caption_selection", "manifest"}),
        ({"captions": {"variants": [{"name": "caption_sidecar", "extension": "txt"}]}}, {SIDECAR}),
        ({"dataset": {"license": "cc0-1.0"}}, {"dataset_card"}),
        ({"dataset": {"language": "de", "description": "Hills."}}, {"dataset_card"}),
        ({"dataset": {"owners": ["team:hills"]}}, set()),
        ({"dataset": {"root": "./out"}}, set()),
    ],
)
def test_a_setting_makes_stale_what_it_shapes(built: Path, sections: dict[str, Any], changed: set[str]) -> None:
    settings = settings_in(built, **sections)

    found = judge_all(settings)

    directly = {stage for (stage, _), reason in stale(found).items() if reason.startswith("changed: ")}
    assert directly == changed
    after = set(changed)
    for stage in dict.fromkeys(stage for stage, _ in found):
        if after & set(upstream(settings, stage)):
            after.add(stage)
    assert {stage for stage, _ in stale(found)} == after  # what follows is stale, too, and nothing else


def test_a_new_variant_is_missing_and_makes_nothing_else_stale_that_does_not_use_it(built: Path) -> None:
    variants = [{"name": "caption_sidecar"}, {"name": "title", "field": "title"}]

    found = judge_all(settings_in(built, captions={"variants": variants}))

    assert {key: verdict.state for key, verdict in found.items() if key[0] == "captions/title"} == {
        ("captions/title", partition): "missing" for _, partition in found if partition
    }
    assert found["resized_crops", FIRST].fresh
    assert found[SIDECAR, FIRST].fresh


def lose(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize(
    ("damage", "words"), [(lose, "No such file"), (cut, "bytes, "), (grow, "bytes, ")], ids=["lost", "cut", "grown"]
)
@pytest.mark.parametrize(
    ("stage", "find"),
    [
        (Stage.SHARD_PLANS, lambda layout: layout.plan(FIRST)),
        (Stage.RESIZED_CROPS, lambda layout: layout.crops(WIDE, 1)),
        (Stage.CAPTION_SELECTION, lambda layout: layout.selection(FIRST)),
        (Stage.SHARDS, lambda layout: layout.tar(WIDE, 1)),
        (Stage.SHARDS, lambda layout: layout.index(WIDE, 1)),
        (Stage.MANIFEST, lambda layout: layout.manifest),
        (Stage.MANIFEST, lambda layout: layout.samples),
        (Stage.DATASET_CARD, lambda layout: layout.card),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_damaged_artifact_is_named(
    built: Path, stage: str, find: Callable[[Layout], Path], damage: Callable[[Path], None], words: str
) -> None:
    settings = settings_in(built)
    path = find(Layout(settings.root))
    damage(path)

    found = stale(judge_all(settings))

    partition = FIRST if stage in partition_stages(settings) else ""
    assert words in found[stage, partition]
    assert path.relative_to(on_disk(settings.root)).as_posix() in found[stage, partition]
    assert all(key[1] in (partition, "") for key in found)  # other partitions are as fresh as before
    assert all(reason.endswith(" is stale") for key, reason in found.items() if key != (stage, partition))


@pytest.mark.parametrize("stage", [Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS, Stage.MANIFEST])
def test_an_interrupted_stage_is_stale(built: Path, stage: str) -> None:
    settings = settings_in(built)
    with open_dataset(settings) as dataset, dataset.catalog.writing() as connection:
        void_state(connection, stage)

    verdicts = judge_all(settings)

    assert verdicts[stage, ""] == Verdict("stale", "interrupted")
    assert not verdicts[Stage.DATASET_CARD, ""].fresh


def test_an_input_that_is_gone_is_named(built: Path) -> None:
    settings = settings_in(built)
    with open_dataset(settings) as dataset, dataset.catalog.reading() as connection:
        states = load_states(connection)
    card = states[Stage.DATASET_CARD, ""]
    once = card.report["inputs"] | {"near_duplicates": "0"}
    changed = once | {"captions": "0"}
    reasons = [
        judge_inputs(
            settings,
            {**states, (Stage.DATASET_CARD, ""): replace(card, fingerprint=fingerprint(one), report={"inputs": one})},
            Stage.DATASET_CARD,
        ).reason
        for one in (once, changed)
    ]

    assert reasons == [
        "no longer made from near_duplicates",
        "changed: captions; no longer made from near_duplicates",
    ]


def test_the_version_of_files_that_are_not_written_makes_nothing_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prints(*, on: bool) -> str:
        settings = settings_in(tmp_path, release={"webshart": on, "charts": on})
        return fingerprint_settings.__wrapped__(settings, Stage.MANIFEST)

    before = [prints(on=on) for on in (False, True)]
    for name in ("webshart", "charts"):
        monkeypatch.setitem(VERSIONS, name, 99)

        assert prints(on=False) == before[0]
        assert prints(on=True) != before[1]


def test_an_interrupted_partition_is_stale_and_its_neighbour_is_not(built: Path) -> None:
    settings = settings_in(built)
    with open_dataset(settings) as dataset, dataset.catalog.writing() as connection:
        void_state(connection, Stage.RESIZED_CROPS, FIRST)

    found = stale(judge_all(settings))

    assert found[Stage.RESIZED_CROPS, FIRST] == "interrupted"
    assert found[Stage.SHARDS, FIRST].startswith("resized_crops of")
    assert {partition for _, partition in found} == {FIRST, ""}


def test_what_is_made_of_an_unfinished_stage_has_no_inputs(built: Path, tmp_path: Path) -> None:
    settings = settings_in(built)
    with open_dataset(settings) as dataset:
        with dataset.catalog.writing() as connection:
            void_state(connection, Stage.RESIZED_CROPS, FIRST)
            states = load_states(connection)

        with pytest.raises(OrderError, match=f"resized_crops of {FIRST} was interrupted: .* before shards"):
            list_inputs(settings, states, Stage.SHARDS, FIRST)
        with pytest.raises(OrderError, match="resized_crops of p1_000000-000000 has not been made yet"):
            list_inputs(settings, states, Stage.SHARDS, "p1_000000-000000")
        assert list_inputs(settings, states, Stage.SHARDS, SECOND).keys() == {
            *("settings", Stage.RESIZED_CROPS, Stage.CAPTION_SELECTION)
        }


def test_equal_builds_have_equal_fingerprints(tmp_path: Path) -> None:
    made = []
    for name in ("one", "other"):
        add_photos(tmp_path / name, 4)
        shutil.copystat(tmp_path, tmp_path / name)
        with open_dataset(settings_in(tmp_path / name)) as dataset:
            build_library(dataset)
            with dataset.catalog.reading() as connection:
                states = load_states(connection)
        made.append({key: state.output for key, state in states.items() if key[0] == Stage.SHARDS})

    assert made[0] == made[1]
    assert len(made[0]) == 3


def test_a_fingerprint_tells_parts_and_their_order_apart() -> None:
    prints = [fingerprint("ab", "c"), fingerprint("a", "bc"), fingerprint("c", "ab"), fingerprint("abc"), fingerprint()]

    assert len(set(prints)) == 5
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
