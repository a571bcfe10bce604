"""The settings file that `dataset-assets init` writes: every key with its default and what it is for."""

import json
import re
import tomllib
from pathlib import Path

from dataset_assets.errors import SettingsError, StorageError
from dataset_assets.settings import DEFAULT_CONFIG, parse_settings
from dataset_assets.storage.store import is_url

_DATASET = """\
[dataset]
name = {name}
root = "data"                         # every artifact goes here, or to s3://bucket/folder; the export is <root>/export
# catalog = "sqlite:////path/to.db"   # or "postgresql://user@host/name"; default: <root>/dataset.sqlite
license = "other"                     # for the dataset card, as the Hugging Face Hub spells licenses
language = "en"                       # of the captions
description = ""                      # a paragraph for the dataset card
owners = []                           # who Dagster names as owners: "anna@example.org", "team:data"
"""

_IMAGES = """\
[[sources]]                           # as many as there are; a prefix keeps their ids apart
kind = "folder"                       # the images in a folder and the folders below it; for other kinds see below
path = {source}
name = "folder"                       # what the catalog calls this source
prefix = ""                           # put before every image_id

# The other kinds of sources, with an example of each in docs/sources.md.
# [[sources]]
# kind = "tars"                       # the images in WebDataset tars
# path = "/path/to/tars"              # a folder
# name = "tars"
# prefix = ""
# id = "key"                          # what an image is called; or "path": its tar's path and its key; or "json"
# id_field = "id"                     # with "json": the field that says it
#
# [[sources]]
# kind = "parquet"                    # the rows of Parquet files
# path = "/path/to/parquet"           # a folder, or one file
# name = "parquet"
# prefix = ""
# image = "image"                     # the column of bytes, of structures of bytes and path, or of paths
# id = ""                             # the column of ids; "": file and row
# metadata = []                       # the columns that captions and prompts are made of; none: all that can be
#
# [[sources]]
# kind = "bucketed_shards"            # the images of an export
# path = "/path/to/export"
# name = "export"
# prefix = ""

[buckets]
base_resolutions = [512]              # crops have about this many pixels squared; of several the largest that fits
divisible = 32                        # sides are rounded down to a multiple of this
protos = []                           # shapes of your own at a base of 1024: ["1024x1024", "1216x832"]; none: SDXL's 40
too_small_policy = "drop"             # an image that would have to be enlarged is left out; or "next_bucket"

[duplicates]
exact = "keep"                        # images of the same content; or "drop": the first by image_id stays
near = false                          # true: look for images that look alike, and report them
near_distance = 3                     # how alike: bits of 64 in which they may differ, 0 to 3

[images]
mode = "reencode_jpeg"                # or "passthrough_jpeg": JPEGs as they are, and nothing else
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

[release]                             # what lies beside the tars, for those who do not go through them
samples = true                        # samples.parquet: a row a sample, with where it lies and what is known of it
webshart = false                      # a JSON index beside each tar, for the Python package webshart
charts = true                         # charts/*.png, which the dataset card shows

[gallery]                             # <root>/gallery/index.html: the dataset to look at, in any browser, offline
enabled = true
images = 240                          # a dataset of no more is shown whole; of a larger one, a sample of every bucket
drops = 12                            # examples of each reason for which images were left out

[captions]
missing_caption_policy = "empty"      # a sample without a caption stays, with an empty one; or "drop"
# The first that has a caption for an image gives it. Left out: the variants below, in their order.
# priority = [{{ variant = "caption_sidecar" }}] # each may be narrowed by backend = "…" and model = "…"

[[captions.variants]]
name = "caption_sidecar"
backend = "sidecar"                   # photo.txt, or else photo.caption, beside photo.jpg
# extension = "txt"                   # only this one of txt, caption, json
# field = "title"                     # the value of this key in photo.json, or of this column of a Parquet file

# A model, asked about the images that no variant before it has a caption for. It costs money: docs/captioning.md.
# [[captions.variants]]
# name = "caption_vlm"
# backend = "openrouter"              # or "openai": OpenAI's, and with base_url any server that speaks its API
# model = "maker/model"               # as the server calls it
# base_url = "https://openrouter.ai/api/v1" # left out: the backend's
# api_key_env = "OPENROUTER_API_KEY"  # the environment variable that holds the key; "": none is sent
# system_prompt = ""
# system_prompt_file = ""             # or a file that it is in
# user_prompt = "Describe this image." # {{{{image_id}}}} and {{{{meta.KEY}}}}, of photo.json, are filled in
# user_prompt_file = ""               # or a file that it is in
# image_max_side = 0                  # pixels: a larger crop is sent smaller; 0: the crop's bytes as they are
# image_quality = 90                  # of the JPEG that is sent, where it is made smaller
# image_detail = "auto"               # or "low", "high"
# max_tokens = 300                    # a longer answer is cut off, and is no caption
# # temperature = 0.2                 # left out: the server's own
# provider = {{}}                       # OpenRouter's routing: {{ order = ["…"], allow_fallbacks = false }}
# extra_body = {{}}                     # any other key of the request
# concurrency = 32                    # questions at a time
# requests_per_minute = 0             # 0: no limit of ours
# budget_usd = 0                      # for this variant, in all and for good; 0: no limit
# timeout_seconds = 120               # for one answer
# max_retries = 4                     # of a request that the server turned away or lost
# stop_after_errors = 20              # in a row, and the model is not asked any further
# attempts = {{ error = 3, empty = 2, placeholder = 2, unavailable = 2, truncated = 1, refused = 1, filtered = 1 }}
# only_needed = true                  # false: asked about every image, also where a variant before has a caption
# ask = true                          # false: not asked any more; what it said counts
# prices = {{ input = 0, output = 0 }}  # USD a million tokens: for estimates, and where the server names no cost
# image_tokens = 258                  # what an image counts, for estimates

[captions.review]                     # what is found in captions: keep, fall_through to the next, or drop the image
truncated = "fall_through"            # the answer ended at max_tokens
refused = "fall_through"              # the model will not
filtered = "fall_through"             # the service's filter stopped it
placeholder = "drop"                  # the text stands for no caption: "placeholder image"
unavailable = "drop"                  # the model says that there is no image to see
blank_image = "drop"                  # a crop with next to nothing on it, whatever its caption; or "keep"
blank_spread = 0.002                  # blank: where less of it than this share differs from its one tone
repeated = "keep"                     # the same text on many images
repeated_images = 20                  # so many of a partition
language = "keep"                     # another language than the wanted ones
languages = []                        # the wanted ones: ["en"]; none: not looked for
too_short = "keep"
min_words = 3
too_long = "keep"
max_words = 0                         # 0: no limit
prompt_leak = "keep"                  # words of the prompt, or of the chat around the caption
"""

