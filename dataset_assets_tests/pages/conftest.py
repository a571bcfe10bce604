from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_assets_tests.browser import Browser, _chromium, browser
from dataset_assets_tests.pages.shown import make_left_out, make_near, make_sample, write_gallery_page

__all__ = ["_chromium", "browser"]


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of thirty samples, three images that are left out and a group of alike ones."""
    samples = [make_sample(number) for number in range(30)]
    left_out = [make_left_out(1), make_left_out(2), make_left_out(3, "decode_errors", seen=False)]
    drops = {"skipped_too_small": 40, "decode_errors": 1, "skipped_duplicate": 7}
    folder = tmp_path_factory.mktemp("gallery")
    return write_gallery_page(folder, samples, left_out=left_out, near=[make_near(samples)], drops=drops)


@pytest.fixture
def page(browser: Browser) -> Iterator[Browser]:
    """The browser, for a test after which it has shown no error and has asked for files only."""
    yield browser
    assert browser.errors == []
    assert [address for address in browser.requests if not address.startswith(("file:", "data:"))] == []
