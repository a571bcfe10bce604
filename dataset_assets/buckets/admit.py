"""Which usable images may have a slot at all, a rule of the settings for each that may not, and why one has none."""

from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dataset_assets.buckets.choose import find_smallest
from dataset_assets.buckets.protos import list_buckets
from dataset_assets.errors import DropReason
from dataset_assets.records import JPEG_FORMATS
from dataset_assets.settings import Settings


def list_rules(settings: Settings) -> Iterator[DropReason]:
    """Yield the reasons for which these settings refuse images."""
    if settings.images.mode == "passthrough_jpeg":
        yield DropReason.NOT_JPEG
    if settings.duplicates.exact == "drop":
        yield DropReason.DUPLICATE


def find_refused(images: pd.DataFrame, settings: Settings) -> pd.Series:
    """Return why each image is refused, a DropReason, "" for one that is not.

    `images` has the columns image_id, format and checksum. Where duplicates are refused it must have all usable images:
    of those with the same content the first by image_id stays.
    """
    reasons = pd.Series(np.full(len(images), "", object), index=images.index)
    rules = set(list_rules(settings))
    if DropReason.NOT_JPEG in rules:
        reasons[~images["format"].isin(JPEG_FORMATS)] = DropReason.NOT_JPEG.value
    if DropReason.DUPLICATE in rules:
        known = images[(reasons == "") & (images["checksum"] != "")].sort_values("image_id")
        reasons[known.index[known["checksum"].duplicated()]] = DropReason.DUPLICATE.value
    return reasons


def explain_refused(images: pd.DataFrame, seated: Collection[int], settings: Settings) -> pd.DataFrame:
    """Return those of the images that have no slot, with two more columns: `reason`, a DropReason, and `detail`.

    `images` have the columns of USABLE_SCHEMA and are as for `find_refused`; where duplicates are refused, all usable
    ones of the same content do. `seated` are the ids of those in slots. It holds where the slots are up to date.
    """
    images = images.assign(reason=find_refused(images, settings))
    kept = images[(images["reason"] == "") & (images["checksum"] != "")]
    lost = images[(images["reason"] != "") | ~images["id"].isin(list(seated))]
    small = lost["reason"] == ""
    copied = lost["reason"] == DropReason.DUPLICATE.value
    first = kept.groupby("checksum")["image_id"].min()
    details = pd.Series("it is " + lost["format"], index=lost.index, dtype=object)
    details[copied] = "its content is that of " + lost.loc[copied, "checksum"].map(first)
    details[small] = _tell_small(lost[small], settings)
    return lost.assign(reason=lost["reason"].where(~small, DropReason.TOO_SMALL.value), detail=details)


def _tell_small(images: pd.DataFrame, settings: Settings) -> NDArray[np.object_]:
    """Return how large each image would have to be."""
    buckets = list_buckets(settings.buckets)
    widths, heights = (images[name].to_numpy(np.int64) for name in ("width", "height"))
    needed = [buckets[place] for place in find_smallest(widths, heights, buckets)]
    told = [
        f"{width}×{height} pixels; the smallest bucket of its shape, {bucket.id}, needs at least "
        f"{bucket.target[0]}×{bucket.target[1]}"
        for width, height, bucket in zip(widths, heights, needed, strict=True)
    ]
    return np.array(told, object)
