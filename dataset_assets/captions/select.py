"""The selection stage: the waterfall's choice for every sample of a partition, and what its review found."""

from collections import Counter

import pyarrow as pa

from dataset_assets.captions.view import View, load_view
from dataset_assets.captions.waterfall import choose_captions
from dataset_assets.dataset import Dataset
from dataset_assets.errors import DropReason
from dataset_assets.freshness import fingerprint
from dataset_assets.shards.sample import NO_CAPTION
from dataset_assets.stages import Stage
from dataset_assets.storage.atomic import remove
from dataset_assets.storage.parquet import write_table
from dataset_assets.work import Outcome, Work, begin, holding_lock

# One row a slot of the plan; where nothing was found, NO_CAPTION and an empty text.
SELECTION_SCHEMA = pa.schema(
    [
        ("slot", pa.int64()),
        ("variant", pa.string()),
        ("selector_index", pa.int32()),  # into captions.priority
        ("caption_source", pa.int32()),
        ("text", pa.string()),
        ("drop", pa.string()),  # a DropReason where the review leaves the sample out, else ""
    ]
)
# One row a finding.
REVIEW_SCHEMA = pa.schema(
    [
        ("slot", pa.int64()),
        ("image_id", pa.string()),
        ("variant", pa.string()),
        ("caption_source", pa.int32()),
        ("finding", pa.string()),
        ("policy", pa.string()),
        ("detail", pa.string()),
    ]
)
_SELECTION, _REVIEW = 0, 1  # numbers of the pieces


@holding_lock("key")
def select_captions(dataset: Dataset, key: str, *, force: bool = False) -> Outcome:
    """Return what became of one partition's selection, after making it if it is not fresh.

    Raises OrderError when crops or captions of a variant in captions.priority have not been made.
    """
    work = begin(dataset, Stage.CAPTION_SELECTION, key, force=force)
    if isinstance(work, Outcome):
        return work
    view = load_view(dataset, key)
    selection = tabulate_selection(view)
    digest = fingerprint(selection.to_pydict())
    work.replace(_SELECTION)
    path = dataset.layout.selection(key)
    write_table(path, selection)
    work.put(path, made_from=digest, output=digest, number=_SELECTION)
    _write_review(work, view)
    used = Counter(selection["selector_index"].to_pylist())
    drops = Counter(reason for reason in selection["drop"].to_pylist() if reason)
    return work.finish(
        output=digest,
        report={
            "images": len(selection),
            "selected": {str(index): count for index, count in sorted(used.items()) if index >= 0},
            "without": used[-1] - drops.total(),
            "drops": dict(drops),
            "findings": {str(name): int(count) for name, count in view.findings["finding"].value_counts().items()},
        },
    )


def tabulate_selection(view: View) -> pa.Table:
    """Return the waterfall's choice for every sample of a partition, with the columns of `SELECTION_SCHEMA`."""
    chosen = choose_captions(view.captions, view.samples["slot"].to_list(), view.ranks)
    blank = view.samples["blank"].to_numpy()
    if blank.any():  # seldom, and pandas takes its time for nothing, too
        chosen.loc[blank, ["text", "drop"]] = ["", DropReason.BLANK_IMAGE.value]
        chosen.loc[blank, ["selector_index", "caption_source"]] = -1
    variants = {number: source.variant for number, source in view.sources.items()}
    chosen["variant"] = [variants.get(number, NO_CAPTION[0]) for number in chosen["caption_source"]]
    return pa.Table.from_pandas(chosen[SELECTION_SCHEMA.names], SELECTION_SCHEMA, preserve_index=False)


def _write_review(work: Work, view: View) -> None:
    """Write what the review found, where it found anything."""
    path = work.dataset.layout.review(work.partition)
    if view.findings.empty:
        remove(path)
        return
    named = view.findings.merge(view.samples[["slot", "image_id"]], on="slot")
    named["variant"] = named["caption_source"].map({number: one.variant for number, one in view.sources.items()})
    table = pa.Table.from_pandas(named[REVIEW_SCHEMA.names], REVIEW_SCHEMA, preserve_index=False)
    work.replace(_REVIEW)
    write_table(path, table)
    digest = fingerprint(table.to_pydict())
    work.put(path, made_from=digest, output=digest, number=_REVIEW)
