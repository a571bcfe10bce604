"""What one sample is in a tar: three members with one key, and the fields of its JSON (docs/format.md, Samples).

The fields' keys, types and order are settled here and nowhere else; what their values must be is checked in check.py.
"""

import json
from collections.abc import Mapping
from math import isfinite
from typing import TypeVar

MEMBERS = ("jpg", "txt", "json")  # in this order

NO_CAPTION = ("", -1, -1)  # caption_variant, caption_selector_index, caption_source_id

Data = TypeVar("Data", bytes, memoryview)  # of an image

_Scalar = type[str] | type[int] | type[float]
_Fields = Mapping[str, _Scalar | Mapping[str, _Scalar]]

SAMPLE_FIELDS: _Fields = {
    "image_id": str,
    "bucket_id": str,
    "target_w": int,  # pixels, of the bucket
    "target_h": int,
    "w": int,  # pixels, of the stored JPEG
    "h": int,
    "src_w": int,  # pixels, of the source after EXIF transposition
    "src_h": int,
    "image_mode": str,
    "jpeg": {"quality": int, "subsampling": str},  # 0 and "source" where the source's bytes are stored
    "crop": {"scale": float, "x": int, "y": int, "corner": int},  # records.Crop says what they are
    "source_sha256": str,
    "caption_variant": str,
    "caption_selector_index": int,  # from 0, into the manifest's caption_priority
    "caption_source_id": int,  # a key of the manifest's caption_sources
}

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def sample_members(key: str, jpeg: bytes, caption: str, meta: Mapping[str, object]) -> tuple[tuple[str, bytes], ...]:
    """Return the sample's three members as (name, bytes), in the order of MEMBERS.

    The caption is stored as it is, line breaks inside it included, and one newline is added: a reader that takes the
    last byte off has the caption. Raises ValueError for a caption that ends in a line break itself, and for `meta`
    that `check_fields` finds a fault in.
    """
    if faults := check_fields(meta):
        raise ValueError(f"{key}: {'; '.join(faults)}")
    try:
        return dump_members(key, jpeg, caption, meta)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def dump_members(
    key: str, jpeg: Data, caption: str, meta: Mapping[str, object]
) -> tuple[tuple[str, Data | bytes], ...]:
    """Return the members as `sample_members` does, of fields that are known to be those of the format."""
    contents: tuple[Data | bytes, ...] = (jpeg, dump_caption(caption), dump_fields(meta))
    return tuple((f"{key}.{extension}", data) for extension, data in zip(MEMBERS, contents, strict=True))


def dump_caption(caption: str) -> bytes:
    """Return a caption as the text member. Raises ValueError for one that ends in a line break."""
    if caption.endswith(("\n", "\r")):
        raise ValueError("the caption ends in a line break")
    return f"{caption}\n".encode()


def dump_fields(meta: Mapping[str, object]) -> bytes:
    """Return the fields as the JSON member: UTF-8, no spaces, no newline at the end."""
    return _ENCODER.encode(meta).encode()


def check_fields(meta: object) -> list[str]:
    """Return what is wrong with the keys and types of a sample's JSON, one line a fault; [] when nothing is."""
    return _check(meta, SAMPLE_FIELDS, "")


def _check(value: object, fields: _Fields, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where.rstrip('.') or 'the JSON'} is not an object"]
    faults = [f"{where}{key} is missing" for key in fields if key not in value]
    faults += [f"{where}{key} is not a field of the format" for key in value if key not in fields]
    if not faults and list(value) != list(fields):
        faults.append(f"the fields of {where.rstrip('.') or 'the JSON'} are not in the order of the format")
    for key, expected in fields.items():
        if key not in value:
            continue
        if isinstance(expected, Mapping):
            faults += _check(value[key], expected, f"{where}{key}.")
        elif type(value[key]) is not expected:
            faults.append(f"{where}{key} is not {expected.__name__} but {type(value[key]).__name__}")
        elif isinstance(value[key], float) and not isfinite(value[key]):
            faults.append(f"{where}{key} is not a finite number")
    return faults
