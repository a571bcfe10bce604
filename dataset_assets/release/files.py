"""The files beside the tars, brought up to date before the manifest that lists them is written.

What is in them is in samples.py, webshart.py and charts.py. No tar is opened: what they say of one is in its index.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest
from itertools import chain, count

from dataset_assets.catalog.state import Piece, load_pieces
from dataset_assets.damage import INDEX_VERSION, MODIFIED, index_path
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import VERSIONS, fingerprint
from dataset_assets.release.charts import Chart, make_charts, name_charts
from dataset_assets.release.inspect import make_entry
from dataset_assets.release.manifest import FileEntry
from dataset_assets.release.samples import write_samples
from dataset_assets.release.webshart import make_webshart, webshart_path
from dataset_assets.shards.indexes import read_columns
from dataset_assets.storage.atomic import remove, write_bytes
from dataset_assets.storage.layout import shard_path
from dataset_assets.storage.location import Location, path_in
from dataset_assets.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file that is to be there."""

    path: Location
    made_from: str
    write: Callable[[], None]


def write_files(work: Work, tars: Sequence[Piece]) -> tuple[FileEntry, ...]:
    """Return the files that the settings ask for, after writing those that changed; `tars` in the export's order.

    What else lies in the places of tars and files is removed, a lost catalog's for instance. Raises DamagedError where
    an index is damaged, StorageError where a file cannot be written.
    """
    dataset = work.dataset
    tables = [*_list_tables(dataset, tars)]
    charts = [dataset.layout.chart(name) for name in name_charts(dataset.settings)]
    _remove_strays(dataset, tars, [*(file.path for file in tables), *charts])
    with dataset.catalog.reading() as connection:
        numbers = {piece.path: piece.number for piece in load_pieces(connection, work.stage, work.partition)}
    free = count(max(numbers.values(), default=0) + 1)  # 0 is the manifest's
    files = chain(tables, _list_charts(dataset, tars))
    return tuple(_bring(work, file, numbers.get(_show(dataset, file.path)) or next(free)) for file in files)


def clear_files(dataset: Dataset) -> None:
    """Remove everything in the places of tars and files: there is nothing to export."""
    _remove_strays(dataset, (), ())


def _list_tables(dataset: Dataset, tars: Sequence[Piece]) -> Iterator[_File]:
    settings, layout = dataset.settings.release, dataset.layout
    if settings.webshart:
        for tar in tars:
            path = layout.export / webshart_path(tar.facts["path"])
            made_from = fingerprint(VERSIONS["webshart"], tar.facts["path"], tar.output)
            yield _File(path=path, made_from=made_from, write=partial(_write_webshart, dataset, path, tar))
    if settings.samples:
        indexes = [(tar.facts["path"], index_path(layout, tar), tar.facts["count"]) for tar in tars]
        made_from = fingerprint(INDEX_VERSION, [(tar.facts["path"], tar.output) for tar in tars])
        yield _File(path=layout.samples, made_from=made_from, write=partial(write_samples, layout.samples, indexes))


def _list_charts(dataset: Dataset, tars: Sequence[Piece]) -> Iterator[_File]:
    for chart in make_charts(dataset, tars):
        path, made_from = dataset.layout.chart(chart.name), fingerprint(VERSIONS["charts"], chart.shown)
        yield _File(path=path, made_from=made_from, write=partial(_write_chart, path, chart))


def _bring(work: Work, file: _File, number: int) -> FileEntry:
    """Write a file unless it is there, made from the same, and return what the manifest says of it."""
    layout = work.dataset.layout
    piece = work.keep(number, file.made_from)
    if piece is None:
        remove(layout.manifest)  # which is written last: what it says of this file ends now
        work.replace(number)
        file.write()
        with file.path.open("rb") as opened:
            digest = file_digest(opened, "sha256").hexdigest()
        facts = {MODIFIED: file.path.stat().st_mtime_ns}
        piece = work.put(file.path, made_from=file.made_from, output=digest, number=number, facts=facts)
    return FileEntry(path=path_in(layout.export, file.path), bytes=piece.bytes, sha256=piece.output)


def _write_webshart(dataset: Dataset, path: Location, tar: Piece) -> None:
    rows = chain.from_iterable(table.to_pylist() for table in read_columns(dataset, [tar]))
    write_bytes(path, make_webshart(make_entry(tar), rows))


def _write_chart(path: Location, chart: Chart) -> None:
    write_bytes(path, chart.draw())


def _remove_strays(dataset: Dataset, tars: Iterable[Piece], files: Iterable[Location]) -> None:
    """Remove what has the name of a tar, an index or a file and is none that is wanted; the manifest goes before."""
    layout = dataset.layout
    tar, index = shard_path("*", 0).replace("000000", "*"), path_in(layout.root, layout.index("*", 0))
    known = {path for tar in tars for path in (layout.root / tar.path, index_path(layout, tar))} | {*files}
    found = chain(
        layout.export.glob(tar),
        layout.export.glob(webshart_path(tar)),
        layout.export.glob(layout.samples.name),
        layout.export.glob(path_in(layout.export, layout.chart("*"))),
        layout.root.glob(index.replace("000000", "*")),
    )
    for path in [path for path in found if path not in known]:
        if path.is_relative_to(layout.export):
            remove(layout.manifest)
        remove(path)


def _show(dataset: Dataset, path: Location) -> str:
    """Return a path as pieces have it."""
    return path_in(dataset.layout.root, path)
