from collections import Counter

import numpy as np
import pyarrow as pa

from dataset_assets.trainer.merge.tally import BINS, FINDINGS, Tally


def test_findings_are_counted_with_the_first_keys() -> None:
    tally = Tally(ids=4)
    keys = pa.array(["a", "b", "c", "d"], pa.large_string())
    marks = np.array([0b0001, 0b1110, 0, 0], np.uint8)
    tally.count_texts(keys, marks, np.array([75, 76, 500, 0]), np.array([True, True, True, False]))
    found = {"newline": 1, "{": 1, "}": 1, "|": 1, "empty": 1}
    assert tally.findings == found | {"over 75 tokens": 2, "over 150 tokens": 1, "over 225 tokens": 1}
    assert set(tally.findings) == set(FINDINGS)
    assert tally.examples["over 75 tokens"] == ["b", "c"]
    assert (tally.lengths[15], tally.lengths[BINS - 1], tally.lengths.sum()) == (2, 1, 3)


def test_tallies_add_up_and_keep_the_first_ten_examples() -> None:
    total = Tally()
    for start in (0, 8, 16):
        keys = [str(number) for number in range(start, start + 8)]
        one = Tally(ids=8, sources=Counter(tags=8), reasons={"caption": Counter(empty=8)}, examples={"{": keys})
        one.repeated["tags"] = 1
        total.add(one)
    assert (total.ids, total.sources, total.reasons) == (24, {"tags": 24}, {"caption": {"empty": 24}})
    assert total.examples == {"{": [str(number) for number in range(10)]}
    assert total.repeated == {"tags": 3}
