"""The columns of tables as Dagster shows them: what a name means is said once, whichever table it is in.

Names and types come from the schemas with which the files are written; a column that nothing is said of is a defect.
"""

from collections.abc import Mapping

import dagster as dg
import pyarrow as pa
from sqlalchemy import Table

SCHEMA = "dagster/column_schema"

_TOLD: Mapping[str, str] = {
    # images, and where they are
    "id": "The row of the image in the catalog; of a record, its id.",
    "image": "The row of the image in the catalog (images.id).",
    "image_id": "What the image is called; its key is the SHA-256 of it.",
    "key": "The sample's key: 64 hexadecimal digits. Members of tars are named by it.",
    "source": "The source in the settings.",
    "uri": "Where the source finds the file.",
    "size": "Bytes of the file.",
    "version": "What the source says of the file as it is now; another one means that it changed.",
    "revision": "The version at which its content last changed.",
    "checksum": "SHA-256 of its bytes; empty until they were read.",
    "sidecars": "Which files lie beside it, and their versions.",
    "width": "Pixels after EXIF transposition; 0 where it cannot be used.",
    "height": "Pixels after EXIF transposition; 0 where it cannot be used.",
    "orientation": "EXIF orientation, 1 to 8; 1 where there is none.",
    "format": "Pillow's name of the format: JPEG, PNG, …",
    "reason": "Why it cannot be used (a DropReason); empty where it can.",
    "detail": "More about the reason, the status or the finding.",
    "removed": "Whether the file is gone; its row stays, and its captions with it.",
    # where they are put
    "bucket_id": "The bucket.",
    "slot": "Its place in the bucket, from 0 and for life.",
    "target_w": "Width of the bucket's crops, pixels.",
    "target_h": "Height of the bucket's crops, pixels.",
    "shard": "Path of the tar in the export.",
    # crops
    "made_from": "All that the row depends on: where it is equal, the crop is copied.",
    "source_sha256": "SHA-256 of the source file's bytes.",
    "passing": "Whether the next build tries again.",
    "timeout": "The seconds that were not enough to decode it, else 0.",
    "jpeg": "The crop as it goes into the tar.",
    "w": "Width of the stored JPEG, pixels.",
    "h": "Height of the stored JPEG, pixels.",
    "src_w": "Width of the source after EXIF transposition, pixels.",
    "src_h": "Height of the source after EXIF transposition, pixels.",
    "scale": "How much the source was scaled to cover the crop, at most 1.",
    "x": "Left edge of the crop in the scaled image, pixels.",
    "y": "Upper edge of the crop in the scaled image, pixels.",
    "corner": "0 top left, 1 top right, 2 bottom left, 3 bottom right; -1 for other strategies.",
    "quality": "JPEG quality; 0 where the source was passed through.",
    "subsampling": "4:4:4 or 4:2:0.",
    "spread": "0 to 1: how much there is to see.",
    "look": "What the whole image looks like: 16 hexadecimal digits that near duplicates nearly share.",
    "image_mode": "How pixels became the JPEG: reencode_jpeg or passthrough_jpeg.",
    "crop_scale": "How much the source was scaled to cover the crop, at most 1.",
    "crop_x": "Left edge of the crop in the scaled image, pixels.",
    "crop_y": "Upper edge of the crop in the scaled image, pixels.",
    "crop_corner": "0 top left, 1 top right, 2 bottom left, 3 bottom right; -1 for other strategies.",
    **{
        f"{member}_{name}": f"{told} of the sample's .{member} in the tar, bytes."
        for member in ("jpg", "txt", "json")
        for name, told in (("offset", "Where the data begins"), ("size", "Length"))
    },
    # captions
    "caption": "The caption; empty where there is none.",
    "text": "The caption; empty where there is none.",
    "variant": "The variant whose caption it is; empty for none.",
    "caption_variant": "The variant whose caption it is; empty for none.",
    "selector_index": "Which selector of captions.priority took it, from 0; -1 for none.",
    "caption_selector_index": "Which selector of captions.priority took it, from 0; -1 for none.",
    "caption_source": "The caption source: variant, model, prompts and parameters; -1 for none.",
    "caption_source_id": "The caption source, as the manifest lists them; -1 for none.",
    "drop": "Why the review leaves the sample out (a DropReason); empty where it does not.",
    "status": "Whether there is a caption to select, and why not: a word, of records a number.",
    "input_version": "What the caption was made from.",
    "created_at": "When it came, Unix seconds.",
    "attempts": "How often it was asked for.",
    "finish_reason": "The model's, of the last attempt.",
    "provider": "Who served the model.",
    "prompt_tokens": "Of all attempts.",
    "completion_tokens": "Of all attempts.",
    "cost": "USD, of all attempts.",
    "latency": "Seconds, of all attempts.",
    # near duplicates
    "group_id": "The group of images that look alike; 1 is the largest.",
    "distance": "Bits in which its look differs from that of the first of its group.",
    # records
    "line": "The line of the record in its file.",
    "tar": "The number of the tar that the id belongs into.",
    "file": "The file of the record.",
}
_TEXTS = {
    "text_": "The record's text for the variant {}.",
    "status_": "How much text the record has for the variant {}.",
}


def describe_columns(schema: pa.Schema) -> dg.TableSchema:
    """Return the columns of a Parquet file, each with what it means. Raises KeyError for one that is not explained."""
    return dg.TableSchema([_column(field.name, str(field.type), nullable=field.nullable) for field in schema])


def describe_rows(table: Table) -> dg.TableSchema:
    """Return the columns of a table of the catalog likewise."""
    return dg.TableSchema(
        [_column(one.name, str(one.type).lower(), nullable=bool(one.nullable)) for one in table.columns]
    )


def _column(name: str, kind: str, *, nullable: bool) -> dg.TableColumn:
    constraints = dg.TableColumnConstraints(nullable=nullable)
    return dg.TableColumn(name, kind, description=_explain(name), constraints=constraints)


def _explain(name: str) -> str:
    for prefix, told in _TEXTS.items():  # a variant's, which the settings name
        if name.startswith(prefix):
            return told.format(name.removeprefix(prefix))
    return _TOLD[name]
