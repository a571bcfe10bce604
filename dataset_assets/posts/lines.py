"""JSON Lines → batches of rows. A line ends in a line feed and in nothing else: U+2028 and its like are text.

Lines are decoded by a typed decoder that knows the wanted fields only. A line that it refuses is judged slowly, by the
rules of batch.py: what becomes of a line depends on nothing but that line.
"""

import json
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

from dataset_assets.posts.archives import CutShortError, read_bytes
from dataset_assets.posts.batch import (
    LARGEST_ID,
    Batch,
    Fields,
    Row,
    describe,
    judge_row,
    make_batch,
    note_large_ids,
    take_rows,
)
from dataset_assets.posts.faults import Faults, RowFault
from dataset_assets.storage.location import Location

LONGEST_LINE = 64 << 20  # bytes
_BOM = b"\xef\xbb\xbf"
_REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class LineReader:
    """Reads one file of lines. `rows` is how many lines it has seen."""

    def __init__(self, fields: Fields, faults: Faults) -> None:
        self.rows = 0
        self._fields = fields
        self._faults = faults
        self._decode = _make_decoder(fields)
        self._crlf: tuple[int, int] | None = None  # the first such line, and how many there are

    def read(self, path: Location) -> Iterator[Batch]:
        """Yield the rows of a file, some at a time; of an archive that was cut short those before the cut.

        Raises OSError, and PackedDamageError where an archive fails its check, anywhere in it: no row that it had is
        to be trusted then, and `rows` says how many whole ones there were. Whatever else is wrong is counted.
        """
        for block in cut_blocks(self._read_bytes(path)):
            if block is None:
                self.rows += 1
                self._faults.add(RowFault.LINE_TOO_LONG, self.rows, f"more than {LONGEST_LINE:,} bytes")
            else:
                yield self._read_block(block)
        if self._crlf:
            line, count = self._crlf
            self._faults.add(RowFault.CRLF, line, f"{count:,} lines end in \\r\\n, of which this is the first")

    def _read_bytes(self, path: Location) -> Iterator[bytes]:
        """Yield the bytes of a file; say where an archive is cut off."""
        said = ""
        try:
            yield from read_bytes(path)
        except CutShortError as error:
            said = str(error)
        if said:
            self._faults.add(RowFault.ARCHIVE_CUT_SHORT, self.rows + 1, said)

    def _read_block(self, block: bytes) -> Batch:
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()  # what follows the last end of a line is none
        first, self.rows = self.rows + 1, self.rows + len(lines)
        if b"\r" in block and (crlf := block.count(b"\r\n")):  # looking for one byte takes no time
            line, count = self._crlf or (first + block.count(b"\n", 0, block.index(b"\r\n")), 0)
            self._crlf = line, count + crlf
        decode = self._decode
        if _is_utf8(block):
            try:
                rows = [decode(line) for line in lines]
            except _REFUSED:
                pass
            else:
                batch = make_batch(rows, np.arange(first, first + len(lines)), self._fields)
                note_large_ids(batch, self._faults)
                return batch
        numbers = range(first, first + len(lines))
        return take_rows(map(self._judge, lines, numbers), numbers, self._fields, self._faults)

    def _judge(self, line: bytes, number: int) -> Row | None:
        """Return the row of one line, None where it has none; count what is wrong with it."""
        add = self._faults.add
        if line.startswith(_BOM):
            line = line.removeprefix(_BOM)
            add(RowFault.BOM, number)
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            add(RowFault.NOT_UTF8, number, f"{error.reason} at byte {error.start}")
            return None
        if not line.strip():
            add(RowFault.BLANK_LINE, number)
            return None
        try:
            return self._decode(line)
        except _REFUSED:
            pass
        try:
            values = json.loads(text, strict=False)  # a tab in a text costs no caption
        except ValueError as error:
            add(RowFault.NOT_JSON, number, str(error))
        except RecursionError:
            add(RowFault.NOT_JSON, number, "nested too deeply")
        else:
            if isinstance(values, dict):
                return judge_row(values, number, self._fields, self._faults)
            add(RowFault.NOT_AN_OBJECT, number, "null" if values is None else describe(values))
        return None


def cut_blocks(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Yield what chunks hold as blocks of whole lines, the last of which may lack its end; None for a line too long."""
    rest: list[bytes] = []
    size, skipping = 0, False  # of the rest; whether it belongs to a line too long and is thrown away
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if not end:
            if not skipping:
                rest.append(chunk)
                size += len(chunk)
            if size > LONGEST_LINE:
                rest, size, skipping = [], 0, True
            continue
        first = chunk.index(b"\n") + 1
        if skipping or size + first - 1 > LONGEST_LINE:
            skipping = False
            yield None
            block = chunk[first:end]
        else:
            block = b"".join([*rest, chunk[:end]])
        if block:
            yield block
        rest = [chunk[end:]]
        size = len(rest[0])
    if skipping:
        yield None
    elif size:
        yield b"".join(rest)


def _make_decoder(fields: Fields) -> Callable[[bytes], Row]:
    """Return what makes a row of a line that is all right, and raises one of _REFUSED for any other."""
    if fields.id in fields.names:
        return _refuse  # a field is the id or a text
    wanted: list[tuple[str, Any] | tuple[str, Any, None]] = [
        ("id", Annotated[int, msgspec.Meta(ge=0, le=LARGEST_ID)]),
        *((f"text_{number}", str | None, None) for number in range(len(fields.names))),
    ]
    names = {"id": fields.id} | {f"text_{number}": name for number, name in enumerate(fields.names)}
    kind = msgspec.defstruct("Line", wanted, rename=names, gc=False)
    decode, to_tuple = msgspec.json.Decoder(kind).decode, msgspec.structs.astuple
    return lambda line: to_tuple(decode(line))


def _refuse(_line: bytes) -> Row:
    raise msgspec.DecodeError


def _is_utf8(block: bytes) -> bool:
    """Return whether all of a block is UTF-8, also what no decoder looks at."""
    text = pa.LargeStringArray.from_buffers(1, pa.py_buffer(struct.pack("=qq", 0, len(block))), pa.py_buffer(block))
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
