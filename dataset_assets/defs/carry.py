"""Pictures of an event: drawn where something was made, else those of an earlier one.

An asset's page shows its newest event and no other. So a picture goes along as long as its asset is reused, and is gone
once the asset is made anew.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import dagster as dg

from dataset_assets.defs.pictures import PICTURE
from dataset_assets.work import Outcome

# Events: a run over several partitions begins with one of each that says nothing, and another may have ended there.
_NEWEST = 3
_VERSION = "dagster/data_version"

Drawn = Callable[[str], Mapping[str, Any]]  # a partition's key → metadata


def draw_or_carry(
    context: dg.AssetExecutionContext,
    outcome: Outcome,
    draw: Callable[[], Mapping[str, Any]],
    *,
    partition: str | None = None,
    data_version: str = "",
) -> Mapping[str, Any]:
    """Return the metadata that `draw` gives of what was made now, and of what is reused the pictures that it had.

    `data_version` is that of the event, where it is not the outcome's own.
    """
    if not outcome.reused:
        return draw()
    return carry_pictures(context.instance, context.asset_key, data_version or outcome.state.output, partition)


@contextmanager
def drawing_ahead(draw: Callable[[str], Mapping[str, Any]], keys: Iterable[str]) -> Iterator[Drawn]:
    """Yield what returns what `draw` gives of one of the partitions `keys`, or raises what it raises, once each.

    It is drawn in a thread, which goes on while Dagster writes events of the partitions before: decoders let others
    compute. One thread and no more: fonts are not safe to use from two. When the block ends, the rest is not drawn.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="pictures") as pool:
        drawn = {key: pool.submit(draw, key) for key in keys}
        try:
            yield lambda key: drawn.pop(key).result()
        finally:
            pool.shutdown(cancel_futures=True)


def carry_pictures(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, data_version: str, partition: str | None = None
) -> Mapping[str, Any]:
    """Return the entries with pictures of the newest event, of a partition or of an asset without any.

    None where that event is of another data version: its pictures show something else. Costs one query.
    """
    wanted = dg.AssetRecordsFilter(asset_key, asset_partitions=[partition] if partition else None)
    for record in instance.fetch_materializations(wanted, limit=_NEWEST).records:
        event = record.asset_materialization
        if event and event.metadata:
            if (event.tags or {}).get(_VERSION) != data_version:
                return {}
            return {name: value for name, value in event.metadata.items() if _has_picture(value)}
    return {}


def _has_picture(value: dg.MetadataValue[Any]) -> bool:
    return isinstance(value, dg.MarkdownMetadataValue) and PICTURE in (value.value or "")
