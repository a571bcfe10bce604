"""Headers that are made together are those that are made one by one."""

import random

import numpy as np
import pytest

from dataset_assets.shards.tar import LARGEST_MEMBER, make_header
from dataset_assets.trainer.tars.headers import TOLD, make_headers

SIZES = (1, 7, 8, 511, 512, 513, 4095, 4096, 8**8, LARGEST_MEMBER)
EDGES = (0, 1, 9, 10, 99, 100, 999_999, 1_000_000, 2**31 - 1, 2**31, 10**18 - 1, 10**18, 2**63 - 1)


def one_by_one(ids: list[int], suffix: str, sizes: list[int]) -> bytes:
    return b"".join(make_header(f"{one}{suffix}", size) for one, size in zip(ids, sizes, strict=True))


def together(ids: list[int], suffix: str, sizes: list[int]) -> bytes:
    headers = make_headers(np.array(ids), suffix, np.array(sizes))
    return np.pad(headers, ((0, 0), (0, 512 - TOLD))).tobytes()


@pytest.mark.parametrize("suffix", [".caption", ".txt"])
@pytest.mark.parametrize("size", SIZES)
def test_ids_of_any_length_have_the_headers_of_their_names(suffix: str, size: int) -> None:
    ids, sizes = list(EDGES), [size] * len(EDGES)

    assert together(ids, suffix, sizes) == one_by_one(ids, suffix, sizes)


@pytest.mark.parametrize("seed", range(40))
def test_any_ids_and_sizes_have_the_headers_of_their_names(seed: int) -> None:
    chance = random.Random(seed)
    highest = chance.choice((20, 5_000_000, 2**63 - 1))
    ids = sorted({chance.randrange(highest) for _ in range(chance.randrange(1, 50))})
    sizes = [int(8 ** chance.uniform(0, 10.9)) for _ in ids]

    assert together(ids, ".caption", sizes) == one_by_one(ids, ".caption", sizes)


def test_no_ids_have_no_headers() -> None:
    assert make_headers(np.array([], np.int64), ".txt", np.array([], np.int64)).shape == (0, TOLD)


@pytest.mark.parametrize("size", [-1, LARGEST_MEMBER + 1])
def test_a_size_that_a_header_cannot_say_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="a member has 0 to 8589934591 bytes"):
        make_headers(np.array([1, 2]), ".txt", np.array([1, size]))
