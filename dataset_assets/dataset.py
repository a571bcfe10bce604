"""A dataset as the stages see it: settings, where things lie, the catalog and the sources, opened together."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from dataset_assets.catalog.database import Catalog, sqlite_url
from dataset_assets.catalog.locks import open_locks
from dataset_assets.settings import Settings
from dataset_assets.sources.base import Source
from dataset_assets.sources.kinds import make_source
from dataset_assets.storage.layout import Layout, prepare
from dataset_assets.storage.lock import Locks


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What every stage is given."""

    settings: Settings
    layout: Layout
    catalog: Catalog
    locks: Locks  # who may work on it
    sources: Mapping[str, Source]


@contextmanager
def open_dataset(settings: Settings) -> Iterator[Dataset]:
    """Open the dataset; its root and its catalog are made where they are not there yet.

    Raises StorageError or CatalogError when that cannot be done.
    """
    layout = settings.layout
    prepare(layout)
    catalog = Catalog(settings.dataset.catalog or sqlite_url(layout.catalog))
    locks = open_locks(catalog, layout)
    try:
        sources = {source.name: make_source(source, settings, layout) for source in settings.sources}
        yield Dataset(settings=settings, layout=layout, catalog=catalog, locks=locks, sources=sources)
    finally:
        catalog.close()
