"""The command on two exports. Parses, calls the library, prints, sets the exit code."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from dataset_assets.cli.options import json_option
from dataset_assets.compare.records import EXAMPLES

_MOST_EXAMPLES = 100  # of each kind: their JPEGs are in memory

_export = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("export_a", type=_export)
@click.argument("export_b", type=_export)
@json_option
@click.option(
    "--page",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a page with the examples side by side into this folder: a new or empty one, or that of such a page.",
)
@click.option(
    "--examples",
    type=click.IntRange(0, _MOST_EXAMPLES),
    default=EXAMPLES,
    show_default=True,
    help="How many examples of each kind there are at most.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 where a sample is added, removed or changed.")
@click.option("--workers", default=0, help="How many tars are read at a time; 0: one a core.")
def compare(
    export_a: Path, export_b: Path, as_json: bool, page: Path | None, examples: int, exit_code: bool, workers: int
) -> None:
    """Say what was added, removed, re-cropped and re-captioned from EXPORT_A to EXPORT_B.

    Needs nothing but the two folders, and reads only tars that differ. Exits with 0 whether they differ or not.
    """
    from rich.console import Console

    from dataset_assets.compare.compare import compare_exports
    from dataset_assets.compare.page import check_folder, write_comparison
    from dataset_assets.compare.terminal import print_comparison
    from dataset_assets.terminal import say, show_progress

    if page:
        check_folder(page, (export_a, export_b))
    with show_progress(Console(stderr=True)) as progress:
        compared = compare_exports(export_a, export_b, examples=examples, workers=workers, progress=progress)
    written = write_comparison(page, compared) if page else None
    comparison = compared.comparison
    if as_json:
        click.echo(json.dumps(asdict(comparison)))
    else:
        print_comparison(Console(), comparison)
        if written:
            say(Console(), f"page  {written}")
    if exit_code and not comparison.equal:
        raise click.exceptions.Exit(1)
