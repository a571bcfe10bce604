"""The partitions that the bucketed assets share: dynamic and sparse, a bucket and a range of its shards each."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from dataset_assets.catalog.state import States, load_states
from dataset_assets.dataset import Dataset
from dataset_assets.defs.carry import Drawn, draw_or_carry, drawing_ahead
from dataset_assets.defs.failures import failing
from dataset_assets.defs.metadata import as_result, describe
from dataset_assets.defs.versions import ASSIGNMENTS_VERSION, Origin, version_tags
from dataset_assets.stages import Stage, upstream
from dataset_assets.work import Outcome

BUCKET_SHARDS = dg.DynamicPartitionsDefinition(name="bucket_shards")

Tell = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]  # a partition's key and its report → metadata

NODE_VARIABLE = "DATASET_NODE"  # what the machine is called in metadata; left out: the name that it has itself

_BATCH = 10_000  # keys a call: the most that Dagster takes


def list_partitions(instance: dg.DagsterInstance) -> list[str]:
    """Return the keys that Dagster knows, in its order."""
    return list(instance.get_dynamic_partitions(str(BUCKET_SHARDS.name)))


def sync_partitions(instance: dg.DagsterInstance, keys: list[str]) -> list[str]:
    """Make `keys` the partitions that Dagster knows; return those that it did not know."""
    name, there = str(BUCKET_SHARDS.name), set(list_partitions(instance))
    new = [key for key in keys if key not in there]
    for start in range(0, len(new), _BATCH):
        instance.add_dynamic_partitions(name, new[start : start + _BATCH])
    for key in there.difference(keys):
        instance.delete_dynamic_partition(name, key)
    return new


def report_partitions(
    context: dg.AssetExecutionContext,
    dataset: Dataset,
    outcomes: Mapping[str, Outcome],
    *,
    tell: Tell = lambda *_: {},
    show: Drawn = lambda _: {},
    counted: str = "images",
) -> Iterator[dg.MaterializeResult[Any]]:
    """Yield the result of a run over some partitions, each with metadata and a data version of its own.

    `tell` gives more metadata of every partition and must cost nothing: most are fresh. `show` gives more of one that
    was made in this run, pictures for instance; one that was not keeps its pictures. `counted` is what the tables
    count.
    """

    def explain(key: str, drawn: Drawn) -> dict[str, Any]:
        outcome = outcomes[key]
        said = describe(outcome, counted=counted) | dict(tell(key, outcome.report)) | {"node": _name_node()}
        with failing():
            seen = draw_or_carry(context, outcome, lambda: drawn(key), partition=key)
        return {**seen, **said}  # what is to be seen comes first

    if len(outcomes) == 1:
        key, outcome = next(iter(outcomes.items()))
        yield as_result(outcome, explain(key, show))
        return
    with drawing_ahead(show, [key for key, outcome in outcomes.items() if not outcome.reused]) as drawn:
        yield dg.MaterializeResult()
        # By now Dagster has given all of them one data version, made of inputs that are no partition's own: correct it.
        settings, stage = dataset.settings, next(iter(outcomes.values())).state.stage
        events = {name: _newest_event(context.instance, name) for name in upstream(settings, stage)}
        with dataset.catalog.reading() as connection:
            states = load_states(connection, [*outcomes, ""])
        for key, outcome in outcomes.items():
            above = {name: Origin(_find_version(states, name, key), event) for name, event in events.items()}
            tags = version_tags(settings, stage, outcome.state.output, above)
            said = explain(key, drawn)
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata=said, tags=tags))


def _name_node() -> str:
    """Return what this machine is called. It is told and nothing else: no stage asks where it runs."""
    return os.environ.get(NODE_VARIABLE) or socket.gethostname()


def _find_version(states: States, stage: str, key: str) -> str:
    """Return the data version of a partition of a stage, or of the whole stage where it has no partitions."""
    if stage == Stage.BUCKET_ASSIGNMENTS:
        return ASSIGNMENTS_VERSION
    return (states.get((stage, key)) or states[stage, ""]).output


def _newest_event(instance: dg.DagsterInstance, stage: str) -> int | None:
    """Return the storage id of an asset's newest materialization."""
    records = instance.fetch_materializations(dg.AssetKey(stage.split("/")), limit=1).records
    return records[0].storage_id if records else None
