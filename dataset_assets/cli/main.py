"""The commands on a dataset. Parses, calls the library, prints, sets the exit code.

Exit codes: 0 done and verified, 1 an error or a fault that is printed, 2 a wrong call, 130 interrupted. What a command
needs is imported when it runs: `--help` needs nothing.
"""

import io
import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dataset_assets.cli.captions import captions
from dataset_assets.cli.catalog import catalog
from dataset_assets.cli.compare import compare
from dataset_assets.cli.imports import kept_imports
from dataset_assets.cli.options import Folder, config_option, json_option
from dataset_assets.cli.show import show
from dataset_assets.counts import count_noun
from dataset_assets.errors import DatasetError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dataset_assets.settings import Settings
    from dataset_assets.storage.location import Location

_GOING_ON = ("build", "repack")  # commands that go on from where they were ended


class _Commands(click.Group):
    """Prints what the library refuses in a line or two, instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a DatasetError ends it with exit code 1, an interrupt with 130."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no UTF-8
        try:
            return super().invoke(ctx)
        except DatasetError as error:
            click.secho("error: " + "\n".join(_clean(line) for line in error.lines), fg="red", err=True)
            ctx.exit(1)
        except click.UsageError as error:
            # A pattern of the shell's may have given it any name.
            raise click.UsageError(_clean(error.format_message()), error.ctx) from None
        except KeyboardInterrupt:
            kept = ": what was finished is kept, the same command goes on from there"
            click.echo("interrupted" + (kept if ctx.invoked_subcommand in _GOING_ON else ""), err=True)
            ctx.exit(130)


def _clean(text: str) -> str:
    """Return what may have names of files in it as one line that does not steer the terminal."""
    from dataset_assets.terminal import show_line

    return show_line(text)


def _warn(line: str) -> None:
    click.secho(f"warning: {_clean(line)}", fg="yellow", err=True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dataset_assets", prog_name="dataset-assets")
def main() -> None:
    """Turn a heap of images into captioned, aspect-ratio-bucketed WebDataset shards, and keep them up to date.

    Or caption records without images into numbered tars and the metadata that trainers read.
    """


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--source", type=click.Path(path_type=Path), help="The folder your images are in.")
@click.option("--records", help="Instead of images: the files of your caption records, such as 'captions/*.jsonl'.")
@click.option("--name", help="What the dataset is called; default: the name of FOLDER.")
def init(folder: Path, source: Path | None, records: str | None, name: str | None) -> None:
    """Write FOLDER/dataset.toml, in which every key is explained: for the images of --source, or for --records."""
    from dataset_assets.template import write_record_template, write_template

    name = name or folder.resolve().name
    if source is not None and records is None:
        path = write_template(folder, source, name)
    elif records is not None and source is None:
        path = write_record_template(folder, records, name)
    else:
        raise click.UsageError("Give one of --source and --records.")
    click.echo(f"wrote {path}\nnext: dataset-assets build --config {shlex.quote(str(path))}")


@main.command()
@config_option
@json_option
@click.option(
    "--checksum", is_flag=True, help="Read every source file: content decides what changed, not size and time."
)
@click.option("--allow-empty", is_flag=True, help="Go on where a source has no images, or no records, any more.")
@click.option("--strict", is_flag=True, help="Stop where a model's key is missing, instead of leaving it out.")
def build(config: Path | None, as_json: bool, checksum: bool, allow_empty: bool, strict: bool) -> None:
    """Bring everything up to date, from the scan to the card.

    Exits with 0 only when the export is complete and verified.
    """
    with kept_imports():
        from dataset_assets.images.workers import prepare_processes
        from dataset_assets.settings import load_settings
        from dataset_assets.storage.layout import Layout

        settings = load_settings(config)
        if settings.sources and not (settings.dataset.catalog or Layout(settings.root).catalog.exists()):
            prepare_processes()  # in a new dataset there is work for them: they import torch while we import Dagster
        from rich.console import Console

        from dataset_assets.captions.sources import explain_left_out, list_warnings
        from dataset_assets.defs.build import run_build
        from dataset_assets.terminal import show_progress

    missing = [explain_left_out(variant) for variant in settings.captions.chats if variant.key_missing]
    if strict and missing:
        raise SettingsError(*missing)
    for line in list_warnings(settings.captions):
        _warn(line)
    with show_progress(Console(stderr=True)) as progress:
        run_build(settings, progress, checksum=checksum, allow_empty=allow_empty)
    said = [*(_sum_up_images(settings, as_json) if settings.sources else ()), *_sum_up_records(settings, as_json)]
    if as_json:
        click.echo(json.dumps({name: value for part in said for name, value in part.items()}))


def _sum_up_images(settings: "Settings", as_json: bool) -> "Iterator[dict[str, Any]]":
    """Draw the contact sheet, and yield what the export holds or print it."""
    from rich.console import Console

    from dataset_assets.dataset import open_dataset
    from dataset_assets.previews.contact import write_sheet
    from dataset_assets.status import summarize
    from dataset_assets.terminal import print_summary

    with open_dataset(settings) as dataset:
        write_sheet(dataset)
        summary, layout = summarize(dataset), dataset.layout
    for name, left in summary.left.items():
        _warn(f"{name}: {count_noun(left, 'image')} not asked about, for want of its key")
    if as_json:
        gallery = str(layout.gallery_page) if settings.gallery.enabled else None
        yield asdict(summary) | {"contact_sheet": str(layout.contact_sheet), "gallery": gallery}
        return
    print_summary(Console(), summary)
    click.echo(f"export         {layout.export}\ncontact sheet  {layout.contact_sheet}")
    if settings.gallery.enabled:
        click.echo(f"gallery        {layout.gallery_page}")


def _sum_up_records(settings: "Settings", as_json: bool) -> "Iterator[dict[str, Any]]":
    """Yield what became of the records and what trainers get, where the settings ask for it, or print it."""
    from rich.console import Console

    from dataset_assets.dataset import open_dataset
    from dataset_assets.posts.summary import summarize_records
    from dataset_assets.terminal import print_metadata, print_records
    from dataset_assets.trainer.output.summary import summarize_metadata

    with open_dataset(settings) as dataset:
        records = summarize_records(dataset) if settings.records else None
        metadata = summarize_metadata(dataset) if settings.trainer else None
    if as_json:
        yield from ({name: asdict(one)} for name, one in (("records", records), ("trainer", metadata)) if one)
        return
    if records:
        print_records(Console(), records)
    if metadata:
        print_metadata(Console(), metadata)


@main.command()
@config_option
@json_option
def status(config: Path | None, as_json: bool) -> None:
    """Say what is fresh, what is stale and why, and what is missing, as of the last scan of the sources."""
    with kept_imports():
        from rich.console import Console

        from dataset_assets.dataset import open_dataset
        from dataset_assets.settings import load_settings
        from dataset_assets.status import judge_all
        from dataset_assets.terminal import print_status

    with open_dataset(load_settings(config)) as dataset:
        verdicts = judge_all(dataset)
    if as_json:
        rows = [{"stage": stage, "partition": key, **asdict(verdict)} for (stage, key), verdict in verdicts.items()]
        click.echo(json.dumps(rows, indent=2))
    else:
        print_status(Console(), verdicts)


@main.command()
@config_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the web server listens.")
@click.option("--port", default=3000, show_default=True, help="The web server's port.")
def ui(config: Path | None, host: str, port: int) -> None:
    """Open Dagster's UI on the dataset, with the runs of its builds. Ctrl-C ends it."""
    from dataset_assets.settings import CONFIG_VARIABLE, find_config, load_settings
    from dataset_assets.storage.home import prepare_dagster_home

    settings = load_settings(config)
    environment = {
        **os.environ,
        CONFIG_VARIABLE: str(find_config(config).absolute()),
        "PYTHONSAFEPATH": "1",  # a file in this folder must not be taken for a package of Dagster's
        "DAGSTER_HOME": str(prepare_dagster_home(settings.layout)),
    }
    module = ["--module-name", "dataset_assets.definitions"]
    command = [sys.executable, "-P", "-m", "dagster", "dev", *module, "--host", host, "--port", str(port)]
    os.execve(sys.executable, command, environment)  # its signals are ours, nothing is left between


