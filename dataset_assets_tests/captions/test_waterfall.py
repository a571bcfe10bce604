from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.captions.waterfall import choose_captions, rank_sources
from dataset_assets.catalog.captions import CaptionSource
from dataset_assets.settings import SelectorSettings

Choice = tuple[int, int, int, str, str]  # slot, selector, caption source, text, drop


@dataclass(frozen=True)
class Caption:
    slot: int
    caption_source: int
    text: str
    usable: bool = True
    drop: str = ""


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
) -> list[Choice]:
    types = {"slot": "int64", "caption_source": "int32", "text": "str", "usable": "bool", "drop": "str"}
    frame = pd.DataFrame(captions, columns=list(types)).astype(types)
    chosen = choose_captions(frame, slots, rank_sources(sources, priority))
    columns = chosen[["slot", "selector_index", "caption_source", "text", "drop"]]
    return [
        (int(slot), int(index), int(number), str(text), str(drop))
        for slot, index, number, text, drop in columns.itertuples(index=False)
    ]


def choose_slowly(
    captions: Sequence[Caption],
    slots: Sequence[int],
    sources: Sequence[CaptionSource],
    priority: Sequence[SelectorSettings],
) -> list[Choice]:
    """docs/captioning.md, The waterfall; a caption that has the sample dropped decides like one that is given."""
    chosen = []
    for slot in slots:
        winner: Choice = (slot, -1, -1, "", "")
        ok = {one.caption_source: one for one in captions if one.slot == slot and (one.usable or one.drop)}
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
                found = ok[newest.id]
                winner = (slot, -1, -1, "", found.drop) if found.drop else (slot, index, newest.id, found.text, "")
                break
        chosen.append(winner)
    return chosen


names, backends, models = (st.sampled_from(values) for values in (["a", "b", "c"], ["x", "y"], ["m", "n"]))
selectors = st.builds(SelectorSettings, variant=names, backend=st.none() | backends, model=st.none() | models)
many_sources = st.lists(st.tuples(names, backends, models, st.integers(0, 3)), max_size=8).map(
    lambda rows: [source(number, *row) for number, row in enumerate(rows, start=1)]
)
verdicts = st.sampled_from([(True, ""), (False, ""), (False, "skipped_placeholder")])
many_captions = st.dictionaries(
    st.tuples(st.integers(0, 6), st.integers(1, 8)), st.tuples(st.text(max_size=3), verdicts), max_size=30
).map(lambda rows: [Caption(*place, text, *verdict) for place, (text, verdict) in rows.items()])


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
    captions = [Caption(0, number, f"text {number}") for number in (1, 2, 3)]

    def first(**selector: str) -> Choice:
        return choose(captions, [0], sources, [SelectorSettings(variant="a", **selector)])[0]

    assert first(backend="x") == (0, 0, 1, "text 1", "")
    assert first(model="m") == (0, 0, 2, "text 2", "")  # the newest of those made at the same second
    assert first(backend="y", model="n") == (0, 0, 3, "text 3", "")
    assert first(backend="x", model="n") == (0, -1, -1, "", "")


def test_the_newest_source_of_a_selector_wins() -> None:
    sources = [source(1, at=20), source(2, at=10)]
    both = [Caption(0, 1, "new"), Caption(0, 2, "old")]

    assert choose(both, [0], sources, [SelectorSettings(variant="a")]) == [(0, 0, 1, "new", "")]
    failed = [Caption(0, 1, "", usable=False), both[1]]
    assert choose(failed, [0], sources, [SelectorSettings(variant="a")]) == [(0, 0, 2, "old", "")]


def test_what_is_not_usable_is_never_selected() -> None:
    captions = [Caption(0, 1, "there is a text", usable=False)]

    assert choose(captions, [0], [source(1)], [SelectorSettings(variant="a")]) == [(0, -1, -1, "", "")]


def test_a_caption_that_has_the_sample_dropped_ends_the_waterfall_where_it_is_reached() -> None:
    sources, steps = [source(1, "a"), source(2, "b")], [SelectorSettings(variant=name) for name in "ab"]
    bad, good = (1, "a page", False, "skipped_placeholder"), (2, "a cat", True, "")

    assert choose([Caption(0, *bad), Caption(0, *good)], [0], sources, steps) == [(0, -1, -1, "", bad[3])]
    assert choose([Caption(0, *bad), Caption(0, *good)], [0], sources, steps[::-1]) == [(0, 0, 2, "a cat", "")]
