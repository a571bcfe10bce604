"""The header of an ordinary JPEG in a few microseconds: so little of it is looked at that no decoder is needed.

It says what probe.py says of the same file, or nothing: whatever is broken, rare or ambiguous is left to Pillow. So
each rule here is one of Pillow's, and where a rule is not met there is no answer.
"""

from io import BytesIO
from struct import Struct, iter_unpack, unpack, unpack_from
from typing import BinaryIO

from dataset_assets.records import Header

_FIRST = 1 << 14  # bytes: most headers are shorter, thumbnail and profile included
_MORE = 1 << 14

_SEGMENT = Struct(">BBH")  # 0xFF, marker, length
_FRAME = Struct(">BHHB")  # bits, height, width, components
_SOF = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive frames
_SKIPPED = (0xC4, 0xDD, 0xFE)  # Huffman tables, restart interval, comment
_DQT, _SOS, _APP0, _APP1, _APP15 = 0xDB, 0xDA, 0xE0, 0xE1, 0xEF

_EXIF, _XMP, _TURNED = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"tiff:Orientation"
_PROFILE = b"ICC_PROFILE\0"
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _RESOLUTION, _UNIT = 0x0112, 0x011A, 0x0128  # tags whose values Pillow looks at
_SHORT, _RATIONAL = 3, 5
_SIZES = {1: 1, 2: 1, _SHORT: 2, 4: 4, _RATIONAL: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes, by type
_KNOWN, _LYING = range(1, 9), range(5, 9)  # orientations, and those that turn the sides
_ABSENT, _NEVER = 0, 9  # no orientation in the EXIF; one that there is not: Pillow asks no further


def glance(file: BinaryIO, *, max_pixels: int) -> Header | None:
    """Return what `probe` returns of an open file, or None where it has to be asked.

    `file` is at its start, and somewhere afterwards. No pixel is decoded and nothing is raised.
    """
    try:
        seen = _walk(file)
    except OSError:  # perhaps behind what Pillow reads
        return None
    return None if seen is None else seen.conclude(max_pixels)


def glance_plain(data: bytes, *, max_pixels: int) -> tuple[tuple[int, int], int] | None:
    """Return the size as stored, (width, height), and the orientation of a JPEG that only has to be decoded and turned.

    None where `glance` says nothing, and of all that is not RGB or grey, or has a colour profile.
    """
    seen = _walk(BytesIO(data))
    if seen is None or seen.components not in (1, 3) or seen.has_profile or seen.conclude(max_pixels) is None:
        return None
    return (seen.width, seen.height), seen.upright


def _walk(file: BinaryIO) -> "_Seen | None":
    """Go from segment to segment as far as Pillow does: to where the pixels begin."""
    data = file.read(_FIRST) or b""  # None of a pipe that has nothing to say yet
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    seen, place = _Seen(), 2
    while place + _SEGMENT.size <= len(data):
        mark, marker, length = _SEGMENT.unpack_from(data, place)
        start, place = place + _SEGMENT.size, place + 2 + length
        if mark != 0xFF or length < 2:
            return None
        if place + _SEGMENT.size > len(data):
            data += file.read(place + _MORE - len(data))
            if place > len(data):
                return None
        if marker == _SOS:
            return seen
        if not (marker in _SKIPPED or seen.take(marker, data, start, place)):
            return None
    return None


class _Seen:
    """What the segments so far have said."""

    __slots__ = ("components", "has_exif", "has_profile", "height", "orientation", "turned", "width")

    def __init__(self) -> None:
        self.width = self.height = self.components = 0
        self.has_profile = False
        self.orientation = _ABSENT
        self.has_exif = False
        self.turned = False  # XMP gives an orientation, which counts where EXIF gives none

    def take(self, marker: int, data: bytes, start: int, end: int) -> bool:
        """Take in one segment, whose content lies from `start` to `end`; return whether all is well with it."""
        if marker == _DQT:
            return _are_tables(data, start, end)
        if marker in _SOF:
            fits = not self.width and _is_frame(data, start, end)
            if fits:
                _, self.height, self.width, self.components = _FRAME.unpack_from(data, start)
            return fits
        if not _APP0 <= marker <= _APP15 or not _is_plain(marker, data[start:end]):
            return False
        self.has_profile = self.has_profile or data.startswith(_PROFILE, start, end)
        if marker == _APP1 and data.startswith(_EXIF, start):
            return self._take_exif(data[start + len(_EXIF) : end])
        if marker == _APP1 and data.startswith(_XMP, start):
            self.turned = self.turned or data.find(_TURNED, start, end) >= 0
        return True

    def _take_exif(self, tiff: bytes) -> bool:
        found = None if self.has_exif else _find_orientation(tiff)
        if found is None:
            return False
        self.has_exif, self.orientation = True, found
        return True

    @property
    def upright(self) -> int:
        """EXIF 1 to 8: 1 where nothing that is allowed is said."""
        return self.orientation if self.orientation in _KNOWN else 1

    def conclude(self, max_pixels: int) -> Header | None:
        """Return the header, where all that it says is there."""
        width, height = self.width, self.height
        if not width or not height or width * height > max_pixels or (self.turned and self.orientation == _ABSENT):
            return None
        if self.upright in _LYING:
            width, height = height, width
        return Header(width=width, height=height, orientation=self.upright, format="JPEG")


def _is_plain(marker: int, content: bytes) -> bool:
    """Return whether nothing in an application segment makes Pillow fail, or take the file for another format."""
    match marker:
        case 0xE0:
            return len(content) >= 14 or not content.startswith(b"JFIF")
        case 0xE2:
            cut_off = content.startswith(_PROFILE) and len(content) < 14
            return not (cut_off or content.startswith(b"MPF\0"))  # of several pictures: MPO
        case 0xED:
            return content[-6:-2] != b"8BIM"  # its resource would begin behind the end
        case 0xEE:
            return len(content) >= 12 or not content.startswith(b"Adobe")
        case _:
            return True


def _is_frame(data: bytes, start: int, end: int) -> bool:
    """Return whether this is a frame that Pillow takes: 8 bits and 1, 3 or 4 components, each described."""
    size = end - start
    if size < _FRAME.size or size % 3:
        return False
    bits, _, _, components = _FRAME.unpack_from(data, start)
    return bits == 8 and components in (1, 3, 4)


def _are_tables(data: bytes, start: int, end: int) -> bool:
    """Return whether quantization tables fill their segment."""
    while start < end:
        start += 1 + (64 if data[start] < 16 else 128)
    return start == end


def _find_orientation(tiff: bytes) -> int | None:
    """Return the number that EXIF gives for the orientation, 0 where it gives none; None where its tags are not sound.

    Pillow reads the values of all tags, and of the resolution, too: all of them have to be where the tags say.
    """
    order = _ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return None
    (start,) = unpack_from(f"{order}L", tiff, 4)
    if start + 2 > len(tiff):
        return None
    (count,) = unpack_from(f"{order}H", tiff, start)
    tags = tiff[start + 2 : start + 2 + 12 * count]
    if len(tags) != 12 * count:
        return None
    found, total = _ABSENT, 0
    for tag, kind, number, value in iter_unpack(f"{order}HHL4s", tags):
        if not number or kind not in _SIZES:
            return None
        size = number * _SIZES[kind]
        if size > 4:
            total += size
            if unpack(f"{order}L", value)[0] + size > len(tiff):
                return None
        if tag in (_ORIENTATION, _RESOLUTION, _UNIT) and (
            number != 1 or kind != (_RATIONAL if tag == _RESOLUTION else _SHORT)
        ):
            return None
        if tag == _ORIENTATION:
            if found:
                return None
            (found,) = unpack(f"{order}H", value[:2])
            found = found or _NEVER
    return found if total <= len(tiff) else None
