"""Chosen captions for the tests of what is made of them: the file and the records that their stage leaves."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataset_assets.catalog.state import StageState, load_states, put_state
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.freshness import fingerprint, list_inputs
from dataset_assets.settings import parse_settings
from dataset_assets.stages import Stage
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import writing_table
from dataset_assets.work import Outcome, begin

Texts = Mapping[int, str]


@contextmanager
def opening(folder: Path, **records: Any) -> Iterator[Dataset]:
    """Yield the dataset in a folder, of caption records with these settings."""
    data = {"dataset": {"root": "out"}, "work": {"workers": 2}, "records": {"paths": ["*.jsonl"], **records}}
    with open_dataset(parse_settings(data, folder=folder)) as dataset:
        yield dataset


def choose(dataset: Dataset, captions: Texts, **variants: Texts) -> None:
    """Leave these captions by id as the chosen ones of all ranges; `variants` are texts that have tars of their own.

    Ranges of which nothing has changed are left as they are.
    """
    records = dataset.settings.records
    assert records is not None
    ids = sorted({*captions, *(one for texts in variants.values() for one in texts)})
    columns = {"caption": captions} | {f"text_{name}": texts for name, texts in variants.items()}
    rows = [
        {"id": one, "tar": one % records.modulus, **{name: texts.get(one, "") for name, texts in columns.items()}}
        for one in ids
    ]
    of_range = {key: [row for row in rows if row["tar"] in tars] for key, tars in records.ranges.items()}
    with dataset.catalog.writing() as connection:
        inputs = list_inputs(dataset.settings, load_states(connection), Stage.CAPTION_RECORDS)
        digests = {key: fingerprint(some) for key, some in of_range.items()}
        state = StageState(
            stage=Stage.CAPTION_RECORDS, fingerprint=fingerprint(inputs), output="", report={"digests": digests}
        )
        put_state(connection, state)
    for key, some in of_range.items():
        _choose_range(dataset, key, some, list(columns))


def _choose_range(dataset: Dataset, key: str, rows: list[dict[str, Any]], columns: list[str]) -> None:
    work = begin(dataset, Stage.RECORD_CAPTIONS, key)
    if isinstance(work, Outcome):
        return
    tars: dict[int, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["tar"], row["id"])):
        tars.setdefault(row["tar"], []).append(row)
    path = dataset.layout.record_captions(key)
    write_chosen(path, tars.values(), columns)
    digests = {
        kind: {str(tar): _digest([(row["id"], row[column]) for row in some]) for tar, some in tars.items()}
        for kind, column in [("captions", "caption"), *((name.removeprefix("text_"), name) for name in columns[1:])]
    }
    work.put(path, made_from="", output="", facts={"tars": digests, "records": len(rows), "by_source": {}})
    work.finish(output=fingerprint(digests), report={"records": len(rows)})


def _digest(texts: list[tuple[int, str]]) -> str:
    return sha256(repr(texts).encode()).hexdigest()


def write_chosen(path: Location, groups: Iterable[list[dict[str, Any]]], columns: Iterable[str]) -> None:
    """Write a table of chosen captions: a row group for each of `groups`."""
    schema = pa.schema([("id", pa.int64()), ("tar", pa.int32()), *((name, pa.large_string()) for name in columns)])
    with writing_table(path, schema, compression="none", ranged=["id", "tar"], repeating=["tar"]) as table:
        for rows in groups:
            table.write_table(pa.Table.from_pylist(rows, schema=schema))
