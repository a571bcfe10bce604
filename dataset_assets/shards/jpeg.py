"""What the marker segments of a JPEG say, read without decoding it. Pixels are not looked at here."""

from dataclasses import dataclass

_EOI = b"\xff\xd9"
_SOS = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15; the three others are no frames
_SUBSAMPLING = {b"\x11\x11\x11": "4:4:4", b"\x22\x11\x11": "4:2:0"}  # horizontal and vertical sampling factors


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The frame header and what stands before the first scan."""

    width: int  # pixels
    height: int
    components: int  # 1 grey, 3 colour, 4 CMYK
    subsampling: str  # "4:4:4" or "4:2:0"; for others the sampling factors in hexadecimal
    extras: tuple[str, ...]  # segments that hold no pixels: EXIF, ICC profile, thumbnail, COM, APPn
    scan: int  # where the first scan begins, bytes from the start of the JPEG


def read_frame(jpeg: bytes, *, plain: bool = True) -> Frame:
    """Return the frame of a JPEG. Raises ValueError where it is none.

    `plain` asks for one as we write it: it ends in its end marker, and nothing pads the segments.
    """
    if not jpeg.startswith(b"\xff\xd8"):
        raise ValueError("it is not a JPEG")
    if plain and not jpeg.endswith(_EOI):
        raise ValueError("the JPEG does not end in its end marker")
    at, frame, extras = 2, b"", []
    while True:
        while not plain and jpeg[at : at + 2] == b"\xff\xff":
            at += 1
        if (marker := _marker(jpeg, at)) == _SOS:
            break
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        segment = jpeg[at + 4 : at + 2 + length]
        if marker in _FRAMES:
            frame = segment
        elif extra := _extra(marker, segment):
            extras.append(extra)
        at += 2 + length
    if len(frame) < 6 or len(frame) != 6 + 3 * frame[5]:
        raise ValueError("the JPEG has no frame header")
    factors = frame[7::3]
    return Frame(
        width=int.from_bytes(frame[3:5], "big"),
        height=int.from_bytes(frame[1:3], "big"),
        components=frame[5],
        subsampling=_SUBSAMPLING.get(factors, factors.hex()),
        extras=tuple(extras),
        scan=at,
    )


def _marker(jpeg: bytes, at: int) -> int:
    if jpeg[at : at + 1] != b"\xff" or at + 4 > len(jpeg):
        raise ValueError("the JPEG's segments are damaged")
    return jpeg[at + 1]


def _extra(marker: int, segment: bytes) -> str:
    """Return the name of a segment that a plain JPEG does not have, "" for the others."""
    if marker == 0xE0 and segment.startswith(b"JFIF\0"):
        return "thumbnail" if any(segment[12:14]) else ""
    if marker == 0xE1 and segment.startswith(b"Exif\0\0"):
        return "EXIF"
    if marker == 0xE2 and segment.startswith(b"ICC_PROFILE\0"):
        return "ICC profile"
    if marker == 0xFE:
        return "COM"
    return f"APP{marker - 0xE0}" if 0xE0 <= marker <= 0xEF else ""
