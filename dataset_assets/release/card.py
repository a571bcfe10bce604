"""The export's README.md: a dataset card that says what the manifest says, for people (docs/format.md, README.md).

Only words and tables are made here, from a finished manifest; nothing is counted, read or written.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from dataset_assets.release.loading import render_loading
from dataset_assets.settings import DatasetSettings
from dataset_assets.shards.sample import SAMPLE_FIELDS
from dataset_assets.storage.layout import EXPORT_CHARTS, EXPORT_SAMPLES

SHARDS_GLOB = "buckets/*/shard-*.tar"
WEBSHART_GLOB = "buckets/*/shard-*.json"
CHARTS_GLOB = f"{EXPORT_CHARTS}/*.png"

_PREVIEW = 20  # bucket ids
_TOP_VARIANTS = 30
_HASH_DIGITS = 12
_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")  # the Hub's size_categories
_NOTHING = "-"

_CORNERS = "0 = top left, 1 = top right, 2 = bottom left, 3 = bottom right"
_CROPS = {
    "corner": f"one of the corners `{{corners}}` ({_CORNERS}) is kept, chosen from the hash",
    "center": "the centre is kept",
    "random": "the position of the box is chosen from the hash",
}
_PROFILES = {"srgb": "an embedded colour profile is converted to sRGB", "ignore": "a colour profile is ignored"}
_SUBSAMPLING = {
    "adaptive_scale": "4:4:4 where `scale` is below {threshold}, 4:2:0 elsewhere",
    "444": "always 4:4:4",
    "420": "always 4:2:0",
}
_TABLES = {
    EXPORT_SAMPLES: """\
a row for each sample, in the order of the shards, with its caption, the fields of its `.json`, and
  where its members lie in the tar (`jpg_offset`, `jpg_size`, …). [Below](#python-pandas-some-of-the-samples) is how to
  read some samples with it; DuckDB and polars filter it as well""",
    WEBSHART_GLOB: "an index of the tar beside it, which the Python package `webshart` reads",
    CHARTS_GLOB: "the pictures on this page",
}
# What a picture shows, for those who do not see it.
_CHARTS = {
    "sizes": "A map of the sizes of the sources, width by height, with the sizes of the buckets",
    "kept": "Images by the share of their area that the crop keeps",
    "buckets": "Images by bucket, as in the table below",
    "captions": "Samples by the variant that their caption is of, and captions by their length in characters",
}
_SMALL = {
    "drop": "is left out",
    "next_bucket": "goes to the nearest bucket that it fills, and is left out where it fills none",
}
_MISSING = {
    "empty": "without a caption a sample is kept: its `.txt` is a single newline, its `caption_source_id` -1",
    "drop": "an image without a caption is left out and counted as `skipped_no_caption`",
}

_PREPROCESSING = """\
## Image preprocessing

Every image is brought to the size of its bucket, the same way on every machine:

1. EXIF transpose, then conversion to RGB; {profile}.
2. **Cover-resize** with torch on the **CPU**: uint8, `mode=bicubic`, `antialias=True`, by
   `scale = max(target_w / src_w, target_h / src_h)`.
3. **Never upsampled**: an image whose `scale` would exceed 1 {small} (`too_small_policy={too_small}`).
4. Crop to the target size (`crop_strategy={strategy}`): {crop}.
5. JPEG at quality `{quality}`, chroma subsampling `{subsampling}` ({chroma}), without EXIF data, colour profile or
   thumbnail.

The hash is sha256 of the sample's `image_id`: an image is always cropped alike. All images of a bucket have one
size, so a batch from one bucket needs no padding."""

_PASSTHROUGH = """\
## Image preprocessing

The files are the source JPEGs, byte for byte: no EXIF transpose, resize, crop or encoding was done. A bucket's target
size (`target_w`, `target_h`) is what the image was planned for, not the size of the stored JPEG (`w`, `h`): decode it,
apply its EXIF orientation, then resize and crop while loading. An image that would have to be upsampled to fill its
target {small} (`too_small_policy={too_small}`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionUsage:
    """How many images the waterfall gave each selector, and how many it could have taken from each variant."""

    planned: Mapping[int, int]  # selector index → images
    available: Mapping[str, int]  # variant → images with an ok caption


def render_card(manifest: Mapping[str, Any], usage: CaptionUsage, dataset: DatasetSettings) -> str:
    """Return the card of the export that `manifest` describes, as Markdown with YAML front matter."""
    sections = (
        _front_matter(manifest, dataset),
        _introduction(manifest, dataset),
        _format(manifest),
        _preprocessing(manifest) + _charts(manifest, "sizes", "kept"),
        _buckets(manifest),
        _captions(manifest, usage) + _charts(manifest, "captions"),
        _summary(manifest),
        render_loading(manifest),
    )
    return "\n\n".join(sections)


def _front_matter(manifest: Mapping[str, Any], dataset: DatasetSettings) -> str:
    fields = {
        "pretty_name": _line(dataset.name),
        "license": _line(dataset.license),
        "task_categories": ["text-to-image"],
        "language": [_line(dataset.language)],
        "tags": ["webdataset", "images", "captions", "bucketed-shards"],
        "size_categories": [_size_category(manifest["summary"]["images_exported"])],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": SHARDS_GLOB}]}],
    }
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=1000)}---"


