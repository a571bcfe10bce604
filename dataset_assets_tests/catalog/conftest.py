from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from dataset_assets.catalog.database import Catalog, sqlite_url


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """Where a catalog can be that is not there yet: in a file, and on a server."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "dataset.sqlite")
    url: URL = request.getfixturevalue("postgres")
    return url


@pytest.fixture
def catalog(catalog_url: URL) -> Iterator[Catalog]:
    opened = Catalog(catalog_url)
    yield opened
    opened.close()
