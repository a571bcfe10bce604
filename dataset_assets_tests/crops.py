"""A finished crop for tests that look at what becomes of one. No image: test files that need pixels have photos.py."""

from dataset_assets.records import Crop

CROP = Crop(
    jpeg=b"\xff\xd8 pixels",
    w=72,
    h=48,
    src_w=104,
    src_h=72,
    scale=0.6923076923076923,
    x=0,
    y=2,
    corner=2,
    quality=95,
    subsampling="4:4:4",
    source_sha256="ab" * 32,
    spread=0.512345,
    look="0123456789abcdef",
)
