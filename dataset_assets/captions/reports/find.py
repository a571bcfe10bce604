"""Which image a person means: by its id, its path, or its sample key. Nothing of the image is read."""

import heapq
import os
import re
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from dataset_assets.catalog.lookup import NamedImage, images_at, images_named, list_names
from dataset_assets.dataset import Dataset
from dataset_assets.errors import DatasetError
from dataset_assets.records import sample_key
from dataset_assets.sources.folder import FolderSource, encode_uri, make_image_id

_KEY = re.compile(r"[0-9a-f]{8,64}")  # a sample key, or the beginning of one
_NAMED = 3  # near matches
_LISTED = 10  # of the images that a text may mean
_ALIKE = 0.5  # the least share of a text that the name of a near match begins or ends with


def find_image(dataset: Dataset, name: str, *, also: str = "") -> NamedImage:
    """Return the image that `name` means: an image_id, a path in a source or on disk, or a sample key.

    Of a key the first 8 digits do where they are no other image's. An image that is there comes before one that was
    removed. Raises DatasetError where there is no such image, and where there are several; `also` is what else may be
    given where it was asked for, with a comma.
    """
    with dataset.catalog.reading() as connection:
        found = _find_named(dataset, connection, name)
        if not found and _KEY.fullmatch(name.lower()):
            found = _find_by_key(connection, name.lower())
        near = [] if found else _find_near(name, list_names(connection))
    meant = [one for one in found if not one.removed] or found
    if len(meant) == 1:
        return meant[0]
    if not meant:
        said = f"; near: {', '.join(near)}" if near else ""
        raise DatasetError(
            f"there is no image {name} in the last scan{said}. Give an image_id, a path, {also}or 8 or more digits of "
            "a sample's key"
        )
    places = [_describe_place(dataset, one) for one in meant[:_LISTED]]
    more = f" and {len(meant) - _LISTED:,} more" if len(meant) > _LISTED else ""
    raise DatasetError(f"{name} may be any of {len(meant):,} images: {', '.join(places)}{more}. Give one of these")


def is_named(dataset: Dataset, name: str) -> bool:
    """Return whether a text is the whole image_id or the path of an image, removed ones too."""
    with dataset.catalog.reading() as connection:
        return bool(_find_named(dataset, connection, name))


def _find_named(dataset: Dataset, connection: Connection, name: str) -> list[NamedImage]:
    return images_at(connection, _list_places(dataset, name)) or images_named(connection, _spell(name))


def _spell(name: str) -> set[str]:
    """Return the ways in which the catalog may have a name: as an image_id and as a uri."""
    return {make_image_id(name), encode_uri(name)}


def _list_places(dataset: Dataset, name: str) -> list[tuple[str, str]]:
    """Return where in the sources a path on disk or a URL leads."""
    folders = {key: source for key, source in dataset.sources.items() if isinstance(source, FolderSource)}
    found = {key: source.find_uri(name) for key, source in folders.items()}
    return [(key, uri) for key, uri in found.items() if uri is not None]


def _describe_place(dataset: Dataset, image: NamedImage) -> str:
    source = dataset.sources.get(image.source)
    return str(source.path / image.uri) if isinstance(source, FolderSource) else f"{image.source}: {image.uri}"


def _find_by_key(connection: Connection, digits: str) -> list[NamedImage]:
    """Return the images whose key begins so. The catalog has no keys: they are made of the ids, millions in seconds."""
    named = {image_id for image_id in list_names(connection) if sample_key(image_id).startswith(digits)}
    return images_named(connection, named)


def _find_near(name: str, names: Iterable[str]) -> Sequence[str]:
    """Return the names that begin and end most like this one, extensions apart: a slip is mostly one place in it."""
    wanted = _fold(name)
    shares = ((_share(wanted, _fold(one)), -abs(len(one) - len(name)), one) for one in names)
    return [one for share, _, one in heapq.nlargest(_NAMED, shares) if share >= _ALIKE]


def _fold(name: str) -> str:
    return os.path.splitext(name)[0].casefold()  # noqa: PTH122 - of millions of names; a Path of each takes too long


def _share(wanted: str, name: str) -> float:
    """Return how much of a text, 0 to 1, is the beginning and the end of another."""
    start = _count_common(wanted, name)
    end = _count_common(wanted[start:][::-1], name[start:][::-1])
    return (start + end) / max(len(wanted), 1)


def _count_common(one: str, other: str) -> int:
    return len(os.path.commonprefix([one, other]))  # noqa: RUF071 - letter by letter is meant
