"""How large an image becomes to cover its bucket, and where the bucket's rectangle lies in it.

The rule is docs/format.md's, Geometry. Arithmetic on sizes and the sample's hash; no pixels. Every choice follows from
digest = sha256(image_id), read as big-endian integers:

    digest[0:8]    the corner: allowed_corners[n % len(allowed_corners)], in the order of the settings
    digest[8:16]   x: the jitter, n % (corner_jitter + 1) pixels; with "random" the left edge, n % (free width + 1)
    digest[16:24]  y: likewise with the top edge and the free height
"""

from hashlib import sha256

from dataset_assets.settings import CropSettings

Part = tuple[float, float, float, float]  # of an image: left, top, right and bottom, 0 to 1


def cover_ratio(source: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Return the cover scale as (numerator, denominator)."""
    (src_w, src_h), (target_w, target_h) = source, target
    return (target_w, src_w) if target_w * src_h >= target_h * src_w else (target_h, src_h)


def cover_scale(source: tuple[int, int], target: tuple[int, int]) -> float:
    """Return max(target_w / src_w, target_h / src_h); above 1 the image would be upsampled."""
    numerator, denominator = cover_ratio(source, target)
    return numerator / denominator


def cover_size(source: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) after the cover-resize: max(target, floor(src * scale + 0.5)) a side.

    In integers, so that no rounding of the scale decides about a pixel.
    """
    numerator, denominator = cover_ratio(source, target)
    width, height = ((2 * side * numerator + denominator) // (2 * denominator) for side in source)
    return max(width, target[0]), max(height, target[1])


def find_part(
    source: tuple[int, int], target: tuple[int, int], corner: tuple[int, int], *, cropped: bool = True
) -> Part:
    """Return the part of a source that became a sample: a `target` rectangle after the cover-resize, or all of it.

    `corner` is its top left pixel, as `crop_box` has it; `cropped` False says that the source was passed through.
    """
    if not cropped:
        return 0.0, 0.0, 1.0, 1.0
    width, height = cover_size(source, target)
    left, top = corner
    return left / width, top / height, (left + target[0]) / width, (top + target[1]) / height


def choose_corner(image_id: str, crop: CropSettings) -> int:
    """Return the corner that the crop keeps: 0 TL, 1 TR, 2 BL, 3 BR; -1 when the strategy is not "corner"."""
    if crop.strategy != "corner":
        return -1
    return crop.allowed_corners[_number(image_id, 0) % len(crop.allowed_corners)]


def crop_box(size: tuple[int, int], target: tuple[int, int], image_id: str, crop: CropSettings) -> tuple[int, int]:
    """Return (x, y), the top left pixel of the `target` rectangle inside an image of `size` (width, height).

    Jitter moves it from its corner inwards, as far as the image goes. `size` is at least `target` on both sides.
    """
    free = size[0] - target[0], size[1] - target[1]
    if crop.strategy == "center":
        return free[0] // 2, free[1] // 2
    numbers = _number(image_id, 8), _number(image_id, 16)
    if crop.strategy == "random":
        return numbers[0] % (free[0] + 1), numbers[1] % (free[1] + 1)
    x, y = (min(number % (crop.corner_jitter + 1), room) for number, room in zip(numbers, free, strict=True))
    corner = choose_corner(image_id, crop)
    return free[0] - x if corner in (1, 3) else x, free[1] - y if corner in (2, 3) else y


def _number(image_id: str, start: int) -> int:
    """Return eight bytes of the digest as a number."""
    return int.from_bytes(sha256(image_id.encode()).digest()[start : start + 8], "big")
