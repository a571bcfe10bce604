from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_assets.catalog.database import Catalog, sqlite_url


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(sqlite_url(tmp_path / "dataset.sqlite"))
    yield opened
    opened.close()
