from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.captions.sidecar import read_captions
from dataset_assets.captions.waterfall import SELECTION_SCHEMA, choose_captions, rank_sources, select_captions
from dataset_assets.catalog.captions import CaptionSource, CaptionStatus
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import OrderError
from dataset_assets.settings import SelectorSettings, Settings
from dataset_assets.shards.plan import read_plan
from dataset_assets.sources.scan import scan_sources
from dataset_assets.storage.parquet import read_table
from dataset_assets.work import Outcome
from dataset_assets_tests.datasets import add_photo, partition_keys, settings_in


@dataclass(frozen=True)
class Caption:
    slot: int
    caption_source: int
    status: str
    text: str


def source(number: int, variant: str = "a", backend: str = "sidecar", model: str = "txt", at: int = 0) -> CaptionSource:
    return CaptionSource(
        id=number,
        variant=variant,
        backend=backend,
        model=model,
        created_at=at,
        system_prompt_sha256="",
        user_prompt_sha256="",
    )


def choose(
    captions: Sequence[Caption],
    slots: Sequence[int],
    sources: Sequence[CaptionSource],
    priority: Sequence[SelectorSettings],
) -> list[tuple[int, int, int, str]]:
    frame = pd.DataFrame(captions, columns=["slot", "caption_source", "status", "text"])
    chosen = choose_captions(frame, slots, rank_sources(sources, priority))
    columns = chosen[["slot", "selector_index", "caption_source", "text"]]
    return [
        (int(slot), int(index), int(number), str(text)) for slot, index, number, text in columns.itertuples(index=False)
    ]


def choose_slowly(
    captions: Sequence[Caption],
    slots: Sequence[int],
    sources: Sequence[CaptionSource],
    priority: Sequence[SelectorSettings],
) -> list[tuple[int, int, int, str]]:
    """SPEC 1.5 word for word."""
    chosen = []
    for slot in slots:
        winner = (slot, -1, -1, "")
        ok = {one.caption_source: one.text for one in captions if one.slot == slot and one.status == "ok"}
        for index, selector in enumerate(priority):
            fitting = [
                one
                for one in sources
                if one.id in ok
                and one.variant == selector.variant
                and (selector.backend is None or one.backend == selector.backend)
                and (selector.model is None or one.model == selector.model)
            ]
            if fitting:
                newest = max(fitting, key=lambda one: (one.created_at, one.id))
                winner = (slot, index, newest.id, ok[newest.id])
                break
        chosen.append(winner)
    return chosen


names, backends, models = (st.sampled_from(values) for values in (["a", "b", "c"], ["x", "y"], ["m", "n"]))
selectors = st.builds(SelectorSettings, variant=names, backend=st.none() | backends, model=st.none() | models)
many_sources = st.lists(st.tuples(names, backends, models, st.integers(0, 3)), max_size=8).map(
    lambda rows: [source(number, *row) for number, row in enumerate(rows, start=1)]
)
statuses = st.sampled_from([status.value for status in CaptionStatus])
many_captions = st.dictionaries(
    st.tuples(st.integers(0, 6), st.integers(1, 8)), st.tuples(statuses, st.text(max_size=3)), max_size=30
).map(lambda rows: [Caption(*place, *what) for place, what in rows.items()])


@given(
    many_captions, st.lists(st.integers(0, 6), unique=True, min_size=1), many_sources, st.lists(selectors, max_size=5)
)
def test_the_waterfall_is_what_the_rule_says(
    captions: list[Caption], slots: list[int], sources: list[CaptionSource], priority: list[SelectorSettings]
) -> None:
    slots = sorted(slots)

    assert choose(captions, slots, sources, priority) == choose_slowly(captions, slots, sources, priority)


def test_selectors_narrow_by_backend_and_model() -> None:
    sources = [source(1, "a", "x", "m"), source(2, "a", "y", "m"), source(3, "a", "y", "n")]
    captions = [Caption(0, number, "ok", f"text {number}") for number in (1, 2, 3)]

    def first(**selector: str) -> tuple[int, int, int, str]:
        return choose(captions, [0], sources, [SelectorSettings(variant="a", **selector)])[0]

    assert first(backend="x") == (0, 0, 1, "text 1")
    assert first(model="m") == (0, 0, 2, "text 2")  # the newest of those made at the same second
    assert first(backend="y", model="n") == (0, 0, 3, "text 3")
    assert first(backend="x", model="n") == (0, -1, -1, "")


def test_the_newest_source_of_a_selector_wins() -> None:
    sources = [source(1, at=20), source(2, at=10)]
    both = [Caption(0, 1, "ok", "new"), Caption(0, 2, "ok", "old")]

    assert choose(both, [0], sources, [SelectorSettings(variant="a")]) == [(0, 0, 1, "new")]
    failed = [Caption(0, 1, "error", ""), both[1]]
    assert choose(failed, [0], sources, [SelectorSettings(variant="a")]) == [(0, 0, 2, "old")]


