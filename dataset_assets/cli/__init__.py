"""The command line, `dataset-assets`: a module for the commands on a dataset, one for those on its captions."""

from dataset_assets.cli.main import main

__all__ = ["main"]
