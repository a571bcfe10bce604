"""One partition as captioning sees it: what there is to caption, what was said of it so far, and what is wrong with it.

The one reading of the catalog and the crops that selection, asking, estimates and explanations start from.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from dataset_assets.captions.review.findings import judge_captions, review_captions
from dataset_assets.captions.sources import live_sources
from dataset_assets.captions.waterfall import rank_sources
from dataset_assets.catalog.captions import CaptionSource, seated_captions
from dataset_assets.catalog.state import load_pieces
from dataset_assets.dataset import Dataset
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.plan import read_plan
from dataset_assets.stages import Stage
from dataset_assets.storage.parquet import read_table
from dataset_assets.work import condemning

_FACTS = ["slot", "source_sha256", "reason", "spread"]
_UNSEEN: dict[str, str | float | int] = {"source_sha256": "", "reason": "", "spread": 1.0, "shard": -1, "row": -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A partition's samples and captions, as tables.

    `samples` has a row an image of the plan, by slot: slot, id, image_id, bucket_id, source, uri, sidecars, width and
    height of the crop, source_sha256, reason ("" where there is a crop), spread, `shard` and `row` of the crop (-1
    where there is none yet), and `blank`: whether it is left out because there is nothing to see.

    `captions` has a row an image and live caption source: slot, caption_source, status, text, input_version, attempts,
    `current` (it is of the image as it is now), `usable` (it can be selected) and `drop` (a DropReason, "" for none).

    `findings` has a row a finding: slot, caption_source, finding, policy, detail.
    """

    key: str
    samples: pd.DataFrame
    captions: pd.DataFrame
    findings: pd.DataFrame
    sources: dict[int, CaptionSource]
    ranks: dict[int, tuple[int, int]]  # caption source → (selector index, rank); see waterfall.rank_sources


def load_view(dataset: Dataset, key: str) -> View:
    """Return the view of a partition. Raises StorageError where its plan cannot be read, or a file of its crops."""
    partition, settings = Partition.parse(key), dataset.settings
    with dataset.catalog.reading() as connection:
        sources = {one.id: one for one in live_sources(connection, settings.captions)}
        said = seated_captions(connection, partition.bucket_id, partition.slots(settings.shards.shard_size)).to_pandas()
    samples = load_samples(dataset, key)
    captions = said[said["caption_source"].isin(list(sources))].reset_index(drop=True)
    captions["current"] = _is_current(captions, samples, sources)
    review = settings.captions.review
    prompts = {number: (one.system_prompt, one.user_prompt) for number, one in sources.items()}
    findings = review_captions(captions[captions["current"]], review, prompts)
    return View(
        key=key,
        samples=samples,
        captions=_judge(captions, findings),
        findings=findings,
        sources=sources,
        ranks=rank_sources(sources.values(), settings.captions.priority),
    )


def _judge(captions: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame:
    """Return the captions with `usable` and `drop`; what was said of another version of an image decides nothing."""
    judged = judge_captions(captions, findings)
    return judged.assign(
        usable=judged["usable"] & judged["current"], drop=judged["drop"].where(judged["current"], "").astype("str")
    )


def list_rows(samples: pd.DataFrame, wanted: "pd.Series[bool]") -> list[dict[str, Any]]:
    """Return some of a view's samples as records."""
    return [{str(name): value for name, value in row.items()} for row in samples[wanted].to_dict("records")]


def load_samples(dataset: Dataset, key: str) -> pd.DataFrame:
    """Return the samples of a partition, as a view has them; of those whose crops are not made yet, what the plan says.

    Raises StorageError as `load_view` does.
    """
    samples: pd.DataFrame = read_plan(dataset, key).to_pandas()
    samples = samples.rename(columns={"target_w": "width", "target_h": "height"})
    facts = _read_facts(dataset, key)
    if facts is not None:
        samples = samples.merge(facts, on="slot", how="left")
    for name, value in _UNSEEN.items():
        samples[name] = samples[name].fillna(value).astype(type(value)) if name in samples else value
    review = dataset.settings.captions.review
    samples["blank"] = (samples["spread"] < review.blank_spread) & (review.blank_image == "drop")
    return samples


def _read_facts(dataset: Dataset, key: str) -> pd.DataFrame | None:
    """Return what is known of the crops of a partition, and where each is; None where there are none."""
    with dataset.catalog.reading() as connection:
        pieces = load_pieces(connection, Stage.RESIZED_CROPS, key)
    tables = []
    for piece in pieces:
        path = dataset.layout.root / piece.path
        with condemning(dataset, (piece.stage, piece.partition, piece.number), path):
            table = read_table(path, _FACTS)
        rows = pa.array(range(len(table)), pa.int64())
        shard = pa.array([piece.number] * len(table), pa.int64())
        tables.append(table.append_column("shard", shard).append_column("row", rows).to_pandas())
    return pd.concat(tables) if tables else None


def _is_current(captions: pd.DataFrame, samples: pd.DataFrame, sources: dict[int, CaptionSource]) -> pd.Series:
    """Return whether each caption is of the image as it is now.

    A file beside the image is what it is; a model saw one version of the image. Where the image has not been read
    since, or it is not known what a caption was made from, it counts.
    """
    beside = captions["caption_source"].map({number: one.backend == "sidecar" for number, one in sources.items()})
    now = captions["slot"].map(samples.set_index("slot")["source_sha256"]).fillna("")
    made_from = captions["input_version"]
    return beside.astype(bool) | (made_from == "") | (now == "") | (made_from.str.slice(0, 64) == now)
