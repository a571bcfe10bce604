"""A choice of the waterfall in a sentence: which selector gave the caption, and why those before it did not.

Nothing is chosen here: that is done by select.py, and this puts it into words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.settings import CaptionSettings

_SAID = {
    CaptionStatus.EMPTY: "gave an empty text",
    CaptionStatus.TRUNCATED: "was cut off",
    CaptionStatus.REFUSED: "refused",
    CaptionStatus.FILTERED: "was stopped by a content filter",
    CaptionStatus.PLACEHOLDER: "gave a placeholder",
    CaptionStatus.UNAVAILABLE: "saw no image",
    CaptionStatus.ERROR: "gave no answer",
}
_NONE = "has none"  # also where a file is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a view has of one sample, as records."""

    sample: Mapping[Any, Any]
    captions: Sequence[Mapping[Any, Any]]
    findings: Sequence[Mapping[Any, Any]]


def tell_why(
    captions: CaptionSettings, ranks: Mapping[int, tuple[int, int]], heard: Heard, choice: Mapping[str, Any]
) -> str:
    """Return why a sample gets what `choice`, its row of the selection, says; `ranks` are the view's."""
    if heard.sample["blank"]:
        least = captions.review.blank_spread
        return (
            f"left out ({choice['drop']}): {heard.sample['spread']:.2%} of the crop differs from one plain tone, and "
            f"less than blank_spread, {least:.2%}, is blank"
        )
    return _Words(captions, ranks, heard).tell(choice)


class _Words:
    """What there is to say of one sample's captions, in the order in which the waterfall comes to them."""

    def __init__(self, captions: CaptionSettings, ranks: Mapping[int, tuple[int, int]], heard: Heard) -> None:
        ranked = (row for row in heard.captions if row["caption_source"] in ranks)
        self._rows = sorted(ranked, key=lambda row: ranks[row["caption_source"]][1])
        self._findings = heard.findings
        self._index = {number: index for number, (index, _) in ranks.items()}
        self._captions = captions

    def tell(self, choice: Mapping[str, Any]) -> str:
        """Return the sentence."""
        if choice["drop"]:
            found = (place for place, row in enumerate(self._rows) if row["drop"] == choice["drop"])
        else:
            found = (place for place, row in enumerate(self._rows) if row["caption_source"] == choice["caption_source"])
        place = next(found, None)
        if place is None:
            passed = self._tell_passed(len(self._captions.priority), []) or ["captions.priority names none"]
            kept = "exported without one" if self._captions.missing_caption_policy == "empty" else "left out"
            return f"no selector has a caption for it, so it is {kept}: {'; '.join(passed)}"
        row = self._rows[place]
        index = self._index[row["caption_source"]]
        if choice["drop"]:
            cause = f"{self._name(index)} {self._tell(row)}, and the review's policy for that is drop"
            said = f"left out ({choice['drop']}): {cause}"
        else:
            said = f"{self._name(index)} gave it"
        newer = [one for one in self._rows[:place] if self._index[one["caption_source"]] == index]
        passed = self._tell_passed(index, newer)
        return f"{said}: {'; '.join(passed)}" if passed else said

    def _tell_passed(self, until: int, newer: list[Mapping[Any, Any]]) -> list[str]:
        """Return what the selectors before one say, of each its newest source, and then its own newer sources."""
        said = []
        for index in range(until):
            own = [row for row in self._rows if self._index[row["caption_source"]] == index]
            said.append(f"{self._name(index)} {self._tell(own[0]) if own else _NONE}")
        return said + [f"its newer caption source {row['caption_source']} {self._tell(row)}" for row in newer]

    def _name(self, index: int) -> str:
        selector = self._captions.priority[index]
        narrowed = ", ".join(name for name in (selector.variant, selector.backend, selector.model) if name)
        return f"selector {index} ({narrowed})"

    def _tell(self, row: Mapping[Any, Any]) -> str:
        """Return what is wrong with a caption."""
        barred = [
            one["finding"]
            for one in self._findings
            if one["caption_source"] == row["caption_source"] and one["policy"] != "keep"
        ]
        if row["status"] != CaptionStatus.OK:
            said = _SAID.get(row["status"], _NONE)
        elif barred:
            said = f"gave one that the review does not let through ({', '.join(barred)})"
        else:
            said = "gave one"
        return said if row["current"] else f"{said} for an older version of the image"
