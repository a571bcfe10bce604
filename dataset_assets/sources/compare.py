"""What differs between a listing and the catalog's index: set operations over two tables, no file and no database."""

from collections.abc import Callable, Iterable
from typing import Literal

import pandas as pd

from dataset_assets.errors import DropReason, SourceError
from dataset_assets.sources.base import Listed

# Reasons that a look at the file may find gone although the listing shows the same file.
_PASSING = (DropReason.UNREADABLE, DropReason.DUPLICATE_ID)

FindFile = Callable[[str, str], str]  # source, uri → uri of the file
Look = Literal["changed", "unusable", "all"]  # which files are opened, each with those before it

_LISTED = {
    "source": "str",
    "uri": "str",
    "image_id": "str",
    "size": "int64",
    "version": "str",
    "modified": "float64",
    "sidecars": "str",
    "checksum": "str",
    "reason": "str",
    "detail": "str",
}
_KEY = ["source", "uri"]
_FOUND = ["old_width", "old_height", "old_reason"]
_NOTHING: dict[str, str | int | bool] = {
    "id": 0,
    "image_id": "",
    "version": "",
    "revision": "",
    "checksum": "",
    "sidecars": "",
    "width": 0,
    "height": 0,
    "reason": "",
    "removed": False,
}


def make_frame(listed: Iterable[tuple[str, Listed]]) -> pd.DataFrame:
    """Return (source name, image) pairs as a frame, one row an image; `reason` is why the listing rules one out.

    An id that was listed before gets DUPLICATE_ID. Raises SourceError when two sources offer the same id.
    """
    rows = [
        (source, one.uri, one.image_id, one.size, one.version, one.modified, one.sidecars, "", *(one.fault or ("", "")))
        for source, one in listed
    ]
    frame = pd.DataFrame.from_records(rows, columns=list(_LISTED)).astype(_LISTED)
    usable = frame[frame["reason"] == ""]  # what cannot be used takes nobody's id
    repeated = usable.loc[usable["image_id"].duplicated()]
    first = usable.drop_duplicates("image_id").set_index("image_id").loc[repeated["image_id"]]
    for image_id, one, other in zip(first.index, first["source"], repeated["source"], strict=True):
        if one != other:
            raise SourceError(f'"{image_id}" is in both sources {one} and {other}: give one of them a prefix')
    frame.loc[repeated.index, "reason"] = DropReason.DUPLICATE_ID.value
    frame.loc[repeated.index, "detail"] = [f"the same id as {uri}" for uri in first["uri"]]
    return frame


def hold_back(
    listed: pd.DataFrame, known: pd.DataFrame, find_file: FindFile, *, since: float, until: float
) -> pd.DataFrame:
    """Return the listing without what changed between two times, unix seconds: it may still be being written.

    An image that is known stays as it is known, one that is new is left out. An archive is one file: of a tar or a
    Parquet file that is half written, what was known of it stays, also what is not to be seen in it now. `find_file`
    tells the file of an image, given its source and its uri.
    """
    young = (listed["modified"] > since) & (listed["modified"] <= until)
    if not young.any():
        return listed
    places = _places(listed, find_file)
    held = set(places[young])
    old = known.loc[~known["removed"]]
    before = old[_places(old, find_file).isin(held)].merge(listed[[*_KEY, "size"]], on=_KEY, how="left")
    repeated = before["reason"] == DropReason.DUPLICATE_ID.value
    as_known = pd.DataFrame(
        {
            **{name: before[name] for name in (*_KEY, "image_id", "version", "sidecars")},
            "size": before["size"].fillna(0),
            "modified": 0.0,
            "checksum": "",
            "reason": before["reason"].where(repeated, ""),
            "detail": "",
        }
    )[list(_LISTED)].astype(_LISTED)
    return pd.concat([listed[~places.isin(held)], as_known], ignore_index=True)


def _places(images: pd.DataFrame, find_file: FindFile) -> "pd.Series[str]":
    """Return the file that each image is in, with its source."""
    files = [f"{source}\0{find_file(source, uri)}" for source, uri in zip(images["source"], images["uri"], strict=True)]
    return pd.Series(files, index=images.index, dtype="str")


def compare(listed: pd.DataFrame, known: pd.DataFrame, *, max_pixels: int, look_again: Look) -> pd.DataFrame:
    """Return the listed images that the index does not have just so, and those to look at again.

    Where `listed` has checksums, they decide what changed, else versions do. Added columns: `id` (the index's row, 0
    where there is none), `look` (the file has to be opened), `revision`, `differs` (it has to be written whatever the
    look finds), and what the index knows: `old_width`, `old_height`, `old_reason`.
    """
    old = known.rename(columns={name: f"old_{name}" for name in known.columns if name not in _KEY})
    both = listed.merge(old, on=_KEY, how="left")
    new = both["old_id"].isna()
    for name, dtype in known.dtypes.items():
        if name not in _KEY:
            both[f"old_{name}"] = both[f"old_{name}"].fillna(_NOTHING[str(name)]).astype(dtype)
    moved = both["version"] != both["old_version"]
    checked = (both["checksum"] != "") & (both["old_checksum"] != "")
    silent = checked & ~moved & (both["checksum"] != both["old_checksum"])
    touched = checked & moved & (both["checksum"] == both["old_checksum"])
    changed = (moved & ~touched) | silent

    usable = both["reason"] == ""
    again = both["old_reason"].isin(_PASSING) | (look_again == "all")
    again |= (look_again == "unusable") & (both["old_reason"] != "")
    again |= both["old_width"].astype("int64") * both["old_height"] > max_pixels
    both["id"] = both["old_id"]
    both["look"] = usable & (changed | again)
    both["revision"] = both["old_revision"].mask(changed, both["version"])
    both.loc[silent, "revision"] = both["version"] + "-" + both["checksum"].str.slice(0, 16)
    both["checksum"] = both["checksum"].mask((both["checksum"] == "") & ~changed, both["old_checksum"])
    both["differs"] = new | both["old_removed"] | (~usable & (both["reason"] != both["old_reason"]))
    for name in ("image_id", "version", "checksum", "sidecars"):
        both["differs"] |= both[name] != both[f"old_{name}"]
    return both.loc[both["differs"] | both["look"], ["id", *listed.columns, "look", "revision", "differs", *_FOUND]]


def find_removed(listed: pd.DataFrame, known: pd.DataFrame) -> list[int]:
    """Return the index's rows of images that are listed no more."""
    present = known.loc[~known["removed"], ["id", *_KEY]]
    both = present.merge(listed[_KEY], on=_KEY, how="left", indicator=True)
    return [int(row) for row in both.loc[both["_merge"] == "left_only", "id"]]
