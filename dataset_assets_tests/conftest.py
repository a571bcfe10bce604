import gc
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets_tests.datasets import add_photos, build_library, settings_in
from dataset_assets_tests.objects import object_proxy, object_root, object_server
from dataset_assets_tests.postgres import postgres, postgres_server

__all__ = ["object_proxy", "object_root", "object_server", "postgres", "postgres_server"]  # fixtures for all


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


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> Iterator[None]:
    """What a command imports is kept for good (cli/imports.py), which is for its process: this one runs other tests."""
    yield
    gc.unfreeze()


def pytest_configure() -> None:
    """Let signals work in what the tests start: a shell lets its background, and all that it starts, ignore some."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their length: all processes must name a test alike, and packed bytes have the time in them."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) else None
