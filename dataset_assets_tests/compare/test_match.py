import numpy as np
import pytest

from dataset_assets.compare.gather import Rows
from dataset_assets.compare.match import Kind, Reason, Tars, match_rows
from dataset_assets.compare.rows import ROW
from dataset_assets.errors import StorageError

NUMBERS = np.arange(4, dtype=np.int32)
TARS = Tars(buckets=NUMBERS // 2, paths=NUMBERS)  # two tars a bucket


def rows(*keys: bytes, **columns: object) -> Rows:
    made = np.zeros(len(keys), ROW)
    made["key"] = keys
    for name, values in columns.items():
        made[name] = values
    return made


def test_rows_are_matched_in_the_order_of_their_keys() -> None:
    a, b = rows(b"d", b"b", b"a"), rows(b"c", b"a", b"d")

    matched = match_rows(a, b, TARS, TARS)

    assert (matched.a.tolist(), matched.b.tolist()) == ([2, 0], [1, 2])
    assert (matched.removed.tolist(), matched.added.tolist()) == ([1], [0])
    assert matched.kinds.tolist() == [0, 0]


def test_keys_and_digests_may_end_in_zeros() -> None:
    a = rows(bytes(32), bytes(31) + b"\1", b"\1" + bytes(31), image=[b"x\0", b"x", b"y"])
    b = rows(b"\1" + bytes(31), bytes(32), image=[b"y", b"x\0"])

    matched = match_rows(a, b, TARS, TARS)

    assert (matched.a.tolist(), matched.removed.tolist()) == ([0, 2], [1])
    assert matched.kinds.tolist() == [0, 0]


def test_of_nothing_nothing_is_matched() -> None:
    matched = match_rows(rows(), rows(b"a"), TARS, TARS)

    assert (len(matched.a), matched.added.tolist(), len(matched.removed)) == (0, [0], 0)


@pytest.mark.parametrize(
    ("column", "kind", "reason"),
    [
        ("image", Kind.IMAGE, Reason.BYTES),
        ("size", Kind.IMAGE, Reason.BUCKET),
        ("crop", Kind.IMAGE, Reason.CROP),
        ("encoding", Kind.IMAGE, Reason.ENCODING),
        ("source", Kind.IMAGE, Reason.SOURCE),
        ("text", Kind.CAPTION, 0),
        ("variant", Kind.VARIANT, 0),
        ("rest", Kind.RECORD, 0),
        ("place", 0, 0),
    ],
)
def test_each_column_tells_what_differs(column: str, kind: int, reason: int) -> None:
    matched = match_rows(rows(b"a"), rows(b"a", **{column: [b"1" if ROW[column].kind == "S" else 1]}), TARS, TARS)

    assert (matched.kinds.tolist(), matched.reasons.tolist()) == ([kind], [reason])


@pytest.mark.parametrize(
    ("column", "kind"),
    [("variant", Kind.CAPTION), ("rest", Kind.CAPTION), ("image", Kind.CAPTION | Kind.IMAGE)],
)
def test_another_text_hides_what_follows_from_it(column: str, kind: int) -> None:
    changed = rows(b"a", text=b"1", **{column: [b"1" if ROW[column].kind == "S" else 1]})

    assert match_rows(rows(b"a"), changed, TARS, TARS).kinds.tolist() == [kind]


def test_another_tar_is_a_move_and_another_bucket_is_a_change() -> None:
    a, b = rows(b"a", b"b", b"c", tar=[0, 0, 0]), rows(b"a", b"b", b"c", tar=[0, 1, 2])

    matched = match_rows(a, b, TARS, TARS)

    assert matched.moved.tolist() == [False, True, True]
    assert matched.reasons.tolist() == [0, 0, Reason.BUCKET]


def test_a_key_twice_is_refused_with_the_export_that_has_it() -> None:
    with pytest.raises(StorageError, match=f"the sample {'61' + '00' * 31} is twice in the first export"):
        match_rows(rows(b"a", b"b", b"a"), rows(b"a"), TARS, TARS)
