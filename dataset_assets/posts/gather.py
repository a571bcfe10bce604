"""The parsed records of some tars, from all files in order. What is chosen of them is choose.py's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.catalog.state import Piece, load_pieces
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import find_state
from dataset_assets.posts.form import cell_width
from dataset_assets.stages import Stage
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import open_table
from dataset_assets.work import Work, condemning

_BLOCK = 96 << 20  # bytes of parsed records, about, that are read together, unless one cell has more


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFile:
    """A file of records as it was parsed."""

    number: int  # of its piece
    name: str
    path: Location
    groups: tuple[tuple[int, int, int], ...]  # first tar, last tar, bytes of each row group


def list_parsed(work: Work) -> list[ParsedFile]:
    """Return the parsed files that have records of the work's range, in the order in which they count."""
    layout = work.dataset.layout
    state = find_state(work.states, Stage.CAPTION_RECORDS, needed_by=work.stage)
    with work.dataset.catalog.reading() as connection:
        pieces = {piece.number: piece for piece in load_pieces(connection, Stage.CAPTION_RECORDS, "")}
    ordered: list[Piece] = [pieces[number] for number in state.report["order"]]
    return [
        ParsedFile(
            number=piece.number,
            name=piece.facts["file"],
            path=layout.root / piece.path,
            groups=tuple((first, last, size) for first, last, size in piece.facts["groups"]),
        )
        for piece in ordered
        if work.partition in piece.facts["ranges"]
    ]


def cut_blocks(files: Sequence[ParsedFile], tars: range, modulus: int) -> Iterator[range]:
    """Yield parts of a range of tars, in order, that are small enough to be read at a time."""
    width = cell_width(modulus)
    sizes = np.zeros(-(-modulus // width))  # bytes of each cell
    for file in files:
        for first, last, held in file.groups:
            cells = slice(first // width, last // width + 1)
            sizes[cells] += held / (cells.stop - cells.start)
    start, size = tars.start, 0.0  # of the part that grows: its first tar, and bytes
    for cell in range(tars.start // width, (tars.stop - 1) // width + 1):
        edge = max(cell * width, tars.start)
        if size and sizes[cell] and size + sizes[cell] > _BLOCK:
            yield range(start, edge)
            start, size = edge, 0.0
        size += sizes[cell]
    yield range(start, tars.stop)


def read_block(
    dataset: Dataset, files: Sequence[ParsedFile], tars: range
) -> tuple[pa.Table, npt.NDArray[np.int32]] | None:
    """Return the records of some tars, and the number of each one's file in `files`; None where there are none.

    Records are in the order of the files, those of one id in the order of the rows. Raises DamagedError, and then the
    file is parsed again by the next build.
    """
    parts: list[pa.Table] = []
    origins: list[npt.NDArray[np.int32]] = []
    for place, file in enumerate(files):
        groups = [
            number for number, (first, last, _) in enumerate(file.groups) if first < tars.stop and last >= tars.start
        ]
        if groups:
            with (
                condemning(dataset, (Stage.CAPTION_RECORDS, "", file.number), file.path),
                open_table(file.path) as table,
            ):
                part = table.read_row_groups(groups, use_threads=False)
            part = part.filter(_lie_in(part["tar"], tars))
            parts.append(part)
            origins.append(np.full(len(part), place, np.int32))
    return (pa.concat_tables(parts), np.concatenate(origins)) if any(map(len, parts)) else None


def _lie_in(numbers: pa.ChunkedArray, tars: range) -> pa.ChunkedArray:
    return pc.and_(pc.greater_equal(numbers, tars.start), pc.less(numbers, tars.stop))
