"""The command line, `dataset-assets`: main.py for the commands on a dataset, a module for every other group of them.

Those are about captions, the catalog, two exports (`compare`), and one sample (`show`).
"""

from dataset_assets.cli.main import main

__all__ = ["main"]
