"""Partition keys: a bucket and a range of its shards (docs/design.md). No rows here."""

import re
from dataclasses import dataclass
from typing import Self

from dataset_assets.errors import OrderError
from dataset_assets.settings import ShardSettings

_KEY = re.compile(r"(?P<bucket_id>\w+)_(?P<first>\d{6,})-(?P<last>\d{6,})")


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """The shards `first` to `last`, both included, of one bucket."""

    bucket_id: str
    first: int
    last: int

    @classmethod
    def of(cls, bucket_id: str, number: int, shards_per_partition: int) -> Self:
        """Return the partition with this number, counted from 0 in its bucket."""
        first = number * shards_per_partition
        return cls(bucket_id, first, first + shards_per_partition - 1)

    @classmethod
    def parse(cls, key: str) -> Self:
        """Return the partition that a key names. Raises OrderError for what is no key."""
        match = _KEY.fullmatch(key)
        if match is None:
            raise OrderError(f'"{key}" is no partition key; one looks like p1216x832_000000-000015')
        return cls(match["bucket_id"], int(match["first"]), int(match["last"]))

    @property
    def key(self) -> str:
        """The key: no slash and no dot in it, which Dagster and file names would trip over."""
        return f"{self.bucket_id}_{self.first:06d}-{self.last:06d}"

    @property
    def shards(self) -> range:
        """The numbers of its shards."""
        return range(self.first, self.last + 1)

    def slots(self, shard_size: int) -> range:
        """The slots of its shards."""
        return range(self.first * shard_size, (self.last + 1) * shard_size)


def slots_per_partition(settings: ShardSettings) -> int:
    """Return how many slots a partition has."""
    return settings.shard_size * settings.shards_per_partition