_RECORDS = """\
[records]                             # captions that come as records, without images: docs/records.md
paths = {paths}
mode = "careful"                      # whitespace is tidied and no text is as good as none; or "faithful": as they are
id = "id"                             # the field that holds the id: an integer
priority = []                         # variants, the one that counts first; none: all as they are listed
modulus = 1000                        # how many tars; an id is in that of id % modulus
padding = 4                           # digits of a tar's name
tars_per_partition = 100              # tars a Dagster partition
text_tars = []                        # variants that get tars of their own, of .txt files: ["tags"]

[[records.variants]]                  # a caption that some fields of a record make; as many as there are
name = "summary"
join = ["regular_summary", "brief_summary"] # those that are not empty, joined by one space
when = {{ field = "response_finish_reason", equals = "STOP" }} # of which records; left out: of all

[[records.variants]]
name = "tags"
join = ["tags"]
"""

_TRAINER = """\
[trainer]                             # metadata for kohya-ss trainers. A path or URL of JSON by id, .jsonl or Parquet
ids = ""                              # the file whose ids are merged; "": those of the records, or of the export
tags = ""                             # the file of the tags; "": as above
captions = ""                         # the file of the captions; "": as above
latents = ""                          # the file of train_resolution or image_size; "": the export's. Records have none
key_prefix = ""                       # the folder of the images: with "photos" the key of 1 is photos/1
dialect = "json"                      # one object by key; or "jsonl": a line an id
split = 1                             # files of merged metadata, one a machine that trains: id % split
archives = true                       # meta_cap.tar.gz, too
"""

_AUTOMATION = """\
[automation]                          # while `dataset-assets ui`, or Dagster's daemon, runs
watch = true                          # what is new, changed or removed goes into the export by itself
interval_seconds = 30                 # between two looks at the sources
settle_seconds = 5                    # a file that changed in these last seconds is still being written, and waits
nightly = "03:00"                     # when contents are compared, UTC; "" for never
partitions_per_run = 16               # the most that one run takes, also of `build`
separate_crops = false                # true: crops in runs of their own, which want cores, before those for captions
run_tags = {}                         # by job, such as { crops = { "dagster-ray/config" = { num_cpus = 4 } } }
"""

_WORK = """\
[work]
workers = 0                           # processes that work on images; 0: one a core
"""

_HEAD = """\
# A dataset: where its {source} come from, what is made of them, and where that goes.
# Every key is here with its default; a key that is left out has it, too. Relative paths are relative to this file.
"""


def write_template(folder: Path, source: Path, name: str) -> Path:
    """Write `folder`/dataset.toml for the images in `source` and return its path.

    Raises SettingsError when there is such a file already, no such source, or a name that a settings file cannot hold;
    StorageError when it cannot be written.
    """
    path = folder / DEFAULT_CONFIG
    if not source.is_dir():
        raise SettingsError(f"{source}: there is no such folder; --source names the one your images are in")
    more = "\n".join(_comment(part) for part in (_RECORDS.format(paths='["captions/*.jsonl"]'), _TRAINER))
    parts = [
        _HEAD.format(source="images"),
        _DATASET.format(name=_quote(name)),
        _IMAGES.format(source=_quote(str(source.absolute()))),
        f"# Captions that come as records, and the metadata that trainers read.\n{more}",
        _AUTOMATION,
        _WORK,
    ]
    return _write(path, parts)


def write_record_template(folder: Path, records: str, name: str) -> Path:
    """Write `folder`/dataset.toml for the caption records in the files that the pattern `records` means.

    Returns its path. Raises as `write_template` does; a pattern that means no file yet is no mistake.
    """
    path = folder / DEFAULT_CONFIG
    absolute = records if not records or is_url(records) else str(Path(records).expanduser().absolute())
    paths = f"[{_quote(absolute)}]"
    more = "  # files of JSON lines, also .gz and .zst, or Parquet; patterns and URLs are allowed"
    parts = [
        _HEAD.format(source="caption records"),
        _DATASET.format(name=_quote(name)),
        _RECORDS.format(paths=paths + more),
        _TRAINER,
        _AUTOMATION,
        _WORK,
    ]
    return _write(path, parts)


def _comment(text: str) -> str:
    return re.sub(r"^(?=.)", "# ", text, flags=re.MULTILINE)


def _write(path: Path, parts: list[str]) -> Path:
    text, folder = "\n".join(parts), path.parent
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
