"""The settings file that `dataset-assets init` writes: every key with its default and what it is for."""

import json
import tomllib
from pathlib import Path

from dataset_assets.errors import SettingsError, StorageError
from dataset_assets.settings import DEFAULT_CONFIG, parse_settings

TEMPLATE = """\
# A dataset: where its images come from, what is made of them, and where that goes.
# Every key is here with its default; a key that is left out has it, too. Relative paths are relative to this file.

[dataset]
name = {name}
root = "data"                         # every artifact goes under here; the export is <root>/export
# catalog = "sqlite:////path/to.db"   # default: <root>/dataset.sqlite
license = "other"                     # for the dataset card, as the Hugging Face Hub spells licenses
language = "en"                       # of the captions
description = ""                      # a paragraph for the dataset card

[[sources]]                           # as many as there are; a prefix keeps their ids apart
kind = "folder"                       # the images in a folder and the folders below it
path = {source}
name = "folder"                       # what the catalog calls this source
prefix = ""                           # put before every image_id

[buckets]
base_resolutions = [512]              # crops have about this many pixels squared
divisible = 32                        # sides are rounded down to a multiple of this
too_small_policy = "drop"             # an image that would have to be enlarged is left out and counted

[images]
mode = "reencode_jpeg"
quality = 95                          # of the stored JPEG, 1 to 100
subsampling_policy = "adaptive_scale" # or "444", "420"; adaptive: 4:4:4 where the image was shrunk below the threshold
adaptive_scale_threshold = 0.85
icc = "srgb"                          # embedded colour profiles are converted to sRGB; or "ignore"
max_pixels = 178956970                # a larger image is left out and counted before it is decoded
timeout_seconds = 120                 # an image that takes longer to decode is left out and counted

[images.crop]
strategy = "corner"                   # or "center", "random"; whatever is chosen follows from the image's id alone
allowed_corners = [2, 3]              # 0 top left, 1 top right, 2 bottom left, 3 bottom right
corner_jitter = 0                     # pixels that the crop may move away from its corner

[shards]
shard_size = 1024                     # samples a tar
shards_per_partition = 16             # tars a Dagster partition: some minutes of work

[captions]
missing_caption_policy = "empty"      # a sample without a caption stays, with an empty one; or "drop"
priority = [                          # the first that has a caption for an image gives it; may be narrowed by
    {{ variant = "caption_sidecar" }},  # backend = "…" and model = "…"
]

[[captions.variants]]
name = "caption_sidecar"
backend = "sidecar"                   # photo.txt, or else photo.caption, beside photo.jpg
# extension = "txt"                   # only this one of txt, caption, json
# field = "title"                     # the value of this key in photo.json

[automation]                          # while `dataset-assets ui`, or Dagster's daemon, runs
watch = true                          # new, changed and removed images go into the export by themselves
interval_seconds = 30                 # between two looks at the sources
settle_seconds = 5                    # a file that changed in these last seconds is still being written, and waits
nightly = "03:00"                     # when contents are compared, UTC; "" for never

[work]
workers = 0                           # processes that work on images; 0: one a core
"""


def write_template(folder: Path, source: Path, name: str) -> Path:
    """Write `folder`/dataset.toml for the images in `source` and return its path.

    Raises SettingsError when there is such a file already, no such source, or a name that a settings file cannot hold;
    StorageError when it cannot be written.
    """
    path = folder / DEFAULT_CONFIG
    if not source.is_dir():
        raise SettingsError(f"{source}: there is no such folder; --source names the one your images are in")
    text = TEMPLATE.format(name=_quote(name), source=_quote(str(source.absolute())))
    parse_settings(tomllib.loads(text), folder=folder, name=str(path))  # what `build` would refuse is refused now
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(f"{path} is there already: edit it, or name another folder") from None
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from None
    return path


def _quote(text: str) -> str:
    """Return TOML's basic string for a text, which is JSON's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
