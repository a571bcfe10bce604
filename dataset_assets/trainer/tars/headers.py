"""The ustar headers of many members at once, as arrays. What one header has in it is shards/tar.py's to say."""

import numpy as np
from numpy.typing import NDArray

from dataset_assets.shards.tar import LARGEST_MEMBER, make_header
from dataset_assets.trainer.tars.digits import write_digits

_SIZE_END, _CHECKSUM_END = 135, 154  # where the octal digits of these fields end
_ONE = make_header("0", 0)
TOLD = len(_ONE.rstrip(b"\0"))  # bytes: what follows them in a header is zeros
_PLAIN = np.frombuffer(_ONE[:148] + b"000000\0 " + _ONE[156:TOLD], np.uint8)  # the checksum is still to come …
_PLAIN_SUM = sum(_ONE[:148]) + 8 * ord(" ") + sum(_ONE[156:])  # … and counts as eight spaces in its own sum


def make_headers(ids: NDArray[np.int64], suffix: str, sizes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the headers of members called `{id}{suffix}` of these sizes in bytes, as (members, TOLD).

    Each is what `make_header` returns, up to its last zeros; `ids` are from 0 and ascend. Raises ValueError where a
    size is out of range.
    """
    if len(sizes) and not 0 <= sizes.min() <= sizes.max() <= LARGEST_MEMBER:
        raise ValueError(f"a member has 0 to {LARGEST_MEMBER} bytes")
    headers = np.empty((len(ids), TOLD), np.uint8)
    headers[:] = _PLAIN
    named = headers[:, : _put_names(headers, ids, suffix)]
    octal = write_digits(sizes, 8)
    headers[:, _SIZE_END - octal.shape[1] : _SIZE_END] = octal
    common = _PLAIN_SUM - int(_PLAIN[: named.shape[1]].sum()) - octal.shape[1] * ord("0")
    totals = named.sum(axis=1, dtype=np.int64) + octal.sum(axis=1, dtype=np.int64) + common
    octal = write_digits(totals, 8)
    headers[:, _CHECKSUM_END - octal.shape[1] : _CHECKSUM_END] = octal
    return headers


def _put_names(headers: NDArray[np.uint8], ids: NDArray[np.int64], suffix: str) -> int:
    """Write the names into the headers and return the length of the longest."""
    digits = write_digits(ids, 10)
    longest = digits.shape[1]
    ending = np.frombuffer(suffix.encode("ascii"), np.uint8)
    # Ids of as many digits lie side by side, because they ascend.
    cuts = [0, *(int(np.searchsorted(ids, 10**length)) for length in range(1, longest)), len(ids)]
    for length, start, stop in zip(range(1, longest + 1), cuts, cuts[1:], strict=False):
        headers[start:stop, :length] = digits[start:stop, longest - length :]
        headers[start:stop, length : length + len(ending)] = ending
    return int(longest + len(ending))