def _size_category(images: int) -> str:
    """Return the Hub's name for the decade that `images` lies in: 1K<n<10K holds 1,000 and not 10,000."""
    decade = max(0, len(str(images)) - 3)
    if decade == 0:
        return f"n<{_SIZES[0]}"
    return f"{_SIZES[decade - 1]}<n<{_SIZES[decade]}" if decade < len(_SIZES) else f"n>{_SIZES[-1]}"


def _introduction(manifest: Mapping[str, Any], dataset: DatasetSettings) -> str:
    buckets = manifest["buckets"].values()
    shards = [shard for bucket in buckets for shard in bucket["shards"]]
    bases = " and ".join(str(base) for base in manifest["base_resolutions"])
    steps = enumerate(manifest["caption_priority"], start=1)
    priority = "\n".join(f"{number}. {_origin(step)}" for number, step in steps)
    title = f"# {_escape(dataset.name)}\n\n{dataset.description.strip()}".strip()
    return f"""\
{title}

`{manifest["summary"]["images_exported"]:,}` images with captions, sorted into `{len(buckets):,}` SDXL-style
aspect-ratio buckets at base resolution {bases}, in `{len(shards):,}` uncompressed WebDataset-style tar shards. An image
is in the bucket that keeps most of it; none was upsampled.

The caption of an image is the first of these that there is for it:

{priority}

The `.json` of a sample says which one that was: `caption_variant`, `caption_selector_index` and `caption_source_id`.

## Technical details

A **bucketed-shards** export: uncompressed tars, each with samples of one bucket and no other, at most
`{manifest["export_settings"]["shard_size"]:,}` of them. Together the tars have
`{sum(shard["bytes"] for shard in shards):,}` bytes."""


def _origin(selector: Mapping[str, Any]) -> str:
    """Return a selector in words: its model if it names one, then its variant."""
    variant, model = _escape(selector["variant"]), selector.get("model")
    return f"{_escape(model)} ({variant})" if model else variant


def _format(manifest: Mapping[str, Any]) -> str:
    return f"""\
## Format

- **Format**: `{manifest["format"]}`
- **Created**: `{manifest["created_at"]}`
- **Export ID**: `{manifest["export_id"]}`
- **Manifest**: `manifest.json`
- **Image mode**: `{manifest["image_codec"]["mode"]}`

The repository holds:

- `manifest.json`: the settings, the caption sources, and every bucket with its shards
- `buckets/<bucket_id>/shard-*.tar`
{_tables(manifest)}
A sample is three members of a tar, one after the other:

- `<key>.jpg`: the image
- `<key>.txt`: its caption in UTF-8, ending in a newline
- `<key>.json`: {", ".join(f"`{field}`" for field in SAMPLE_FIELDS)}

`<key>` is the sha256 of the sample's `image_id`, 64 hex digits."""


def _tables(manifest: Mapping[str, Any]) -> str:
    """Return a line for each kind of file beside the tars, with its newline."""
    paths = [PurePosixPath(file["path"]) for file in manifest.get("files", ())]
    there = {glob: said for glob, said in _TABLES.items() if any(path.match(glob) for path in paths)}
    return "".join(f"- `{glob.replace('/*/', '/<bucket_id>/')}`: {said}\n" for glob, said in there.items())


def _charts(manifest: Mapping[str, Any], *names: str) -> str:
    """Return those of these pictures that the manifest lists, an empty line before each."""
    listed = {file["path"] for file in manifest.get("files", ())}
    paths = {name: CHARTS_GLOB.replace("*", name) for name in names}
    return "".join(f"\n\n![{_CHARTS[name]}]({path})" for name, path in paths.items() if path in listed)


