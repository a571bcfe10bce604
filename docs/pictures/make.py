"""The pictures of README.md, taken of the demo in a real browser: its gallery, and Dagster's UI on it.

    python docs/pictures/make.py [--folder docs/pictures] [NAME …]

Chromium and its driver have to be there, and the extras `dev` and `demo`. What is built for it is removed again.
"""

import argparse
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from dataset_assets.demo import make_demo
from dataset_assets.records import sample_key

DESKTOP, PHONE = (1280, 800), (390, 780)
LARGEST = 300_000  # bytes of a picture

_COMMAND = (sys.executable, "-c", "from dataset_assets.cli import main; main()")
_COLOURS = (256, 128, 64, 32)  # of a palette, from the best
_PATIENCE = 90.0  # seconds
_SETTLE = 1.0  # seconds, in which fonts and pictures are drawn
_PARTITION = "/assets/shards?view=partitions&partition="
_GROUPS = ("index", "images", "captions", "export")  # of assets, to be unfolded in the graph
_GRAPH = f"/asset-groups?expanded={quote(','.join(f'global@global:{group}' for group in _GROUPS))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture: what is opened, and what has to be seen before it is taken."""

    name: str
    address: str  # what stands behind the page of the gallery, or the address of the UI
    ui: bool = False
    size: tuple[int, int] = DESKTOP  # pixels
    dark: bool = False
    row: str = ""  # of metadata, whose picture is opened
    seen: str  # a text


SHOTS = (
    Shot(name="gallery", address="", seen="Samples"),
    Shot(name="gallery-dark", address="", seen="Samples", dark=True),
    Shot(name="gallery-phone", address="", seen="Samples", size=PHONE),
    Shot(name="sample", address=f"#{sample_key('chelsea.png')}", seen="chelsea.png"),
    Shot(name="left-out", address="#left-out", seen="Left out"),
    Shot(name="ui-graph", ui=True, address=_GRAPH, size=(1280, 520), seen="dataset_card"),
    Shot(
        name="ui-chart",
        ui=True,
        address="/assets/bucket_assignments?view=overview",
        row="sizes_and_targets",
        seen="Close",
    ),
    Shot(name="ui-samples", ui=True, address=f"{_PARTITION}p1024x1024_000000-000015", row="samples_seen", seen="Close"),
)


def list_pictures() -> list[str]:
    """Return the names of the files that are made."""
    return [f"{shot.name}.png" for shot in SHOTS]


def make_pictures(folder: Path, names: Sequence[str] = ()) -> Iterator[Path]:
    """Build the demo and write the pictures of it into `folder`, all or those that are named; yield their paths."""
    shots = [shot for shot in SHOTS if not names or shot.name in names]
    with tempfile.TemporaryDirectory() as work, _browsing() as driver:
        demo = Path(work) / "demo"
        make_demo(demo)
        subprocess.run([*_COMMAND, "build"], cwd=demo, check=True, stdout=subprocess.DEVNULL, env=_environment())
        page = (demo / "gallery" / "index.html").as_uri()
        with _serving(demo, wanted=any(shot.ui for shot in shots)) as server:
            if server:
                _open(driver, server, DESKTOP)
                _wait_for_text(driver, "Hide navigation", click=True)  # it stays hidden, and leaves room
            for shot in shots:
                path = folder / f"{shot.name}.png"
                path.write_bytes(_shrink(_take(driver, shot, server if shot.ui else page)))
                yield path


@contextmanager
def _browsing() -> Iterator[webdriver.Chrome]:
    """Yield a headless Chromium."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        raise SystemExit("the pictures need a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def _serving(demo: Path, *, wanted: bool) -> Iterator[str]:
    """Yield the address of Dagster's UI on the demo, "" where it is not wanted; nothing of it is left at the end."""
    if not wanted:
        yield ""
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [*_COMMAND, "ui", "--port", str(port)]
    with (demo / "ui.log").open("w") as log:
        server = subprocess.Popen(command, cwd=demo, env=_environment(), process_group=0, stdout=log, stderr=log)
    try:
        if not _answers(server, address):
            raise SystemExit(f"Dagster's UI did not start:\n{(demo / 'ui.log').read_text()}")
        yield address
        server.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):  # a shell's background may have it ignored
            server.wait(_PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _environment() -> dict[str, str]:
    """Return the environment without what would lead a command to another dataset than the one it is in."""
    return {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME", "DATASET_CONFIG")}


def _answers(server: "subprocess.Popen[bytes]", address: str) -> bool:
    """Return whether a server that was just started answers before long."""
    end = time.monotonic() + _PATIENCE
    while server.poll() is None and time.monotonic() < end:
        with suppress(OSError), urlopen(f"{address}/server_info", timeout=_PATIENCE):
            return True
        time.sleep(_SETTLE)
    return False


def _take(driver: webdriver.Chrome, shot: Shot, base: str) -> bytes:
    """Return a PNG of what is seen in a window."""
    _open(driver, base + shot.address, shot.size, dark=shot.dark)
    if shot.row:
        _wait_for_text(driver, "[Show Markdown]", within=f"//tr[.//*[normalize-space(.)='{shot.row}']]", click=True)
    _wait_for_text(driver, shot.seen)
    script = "return [...document.images].every(image => image.complete || image.loading === 'lazy')"
    WebDriverWait(driver, _PATIENCE).until(lambda _: driver.execute_script(script))
    time.sleep(_SETTLE)
    return driver.get_screenshot_as_png()


def _open(driver: webdriver.Chrome, address: str, size: tuple[int, int], *, dark: bool = False) -> None:
    """Open an address in a window of so many pixels, on a system that has light or dark colours."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.get("about:blank")  # so that another part of the same page is loaded anew
    driver.get(address)


def _wait_for_text(driver: webdriver.Chrome, text: str, *, within: str = "", click: bool = False) -> None:
    """Wait until a text is seen, as all that something says, and click it if asked for; `within` is an XPath."""

    def look() -> bool:
        found = driver.find_elements(By.XPATH, f"{within}//*[normalize-space(text())='{text}']")
        shown = [one for one in found if one.is_displayed()]
        if shown and click:
            shown[-1].click()
        return bool(shown)

    waiting = WebDriverWait(driver, _PATIENCE, ignored_exceptions=[WebDriverException])
    waiting.until(lambda _: look(), f"nothing says {text}")


def _shrink(png: bytes) -> bytes:
    """Return a picture with as many colours as LARGEST leaves room for."""
    with Image.open(io.BytesIO(png)) as image:
        whole = image.convert("RGB")
    for colours in _COLOURS:
        file = io.BytesIO()
        palette = whole.quantize(colours)
        whole.quantize(colours, palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(file, "PNG", optimize=True)
        if file.tell() <= LARGEST:
            return file.getvalue()
    raise SystemExit(f"a picture has over {LARGEST:,} bytes with {_COLOURS[-1]} colours")


def main() -> None:
    """Make the pictures that are named on the command line, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="which pictures; default: all of them")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="where they are written")
    given = parser.parse_args()
    if unknown := sorted(set(given.names).difference(shot.name for shot in SHOTS)):
        parser.error(f"{unknown[0]!r} is not one of {', '.join(shot.name for shot in SHOTS)}")
    for path in make_pictures(given.folder, given.names):
        print(f"{path}  {path.stat().st_size / 1e3:,.0f} kB")


if __name__ == "__main__":
    main()
