"""A row of a file of captions: whether it can be a caption, and of which image and caption source. No files here."""

import json
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from typing import Any

import pyarrow as pa

from dataset_assets.captions.files.formats import COLUMNS
from dataset_assets.catalog.captions import CaptionStatus, SourceIdentity
from dataset_assets.settings.base import is_name
from dataset_assets.sources.base import LARGEST_SIDECAR

IMPORTED = "imported"  # the backend of captions that do not say who made them
REQUIRED = ("image_id", "text")

_IDENTITY = tuple(field.name for field in fields(SourceIdentity))
_SAID = COLUMNS.names[COLUMNS.names.index("status") :]  # columns of the catalog's captions
_TEXTS = frozenset(field.name for field in COLUMNS if pa.types.is_string(field.type))
_INTEGERS = frozenset(field.name for field in COLUMNS if pa.types.is_integer(field.type))
_STATUSES = frozenset(CaptionStatus)
_LARGEST = {"source_created_at": 253_402_300_799, "created_at": 253_402_300_799}  # the end of the year 9999
_LARGEST_INTEGER = (1 << 31) - 1
_HASH = re.compile(r"([0-9a-f]{64})?")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_SHOWN = 80  # characters of a value in a message


class Fault(StrEnum):
    """Why a row is not imported."""

    INVALID_JSON = "invalid_json"
    MISSING_FIELD = "missing_field"  # no image_id or no text, or null
    BAD_VALUE = "bad_value"  # of the wrong type, or outside of what is allowed
    BAD_CHARACTERS = "bad_characters"  # NUL or half of a surrogate pair
    UNKNOWN_STATUS = "unknown_status"
    NO_VARIANT = "no_variant"  # neither the row nor the import names one
    UNKNOWN_VARIANT = "variant_not_configured"
    UNKNOWN_IMAGE = "unknown_image"


Refusal = tuple[Fault, str]  # the fault, and what is wrong in one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A caption as a file gives it."""

    image_id: str
    source: str  # name of the image's source; "" for any
    identity: SourceIdentity
    source_created_at: int  # unix seconds; 0 where the file does not say
    said: Mapping[str, Any]  # columns of the catalog's captions: status, text, and what else the file says


def parse_row(
    values: Mapping[str, Any], *, variant: str | None, model: str | None, configured: Collection[str]
) -> Row | Refusal:
    """Return the caption of a row, or why it is none. `variant` and `model` are those of rows that name none.

    A row that has the whole identity of a caption source is taken as it stands. Any other must be of a configured
    variant, and white space around its text is no part of it. A value that is null counts as not there.
    """
    given = {name: value for name in COLUMNS.names if (value := values.get(name)) is not None}
    if refusal := _find_fault(given):
        return refusal
    whole = all(name in given for name in (*_IDENTITY, "source_created_at"))
    named = given.get("variant", variant)
    if named is None:
        return Fault.NO_VARIANT, "no variant is named"
    if not whole and named not in configured:
        return Fault.UNKNOWN_VARIANT, f"variant {show(named)} is not configured"
    own = {name: given[name] for name in _IDENTITY if name in given}
    defaults = {"variant": named, "backend": IMPORTED, "model": model or ""}
    said = {name: _convert(name, given[name]) for name in _SAID if name in given}
    text = said["text"] if whole else said["text"].strip()
    status = CaptionStatus(said.get("status", CaptionStatus.OK))
    if status == CaptionStatus.OK and not text.strip():
        status = CaptionStatus.EMPTY
    return Row(
        image_id=given["image_id"],
        source=given.get("source", ""),
        identity=SourceIdentity(**(defaults | own)),
        source_created_at=min(int(given.get("source_created_at", 0)), int(time.time())),  # not newer than what comes
        said=said | {"status": status.value, "text": text},
    )


def show(value: Any) -> str:
    """Return a value as it can stand in a message: short, on one line, in ASCII."""
    return json.dumps(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…") if isinstance(value, str) else str(value)


def _find_fault(given: Mapping[str, Any]) -> Refusal | None:
    """Return what is wrong with the values that a row gives, by themselves."""
    for name in REQUIRED:
        if name not in given:
            return Fault.MISSING_FIELD, f"no {name}"
    for name, value in given.items():
        if refusal := (_check_text if name in _TEXTS else _check_number)(name, value):
            return refusal
    if "status" in given and given["status"] not in _STATUSES:
        return Fault.UNKNOWN_STATUS, f"status {show(given['status'])}; allowed: {', '.join(CaptionStatus)}"
    for name in ("system_prompt_sha256", "user_prompt_sha256"):
        if not _HASH.fullmatch(given.get(name, "")):
            return Fault.BAD_VALUE, f"{name} is {show(given[name])}, not 64 hexadecimal digits"
    if not is_name(given.get("variant", "a")):
        return Fault.BAD_VALUE, f"variant {show(given['variant'])} is no name of a variant"
    if not _is_table(given.get("parameters", "{}")):
        return Fault.BAD_VALUE, "parameters is no JSON object as text"
    return None


def _check_text(name: str, value: Any) -> Refusal | None:
    if not isinstance(value, str):
        return Fault.BAD_VALUE, f"{name} is of type {type(value).__name__}, not text"
    if _NO_TEXT.search(value):
        return Fault.BAD_CHARACTERS, f"{name} holds characters that no text has (NUL or half of a surrogate pair)"
    if len(value) > LARGEST_SIDECAR:
        return Fault.BAD_VALUE, f"{name} has {len(value):,} characters; {LARGEST_SIDECAR:,} are allowed"
    return None


def _check_number(name: str, value: Any) -> Refusal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Fault.BAD_VALUE, f"{name} is of type {type(value).__name__}, not a number"
    whole = name in _INTEGERS
    largest = _LARGEST.get(name, _LARGEST_INTEGER)
    if not 0 <= value <= largest or (whole and value != int(value)):
        return Fault.BAD_VALUE, f"{name} is not {'a whole number' if whole else 'a number'} from 0 to {largest}"
    return None


def _convert(name: str, value: Any) -> Any:
    """Return a value in its column's type: people's tools write 3.0 for 3, and the other way round."""
    return value if name in _TEXTS else int(value) if name in _INTEGERS else float(value)


@lru_cache(maxsize=1024)
def _is_table(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
