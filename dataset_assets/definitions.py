"""The Dagster code location: `defs`, the asset graph of the dataset that the settings file describes.

Importing it reads the settings and does nothing else; defs/graph.py assembles the graph.
"""

from dataset_assets.defs.graph import build_definitions
from dataset_assets.settings import load_settings

defs = build_definitions(load_settings())
