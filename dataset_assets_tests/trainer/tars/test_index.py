"""Entries that are made together are what `json.dump` writes."""

import json
import random
from hashlib import sha256

import numpy as np
import pytest

from dataset_assets.trainer.tars.index import make_entries


@pytest.mark.parametrize("seed", range(40))
def test_entries_are_as_json_writes_them(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randrange(1, 40)
    ids = sorted(chance.sample(range(chance.choice((40, 5_000_000, 2**63 - 1))), count))
    offsets = sorted(512 * chance.randrange(chance.choice((3, 10**6, 2**40))) for _ in ids)
    sizes = [int(10 ** chance.uniform(0, 9)) for _ in ids]
    hashes = [sha256(b"%d" % one) for one in ids]

    entries = make_entries(
        np.array(ids), ".caption", np.array(offsets), np.array(sizes), b"".join(one.digest() for one in hashes)
    )

    members = {
        f"{one}.caption": {"offset": offset, "size": size, "sha256": digest.hexdigest()}
        for one, offset, size, digest in zip(ids, offsets, sizes, hashes, strict=True)
    }
    assert b"{" + entries + b"}" == json.dumps(members).encode()
