"""`dataset-assets ui` as a person uses it: the real server in a real browser, by what is written on its pages."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from dataset_assets.defs.graph import build_definitions
from dataset_assets.settings import load_settings
from dataset_assets.storage.layout import shard_path
from dataset_assets_tests import commands
from dataset_assets_tests.browser import Browser, _chromium, browser
from dataset_assets_tests.commands import wait_for, write_settings
from dataset_assets_tests.datasets import add_photos
from dataset_assets_tests.test_ui import running

__all__ = ["_chromium", "browser"]  # pytest finds them here

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

WIDE, HIGH = (f"{bucket}_000000-000001" for bucket in ("p1216x832", "p832x1152"))
HOSTILE = "http://evil.example/x.png) (www.evil.example, a@evil.example) | <b>&#41;</b> ```"
PATIENCE = 90  # seconds: a page waits for a server that others keep busy

Found = TypeVar("Found")


class Tab:
    """The browser's window on the UI. What is looked for is waited for, and has to be visible."""

    def __init__(self, browser: Browser, port: int) -> None:
        self._browser = browser
        self._address = f"http://127.0.0.1:{port}"

    def go(self, path: str) -> None:
        self._browser.open(self._address + path, size=(1600, 1000))

    def wait(self, look: Callable[[], Found]) -> Found:
        """Return what is looked for once it is there; what is drawn anew meanwhile is looked for again."""
        waiting = WebDriverWait(self._browser.driver, PATIENCE, 0.2, ignored_exceptions=[WebDriverException])
        return waiting.until(lambda _: look())

    def listed(self, text: str, within: str) -> list[WebElement]:
        """Return what is visible, says just this, and is inside of what the XPath `within` finds."""
        found = self._browser.driver.find_elements(By.XPATH, f"{within}//*[normalize-space(.)='{text}']")
        return [one for one in found if one.is_displayed()]

    def find(self, text: str, within: str = "") -> WebElement:
        return self.wait(lambda: self.listed(text, within))[-1]

    def click(self, text: str, within: str = "") -> None:
        def click() -> bool:
            self.find(text, within).click()
            return True

        self.wait(click)

    def read(self, selector: str = "body") -> str:
        """Return all that is written on the page, or on a part of it, once a person sees it: dialogs fade in."""
        return self.wait(lambda: self._browser.text(selector))

    def count_links(self, selector: str) -> int:
        """Return how many links a part of the page has."""
        return len(self._browser.find_all(f"{selector} a[href]"))

    def show_picture(self, row: str) -> tuple[int, int]:
        """Open the Markdown of a row of metadata; return width and height, in its own pixels, of the picture in it."""
        (size,) = self.show_pictures(row)
        return size

    def show_pictures(self, row: str) -> list[tuple[int, int]]:
        """Likewise of each picture in it, once all are there."""
        self.click("[Show Markdown]", f"//tr[.//*[normalize-space(.)='{row}']]")
        script = (
            "return [...document.querySelectorAll('[role=dialog] img')].map(i => [i.naturalWidth, i.naturalHeight])"
        )

        def look() -> list[tuple[int, int]]:
            sizes = [(width, height) for width, height in self._browser.run(script)]
            return sizes if all(width for width, _ in sizes) else []

        return self.wait(look)

    def materialize(self, asset: str, partition: str) -> None:
        """Click through the dialog that materializes one partition, and on to the page of the run."""
        dialog = "//*[@role='dialog']"
        popover = f"//*[.//input[@placeholder='Filter partitions'] and not(.{dialog})]"
        self.go(f"/assets/{asset}?view=partitions")
        self.find(partition)
        self.click("Materialize…")
        self.click("Select a partition or create one", dialog)
        self.click(partition, popover)
        # The list lies over whatever is below it: a key closes it, where a click would have to find free ground.
        self._browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        self.wait(lambda: not self.listed("Add partition", popover))
        self.click("Launch 1 run", dialog)
        self.click("View", "//*[contains(., 'Launched run')]")
        self.wait(lambda: "/runs/" in self._browser.driver.current_url)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished build, of whose sources nothing happens by itself."""
    folder = tmp_path_factory.mktemp("ui")
    config = write_settings(folder)
    config.write_text(config.read_text() + "[automation]\nwatch = false\n")
    for number, path in enumerate(add_photos(folder)):
        if number % 4 == 2:
            path.with_suffix(".txt").write_text(HOSTILE)
    done = commands.run(folder, "build")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """The port of the UI on that folder."""
    with running(folder) as daemon:
        wait_for(daemon.releases, every=0.5)
        yield daemon.port


@pytest.fixture
def tab(request: pytest.FixtureRequest, port: int) -> Tab:
    return Tab(request.getfixturevalue("browser"), port)


def test_the_graph_shows_every_asset(tab: Tab, folder: Path) -> None:
    graph = build_definitions(load_settings(folder / "dataset.toml")).resolve_asset_graph()
    groups = {graph.get(key).group_name for key in graph.get_all_asset_keys()}

    tab.go(f"/asset-groups?expanded={quote(','.join(f'global@global:{group}' for group in sorted(groups)))}")

    for key in graph.get_all_asset_keys():
        tab.find(key.path[-1], "//*[local-name()='foreignObject']")


@pytest.mark.parametrize(
    ("page", "row"),
    [
        ("raw_images?view=overview", "source_sizes"),
        ("bucket_assignments?view=overview", "images_by_bucket"),
        (f"resized_crops?view=partitions&partition={WIDE}", "crops_seen"),
        (f"shards?view=partitions&partition={WIDE}", "samples_seen"),
        ("manifest?view=overview", "captions"),
    ],
)
def test_the_pages_of_assets_have_charts_and_pictures(tab: Tab, page: str, row: str) -> None:
    tab.go(f"/assets/{page}")

    width, height = tab.show_picture(row)

    assert (width > 200, height > 50) == (True, True)
    if row == "samples_seen":  # the captions are there as text, too
        said = tab.read("[role=dialog]")
        assert re.search(r"^photo number \d+\b", said, re.MULTILINE)
        assert HOSTILE in said.splitlines()
        assert tab.count_links("[role=dialog]") == 0


def test_the_card_is_shown_with_its_charts_and_without_front_matter(tab: Tab) -> None:
    tab.go("/assets/dataset_card?view=overview")

    sizes = tab.show_pictures("card")

    assert len(sizes) == 4
    assert min(width for width, _ in sizes) > 200
    assert "pretty_name" not in tab.read("[role=dialog]")


def test_a_partition_is_materialized_through_the_dialog(tab: Tab, folder: Path) -> None:
    tar = folder / "out" / "export" / shard_path("p832x1152", 0)
    before = tar.read_bytes()
    tar.unlink()

    tab.materialize("shards", HIGH)

    tab.find("Success")
    tab.find(f"partition: {HIGH}")
    assert tar.read_bytes() == before
    tab.go("/assets/shards?view=checks")
    tab.find("Passed")


def test_a_failed_check_names_the_tar_that_is_damaged(tab: Tab, folder: Path) -> None:
    tar = folder / "out" / "export" / shard_path("p1216x832", 1)
    before = tar.read_bytes()
    damaged = bytearray(before)
    damaged[512:514] = b"no"  # the first image's first bytes
    key = before[:64].decode()
    tar.write_bytes(damaged)

    tab.materialize("shards", WIDE)

    tab.find("Failure")
    tab.go("/assets/shards?view=checks")
    tab.find("Failed")
    said = tab.wait(lambda: tab.read() if shard_path("p1216x832", 1) in tab.read() else "")
    assert f"{shard_path('p1216x832', 1)}: {key}: it is not a JPEG; " in " ".join(said.split())

    tab.materialize("shards", WIDE)  # it is written again

    tab.find("Success")
    assert tar.read_bytes() == before
