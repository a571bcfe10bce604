"""The commands on the catalog, `dataset-assets catalog …`. Parses, calls the library, prints.

What a command needs is imported when it runs, as in main.py.
"""

from contextlib import closing
from pathlib import Path

import click

from dataset_assets.cli.options import config_option
from dataset_assets.counts import count_noun


@click.group()
def catalog() -> None:
    """Move the catalog, in which the dataset's images, slots and captions are."""


@catalog.command()
@config_option
@click.option("--to", "target", required=True, metavar="URL", help="An empty database: postgresql:// or sqlite:////.")
def copy(config: Path | None, target: str) -> None:
    """Copy the whole catalog into an empty database, from SQLite to PostgreSQL or back.

    The catalog stays as it is, and nothing may work on the dataset meanwhile. The last line says what to change in
    dataset.toml.
    """
    from rich.console import Console

    from dataset_assets.catalog.copying import copy_catalog
    from dataset_assets.catalog.database import Catalog
    from dataset_assets.dataset import open_dataset
    from dataset_assets.settings import load_settings
    from dataset_assets.settings.base import show
    from dataset_assets.terminal import show_progress

    with (
        open_dataset(load_settings(config)) as dataset,
        dataset.locks.building(),
        dataset.locks.holding(),
        closing(Catalog(target)) as into,
        show_progress(Console(stderr=True)) as progress,
    ):
        copied = copy_catalog(dataset.catalog, into, progress=progress)
        spelled = into.spelled
    for table, rows in copied.rows.items():
        click.echo(f"{table}: {count_noun(rows, 'row')}")
    click.echo(f"to go on there, write into dataset.toml, under [dataset]: catalog = {show(spelled)}")
    if "***" in spelled:
        click.echo("put the password in place of ***, or leave :*** out and set PGPASSWORD, or write ~/.pgpass")
