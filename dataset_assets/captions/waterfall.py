"""The waterfall: for every sample the first selector, in priority order, that has a usable caption.

docs/captioning.md, The waterfall, says it for people. Pure: which captions are usable is said in review/, and the
stage that asks for all of it is select.py.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from dataset_assets.catalog.captions import CaptionSource
from dataset_assets.settings import SelectorSettings


def rank_sources(sources: Iterable[CaptionSource], priority: Sequence[SelectorSettings]) -> dict[int, tuple[int, int]]:
    """Return (selector index, rank) of each caption source that a selector takes; the lowest rank wins.

    A source belongs to the first selector that it fits. Within a selector the newest source comes first.
    """
    fitting = []
    for source in sources:
        index = next((index for index, selector in enumerate(priority) if _fits(selector, source)), None)
        if index is not None:
            fitting.append((index, -source.since, -source.id, source.id))
    return {number: (index, rank) for rank, (index, _, _, number) in enumerate(sorted(fitting))}


def choose_captions(captions: pd.DataFrame, slots: Sequence[int], ranks: Mapping[int, tuple[int, int]]) -> pd.DataFrame:
    """Return what the waterfall says of each slot: slot, selector_index, caption_source, text and drop.

    `captions` has a row a slot and caption source: slot, caption_source, text, `usable`, and `drop`: why the sample is
    left out where the waterfall comes to this row. Where no row decides: -1, -1, "" and "".
    """
    deciding = captions[(captions["usable"] | (captions["drop"] != "")) & captions["caption_source"].isin(list(ranks))]
    deciding = deciding.assign(
        rank=deciding["caption_source"].map({source: rank for source, (_, rank) in ranks.items()})
    )
    best = deciding.sort_values(["slot", "rank"]).drop_duplicates("slot")
    chosen = pd.DataFrame({"slot": slots}).merge(best[["slot", "caption_source", "text", "drop"]], "left", on="slot")
    chosen["drop"] = chosen["drop"].fillna("")
    given = chosen["caption_source"].notna() & (chosen["drop"] == "")
    chosen["caption_source"] = chosen["caption_source"].where(given, -1).astype("int32")
    chosen["text"] = chosen["text"].where(given, "")
    index = {source: index for source, (index, _) in ranks.items()}
    chosen["selector_index"] = [index.get(source, -1) for source in chosen["caption_source"]]
    return chosen


def _fits(selector: SelectorSettings, source: CaptionSource) -> bool:
    return (
        selector.variant == source.variant
        and selector.backend in (None, source.backend)
        and selector.model in (None, source.model)
    )