@main.command()
@config_option
@json_option
def repack(config: Path | None, as_json: bool) -> None:
    """Close the gaps that removed and rejected images left, then build.

    Slots change, and with them which tar an image is in. Nothing is encoded again.
    """
    with kept_imports():
        from rich.console import Console

        from dataset_assets.buckets.repack import repack_buckets
        from dataset_assets.dataset import open_dataset
        from dataset_assets.defs.build import run_build
        from dataset_assets.settings import load_settings
        from dataset_assets.terminal import print_repacked, show_progress

    settings = load_settings(config)
    with open_dataset(settings) as dataset, dataset.locks.building():
        done = repack_buckets(dataset)
    with show_progress(Console(stderr=True)) as progress:
        run_build(settings, progress)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in done]))
    else:
        print_repacked(Console(), done)


@main.command()
@click.argument("export", type=Folder())
@json_option
@click.option("--workers", default=0, help="How many tars are read at a time; 0: one a core.")
@click.option("--pixels", is_flag=True, help="Decode every JPEG, also of tars whose hash is the manifest's.")
def verify(export: "Location", as_json: bool, workers: int, pixels: bool) -> None:
    """Read every byte of an EXPORT, a folder or a URL, and compare it with its manifest and with the format.

    EXPORT may be a folder of numbered tars, too, of one kind or of several: each is compared with its index. Needs
    nothing but the folder. Exits with 1 when anything is wrong, and names file, sample and reason.
    """
    from rich.console import Console

    from dataset_assets.shards.verify import verify as verify_export
    from dataset_assets.storage.layout import EXPORT_MANIFEST
    from dataset_assets.terminal import show_progress
    from dataset_assets.trainer.tars.verify import find_kinds, verify_numbered_tars

    numbered = not (export / EXPORT_MANIFEST).exists() and find_kinds(export)
    with show_progress(Console(stderr=True)) as progress:
        if numbered:
            report = verify_numbered_tars(export, progress=progress)
        else:
            report = verify_export(export, workers=workers, pixels=pixels, progress=progress)
    if as_json:
        click.echo(json.dumps(report.to_dict()))
    else:
        for fault in report.faults:
            click.echo(_clean(str(fault)))
        said = "ok" if report.ok else count_noun(len(report.faults), "fault")
        read = f"{count_noun(report.samples, 'sample')} in {count_noun(report.files, 'file')}"
        click.echo(f"{said}: {read}, {report.bytes / 1e6:,.1f} MB read")
    if not report.ok:
        raise click.exceptions.Exit(1)


main.add_command(captions)
main.add_command(catalog)
main.add_command(compare)
main.add_command(show)
