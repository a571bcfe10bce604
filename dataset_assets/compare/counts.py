"""How many samples of two exports are the same, changed, added and removed: in all, by kind, bucket and variant."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_assets.compare.export import Export
from dataset_assets.compare.gather import Gathered
from dataset_assets.compare.match import Kind, Matched, Reason, Tars, name_of
from dataset_assets.compare.records import BucketCounts, Combined, Counts, Flow, Images, Kinds

_NOWHERE = -1  # the number of what is not in an export

Codes = NDArray[np.int32]


class Names(NamedTuple):
    """What the buckets and tars of two exports are called: what is the same in both has one number."""

    buckets: list[str]  # by number
    tars: tuple[Tars, Tars]


def number_tars(a: Export, b: Export) -> Names:
    """Return the numbers of both exports' tars and buckets.

    The same bucket is called differently in the two versions of the format. Its id names the base resolution here
    unless both exports have the same one.
    """
    plain = a.base is not None and a.base == b.base
    paths, buckets = dict[str, int](), dict[str, int]()
    numbered = []
    for one in (a, b):
        names = [tar.bucket if plain else one.name_bucket(tar.bucket) for tar in one.tars]
        numbered.append(
            Tars(
                buckets=np.array([buckets.setdefault(name, len(buckets)) for name in names], np.int32),
                paths=np.array([paths.setdefault(tar.path, len(paths)) for tar in one.tars], np.int32),
            )
        )
    return Names(list(buckets), (numbered[0], numbered[1]))


def count_samples(matched: Matched, not_read: int) -> Counts:
    """Return the counts of all samples; `not_read` are those that are the same without a look."""
    both, changed = len(matched.kinds) + not_read, int(np.count_nonzero(matched.kinds))
    return Counts(
        a=both + len(matched.removed),
        b=both + len(matched.added),
        same=both - changed,
        changed=changed,
        added=len(matched.added),
        removed=len(matched.removed),
        moved=int(np.count_nonzero(matched.moved)),
        not_read=not_read,
    )


def count_kinds(matched: Matched) -> Kinds:
    """Return the changed samples by kind."""
    return Kinds(**{name: _count(matched.kinds, kind) for kind, name in _named(Kind).items()})


def count_combinations(matched: Matched) -> list[Combined]:
    """Return the changed samples by the kinds that each has."""
    values, counts = np.unique(matched.kinds[matched.kinds > 0], return_counts=True)
    found = [Combined(kinds=name_flags(Kind, int(value)), count=int(count)) for value, count in _pairs(values, counts)]
    return sorted(found, key=lambda one: -one.count)


def count_images(matched: Matched) -> Images:
    """Return the samples with another image by what is different of it."""
    reasons = matched.reasons
    stated = {name: _count(reasons, reason) for reason, name in _named(Reason).items() if reason != Reason.BYTES}
    only = int(np.count_nonzero(reasons == Reason.BYTES))
    same = int(np.count_nonzero((reasons > 0) & ((reasons & Reason.BYTES) == 0)))
    return Images(**stated, bytes_only=only, same_bytes=same)


def count_buckets(
    names: Names, gathered: Gathered, matched: Matched, not_read: Mapping[str, int]
) -> tuple[list[BucketCounts], list[Flow]]:
    """Return the samples of every bucket, and how many went from which to which.

    `not_read` are the samples by bucket that are the same without a look.
    """
    codes_a, codes_b = (tars.buckets[rows["tar"]] for tars, rows in zip(names.tars, gathered.rows, strict=True))
    from_a, to_b = codes_a[matched.a], codes_b[matched.b]
    stay, changed = from_a == to_b, matched.kinds > 0

    def count(codes: Codes) -> list[int]:
        return [int(number) for number in np.bincount(codes, minlength=len(names.buckets))]

    columns = {
        "same": count(from_a[stay & ~changed]),
        "changed": count(from_a[stay & changed]),
        "added": count(codes_b[matched.added]),
        "removed": count(codes_a[matched.removed]),
        "came": count(to_b[~stay]),
        "went": count(from_a[~stay]),
    }
    buckets = []
    for number, name in enumerate(names.buckets):
        one = {key: counts[number] for key, counts in columns.items()}
        one["same"] += not_read.get(name, 0)
        stayed = one["same"] + one["changed"]
        in_a, in_b = stayed + one["removed"] + one["went"], stayed + one["added"] + one["came"]
        buckets.append(BucketCounts(id=name, a=in_a, b=in_b, **one))
    moves = _count_flows(names.buckets, from_a[~stay], to_b[~stay])
    return sorted(buckets, key=lambda one: one.id), moves


def count_variants(gathered: Gathered, matched: Matched) -> list[Flow]:
    """Return all samples that were read by their variants in both exports."""
    a, b = (rows["variant"] for rows in gathered.rows)
    from_a = [a[matched.a], a[matched.removed], np.full(len(matched.added), _NOWHERE, np.int32)]
    to_b = [b[matched.b], np.full(len(matched.removed), _NOWHERE, np.int32), b[matched.added]]
    return _count_flows(gathered.variants, np.concatenate(from_a), np.concatenate(to_b))


def name_flags(flags: type[Kind] | type[Reason], value: int) -> list[str]:
    """Return the names of the flags that are set, in their order."""
    return [name for flag, name in _named(flags).items() if value & flag]


def _named(flags: type[Kind] | type[Reason]) -> dict[int, str]:
    return {int(flag): name_of(flag) for flag in flags}


def _count(values: NDArray[np.uint8], flag: int) -> int:
    return int(np.count_nonzero(values & flag))


def _count_flows(names: Sequence[str], a: Codes, b: Codes) -> list[Flow]:
    """Return how often which pair of numbers is there, the most frequent first."""
    size = len(names) + 1
    values, counts = np.unique((a.astype(np.int64) + 1) * size + b + 1, return_counts=True)
    called = [None, *names]
    found = [
        Flow(a=called[value // size], b=called[value % size], count=count) for value, count in _pairs(values, counts)
    ]
    return sorted(found, key=lambda flow: (-flow.count, flow.a or "", flow.b or ""))


def _pairs(values: NDArray[np.generic], counts: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    yield from zip(values.tolist(), counts.tolist(), strict=True)
