"""Which usable images may have a slot at all, whatever their size: a rule of the settings for each that may not."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

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
