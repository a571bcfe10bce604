"""A tar read once, in large pieces, and hashed on the way: where the members of each sample lie in memory.

The fast half of tar.py, for sieve.py. Nothing is copied that fits, and nothing is explained: a tar that is anything but
samples one behind the other is only not `whole` in the end. The headers' other fields are left to the caller, who knows
what they must be once he knows the key.
"""

from collections.abc import Iterator
from hashlib import sha256
from io import RawIOBase

from dataset_assets.shards.sample import MEMBERS
from dataset_assets.shards.tar import BLOCK, RECORD, make_header

# A file that another process cuts while it is mapped ends the reader with SIGBUS, so it is read, not mapped. Each piece
# lets other threads run twice: smaller ones cost more of that, larger ones would not be hashed from the cache.
_PIECE = 1 << 22  # bytes
_LARGEST_SAMPLE = 1 << 26  # bytes; larger ones are read the other way, which holds a member only where it is

_BLANK_KEY = 64 * "0"

_PADDING = tuple(bytes(size) for size in range(BLOCK))  # by its size, bytes

Spans = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]  # start and end of the data of jpg, txt, json


class Window:
    """A part of a tar of about `size` bytes in memory, moved along while `samples` is iterated.

    `buffer` holds it, its first byte is the tar's byte `base`. `bytes` and `sha256` are of everything that was read.
    """

    def __init__(self, file: RawIOBase, size: int) -> None:
        self._file = file
        self._hash = sha256()
        self._filled = 0  # bytes of the buffer that are the tar's
        self.buffer = bytearray(min(_PIECE, size + BLOCK))
        self.base = 0
        self.whole = False  # whether the tar was read to its end, and ended as it must

    @property
    def bytes(self) -> int:
        """How many bytes were read."""
        return self.base + self._filled

    @property
    def sha256(self) -> str:
        """The hexadecimal hash of everything read so far: the file's, where the tar is whole."""
        return self._hash.hexdigest()

    def samples(self) -> Iterator[Spans]:
        """Yield where the three members of each sample lie in `buffer`, which is so until the next is asked for.

        Raises ValueError where a size cannot be read.
        """
        self._fill()
        at = 0
        while True:
            spans = self._find(at)
            if spans:
                yield spans
                start, end = spans[-1]
                at = end + (start - end) % BLOCK
                continue
            self._drop(at)
            if self._filled and self.buffer[0] == 0:
                self.whole = self._ends()
                return
            if not self._fill():
                return
            at = 0

    def _find(self, at: int) -> Spans | None:
        """Return the sample whose first header is at `at`, None where it is not all there."""
        spans = []
        for _ in MEMBERS:
            start = at + BLOCK
            if start > self._filled or not self.buffer[at]:
                return None
            size = int(self.buffer[at + 124 : at + 135], 8)
            end = start + size
            at = end + -size % BLOCK
            if size < 0 or at > self._filled:
                return None
            spans.append((start, end))
        return spans[0], spans[1], spans[2]

    def _ends(self) -> bool:
        """Return whether the buffer begins with the end of a tar, and the file ends with it."""
        end = 2 * BLOCK
        end += -(self.base + end) % RECORD
        while self._filled <= end and self._fill():
            pass
        return self._filled == end and self.buffer.startswith(bytes(end))

    def _drop(self, size: int) -> None:
        """Take the first bytes out of the buffer: what follows them moves to its front."""
        left = self._filled - size
        self.buffer[:left] = self.buffer[size : self._filled]
        self.base += size
        self._filled = left

    def _fill(self) -> bool:
        """Read on and return whether there was more."""
        if self._filled == len(self.buffer):
            if self._filled >= _LARGEST_SAMPLE:
                raise ValueError("the sample is too large")
            self.buffer.extend(bytes(self._filled))
        with memoryview(self.buffer) as view, view[self._filled :] as room:
            count = self._file.readinto(room)
            self._hash.update(room[:count])
        self._filled += count
        return count > 0


class Headers:
    """Makes the headers of a sample's members, as `make_header` does, but for many samples with little work each."""

    def __init__(self) -> None:
        blanks = [make_header(f"{_BLANK_KEY}.{extension}", 0) for extension in MEMBERS]
        given = sum(_BLANK_KEY.encode()) + sum(b"%011o" % 0)
        self._forms = [  # what stands before the size, after it, and after the checksum, and the sum of all that
            (blank[len(_BLANK_KEY) : 124], blank[135:148], blank[154:], int(blank[148:154], 8) - given)
            for blank in blanks
        ]

    def fit(self, buffer: bytearray, spans: Spans, key: bytes) -> bool:
        """Return whether the members at `spans` have the headers of this key, and zeros up to the next."""
        key_sum = sum(key)
        for (start, end), (before, after, rest, form_sum) in zip(spans, self._forms, strict=True):
            size = end - start
            digits = b"%011o" % size
            total = b"%06o" % (key_sum + form_sum + sum(digits))
            header = b"".join((key, before, digits, after, total, rest))
            if not (buffer.startswith(header, start - BLOCK) and buffer.startswith(_PADDING[-size % BLOCK], end)):
                return False
        return True
