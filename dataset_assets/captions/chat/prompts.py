"""The user prompt of each sample: its placeholders filled in from what is known of the image (docs/captioning.md)."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from dataset_assets.dataset import Dataset
from dataset_assets.errors import SourceError
from dataset_assets.settings import ChatSettings
from dataset_assets.settings.captions import PLACEHOLDER
from dataset_assets.sources.base import LARGEST_SIDECAR, split_sidecars

_META = "meta."


def write_prompt(dataset: Dataset, variant: ChatSettings, sample: Mapping[str, Any]) -> str:
    """Return the user prompt for a sample: a row of view.py's samples. What is not known of it is left out.

    Raises SourceError where its metadata is there and cannot be read.
    """
    if not variant.prompt_fields:
        return variant.user_prompt
    metadata = _read_metadata(dataset, sample) if variant.uses_metadata else {}

    def fill(name: str) -> str:
        if name.startswith(_META):
            return _show(metadata.get(name.removeprefix(_META)))
        return str(sample[name])

    return PLACEHOLDER.sub(lambda match: fill(match[1]), variant.user_prompt)


def name_input(variant: ChatSettings, sample: Mapping[str, Any], prompt: str) -> str:
    """Return what a caption of the sample is made from: a caption of the same is never paid for again.

    That is the source file's content, whatever is made of its crop, and the prompt where it differs between samples.
    """
    own = f":{sha256(prompt.encode()).hexdigest()[:16]}" if variant.prompt_fields else ""
    return f"{sample['source_sha256']}{own}"


def _read_metadata(dataset: Dataset, sample: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is in the JSON beside the image; nothing where there is none, or none that can be read."""
    for extension, version in split_sidecars(sample["sidecars"]).items():
        if extension.lower() != "json":
            continue
        try:
            data = dataset.sources[sample["source"]].read_sidecar(sample["uri"], extension, version)
            read = json.loads(data.decode("utf-8-sig")) if data and len(data) <= LARGEST_SIDECAR else {}
        except OSError as error:  # without it the prompt would be another one, and be paid for again when it is back
            raise SourceError(
                f"{sample['image_id']}: its metadata cannot be read: {error.strerror or error}; make it readable, or "
                "build again"
            ) from None
        except (ValueError, RecursionError):
            return {}
        return read if isinstance(read, dict) else {}
    return {}


def _show(value: Any) -> str:
    """Return a value of the metadata as it stands in a prompt: a list as its items, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_show, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode(errors="replace").decode().replace("\0", "").strip()
