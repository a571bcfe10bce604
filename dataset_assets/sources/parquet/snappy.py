"""Where the blocks of Snappy data begin: its compressors take 65,536 bytes at a time and never refer to those before.

https://github.com/google/snappy/blob/main/format_description.txt says what an element is. That each block stands by
itself is what every known compressor does, not the format: so it is checked, element by element.
"""

from dataset_assets.sources.slices import Handle, read_at

BLOCK = 1 << 16  # bytes that are compressed at a time

_WINDOW = 1 << 12  # bytes read at once: in a photograph an element begins every 45,000
_LONGEST = 5  # bytes that say what an element is
_LITERAL, _NEAR, _FAR = 0, 1, 2  # new bytes; bytes again that are less than 2,048 or 65,536 back


def find_blocks(file: Handle, start: int, end: int, size: int) -> list[int] | None:
    """Return where each block begins in this file, and where the last one ends.

    `start` and `end` are of the elements, without the length before them, `size` is what they become. None where that
    is not so or blocks do not stand by themselves. Raises OSError.
    """
    edges, position, made = [start], start, 0  # made: bytes of the block so far
    window, base = b"", start
    while position < end:
        if position + _LONGEST > base + len(window):
            window, base = read_at(file, min(_WINDOW, end - position), position), position
        element = _read_element(window[position - base : position - base + _LONGEST])
        if element is None:
            return None
        stored, length, back = element
        position, made = position + stored, made + length
        if back > made - length or made > BLOCK:
            return None
        if made == BLOCK and position < end:
            edges.append(position)
            made = 0
    whole = (len(edges) - 1) * BLOCK + made
    return [*edges, end] if position == end and whole == size else None


def _read_element(data: bytes) -> tuple[int, int, int] | None:
    """Return how many bytes an element takes, how many it makes, and how far back it refers; None for no element."""
    if not data:
        return None
    kind, number = data[0] & 3, data[0] >> 2
    if kind == _LITERAL:
        extra = max(0, number - 59)  # bytes of the length
        if len(data) <= extra:
            return None
        length = (int.from_bytes(data[1 : 1 + extra], "little") if extra else number) + 1
        return 1 + extra + length, length, 0
    width = {_NEAR: 1, _FAR: 2}.get(kind, 4)  # bytes of how far back
    if len(data) <= width:
        return None
    back = int.from_bytes(data[1 : 1 + width], "little")
    if kind == _NEAR:
        return 2, (number & 7) + 4, (number >> 3) << 8 | back
    return 1 + width, number + 1, back
