"""A headless Chromium for the tests that look at pages, driven by selenium; each test has it to itself.

Tests import `browser` into their folder's conftest.py and have the marker `browser`.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_core_python.selenium import Axe  # type: ignore[import-untyped]
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

DESKTOP = (1280, 900)
PHONE = (390, 844)

_PACKAGES = {"chromium": "chromium", "chromedriver": "chromium-driver"}  # the program, and Debian's name for it
_PATIENCE = 20  # seconds


@dataclass(slots=True)
class Browser:
    """One browser window. `errors` and `requests` are those since the test began."""

    driver: webdriver.Chrome
    _requests: list[str] = field(default_factory=list)
    _errors: list[str] = field(default_factory=list)

    def open(self, address: Path | str, *, size: tuple[int, int] = DESKTOP, dark: bool = False) -> None:
        """Open a file or an address in a window of so many pixels, on a system that has light or dark colours."""
        width, height = size
        self._tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.prefer("dark" if dark else "light")
        self.driver.get("about:blank")  # so that another part of the same page is loaded anew
        self.driver.get(address.as_uri() if isinstance(address, Path) else address)
        # On a busy machine the driver may take the empty page's end for that of the page that was asked for.
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")

    def prefer(self, colours: str) -> None:
        """Let the system have light or dark colours; nothing moves, so that what is seen is what stays."""
        features = [
            {"name": "prefers-color-scheme", "value": colours},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self._tell("Emulation.setEmulatedMedia", features=features)

    def run(self, script: str, *arguments: object) -> Any:
        """Return what a script of the page returns."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> WebElement:
        """Return the first element that a CSS selector finds."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector: str) -> list[WebElement]:
        """Return every element that a CSS selector finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """Return the text of an element as a person sees it."""
        return self.find(selector).text

    def texts(self, selector: str) -> list[str]:
        """Return the texts of every element that a CSS selector finds, whether they are seen or not."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((element) => element.textContent)", selector
        )
        return found

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def wait(self, condition: str) -> None:
        """Wait until an expression of the page's is true."""
        script = f"return Boolean({condition})"
        message = f"never true: {condition}"
        WebDriverWait(self.driver, _PATIENCE, 0.05).until(lambda driver: driver.execute_script(script), message)

    def faults(self) -> list[str]:
        """Return the serious and critical faults that axe finds, and where."""
        found = Axe().run(self.driver)["violations"]
        return [
            f"{fault['id']}: {node['html']} {node['failureSummary']}"
            for fault in found
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]

    @property
    def errors(self) -> list[str]:
        """What the console shows as errors and warnings."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        self._errors += [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]
        return self._errors

    @property
    def requests(self) -> list[str]:
        """Every address that was asked for."""
        for entry in self.driver.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                given = message["params"]
                self._requests.append(given["request"]["url"] if "request" in given else given["url"])
        return self._requests

    def _tell(self, command: str, **parameters: object) -> None:
        self.driver.execute_cdp_cmd(command, parameters)


@pytest.fixture(scope="session")
def _chromium() -> Iterator[webdriver.Chrome]:
    missing = [package for program, package in _PACKAGES.items() if shutil.which(program) is None]
    if missing:
        pytest.fail(f"these tests need a browser: apt-get install {' '.join(missing)}", pytrace=False)
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--lang=en"),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser(_chromium: webdriver.Chrome) -> Browser:
    """A browser with nothing kept from other tests."""
    _chromium.get("about:blank")
    _chromium.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "all"})
    for origin in ("file://", "http://127.0.0.1", "http://localhost"):
        _chromium.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
    for log in ("browser", "performance"):
        _chromium.get_log(log)  # type: ignore[no-untyped-call]  # what others left is read, and forgotten
    return Browser(_chromium)
