"""[[sources]]: where images come from, a model for each kind of source."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Discriminator, Field, Tag

from dataset_assets.settings.base import Model
from dataset_assets.storage.location import check_location

_KINDS = ("folder", "tars", "parquet", "bucketed_shards")


def _path(path: str) -> str:
    if "\0" in path:
        raise ValueError("a path, which holds no NUL character")
    try:
        Path(path).expanduser()
    except RuntimeError:
        raise ValueError("a path; there is no user of this name whose home it could mean") from None
    return path


FilePath = Annotated[str, AfterValidator(_path)]
SourcePath = Annotated[str, Field(min_length=1), AfterValidator(_path)]
SourceName = Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]


class FolderSettings(Model):
    """The images in a folder and the folders below it."""

    kind: Literal["folder"] = "folder"
    path: SourcePath = "data/raw"
    name: SourceName = "folder"
    prefix: str = ""


class TarSettings(Model):
    """The images in the WebDataset tars in a folder and the folders below it."""

    kind: Literal["tars"]
    path: SourcePath
    name: SourceName = "tars"
    prefix: str = ""
    id: Literal["key", "path", "json"] = "key"  # what an image is called: its key, with its tar's path, a JSON field
    id_field: str = "id"  # the field, where id = "json"


class ParquetSettings(Model):
    """The images in a column of Parquet files."""

    kind: Literal["parquet"]
    path: SourcePath
    name: SourceName = "parquet"
    prefix: str = ""
    image: Annotated[str, Field(min_length=1)] = "image"  # of bytes, of {bytes, path}, or of paths
    id: str = ""  # the column of ids; "": the file's path and the row's number
    metadata: tuple[str, ...] = ()  # the columns that captions and prompts read; left out: all of text and numbers


class ExportSettings(Model):
    """The images of an export that this project or a publisher made: manifest.json and buckets/."""

    kind: Literal["bucketed_shards"]
    path: SourcePath
    name: SourceName = "export"
    prefix: str = ""


_Source = TypeVar("_Source", FolderSettings, TarSettings, ParquetSettings, ExportSettings)


def _kind_of(source: Any) -> str | None:
    kind = source.get("kind", "folder") if isinstance(source, dict) else getattr(source, "kind", None)
    return kind if kind in _KINDS else None


def _check_place(source: _Source) -> _Source:
    if fault := check_location(source.path):  # of the table, not of the key: a password is not shown
        raise ValueError(f"path: allowed: a path, or {fault}")
    return source


SourceSettings = Annotated[
    Annotated[FolderSettings, Tag("folder")]
    | Annotated[TarSettings, Tag("tars")]
    | Annotated[ParquetSettings, Tag("parquet")]
    | Annotated[ExportSettings, Tag("bucketed_shards")],
    Discriminator(_kind_of, custom_error_type="kind", custom_error_message=f"allowed: {', '.join(_KINDS)}"),
    AfterValidator(_check_place),
]
