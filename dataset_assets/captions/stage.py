"""What the caption stages of all backends have in common: what they leave in the catalog is what they made."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from dataset_assets.captions.sources import live_sources
from dataset_assets.catalog.captions import CaptionSource, seated_captions
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import fingerprint
from dataset_assets.settings import ImportedSettings
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.plan import read_plan
from dataset_assets.stages import caption_stage
from dataset_assets.work import Outcome, Work, begin, holding_lock

_MADE = ("slot", "caption_source", "status", "text")


def list_captions(dataset: Dataset, key: str, sources: Collection[int]) -> list[dict[str, Any]]:
    """Return the captions of a partition that come from these sources, by slot and source."""
    partition = Partition.parse(key)
    with dataset.catalog.reading() as connection:
        table = seated_captions(connection, partition.bucket_id, partition.slots(dataset.settings.shards.shard_size))
    rows = [row for row in table.to_pylist() if row["caption_source"] in sources]
    return sorted(rows, key=lambda row: (row["slot"], row["caption_source"]))


def finish_captions(
    work: Work,
    source: CaptionSource | None,
    report: Mapping[str, Any],
    *,
    retry: Callable[[Mapping[str, Any]], bool] = lambda _: False,
    owed: Sequence[int] = (),
) -> Outcome:
    """Record a variant's captions of a partition as made.

    `source` is where its new ones come from: their statuses are counted, and how many are to be tried again; None:
    those of all sources. `owed` are the slots that are still to be asked about: who waits for them has to know.
    """
    dataset, variant = work.dataset, work.stage.removeprefix(caption_stage(""))
    with dataset.catalog.reading() as connection:
        live = live_sources(connection, dataset.settings.captions)
    sources = {one.id: one for one in live if one.variant == variant}
    captions = list_captions(dataset, work.partition, sources)
    own = [row for row in captions if source is None or row["caption_source"] == source.id]
    made = [
        # Of a file it is the text that counts; what a model said holds for one version of an image only.
        (
            *(row[name] for name in _MADE),
            "" if sources[row["caption_source"]].backend == "sidecar" else row["input_version"],
        )
        for row in captions
    ]
    newest_last = [one.id for one in sorted(sources.values(), key=lambda one: (one.since, one.id))]
    return work.finish(
        output=fingerprint(newest_last, made, list(owed)),
        report={
            **report,
            "statuses": dict(Counter(row["status"] for row in own)),
            "retry": sum(1 for row in own if retry(row)),
        },
    )


@holding_lock("key")
def collect_imported(dataset: Dataset, variant: ImportedSettings, key: str, *, force: bool = False) -> Outcome:
    """Return what became of the captions that were imported for one partition. Nobody is asked for any."""
    work = begin(dataset, caption_stage(variant.name), key, force=force)
    if isinstance(work, Outcome):
        return work
    return finish_captions(work, None, {"images": len(read_plan(dataset, key))})
