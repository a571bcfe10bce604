"""The JSON of a sample as one pattern: what matches is written as the format says, and is of the pattern's bucket.

A pattern is compiled for a bucket. What differs from sample to sample is in its groups; whether that fits together is
told by sieve.py.
"""

import json
import re

from dataset_assets.shards.check import Promise
from dataset_assets.shards.sample import SAMPLE_FIELDS, dump_fields

_TEXT = r'[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*'  # what may stand between quotes; read_text reads its escapes
_COUNT = r"(0|[1-9][0-9]{0,8})"  # far below what an int32 holds
_GROUPS = {  # what each sample says for itself, in the order of its fields
    "image_id": f'"({_TEXT})"',
    "w": _COUNT,
    "h": _COUNT,
    "src_w": _COUNT,
    "src_h": _COUNT,
    "subsampling": f'"({_TEXT})"',
    "crop": r"(\{[^{}]*\})",
    "source_sha256": '"([0-9a-f]{64})"',
    "caption_variant": f'("{_TEXT}"',  # the last three are one group
    "caption_selector_index": r"(?:-1|0|[1-9][0-9]{0,8})",
    "caption_source_id": r"(?:-1|0|[1-9][0-9]{0,17}))",  # likewise of an int64
}


def compile_form(promise: Promise) -> re.Pattern[str]:
    """Return the pattern of the JSON of a bucket's samples.

    Its groups are image_id, w, h, src_w, src_h, subsampling, crop, source_sha256, and where the caption is from; the
    first four texts are without quotes. `crop` is not looked at: there is one way to write what it must be, write_crop.
    """
    said = {name: f"<{name}>" for name in _GROUPS}
    form = {
        **said,
        "bucket_id": promise.bucket.id,
        "target_w": promise.bucket.target[0],
        "target_h": promise.bucket.target[1],
        "image_mode": promise.mode,
        "jpeg": {"quality": stored_quality(promise), "subsampling": said["subsampling"]},
    }
    pattern = re.escape(dump_fields({name: form[name] for name in SAMPLE_FIELDS}).decode())
    for name, group in _GROUPS.items():
        pattern = pattern.replace(re.escape(f'"{said[name]}"'), group)
    return re.compile(pattern, re.DOTALL)


def stored_quality(promise: Promise) -> int:
    """Return what `jpeg.quality` is."""
    return 0 if promise.mode == "passthrough_jpeg" else promise.images.quality


def read_text(written: str) -> str:
    """Return what a group of text says. Raises ValueError where it is not written as the format says."""
    if "\\" not in written:
        return written
    text: str = json.loads(f'"{written}"')
    if json.dumps(text, ensure_ascii=False) != f'"{written}"':
        raise ValueError("not the way that the format writes it")
    return text


def write_crop(scale: float, x: int, y: int, corner: int) -> str:
    """Return `crop` as it is written."""
    return f'{{"scale":{scale!r},"x":{x},"y":{y},"corner":{corner}}}'


def read_origin(written: str) -> tuple[str, int, int]:
    """Return variant, selector index and source id of a caption, given the last group.

    Raises ValueError where they are not written as the format says.
    """
    fields = json.loads(f'{{"caption_variant":{written}}}')
    if dump_fields(fields) != f'{{"caption_variant":{written}}}'.encode():
        raise ValueError("not the way that the format writes it")
    variant, index, source = fields.values()
    return variant, index, source