@pytest.mark.parametrize("status", [status.value for status in CaptionStatus if status != CaptionStatus.OK])
def test_only_ok_is_selected(status: str) -> None:
    captions = [Caption(0, 1, status, "there is a text")]

    assert choose(captions, [0], [source(1)], [SelectorSettings(variant="a")]) == [(0, -1, -1, "")]


def build(dataset: Dataset) -> Outcome:
    scan_sources(dataset)
    assign_buckets(dataset)
    (key,) = partition_keys(dataset)
    for variant in dataset.settings.captions.variants:
        read_captions(dataset, variant, key)
    return select_captions(dataset, key)


def two_variants(folder: Path, *priority: str) -> Settings:
    variants = [{"name": "plain"}, {"name": "title", "field": "title"}]
    return settings_in(folder, captions={"variants": variants, "priority": [{"variant": name} for name in priority]})


def selected(dataset: Dataset) -> dict[str, tuple[str, int, int, str]]:
    (key,) = partition_keys(dataset)
    table = read_table(dataset.layout.selection(key))
    assert table.schema == SELECTION_SCHEMA
    uris = {row["slot"]: row["uri"] for row in read_plan(dataset, key).to_pylist()}
    assert table["slot"].to_pylist() == sorted(uris)
    return {uris[row["slot"]]: tuple(row.values())[1:] for row in table.to_pylist()}


def test_a_partitions_selection(tmp_path: Path) -> None:
    add_photo(tmp_path, "both.jpg", caption="plain 1").with_suffix(".json").write_text('{"title": "title 1"}')
    add_photo(tmp_path, "plain.jpg", caption="plain 2").with_suffix(".json").write_text('{"title": 5}')
    add_photo(tmp_path, "title.jpg", caption="").with_suffix(".json").write_text('{"title": "title 3"}')
    add_photo(tmp_path, "none.jpg")
    with open_dataset(two_variants(tmp_path, "title", "plain")) as dataset:
        report = build(dataset).report

        assert selected(dataset) == {
            "both.jpg": ("title", 0, 2, "title 1"),
            "plain.jpg": ("plain", 1, 1, "plain 2"),
            "title.jpg": ("title", 0, 2, "title 3"),
            "none.jpg": ("", -1, -1, ""),
        }
    assert (report["images"], report["selected"], report["without"]) == (4, {"0": 2, "1": 1}, 1)


def test_another_priority_selects_again_and_reads_nothing(tmp_path: Path) -> None:
    add_photo(tmp_path, "both.jpg", caption="plain 1").with_suffix(".json").write_text('{"title": "title 1"}')
    with open_dataset(two_variants(tmp_path, "title", "plain")) as dataset:
        build(dataset)
    for priority, expected in ((("plain", "title"), "plain 1"), (("title",), "title 1"), ((), "")):
        with open_dataset(two_variants(tmp_path, *priority)) as dataset:
            (key,) = partition_keys(dataset)
            captions = [read_captions(dataset, one, key).reused for one in dataset.settings.captions.variants]
            outcome = select_captions(dataset, key)

            assert (captions, outcome.reused) == ([True, True], False)
            assert selected(dataset)["both.jpg"][-1] == expected


def test_a_selection_is_made_again_when_its_captions_change(tmp_path: Path) -> None:
    photo = add_photo(tmp_path, "one.jpg", caption="old")
    with open_dataset(settings_in(tmp_path)) as dataset:
        build(dataset)
        assert build(dataset).reused
        photo.with_suffix(".txt").write_text("newer")

        assert not build(dataset).reused
        assert selected(dataset)["one.jpg"][-1] == "newer"


@pytest.mark.parametrize("damage", ["lost", "truncated"])
def test_a_damaged_selection_is_made_again(tmp_path: Path, damage: str) -> None:
    add_photo(tmp_path, "one.jpg", caption="a text")
    with open_dataset(settings_in(tmp_path)) as dataset:
        build(dataset)
        (key,) = partition_keys(dataset)
        path = dataset.layout.selection(key)
        whole = path.read_bytes()
        if damage == "lost":
            path.unlink()
        else:
            path.write_bytes(whole[:-1])

        assert not select_captions(dataset, key).reused
        assert path.read_bytes() == whole


def test_nothing_is_selected_before_every_variant_of_the_priority_was_read(tmp_path: Path) -> None:
    add_photo(tmp_path, "one.jpg")
    with open_dataset(two_variants(tmp_path, "title", "plain")) as dataset:
        scan_sources(dataset)
        assign_buckets(dataset)
        (key,) = partition_keys(dataset)
        read_captions(dataset, dataset.settings.captions.variants[0], key)

        with pytest.raises(OrderError, match="captions/title"):
            select_captions(dataset, key)
