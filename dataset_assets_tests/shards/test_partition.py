import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.buckets.protos import make_buckets
from dataset_assets.errors import OrderError
from dataset_assets.settings import ShardSettings
from dataset_assets.shards.partition import Partition, slots_per_partition

BUCKET_IDS = [bucket.id for bases in ([512], [1024, 512]) for bucket in make_buckets(bases, 32)]


@given(st.sampled_from(BUCKET_IDS), st.integers(0, 10_000_000), st.integers(1, 100_000))
def test_a_key_says_what_the_partition_is(bucket_id: str, number: int, shards_per_partition: int) -> None:
    partition = Partition.of(bucket_id, number, shards_per_partition)

    assert Partition.parse(partition.key) == partition
    assert not set("/.") & set(partition.key)
    assert len(partition.shards) == shards_per_partition


def test_a_key_as_documented() -> None:
    assert Partition.of("p1216x832", 0, 16).key == "p1216x832_000000-000015"
    assert Partition.of("r512_p1216x832", 2, 16).key == "r512_p1216x832_000032-000047"


@given(st.integers(0, 1000), st.integers(1, 5000), st.integers(1, 5000))
def test_partitions_share_the_slots_between_them(number: int, shard_size: int, shards_per_partition: int) -> None:
    here, following = (Partition.of("p1024x1024", one, shards_per_partition) for one in (number, number + 1))

    assert here.slots(shard_size).stop == following.slots(shard_size).start
    assert here.shards.stop == following.shards.start
    settings = ShardSettings(shard_size=shard_size, shards_per_partition=shards_per_partition)
    assert len(here.slots(shard_size)) == slots_per_partition(settings)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "p1216x832",
        "p1216x832_0-15",
        "p1216x832_000000",
        "p1216x832/000000-000015",
        "../x_000000-000015",
        "_-",
        "p\n",
    ],
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(OrderError, match="no partition key"):
        Partition.parse(key)
