"""Which partitions need work, cut into runs: what `build` starts one after the other and the sensor asks for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dataset_assets.freshness import Verdict
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage, upstream


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run: neighbouring partitions in Dagster's order, and the stages to materialize for them."""

    keys: tuple[str, ...]
    stages: tuple[str, ...]

    @property
    def tags(self) -> dict[str, str]:
        """The tags that tell Dagster the range, where it is more than one partition."""
        if len(self.keys) == 1:
            return {}
        return {
            "dagster/asset_partition_range_start": self.keys[0],
            "dagster/asset_partition_range_end": self.keys[-1],
        }

    @property
    def partition_key(self) -> str | None:
        """The partition, where it is only one."""
        return self.keys[0] if len(self.keys) == 1 else None


def split_stale(
    settings: Settings, order: Sequence[str], verdicts: Mapping[tuple[str, str], Verdict]
) -> Iterator[Chunk]:
    """Yield runs for the partitions of `order` that are not fresh.

    What is below a stage is run with it even where it is fresh still: files tried again may turn out otherwise. A run
    takes a range of partitions, so those between two that need work would be run, too: only neighbours go together.
    """
    stale: dict[str, set[str]] = {}
    for (stage, key), verdict in verdicts.items():
        if key and not (verdict.fresh and stale.get(key, set()).isdisjoint(upstream(settings, stage))):
            stale.setdefault(key, set()).add(Stage.SHARDS if stage == Stage.SHARDS_INTACT else stage)
    keys = [key for key in order if key in stale]
    places = {key: place for place, key in enumerate(order)}
    chunks: list[list[str]] = [[key] for key in keys[:1]]
    for before, key in pairwise(keys):
        if places[key] == places[before] + 1 and len(chunks[-1]) < settings.automation.partitions_per_run:
            chunks[-1].append(key)
        else:
            chunks.append([key])
    for chunk in chunks:
        yield Chunk(tuple(chunk), tuple(sorted(set().union(*(stale[key] for key in chunk)))))
