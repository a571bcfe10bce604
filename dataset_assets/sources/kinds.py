"""Which kind of source each table of [[sources]] is."""

from dataset_assets.settings import (
    ExportSettings,
    FolderSettings,
    ParquetSettings,
    Settings,
    SourceSettings,
    TarSettings,
)
from dataset_assets.sources.base import Source
from dataset_assets.sources.folder import FolderSource
from dataset_assets.sources.parquet.columns import ColumnRule
from dataset_assets.sources.parquet.source import ParquetSource
from dataset_assets.sources.tars.export import ExportSource
from dataset_assets.sources.tars.samples import IdRule
from dataset_assets.sources.tars.source import TarSource
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.location import make_location


def make_source(source: SourceSettings, settings: Settings, layout: Layout) -> Source:
    """Return the source that a table of the settings describes. It is not looked at yet."""
    path, listings = make_location(source.path, settings.folder), layout.listings(source.name)
    skip = tuple(dict.fromkeys((*layout.folders, *layout.local_folders)))
    match source:
        case FolderSettings():
            return FolderSource(path=path, prefix=source.prefix, skip=skip)
        case TarSettings():
            rule = IdRule(by=source.id, field=source.id_field if source.id == "json" else "")
            return TarSource(path=path, listings=listings, prefix=source.prefix, rule=rule, skip=skip)
        case ExportSettings():
            return ExportSource(path=path, listings=listings, prefix=source.prefix, skip=skip)
        case ParquetSettings():
            columns = ColumnRule(image=source.image, id=source.id, metadata=source.metadata)
            return ParquetSource(path=path, listings=listings, prefix=source.prefix, rule=columns, skip=skip)
