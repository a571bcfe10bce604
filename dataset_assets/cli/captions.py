"""The commands on captions, `dataset-assets captions …`. Parses, calls the library, prints.

What a command needs is imported when it runs, as in main.py.
"""

import json
import shlex
from dataclasses import asdict
from pathlib import Path

import click

from dataset_assets.cli.options import config_option, json_option
from dataset_assets.cli.show import show_sample
from dataset_assets.counts import count_noun

_file = click.Path(path_type=Path, dir_okay=False)


@click.group()
def captions() -> None:
    """Say what captions cost and how they are, and bring them in and out."""


@captions.command()
@config_option
@json_option
def estimate(config: Path | None, as_json: bool) -> None:
    """Say what is left to ask of each model, and what that takes: tokens, money, time. Nothing is spent.

    For the images of the last scan; where there was none, the sources are scanned first.
    """
    from rich.console import Console

    from dataset_assets.captions.reports.estimate import estimate_captions
    from dataset_assets.captions.terminal import print_estimates
    from dataset_assets.dataset import open_dataset
    from dataset_assets.settings import load_settings
    from dataset_assets.terminal import show_progress

    with open_dataset(load_settings(config)) as dataset, show_progress(Console(stderr=True)) as progress:
        estimates = estimate_captions(dataset, progress=progress)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in estimates], indent=2))
    else:
        print_estimates(Console(), estimates)


@captions.command()
@config_option
@json_option
def status(config: Path | None, as_json: bool) -> None:
    """Say which captions there are, of which sources, what they cost, and what the review found in them."""
    from rich.console import Console

    from dataset_assets.captions.reports.account import describe_captions
    from dataset_assets.captions.terminal import print_account
    from dataset_assets.dataset import open_dataset
    from dataset_assets.settings import load_settings

    with open_dataset(load_settings(config)) as dataset:
        account = describe_captions(dataset)
    if as_json:
        click.echo(json.dumps(asdict(account), indent=2))
    else:
        print_account(Console(), account)


@captions.command()
@click.argument("image")
@config_option
@json_option
def show(image: str, config: Path | None, as_json: bool) -> None:
    """Say all that was ever said of IMAGE, and why one caption won: what `dataset-assets show IMAGE` prints.

    IMAGE is an image_id, a path, 8 or more digits of a sample's key, or a tar and a number, as TAR:17.
    """
    show_sample(image, config, as_json=as_json)


@captions.command("export")
@click.argument("file", type=_file)
@config_option
@click.option("--variant", "variants", multiple=True, help="Only this variant's captions; may be given several times.")
@click.option("--overwrite", is_flag=True, help="Replace FILE where it is there already.")
def export_file(file: Path, config: Path | None, variants: tuple[str, ...], overwrite: bool) -> None:
    """Write all captions into FILE, with what is known of how they were made.

    FILE ends in .parquet, .jsonl or .jsonl.gz. Texts of prompts are not written.
    """
    from rich.console import Console

    from dataset_assets.captions.files.exporting import export_captions
    from dataset_assets.dataset import open_dataset
    from dataset_assets.settings import load_settings
    from dataset_assets.terminal import show_progress

    with open_dataset(load_settings(config)) as dataset, show_progress(Console(stderr=True)) as progress:
        count = export_captions(dataset, file, variants=variants, overwrite=overwrite, progress=progress)
    click.echo(f"wrote {count_noun(count, 'caption')} into {file}")


@captions.command("import")
@click.argument("file", type=_file)
@config_option
@json_option
@click.option("--variant", help="Whose captions those are that name no variant.")
@click.option("--model", help="What made those that name no model.")
@click.option("--dry-run", is_flag=True, help="Say what would become of each row, and write nothing.")
def import_file(
    file: Path, config: Path | None, as_json: bool, variant: str | None, model: str | None, dry_run: bool
) -> None:
    """Take captions from FILE: what `captions export` wrote, or rows of image_id and text that were made elsewhere.

    Rows that cannot be taken are counted, and the first of them named. Exits with 0 in spite of them.
    """
    from rich.console import Console

    from dataset_assets.captions.files.importing import import_captions
    from dataset_assets.captions.terminal import print_import
    from dataset_assets.dataset import open_dataset
    from dataset_assets.settings import load_settings
    from dataset_assets.terminal import show_progress

    with open_dataset(load_settings(config)) as dataset, show_progress(Console(stderr=True)) as progress:
        report = import_captions(dataset, file, variant=variant, model=model, dry_run=dry_run, progress=progress)
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2))
        return
    print_import(Console(), report, dry_run=dry_run)
    if report.partitions and not dry_run:
        click.echo(_name_build(config))


@captions.command()
@click.argument("variant")
@config_option
@json_option
@click.option(
    "--status", "statuses", multiple=True, required=True, help="Of which answers; may be given several times."
)
def retry(variant: str, config: Path | None, as_json: bool, statuses: tuple[str, ...]) -> None:
    """Let the model of VARIANT be asked again about images to which it gave no good answer, and paid again.

    The next build asks. What it said stays until then.
    """
    from dataset_assets.captions.files.edits import retry_captions
    from dataset_assets.catalog.captions import CaptionStatus
    from dataset_assets.dataset import open_dataset
    from dataset_assets.settings import load_settings

    allowed = [one.value for one in CaptionStatus if one not in (CaptionStatus.OK, CaptionStatus.MISSING)]
    if unknown := sorted(set(statuses).difference(allowed)):
        raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(allowed)}.", param_hint="'--status'")
    with open_dataset(load_settings(config)) as dataset:
        count = retry_captions(dataset, variant, [CaptionStatus(one) for one in statuses])
    if as_json:
        click.echo(json.dumps({"variant": variant, "statuses": statuses, "images": count}))
        return
    click.echo(f"images that {variant} is asked about again: {count:,}")
    if count:
        click.echo(_name_build(config))


def _name_build(config: Path | None) -> str:
    """Return the line that says what to do next."""
    named = f" --config {shlex.quote(str(config))}" if config else ""
    return f"next: dataset-assets build{named}"
