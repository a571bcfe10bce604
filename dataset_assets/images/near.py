"""The stage that looks for images that look alike: groups in the catalog, and a report for people. None is left out.

What a look is is in looks.py, how near ones are found in alike.py.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from dataset_assets.catalog.near import replace_groups, seated_named
from dataset_assets.catalog.state import load_pieces
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import fingerprint
from dataset_assets.images.alike import group_looks
from dataset_assets.images.looks import measure_distances, parse_looks
from dataset_assets.progress import Progress, Silence
from dataset_assets.shards.partition import Partition
from dataset_assets.stages import Stage
from dataset_assets.status import require_fresh
from dataset_assets.storage.parquet import read_table, write_table
from dataset_assets.work import Outcome, begin, condemning, holding_lock

NEAR_SCHEMA = pa.schema(
    [
        ("group_id", pa.int32()),  # 1 is the largest group
        ("image_id", pa.string()),
        ("source", pa.string()),
        ("uri", pa.string()),
        ("bucket_id", pa.string()),
        ("distance", pa.int32()),  # bits in which its look differs from that of the first of its group
        ("look", pa.string()),
    ]
)
_LARGEST = 10  # groups that the stage's report names


@holding_lock()
def find_near_duplicates(dataset: Dataset, *, force: bool = False, progress: Progress | None = None) -> Outcome:
    """Return what became of the groups of images that look alike, after looking for them if they are not fresh.

    Raises IncompleteError while crops are missing or stale.
    """
    crops = (Stage.BUCKET_ASSIGNMENTS, Stage.RESIZED_CROPS)
    require_fresh(dataset, crops, "near duplicates are looked for among all crops")
    work = begin(dataset, Stage.NEAR_DUPLICATES, force=force)
    if isinstance(work, Outcome):
        return work
    images = _read_looks(dataset, progress or Silence())
    found = _find_groups(images, dataset.settings.duplicates.near_distance)
    with dataset.catalog.reading() as connection:
        named = seated_named(connection, found["image_id"].tolist()).to_pandas()
    found = found.merge(named, on="image_id")  # which keeps the order
    report = pa.Table.from_pandas(found, NEAR_SCHEMA, preserve_index=False)
    path, output = dataset.layout.near_duplicates, fingerprint(report.to_pydict())
    work.replace()
    with dataset.catalog.writing() as connection:
        replace_groups(connection, list(found[["id", "group_id", "look"]].itertuples(index=False, name=None)))
    write_table(path, report)
    work.put(path, made_from=fingerprint(work.inputs), output=output)
    sizes = found.groupby("group_id").agg(first=("image_id", "first"), size=("image_id", "size"))
    largest = sizes.head(_LARGEST)
    return work.finish(
        output=output,
        report={
            "images": len(images),
            "groups": len(sizes),
            "images_in_groups": len(found),
            "largest": dict(zip(largest["first"].tolist(), largest["size"].tolist(), strict=True)),
        },
    )


def _read_looks(dataset: Dataset, progress: Progress) -> pd.DataFrame:
    """Return every crop's image_id, bucket_id and look."""
    with dataset.catalog.reading() as connection:
        pieces = [piece for piece in load_pieces(connection, Stage.RESIZED_CROPS) if piece.path]
    tables = [pa.schema([NEAR_SCHEMA.field(name) for name in ("image_id", "look", "bucket_id")]).empty_table()]
    progress.start("reading looks", len(pieces), "shards")
    for piece in pieces:
        path = dataset.layout.root / piece.path
        with condemning(dataset, (piece.stage, piece.partition, piece.number), path):
            table = read_table(path, ["image_id", "look"])
        table = table.filter(table["look"].is_valid())  # the others have no crop
        bucket_id = Partition.parse(piece.partition).bucket_id
        tables.append(table.append_column("bucket_id", pa.array([bucket_id] * len(table), pa.string())))
        progress.advance(1)
    progress.finish()
    found: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return found


def _find_groups(images: pd.DataFrame, distance: int) -> pd.DataFrame:
    """Return the images that look like others, by group_id and image_id; the added columns are NEAR_SCHEMA's.

    The groups are numbered by size and the image_id of their first: in whatever order the images come.
    """
    images = images.assign(group=group_looks(parse_looks(images["look"]), distance))
    counts = images["group"].value_counts()
    found = images[images["group"].isin(counts.index[counts > 1])].sort_values("image_id")
    groups = found.groupby("group").agg(first=("image_id", "first"), size=("image_id", "size"))
    groups = groups.sort_values(["size", "first"], ascending=[False, True])
    groups["group_id"] = np.arange(1, len(groups) + 1)
    found = found.join(groups["group_id"], on="group").sort_values(["group_id", "image_id"])
    firsts = found.groupby("group_id")["look"].transform("first")
    return found.assign(distance=measure_distances(parse_looks(found["look"]), parse_looks(firsts)))
