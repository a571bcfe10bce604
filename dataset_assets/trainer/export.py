"""Trainer metadata of a bucketed export: a sample's key, its caption, and the size of its bucket. Nothing is joined.

The samples come from the indexes of the tars, in the order of the export; no tar is opened.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Condition

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.progress import Progress
from dataset_assets.shards.index import read_index
from dataset_assets.storage.location import Location
from dataset_assets.trainer.inputs.rows import Lack, make_text_columns
from dataset_assets.trainer.merge.merge import Merged
from dataset_assets.trainer.merge.tally import Tally
from dataset_assets.trainer.merge.turns import Turns
from dataset_assets.trainer.output.merged import Form, Rows, render
from dataset_assets.trainer.output.outputs import Outputs

_SPLIT_DIGITS = 15  # of a key, hexadecimal: the number that `split` cuts by


@contextmanager
def merging_export(
    indexes: Sequence[tuple[Location, int]], folder: Path, form: Form, *, progress: Progress
) -> Iterator[Merged]:
    """Yield the metadata of the samples in these indexes, each with how many it has; as `merging` does.

    Raises StorageError where an index is missing or damaged, or the disk is full.
    """
    outputs = Outputs(folder, form)
    try:
        starts = outputs.begin()
        turns = Turns(outputs.paths, starts, condition=Condition(), ends=list(starts), turn=[0])
        tally = Tally()
        progress.start("merging", sum(count for _, count in indexes), "samples")
        tables = (table for path, count in indexes for table in read_index(path, count))
        for number, table in enumerate(tables):
            blocks, found = render(_make_rows(table), form)
            turns.write(number, blocks)
            tally.add(found)
            progress.advance(len(table))
        progress.finish()
        yield Merged(files=outputs.finish(turns.ends), tally=tally, rows={}, faults={})
    finally:
        outputs.remove()


def _make_rows(table: pa.Table) -> Rows:
    keys = table["key"].combine_chunks()
    captions = make_text_columns(table["caption"].combine_chunks().cast(pa.large_string()), "caption")
    count = len(table)
    numbers = [int(key[:_SPLIT_DIGITS], 16) for key in keys.to_pylist()]
    return Rows(
        keys=keys.cast(pa.large_string()),
        ids=np.array(numbers, np.int64),
        tags=pa.nulls(count, pa.large_string()),
        tags_lack=np.full(count, Lack.NO_INPUT, np.int8),
        captions=captions["caption"],
        captions_lack=captions["caption_lack"],
        marks=captions["marks"],
        tokens=captions["tokens"].astype(np.int64),
        made_of=pc.cast(table["caption_variant"].combine_chunks(), pa.large_string()),
        width=table["target_w"].combine_chunks(),
        height=table["target_h"].combine_chunks(),
        latent_lack=np.zeros(count, np.int8),
    )
