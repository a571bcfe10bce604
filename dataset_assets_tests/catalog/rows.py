"""Rows of the catalog for tests."""

from typing import Any

from sqlalchemy import Connection

from dataset_assets.catalog.images import insert_images, known_images


def image(name: str, **facts: Any) -> dict[str, Any]:
    """Return the row of an image called `name`, without its number."""
    return {
        "source": "folder",
        "uri": name,
        "image_id": name,
        "size": 1000,
        "version": "1000-1",
        "revision": "1000-1",
        "checksum": "",
        "sidecars": "",
        "width": 640,
        "height": 480,
        "orientation": 1,
        "format": "JPEG",
        "reason": "",
        "detail": "",
        "removed": False,
    } | facts


def add_images(connection: Connection, *names: str) -> dict[str, int]:
    """Insert images and return the numbers of their rows by name."""
    insert_images(connection, [image(name) for name in names])
    known = known_images(connection).to_pydict()
    return dict(zip(known["uri"], known["id"], strict=True))
