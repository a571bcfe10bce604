"""Structures in Thrift's compact protocol, as Parquet writes them before its pages. Nothing is known of their meaning.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from typing import Any

_STOP = 0
_TRUE, _FALSE = 1, 2
_INTEGERS = (4, 5, 6)  # of 16, 32 and 64 bits: written alike
_BYTE, _DOUBLE, _TEXT, _STRUCT = 3, 7, 8, 12
_WIDTHS = {_BYTE: 1, _DOUBLE: 8}  # bytes
_LONGEST = 10  # bytes of a number
_DEEPEST = 8  # structures within structures; page headers have two

Struct = dict[int, Any]  # by the number of the field: int, bool, bytes or Struct


class Unfinished(ValueError):  # noqa: N818 - nothing is wrong with what is there
    """The bytes end before what they begin does."""


def read_struct(data: bytes) -> tuple[Struct, int]:
    """Return the structure that `data` begins with, and how many bytes it takes.

    Raises Unfinished where it goes on after `data`, ValueError where it is none or holds what no page header does.
    """
    return _struct(data, 0, 0)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number of seven bits a byte that begins at `position`, and where it ends. Raises as read_struct."""
    number = 0
    for index in range(_LONGEST):
        if position + index >= len(data):
            raise Unfinished("they end before what they begin does")
        byte = data[position + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, position + index + 1
    raise ValueError("a number of more than 64 bits")


def write_varint(number: int) -> bytes:
    """Return a number as `read_varint` reads it."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _struct(data: bytes, position: int, depth: int) -> tuple[Struct, int]:
    if depth == _DEEPEST:
        raise ValueError("structures within structures without end")
    found: Struct = {}
    number = 0
    while True:
        if position >= len(data):
            raise Unfinished("they end before what they begin does")
        step, kind = data[position] >> 4, data[position] & 0x0F
        position += 1
        if kind == _STOP:
            return found, position
        if step:
            number += step
        else:
            number, position = _integer(data, position)
        found[number], position = _value(data, position, kind, depth)


def _value(data: bytes, position: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, position
    if kind in _INTEGERS:
        return _integer(data, position)
    if kind == _STRUCT:
        return _struct(data, position, depth + 1)
    if kind == _TEXT:
        size, position = read_varint(data, position)
    elif kind in _WIDTHS:
        size = _WIDTHS[kind]
    else:
        raise ValueError(f"a field of type {kind}")
    if position + size > len(data):
        raise Unfinished("they end before what they begin does")
    return data[position : position + size], position + size


def _integer(data: bytes, position: int) -> tuple[int, int]:
    number, position = read_varint(data, position)
    return (number >> 1) ^ -(number & 1), position  # its sign is in its last bit
