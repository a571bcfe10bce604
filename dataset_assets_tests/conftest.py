import shutil
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.images import workers
from dataset_assets_tests.datasets import add_photos, build_library, settings_in


@pytest.fixture(scope="session")
def _built_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    add_photos(folder)
    with open_dataset(settings_in(folder)) as dataset:
        build_library(dataset)
    return folder


@pytest.fixture
def built(_built_once: Path, tmp_path: Path) -> Path:
    """A folder with twenty photos and a finished build of them, for the test alone: nothing in it is stale."""
    return Path(shutil.copytree(_built_once, tmp_path / "built"))


@pytest.fixture(scope="module")
def quick_workers() -> Iterator[None]:
    """Crop workers that start in milliseconds, as copies of a process that has imported torch already.

    For tests of many small builds, in which starting workers would be nearly all of the time.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["dataset_assets.images.pipeline"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "get_context", lambda _: context)
        yield
