"""Numbers as text are what Python's own formatting makes of them."""

import numpy as np
import pytest

from dataset_assets.trainer.tars.digits import write_digits

NUMBERS = (0, 1, 7, 8, 9, 10, 4095, 4096, 9999, 10_000, 99_999_999, 100_000_000, 2**31, 2**53 + 1, 10**18, 2**63 - 1)


@pytest.mark.parametrize(("base", "letter"), [(8, "o"), (10, "d")])
@pytest.mark.parametrize("many", range(1, len(NUMBERS) + 1))
def test_numbers_are_written_with_leading_zeros(base: int, letter: str, many: int) -> None:
    numbers = NUMBERS[:many]
    width = len(f"{numbers[-1]:{letter}}")

    rows = write_digits(np.array(numbers), base)

    assert [row.tobytes().decode() for row in rows] == [f"{one:0{width}{letter}}" for one in numbers]


def test_no_numbers_are_no_rows() -> None:
    assert write_digits(np.array([], np.int64), 10).shape == (0, 1)
