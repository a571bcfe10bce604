"""`dataset-assets show`: one sample in the terminal, or the gallery in a browser. Parses, calls the library, prints.

What a command needs is imported when it runs, as in main.py.
"""

import json
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataset_assets.cli.options import config_option, json_option
from dataset_assets.errors import DatasetError, OrderError

if TYPE_CHECKING:
    from dataset_assets.dataset import Dataset
    from dataset_assets.settings import Settings

_OFF = "gallery.enabled in the settings turns it off"


@click.command()
@click.argument("sample", metavar="[IMAGE | KEY | SHARD:N]", required=False)
@config_option
@json_option
@click.option("--open", "in_browser", is_flag=True, help="Open the gallery at that sample, instead of printing it.")
def show(sample: str | None, config: Path | None, as_json: bool, in_browser: bool) -> None:
    """Open the gallery in a browser, or print all that is known of one sample.

    IMAGE is an image_id or a path, KEY 8 or more digits of a sample's key, SHARD:N a tar of the export and which of
    its samples, 0 for the first: p1216x832/shard-000003.tar:17.
    """
    if sample is None or in_browser:
        _open_gallery(sample, config, as_json=as_json)
    else:
        show_sample(sample, config, as_json=as_json)


def show_sample(name: str, config: Path | None, *, as_json: bool) -> None:
    """Print all that is known of the sample that `name` means. Raises DatasetError where there is no such one."""
    from rich.console import Console

    from dataset_assets.captions.terminal import print_sample
    from dataset_assets.dataset import open_dataset
    from dataset_assets.release.describe import describe_sample

    with open_dataset(_load_settings(config)) as dataset:
        shown = describe_sample(dataset, name)
    if as_json:
        click.echo(json.dumps(shown.to_dict(), indent=2))
    else:
        print_sample(Console(), shown)


def _open_gallery(sample: str | None, config: Path | None, *, as_json: bool) -> None:
    """Open the gallery, at a sample where one is given, and print where it is; it is enough where no browser opens.

    A page that is not of the export as it is now opens, too, and a line says so.
    """
    from dataset_assets.dataset import open_dataset
    from dataset_assets.gallery.stage import is_current, tell_missing

    settings = _load_settings(config)
    with open_dataset(settings) as dataset:
        page = dataset.layout.gallery_page
        if not isinstance(page, Path):
            raise DatasetError(f"a browser does not open {page}: copy {page.parent} to a disk to look at it")
        if not page.exists():
            raise OrderError(tell_missing(dataset))
        key = _put_on_page(dataset, sample) if sample else ""
        current = is_current(dataset)
    if not current:
        how = "`dataset-assets build` renews it" if settings.gallery.enabled else f"it stays so: {_OFF}"
        click.secho(f"warning: the gallery is not of the export as it is now; {how}", fg="yellow", err=True)
    url = page.absolute().as_uri() + (f"#{key}" if key else "")
    if not as_json:
        click.echo(url if key else page)
    opened = webbrowser.open(url)
    if as_json:
        click.echo(json.dumps({"gallery": str(page), "key": key, "url": url, "opened": opened, "current": current}))
    elif not opened:
        click.echo("no browser can be opened from here: open that yourself")


def _load_settings(config: Path | None) -> "Settings":
    """Return the settings of a dataset of images. Raises DatasetError for one that has none."""
    from dataset_assets.settings import load_settings

    settings = load_settings(config)
    if not settings.sources:
        raise DatasetError("there is no image to show: the settings have no [[sources]]")
    return settings


def _put_on_page(dataset: "Dataset", name: str) -> str:
    """Return the key of a sample of the export, which the gallery shows now.

    Where it shows it already, nothing is written: that would wait for a build that runs. Raises DatasetError where the
    export does not have it, or where the page lacks it and the settings turn the gallery off.
    """
    from dataset_assets.gallery.stage import is_shown, write_gallery
    from dataset_assets.release.describe import describe_sample

    shown = describe_sample(dataset, name)
    if not shown.stored:
        raise DatasetError(f"the gallery does not show {shown.now.image_id}: it is not in the export: {shown.missing}")
    key: str = shown.stored.row["key"]
    if not is_shown(dataset, key):
        if not dataset.settings.gallery.enabled:
            raise DatasetError(f"the gallery does not show {shown.now.image_id}, and is not written: {_OFF}")
        write_gallery(dataset, also=[key])
    return key
