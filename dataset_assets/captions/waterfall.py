"""The waterfall: for every sample the first selector, in priority order, that has an ok caption (SPEC 1.5)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import pyarrow as pa

from dataset_assets.captions.sources import live_sources
from dataset_assets.catalog.captions import CaptionSource, CaptionStatus, seated_captions
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import Stage, fingerprint
from dataset_assets.settings import SelectorSettings
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.plan import read_plan
from dataset_assets.shards.sample import NO_CAPTION
from dataset_assets.storage.parquet import write_table
from dataset_assets.work import Outcome, begin, holding_lock

# One row a slot of the plan; where nothing was found, NO_CAPTION and an empty text.
SELECTION_SCHEMA = pa.schema(
    [
        ("slot", pa.int64()),
        ("variant", pa.string()),
        ("selector_index", pa.int32()),  # into captions.priority
        ("caption_source", pa.int32()),
        ("text", pa.string()),
    ]
)


def rank_sources(sources: Iterable[CaptionSource], priority: Sequence[SelectorSettings]) -> dict[int, tuple[int, int]]:
    """Return (selector index, rank) of each caption source that a selector takes; the lowest rank wins.

    A source belongs to the first selector that it fits. Within a selector the newest source comes first.
    """
    fitting = []
    for source in sources:
        index = next((index for index, selector in enumerate(priority) if _fits(selector, source)), None)
        if index is not None:
            fitting.append((index, -source.created_at, -source.id, source.id))
    return {number: (index, rank) for rank, (index, _, _, number) in enumerate(sorted(fitting))}


def choose_captions(captions: pd.DataFrame, slots: Sequence[int], ranks: Mapping[int, tuple[int, int]]) -> pd.DataFrame:
    """Return the winner of each slot: slot, selector_index, caption_source and text; none: -1, -1 and "".

    `captions` has a row a slot and caption source: slot, caption_source, status, text.
    """
    ok = captions[(captions["status"] == CaptionStatus.OK.value) & captions["caption_source"].isin(list(ranks))]
    ok = ok.assign(rank=ok["caption_source"].map({source: rank for source, (_, rank) in ranks.items()}))
    best = ok.sort_values(["slot", "rank"]).drop_duplicates("slot")
    chosen = pd.DataFrame({"slot": slots}).merge(best[["slot", "caption_source", "text"]], on="slot", how="left")
    chosen["caption_source"] = chosen["caption_source"].fillna(-1).astype("int32")
    chosen["text"] = chosen["text"].fillna("")
    index = {source: index for source, (index, _) in ranks.items()}
    chosen["selector_index"] = [index.get(source, -1) for source in chosen["caption_source"]]
    return chosen


@holding_lock("key")
def select_captions(dataset: Dataset, key: str, *, force: bool = False) -> Outcome:
    """Return what became of one partition's selection, after making it if it is not fresh.

    Raises OrderError when captions of a variant in captions.priority have not been made.
    """
    work = begin(dataset, Stage.CAPTION_SELECTION, key, force=force)
    if isinstance(work, Outcome):
        return work
    partition, priority = Partition.parse(key), dataset.settings.captions.priority
    slots = read_plan(dataset, key)["slot"].to_pylist()
    with dataset.catalog.reading() as connection:
        sources = live_sources(connection, dataset.settings.captions)
        captions = seated_captions(connection, partition.bucket_id, partition.slots(dataset.settings.shards.shard_size))
    chosen = choose_captions(captions.to_pandas(), slots, rank_sources(sources, priority))
    variants = {source.id: source.variant for source in sources}
    chosen["variant"] = [variants.get(source, NO_CAPTION[0]) for source in chosen["caption_source"]]
    table = pa.Table.from_pandas(chosen[SELECTION_SCHEMA.names], SELECTION_SCHEMA, preserve_index=False)
    work.replace()
    path = dataset.layout.selection(key)
    write_table(path, table)
    digest = fingerprint(table.to_pydict())
    work.put(path, made_from=digest, output=digest)
    used = Counter(table["selector_index"].to_pylist())
    return work.finish(
        output=digest,
        report={
            "images": len(slots),
            "selected": {str(index): count for index, count in sorted(used.items()) if index >= 0},
            "without": used[-1],
        },
    )


def _fits(selector: SelectorSettings, source: CaptionSource) -> bool:
    return (
        selector.variant == source.variant
        and selector.backend in (None, source.backend)
        and selector.model in (None, source.model)
    )
