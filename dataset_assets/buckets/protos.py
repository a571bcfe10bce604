"""The proto table and what it is scaled to (docs/format.md, Buckets).

Which image goes into which bucket is decided in choose.py.
"""

from collections.abc import Iterable, Sequence

from dataset_assets.records import Bucket
from dataset_assets.settings import BucketSettings

PROTO_BASE = 1024

_LONGEST = 65_535  # pixels: what a JPEG can say

PROTOS: tuple[tuple[int, int], ...] = (
    # (width, height) at the 1024 base, squarest first, then widest to tallest: the order settles ties.
    # SDXL paper, appendix I. The table is not symmetric: 1344x704 is in it, 704x1344 is not.
    *((1024, 1024), (2048, 512), (1984, 512), (1920, 512), (1856, 512), (1792, 576), (1728, 576), (1664, 576)),
    *((1600, 640), (1536, 640), (1472, 704), (1408, 704), (1344, 704), (1344, 768), (1280, 768), (1216, 832)),
    *((1152, 832), (1152, 896), (1088, 896), (1088, 960), (1024, 960), (960, 1024), (960, 1088), (896, 1088)),
    *((896, 1152), (832, 1152), (832, 1216), (768, 1280), (768, 1344), (704, 1408), (704, 1472), (640, 1536)),
    *((640, 1600), (576, 1664), (576, 1728), (576, 1792), (512, 1856), (512, 1920), (512, 1984), (512, 2048)),
)


def proto_id(proto: tuple[int, int]) -> str:
    """Return a proto's name, width first: p1216x832."""
    width, height = proto
    return f"p{width}x{height}"


def scale_proto(proto: tuple[int, int], base: int, divisible: int) -> tuple[int, int]:
    """Return the (width, height) that `proto` has at `base`: each side rounded down to a multiple of `divisible`."""
    width, height = (side * base // (PROTO_BASE * divisible) * divisible for side in proto)
    return width, height


def parse_proto(text: str) -> tuple[int, int]:
    """Return the (width, height) of "1216x832". Raises ValueError for what is no size of a picture."""
    width, height = (int(side) for side in text.split("x"))
    if not (0 < width <= _LONGEST and 0 < height <= _LONGEST):
        raise ValueError(f"{text!r} is no size of a picture")
    return width, height


def list_buckets(settings: BucketSettings) -> tuple[Bucket, ...]:
    """Return every bucket that the settings make, as `make_buckets` does."""
    protos = [parse_proto(proto) for proto in settings.protos]
    return make_buckets(settings.base_resolutions, settings.divisible, protos or PROTOS)


def make_buckets(
    base_resolutions: Iterable[int], divisible: int, protos: Sequence[tuple[int, int]] = PROTOS
) -> tuple[Bucket, ...]:
    """Return every bucket, the largest base first, within a base in the order of `protos`.

    The id is the proto's with one base and `r<base>_` before it with several. At one base, of the protos with the same
    target only the first stays. Raises ValueError where a side would be 0 pixels.
    """
    bases = sorted(set(base_resolutions), reverse=True)
    named = len(bases) > 1
    return tuple(bucket for base in bases for bucket in _buckets_at(base, divisible, protos, named=named))


def _buckets_at(base: int, divisible: int, protos: Iterable[tuple[int, int]], *, named: bool) -> Iterable[Bucket]:
    prefix = f"r{base}_" if named else ""
    first: dict[tuple[int, int], Bucket] = {}
    for proto in protos:
        target = scale_proto(proto, base, divisible)
        if 0 in target:
            raise ValueError(f"base {base} with divisible {divisible} makes {proto_id(proto)} {target[0]}x{target[1]}")
        first.setdefault(target, Bucket(id=prefix + proto_id(proto), proto=proto, base=base, target=target))
    return first.values()
