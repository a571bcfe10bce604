"""Options that several commands have."""

from pathlib import Path

import click

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The settings file; default: $DATASET_CONFIG, else ./dataset.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