def _preprocessing(manifest: Mapping[str, Any]) -> str:
    codec, too_small = manifest["image_codec"], manifest["too_small_policy"]
    if codec["mode"] == "passthrough_jpeg":
        return _PASSTHROUGH.format(too_small=too_small, small=_SMALL[too_small])
    crop, policy = manifest["crop"], codec["subsampling_policy"]
    kept = _CROPS[crop["strategy"]].format(corners=list(crop["allowed_corners"]))
    if jitter := crop.get("corner_jitter"):
        kept += f", then moved inwards by 0 to {jitter} pixels each way, also from the hash (`corner_jitter={jitter}`)"
    return _PREPROCESSING.format(
        profile=_PROFILES[manifest["export_settings"]["icc"]],
        too_small=too_small,
        small=_SMALL[too_small],
        strategy=crop["strategy"],
        crop=kept,
        quality=codec["quality"],
        subsampling=policy,
        chroma=_SUBSAMPLING[policy].format(threshold=f"`{codec['adaptive_scale_threshold']}`"),
    )


def _buckets(manifest: Mapping[str, Any]) -> str:
    buckets, bases, divisible = manifest["buckets"], list(manifest["base_resolutions"]), manifest["divisible"]
    ids = [f"`{bucket_id}`" for bucket_id in sorted(buckets)]
    preview = ", ".join(ids[:_PREVIEW]) + (f", … (+{len(ids) - _PREVIEW:,} more)" if len(ids) > _PREVIEW else "")
    naming = "the base and the proto: `r<base>_p<W>x<H>`" if len(bases) > 1 else "the proto: `p<W>x<H>`"
    own = "protos" in manifest["export_settings"]
    table = "The buckets have a table of their own" if own else "The buckets are those of SDXL: a table"
    largest_first = sorted(buckets.items(), key=lambda item: (-item[1]["count"], item[0]))
    rows = (
        (bucket_id, f"{w}×{h}", f"{w / h:.3f}", f"{bucket['count']:,}")
        for bucket_id, bucket in largest_first
        for w, h in [(bucket["scaled"]["w"], bucket["scaled"]["h"])]
    )
    return f"""\
## Buckets / resolutions

- {table} of **proto** sizes for images of about 1024×1024 pixels.
- Base resolution(s): `{bases}`
- `bucket_id` is {naming}, width first.
- The **target size** is the proto scaled to the base, each side rounded down to a multiple of
  `divisible={divisible}`. It is in `manifest.json` → `buckets[<bucket_id>].scaled.w/h`, and in every `<key>.json` →
  `target_w` / `target_h`.

Bucket IDs (preview): {preview}

Bucket distribution:{_charts(manifest, "buckets")}

{_table(("bucket_id", "target_w×h", "aspect", "count"), rows)}"""


def _captions(manifest: Mapping[str, Any], usage: CaptionUsage) -> str:
    priority, policy = manifest["caption_priority"], manifest["missing_caption_policy"]
    hashes = ("system_prompt_sha256", "user_prompt_sha256")
    sources = (
        (source_id, source["backend"], source["model"], source["created_at"], *(_short(source[key]) for key in hashes))
        for source_id, source in manifest["caption_sources"].items()
    )
    selectors = (
        (index, step["variant"], step.get("backend"), step.get("model"), f"{usage.planned.get(index, 0):,}")
        for index, step in enumerate(priority)
    )
    selected = {step["variant"] for step in priority}
    variants = sorted(usage.available.items(), key=lambda item: (-item[1], item[0]))[:_TOP_VARIANTS]
    available = (("✓" if variant in selected else "", variant, f"{images:,}") for variant, images in variants)
    return f"""\
## Caption selection (waterfall)

The selectors are tried by their index, and the first that has a caption for an image gives it. Where a selector has
several, the newest caption source wins. A selector without a backend or model takes any.

A sample's `caption_source_id` names a row of the first table, which is `caption_sources` in `manifest.json`. Of the
prompts there are only hashes.

Caption sources used:

{_table(("caption_source_id", "backend", "model", "created_at", *hashes), sources)}

Caption priority (waterfall) + planned usage:

{_table(("selector_index", "variant", "backend", "model", "planned_images"), selectors)}

Available caption variants (top {_TOP_VARIANTS}):

{_table(("selected", "variant", "images_with_ok_caption"), available)}

Missing caption policy: `{policy}` ({_MISSING[policy]})"""


def _short(digest: str) -> str:
    return f"{digest[:_HASH_DIGITS]}…" if digest else ""


def _summary(manifest: Mapping[str, Any]) -> str:
    return "## Export summary\n\n" + "\n".join(f"- {name}: {count:,}" for name, count in manifest["summary"].items())


def _table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table; a cell with nothing to say is a dash."""
    cells = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _cell(value: object) -> str:
    return _escape("" if value is None else str(value)) or _NOTHING


def _line(text: str) -> str:
    """Return `text` as one line without control characters."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()


def _escape(text: str) -> str:
    """Return `text` as one line that Markdown shows as it is, in a table as elsewhere."""
    return re.sub(r"[\\`*~#&<>|\[\]$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", _line(text))
