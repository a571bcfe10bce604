import pytest

from dataset_assets.images.probe import configure


@pytest.fixture(autouse=True)
def _configured() -> None:
    configure()  # as a worker process does
