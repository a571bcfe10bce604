"""Options that several commands have."""

from pathlib import Path
from typing import Any

import click


class Folder(click.Path):
    """A folder on a disk, which must be there, or in an object store."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, exists=True, file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a Path, or the URL as a place."""
        if not isinstance(value, str) or "://" not in value:
            return super().convert(value, param, ctx)
        from dataset_assets.storage.location import check_location, make_location

        if fault := check_location(value):
            self.fail(f"allowed: {fault}", param, ctx)
        place = make_location(value, Path())
        return super().convert(place, param, ctx) if isinstance(place, Path) else place


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The settings file; default: $DATASET_CONFIG, else ./dataset.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
