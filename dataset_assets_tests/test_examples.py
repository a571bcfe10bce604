"""The examples of docs/sources.md: each is built from what the page says is there, and gives what it says comes of it."""

import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dataset_assets.dataset import open_dataset
from dataset_assets.errors import SourceError
from dataset_assets.progress import Silence
from dataset_assets.settings import load_settings, parse_settings
from dataset_assets.shards.verify import verify
from dataset_assets.sources.scan import scan_sources
from dataset_assets_tests.commands import run
from dataset_assets_tests.datasets import build_library
from dataset_assets_tests.photos import encoded, photo
from dataset_assets_tests.sources.tarballs import write_tar

PAGE = Path(__file__).parents[1] / "docs/sources.md"

pytestmark = pytest.mark.usefixtures("quick_workers")

_PART = re.compile(r"^#+ (.+)$|^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CELLS = re.compile(r"\s{2,}")
_PICTURE = re.compile(r"(\d+)×(\d+)(?:, EXIF orientation (\d))?")
_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
_ORIENTATION = 0x0112
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    heading: str
    inputs: str  # what is there before the build
    settings: str  # dataset.toml
    output: str  # what the page's snippet prints afterwards


def read_examples() -> Iterator[Example]:
    """Yield the examples: each is a listing, which several may share, settings, and what comes of them."""
    heading = inputs = settings = output = ""
    for title, language, text in _PART.findall(PAGE.read_text()):
        heading = title or heading
        if language == "toml":
            settings, inputs, output = text, output or inputs, ""
        elif not title and not language:
            if settings:
                yield Example(heading=heading, inputs=inputs, settings=settings, output=text)
                settings = ""
            else:
                output = text


EXAMPLES = list(read_examples())
