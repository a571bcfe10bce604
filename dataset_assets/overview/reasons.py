"""What each reason for which an image was left out means, and what to do about it, in a sentence."""

from collections.abc import Mapping
from typing import Final

from dataset_assets.errors import DropReason

_REASONS: Final[Mapping[DropReason, str]] = {
    DropReason.NO_CAPTION: "No selector found a caption, and missing_caption_policy is drop: write one, or set the "
    "policy to empty.",
    DropReason.TOO_SMALL: "It would have to be enlarged to fill its bucket: take a smaller base_resolutions, or find a "
    "larger original.",
    DropReason.DECODE_ERROR: "It begins like an image and is broken or cut off, or decoding it took too long: get the "
    "file again, or raise timeout_seconds.",
    DropReason.ENCODE_ERROR: "The crop could not be written as JPEG: that is not expected, report it.",
    DropReason.EMPTY_FILE: "The file has 0 bytes: get it again.",
    DropReason.UNREADABLE: "The file could not be read, for want of permission or because its archive is damaged: make "
    "it readable, and the next build tries again.",
    DropReason.UNSUPPORTED_FORMAT: "It has an image's extension and is of no format that is read: convert it.",
    DropReason.TOO_MANY_PIXELS: "Its header says more pixels than max_pixels, so it was never decoded: raise "
    "max_pixels, or leave it.",
    DropReason.SOURCE_CHANGED: "It was changed or removed between the scan and the crop: build again.",
    DropReason.DUPLICATE_ID: "Another image of its source has the same id: rename one.",
    DropReason.BLANK_IMAGE: "There is next to nothing to see on its crop: look at it, or set blank_image to keep.",
    DropReason.PLACEHOLDER: "Its model wrote what stands for no caption: look at what it said, and take another model "
    "or the policy fall_through.",
    DropReason.IMAGE_UNAVAILABLE: "Its model said that it sees no image: look at the crop, and take another model or "
    "the policy fall_through.",
    DropReason.CAPTION_REVIEW: "The review found something in its caption, and the policy for that is drop: look at "
    "what was found, or set another policy.",
    DropReason.NOT_JPEG: "It is no JPEG, and images.mode is passthrough_jpeg: convert it, or take reencode_jpeg.",
    DropReason.DUPLICATE: "Its content is that of another image, and duplicates.exact is drop: nothing is lost.",
}


def explain_reason(reason: str) -> str:
    """Return what a DropReason means and what to do, one sentence. Raises ValueError for what is none."""
    return _REASONS[DropReason(reason)]
