"""Refuses to believe that there are no records: a file was emptied, or the settings are wrong, more likely."""

from collections import Counter
from collections.abc import Sequence

from dataset_assets.catalog.state import Piece
from dataset_assets.errors import SourceError
from dataset_assets.posts.faults import LISTED, RowFault, read_list
from dataset_assets.storage.location import Location

_ADVICE = {
    RowFault.NO_ID: "does id under [records] name the field of their ids?",
    RowFault.ID_NOT_AN_INTEGER: "does id under [records] name the field of their ids?",
    RowFault.ID_OUT_OF_RANGE: "does id under [records] name the field of their ids?",
    RowFault.NOT_JSON: "is every line of theirs a JSON object?",
    RowFault.NOT_AN_OBJECT: "is every line of theirs a JSON object?",
    RowFault.NOT_UTF8: "are they text in UTF-8?",
}
_OTHERWISE = "were they cut off while they were written, or copied?"


def refuse_empty(root: Location, pieces: Sequence[Piece], before: int | None) -> None:
    """Raise SourceError where no file has a record now, though there were some, or is read first and has a fault.

    `pieces` are the files as they were read, in order, and `before` is how many records there were when they were read
    last, None where that was never. The message says which fault is the most frequent one, and where it is first.
    """
    faults = sum((Counter(piece.facts["faults"]) for piece in pieces), Counter[str]())  # a row that is no record is one
    if any(piece.facts["records"] for piece in pieces) or not (faults if before is None else before):
        return
    there = f"there were {before:,} records and there are none now" if before else "there are no records"
    what, advice = f"files: {len(pieces):,}, rows: {sum(piece.facts['rows'] for piece in pieces):,}", _OTHERWISE
    if faults:
        fault, count = faults.most_common(1)[0]
        what += f", {fault}: {count:,}, the first in {_find_first(root, pieces, fault)}"
        advice = _ADVICE.get(RowFault(fault), _OTHERWISE)
    raise SourceError(f"{there} ({what}); {advice} If there are to be none: dataset-assets build --allow-empty")


def _find_first(root: Location, pieces: Sequence[Piece], fault: str) -> str:
    """Return where a fault is listed first."""
    piece = next(piece for piece in pieces if fault in piece.facts["faults"])
    listed = read_list((root / piece.path).with_suffix(LISTED))
    lines = (one["line"] for one in listed if one["fault"] == fault)
    return f"{piece.facts['file']}:{next(lines)}"
