"""What is found in the captions of one partition, and which of them can be selected. Pure: no catalog, no files.

What is to become of a caption in which something is found is the settings' (docs/captioning.md), which caption wins is
the waterfall's, and blank crops are images/review.py's.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import pandas as pd

from dataset_assets.captions.chat.phrases import has_preamble
from dataset_assets.captions.review.language import Languages
from dataset_assets.captions.review.words import Prompts, count_words, split_words
from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.counts import count_noun
from dataset_assets.errors import DropReason
from dataset_assets.settings import ReviewSettings

_COLUMNS = ["slot", "caption_source", "finding", "policy", "detail"]
_READABLE = (CaptionStatus.OK, CaptionStatus.TRUNCATED)  # only their texts are read
_LEAK = 8  # words in a row of a prompt: fewer are found in captions that know nothing of it
_QUOTED = 80  # characters


class Finding(StrEnum):
    """What may be found in a caption, each named as its policy in the settings.

    The first five are statuses of answers; the others are looked for in texts.
    """

    TRUNCATED = "truncated"
    REFUSED = "refused"
    FILTERED = "filtered"
    PLACEHOLDER = "placeholder"
    UNAVAILABLE = "unavailable"
    REPEATED = "repeated"  # the same text on many images
    LANGUAGE = "language"  # surely none of the wanted ones
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    PROMPT_LEAK = "prompt_leak"  # words of the prompt, or of the chat around the caption


_STATUSES = tuple(Finding)[:5]
_ORDER = {finding: place for place, finding in enumerate(Finding)}
_REASONS = {
    Finding.PLACEHOLDER: DropReason.PLACEHOLDER,
    Finding.UNAVAILABLE: DropReason.IMAGE_UNAVAILABLE,
}

_Found = tuple[int, int, Finding, str]  # slot, caption source, finding, detail


def review_captions(
    captions: pd.DataFrame, settings: ReviewSettings, prompts: Mapping[int, tuple[str, str]]
) -> pd.DataFrame:
    """Return a row for each thing found in the captions of a partition: slot, caption_source, finding, policy, detail.

    `captions` has a row a slot and caption source: slot, caption_source, status, text. `prompts` maps a caption source
    to its system and user prompt; one without is not looked through for leaks. A finding is reported whatever its
    policy is. Sorted by slot, caption source and the order of `Finding`. Raises SettingsError where settings.languages
    names a language that cannot be told.
    """
    reader = _Reader(settings, prompts)
    found: list[_Found] = []
    alike: dict[tuple[int, str], list[int]] = {}
    for slot, source, status, text in _rows(captions):
        if status in _STATUSES:
            found.append((slot, source, Finding(status), _quote(text)))
        if status in _READABLE and text.strip():
            words = split_words(text)
            alike.setdefault((source, " ".join(words) or text.strip()), []).append(slot)
            found += ((slot, source, finding, detail) for finding, detail in reader.read(source, text, words))
    for (source, _), slots in alike.items():
        if len(slots) >= settings.repeated_images:
            detail = f"on {len(slots)} images of the partition"
            found += ((slot, source, Finding.REPEATED, detail) for slot in slots)
    found.sort(key=lambda one: (one[0], one[1], _ORDER[one[2]]))
    rows = [(slot, source, one.value, getattr(settings, one), detail) for slot, source, one, detail in found]
    types = {"slot": "int64", "caption_source": "int32", "finding": "str", "policy": "str", "detail": "str"}
    return pd.DataFrame(rows, columns=_COLUMNS).astype(types)


def judge_captions(captions: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame:
    """Return the captions with two columns more: `usable`, and `drop`, a DropReason where the sample is to be left out.

    `findings` is what `review_captions` found in them; of several findings in one caption the strictest policy counts.
    Usable is a caption that is ok, or that is kept in spite of its status and has a text. `drop` is "" for the others.
    """
    kept: set[tuple[int, int]] = set()
    barred: set[tuple[int, int]] = set()
    drops: dict[tuple[int, int], str] = {}
    for slot, source, finding, policy in findings[_COLUMNS[:4]].itertuples(index=False, name=None):
        (kept if policy == "keep" else barred).add((slot, source))
        if policy == "drop":
            drops.setdefault((slot, source), _REASONS.get(finding, DropReason.CAPTION_REVIEW).value)
    rows = [(slot, source, status, text) for slot, source, status, text in _rows(captions)]
    usable = [
        (slot, source) not in barred and (status == CaptionStatus.OK or ((slot, source) in kept and bool(text.strip())))
        for slot, source, status, text in rows
    ]
    drop = [drops.get((slot, source), "") for slot, source, _, _ in rows]
    return captions.assign(
        usable=pd.Series(usable, index=captions.index, dtype="bool"),
        drop=pd.Series(drop, index=captions.index, dtype="str"),
    )


class _Reader:
    """What is looked for in each text by itself. What the settings switch off is not even loaded."""

    def __init__(self, settings: ReviewSettings, prompts: Mapping[int, tuple[str, str]]) -> None:
        self._settings = settings
        self._languages = Languages(settings.languages) if settings.languages else None
        self._prompts = {
            number: Prompts({"system": system, "user": user})
            for number, (system, user) in prompts.items()
            if system or user
        }

    def read(self, source: int, text: str, words: list[str]) -> Iterator[tuple[Finding, str]]:
        """Yield what is found in a text that a source made, and the reason."""
        if self._languages and (foreign := self._languages.find_foreign(text, words)):
            yield Finding.LANGUAGE, f"language {foreign[0]} ({foreign[1]:.2f})"
        count, least, most = count_words(words), self._settings.min_words, self._settings.max_words
        if count < least:
            yield Finding.TOO_SHORT, f"{count_noun(count, 'word')}, at least {least} wanted"
        if most and count > most:
            yield Finding.TOO_LONG, f"{count_noun(count, 'word')}, at most {most} wanted"
        prompts = self._prompts.get(source)
        if prompts and (leak := prompts.find_run(words, _LEAK)):
            name, run = leak
            said = count_noun(count_words(run), "word")
            yield Finding.PROMPT_LEAK, f"{said} of the {name} prompt: {_quote(' '.join(run))}"
        elif has_preamble(text):
            yield Finding.PROMPT_LEAK, f"words of a chat around the caption: {_quote(text)}"


def _rows(captions: pd.DataFrame) -> Iterator[tuple[int, int, str, str]]:
    """Yield (slot, caption source, status, text) of each row."""
    columns = captions[["slot", "caption_source", "status", "text"]]
    for slot, source, status, text in columns.itertuples(index=False, name=None):
        yield slot, source, status, text if isinstance(text, str) else ""


def _quote(text: str) -> str:
    """Return the beginning of a text in one line, in quotation marks; "" of none."""
    line = " ".join(text[: 4 * _QUOTED].split())
    if not line:
        return ""
    return f'"{line}"' if len(line) <= _QUOTED else f'"{line[:_QUOTED].rstrip()}…"'
