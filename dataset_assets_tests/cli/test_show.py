import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.cli import main
from dataset_assets.dataset import open_dataset
from dataset_assets.gallery.stage import write_gallery
from dataset_assets.records import sample_key
from dataset_assets.settings import load_settings
from dataset_assets.sources.scan import scan_sources
from dataset_assets_tests import commands
from dataset_assets_tests.commands import write_settings
from dataset_assets_tests.datasets import TINY, add_photo, build_library, build_partitions

BROWSER = """\
#!/bin/sh
printf '%s\\n' "$@" >> {asked}
exit {code}
"""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAGSTER_HOME", "DATASET_CONFIG", "BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(built: Path) -> Path:
    """The settings file of a finished build, without a gallery."""
    return write_settings(built)


def add_gallery(config: Path, images: int = 100) -> Path:
    """Write the gallery of a build, in which so many images are; return its page."""
    config.write_text(config.read_text() + f"[gallery]\nimages = {images}\n")
    with open_dataset(load_settings(config)) as dataset:
        build_library(dataset)
        write_gallery(dataset)
    return config.parent / "out" / "gallery" / "index.html"


def call(*arguments: object) -> Result:
    """Run `dataset-assets` in this process; a traceback is the test's failure."""
    result = CliRunner().invoke(main, [*map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def done(*arguments: object) -> str:
    """Return what `show` prints when it ends well."""
    result = call("show", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def shown(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done(*arguments, "--json"))
    return found


def refused(*arguments: object) -> str:
    result = call("show", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    return line.removeprefix("error: ")


def browse(config: Path, *arguments: object, code: int = 0) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run `show` where the browser is a script that ends with `code`; return what it was asked to open, too."""
    script, asked = config.parent / "browser.sh", config.parent / "asked.txt"
    script.write_text(BROWSER.format(asked=asked, code=code))
    script.chmod(0o755)
    asked.write_text("")
    ended = commands.run(config.parent, "show", *arguments, BROWSER=str(script), PATH=os.defpath)
    return ended, asked.read_text().splitlines()


def test_a_sample_is_printed_with_all_that_is_known_of_it(config: Path) -> None:
    told = shown("000.jpg", "--config", config)
    row, number = told["stored"]["row"], told["stored"]["number"]
    said = done("000.jpg", "--config", config)

    down = " to ".join(f"{told['stored']['box'][side]:.1%}" for side in (1, 3))
    crop = f"72×48 pixels at {row['crop_x']}, {row['crop_y']} of 104×72 scaled by 0.6923"
    assert said.splitlines()[:9] == [
        "image    000.jpg, 104×72 pixels",
        f"source   folder: {config.parent}/raw/000.jpg",
        f"key      {sample_key('000.jpg')}",
        f"place    p1216x832, partition {told['partition']}, slot {told['slot']} in shard {told['shard']}",
        f"crop     {crop}: 0.0% to 100.0% across, {down} down",
        f"jpeg     72×48 pixels, {row['jpg_size']:,} bytes, quality 95, 4:4:4",
        f"tar      {row['shard']}:{number}, the JPEG at byte {row['jpg_offset']}",
        "caption  photo number 0",
        "why      selector 0 (caption_sidecar) gave it",
    ]
    assert said.splitlines()[-1] == "    photo number 0"
    with (config.parent / "out" / "export" / row["shard"]).open("rb") as tar:
        tar.seek(row["jpg_offset"])
        assert len(tar.read(row["jpg_size"])) == row["jpg_size"]


def test_captions_show_prints_the_same(config: Path) -> None:
    for options in ([], ["--json"]):
        assert call("captions", "show", "001.jpg", "--config", config, *options).stdout == done(
            "001.jpg", "--config", config, *options
        )


def test_a_sample_is_found_by_its_key_and_by_its_place(config: Path) -> None:
    told = shown("003.jpg", "--config", config)
    tar, number = Path(told["stored"]["shard"]), told["stored"]["number"]

    for name in (
        sample_key("003.jpg"),
        sample_key("003.jpg")[:8],
        f"{tar}:{number}",
        f"{tar.with_suffix('')}:{number}",
        f"{tar.parent.name}/{tar.name}:{number}",
        f"{tar.parent.name}/shard-0:{number}",
        f"{config.parent}/out/export/{tar}:{number}",
    ):
        assert shown(name, "--config", config) == told


def test_an_image_that_is_not_exported_says_why(config: Path) -> None:
    add_photo(config.parent, "tiny.jpg", TINY)
    with open_dataset(load_settings(config)) as dataset:
        build_library(dataset)
    add_photo(config.parent, "new.jpg")

    said = done("tiny.jpg", "--config", config)

    reason = "skipped_too_small: 20×20 pixels; the smallest bucket of its shape, p1024x1024, needs at least 64×64"
    assert f"\ncrop     none: {reason}\nexport   not in it: {reason}\n" in said
    assert (shown("tiny.jpg", "--config", config)["stored"], shown("tiny.jpg", "--config", config)["missing"]) == (
        None,
        reason,
    )
    assert refused("new.jpg", "--config", config).startswith("there is no image new.jpg in the last scan")


def test_what_is_nowhere_is_told_with_all_that_can_be_given(config: Path) -> None:
    last = "Give an image_id, a path, SHARD:N, or 8 or more digits of a sample's key"

    assert refused("zebra.png", "--config", config) == f"there is no image zebra.png in the last scan. {last}"


def test_without_a_gallery_it_says_who_writes_it(config: Path) -> None:
    folder = config.parent / "out" / "gallery"
    line = f"there is no gallery in {folder} yet: `dataset-assets build` writes it"
    assert refused("--config", config) == line
    assert refused("000.jpg", "--open", "--config", config) == line

    config.write_text(config.read_text() + "[gallery]\nenabled = false\n")
    turned_off = f"there is no gallery in {folder}: gallery.enabled in the settings turns it off"
    assert refused("--config", config) == turned_off


@pytest.mark.parametrize(
    "arguments",
    [[], ["--open"], ["000.jpg"], ["000.jpg", "--open"], ["shard-0:0"], ["0" * 8], ["zebra.jpg", "--json"]],
)
def test_a_dataset_without_images_says_so(config: Path, arguments: list[str]) -> None:
    config.write_text(f'[dataset]\nroot = "{config.parent}/out"\n[records]\npaths = ["*.jsonl"]\n')

    said = "there is no image to show: the settings have no [[sources]]"

    assert refused(*arguments, "--config", config) == said
    if arguments and "--open" not in arguments:
        assert said in call("captions", "show", *arguments, "--config", config).stderr


def test_names_in_messages_do_not_steer_the_terminal(config: Path) -> None:
    add_photo(config.parent, "new\n\x1b[31mhills\u202e\x07.jpg")
    with open_dataset(load_settings(config)) as dataset:
        build_library(dataset)

    near = refused("new\n\x1b[31mhills\u202e.jpg", "--config", config)
    extra = call("show", "a", "b\n\x1b[31m", "--config", config)

    assert near.startswith("there is no image new [31mhills .jpg in the last scan; near: new [31mhills .jpg. Give ")
    assert (extra.exit_code, extra.stderr.splitlines()[-1]) == (2, "Error: Got unexpected extra argument (b [31m)")


def test_the_gallery_opens_in_the_browser(config: Path) -> None:
    page = add_gallery(config)

    ended, asked = browse(config)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{page}\n", "")
    assert asked == [page.as_uri()]


def test_the_gallery_opens_at_a_sample(config: Path) -> None:
    page = add_gallery(config)
    before, key = page.stat().st_mtime_ns, sample_key("000.jpg")

    ended, asked = browse(config, "000.jpg", "--open", "--json")

    assert (ended.returncode, ended.stderr, asked) == (0, "", [f"{page.as_uri()}#{key}"])
    assert json.loads(ended.stdout) == {
        "gallery": str(page),
        "key": key,
        "url": asked[0],
        "opened": True,
        "current": True,
    }
    assert page.stat().st_mtime_ns == before  # it is one of those that are shown anyway


def make_old(config: Path) -> None:
    """Give the export another image, as a build that is killed before the gallery does."""
    add_photo(config.parent, "000.jpg", seed=99)
    with open_dataset(load_settings(config)) as dataset:
        scan_sources(dataset)
        assign_buckets(dataset)
        build_partitions(dataset)


def test_a_page_that_is_older_than_the_export_says_so(config: Path) -> None:
    page = add_gallery(config)
    make_old(config)
    before = page.stat().st_mtime_ns

    for arguments in ([], ["000.jpg", "--open"]):
        ended, asked = browse(config, *arguments)

        assert ended.stderr == (
            "warning: the gallery is not of the export as it is now; `dataset-assets build` renews it\n"
        )
        assert (ended.returncode, len(asked), page.stat().st_mtime_ns) == (0, 1, before)
    assert not json.loads(browse(config, "--json")[0].stdout)["current"]


def test_a_gallery_that_is_turned_off_is_never_written(config: Path) -> None:
    page = add_gallery(config, images=4)
    shown = {name for name in (f"{number:03d}.jpg" for number in range(20)) if is_on(page, name)}
    other = next(name for name in (f"{number:03d}.jpg" for number in range(20)) if name not in shown)
    config.write_text(config.read_text() + "enabled = false\n")
    before = page.stat().st_mtime_ns

    ended, asked = browse(config, min(shown), "--open")
    assert (ended.stderr, asked) == ("", [f"{page.as_uri()}#{sample_key(min(shown))}"])
    off = "gallery.enabled in the settings turns it off"
    assert refused(other, "--open", "--config", config) == (
        f"the gallery does not show {other}, and is not written: {off}"
    )

    make_old(config)
    ended, asked = browse(config)
    said = f"warning: the gallery is not of the export as it is now; it stays so: {off}\n"
    assert (ended.stderr, asked, page.stat().st_mtime_ns) == (said, [page.as_uri()], before)


def is_on(page: Path, name: str) -> bool:
    return any(sample_key(name) in path.read_text() for path in page.parent.rglob("*.js"))


def test_while_a_stage_runs_the_gallery_opens_at_what_it_shows(config: Path) -> None:
    page = add_gallery(config)

    with open_dataset(load_settings(config)) as dataset, dataset.locks.holding():
        _, asked = browse(config, "000.jpg", "--open")

    assert asked == [f"{page.as_uri()}#{sample_key('000.jpg')}"]


def test_a_sample_that_the_gallery_has_not_chosen_is_put_onto_it(config: Path) -> None:
    page = add_gallery(config, images=4)

    def on_page() -> set[str]:
        return {name for name in (f"{number:03d}.jpg" for number in range(20)) if is_on(page, name)}

    chosen = on_page()
    other = next(name for name in sorted({f"{number:03d}.jpg" for number in range(20)} - chosen))

    ended, asked = browse(config, other, "--open")

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{asked[0]}\n", "")
    assert asked == [f"{page.as_uri()}#{sample_key(other)}"]
    assert on_page() == {*chosen, other}


def test_where_no_browser_opens_it_says_so(config: Path) -> None:
    page = add_gallery(config)

    ended, asked = browse(config, code=1)

    assert asked == [page.as_uri()]
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{page}\nno browser can be opened from here: open that yourself\n"


def test_the_gallery_does_not_open_at_what_it_cannot_show(config: Path) -> None:
    add_photo(config.parent, "tiny.jpg", TINY)
    add_gallery(config)

    line = refused("tiny.jpg", "--open", "--config", config)

    assert line.startswith(
        "the gallery does not show tiny.jpg: it is not in the export: skipped_too_small: 20×20 pixels"
    )
