import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.sources.parquet.thrift import Unfinished, read_struct, read_varint, write_varint

PAGE = bytes.fromhex("15 04 15 90 4e 15 80 08 4c 15 08 15 00 00 00")  # a dictionary page's header, as pyarrow writes it


def test_a_page_header_is_read_by_field() -> None:
    assert read_struct(PAGE + b"what follows") == ({1: 2, 2: 5000, 3: 512, 7: {1: 4, 2: 0}}, len(PAGE))


def test_truth_values_texts_and_far_fields() -> None:
    data = bytes.fromhex("11 12 88 03 616263 05 c801 03 17 0000000000000000 13 7f 00")

    assert read_struct(data) == ({1: True, 2: False, 10: b"abc", 100: -2, 101: bytes(8), 102: b"\x7f"}, len(data))


@pytest.mark.parametrize("length", range(len(PAGE)))
def test_a_structure_that_goes_on_is_told_from_a_broken_one(length: int) -> None:
    with pytest.raises(Unfinished):
        read_struct(PAGE[:length])


@pytest.mark.parametrize("data", [b"\x19\x00", b"\x1e", b"\x1c" * 20, b"\x15" + b"\xff" * 20])
def test_what_no_page_header_holds_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"type|without end|64 bits"):
        read_struct(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_structure_or_refused(data: bytes) -> None:
    try:
        _, size = read_struct(data)
    except ValueError:
        return
    assert 0 < size <= len(data)


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=3))
def test_a_number_is_read_as_it_was_written(number: int, behind: bytes) -> None:
    written = write_varint(number)

    assert read_varint(b"x" + written + behind, 1) == (number, 1 + len(written))
