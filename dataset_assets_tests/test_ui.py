"""`dataset-assets ui` as a person leaves it running: what happens in the source folder is in the export, by itself."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from dataset_assets.progress import Silence
from dataset_assets.shards.tar import TarReader
from dataset_assets.shards.verify import verify
from dataset_assets_tests.commands import alive, children_of, start, wait_for, write_settings
from dataset_assets_tests.datasets import LANDSCAPE, add_photo, add_photos

WIDE = ("p1216x832_000000-000001", "p1216x832_000002-000003")
PARTITION = ("dagster/partition", "dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
MATERIALIZED = '{ assetNodes(assetKeys: [{path: ["manifest"]}]) { assetMaterializations { runId } } }'
RUNS = "{ runsOrError { ... on Runs { results { jobName status tags { key value } } } } }"


class Daemon:
    """A running `dataset-assets ui`, asked through the API that its page uses."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, query: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self.port}/graphql?{urlencode({'query': query})}", timeout=60) as answer:
            return json.load(answer)["data"]

    def releases(self) -> int:
        """Return how often the manifest was materialized; 0 while the server is starting."""
        with suppress(OSError):
            return sum(len(node["assetMaterializations"]) for node in self.ask(MATERIALIZED)["assetNodes"])
        return 0

    def runs(self) -> list[tuple[str, ...]]:
        """Return job and partitions of every run, the oldest first; all of them succeeded."""
        results = self.ask(RUNS)["runsOrError"]["results"]
        assert {run["status"] for run in results} == {"SUCCESS"}
        return [
            (run["jobName"], *(tag["value"] for tag in run["tags"] if tag["key"] in PARTITION)) for run in results[::-1]
        ]


@contextmanager
def running(folder: Path) -> Iterator[Daemon]:
    """Yield the UI of the dataset in `folder`; when the block ends it is ended, and nothing of it is left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start(folder, "ui", "--port", port, log=folder / "log.txt")
    try:
        yield Daemon(port)
        below = children_of(process.pid)
        assert below
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        wait_for(lambda: not any(map(alive, below)))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def exported(folder: Path) -> dict[str, str]:
    """Return the hash of the source of every sample that the manifest's tars hold, by image_id; {} before the first."""
    manifest = folder / "out" / "export" / "manifest.json"
    if not manifest.exists():
        return {}
    found: dict[str, str] = {}
    for bucket in json.loads(manifest.read_bytes())["buckets"].values():
        for shard in bucket["shards"]:
            with suppress(OSError), (manifest.parent / shard["path"]).open("rb") as file:
                samples = [json.loads(member.data) for member in TarReader(file) if member.name.endswith(".json")]
                found |= {sample["image_id"]: sample["source_sha256"] for sample in samples}
    return found


def sources(folder: Path) -> dict[str, str]:
    paths = sorted((folder / "raw").glob("*.jpg"))
    hashes = subprocess.run(["sha256sum", *paths], capture_output=True, text=True, check=True).stdout
    return {path.name: line[:64] for path, line in zip(paths, hashes.splitlines(), strict=True)}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_happens_in_the_source_folder_is_in_the_export_by_itself(tmp_path: Path) -> None:
    config = write_settings(tmp_path)
    config.write_text(config.read_text() + "[automation]\ninterval_seconds = 5\nsettle_seconds = 1\n")
    add_photos(tmp_path)

    with running(tmp_path) as daemon:

        def wait_until_released(times: int) -> list[tuple[str, ...]]:
            """Return the runs since then once the manifest was written so often and names what the source holds."""
            wait_for(lambda: daemon.releases() >= times and exported(tmp_path) == sources(tmp_path), every=1)
            wait_for(lambda: all(run["status"] == "SUCCESS" for run in daemon.ask(RUNS)["runsOrError"]["results"]))
            assert daemon.releases() == times
            report = verify(tmp_path / "out" / "export", workers=1, progress=Silence())
            assert report.ok, report.faults
            return daemon.runs()[3 * (times - 1) :]

        index, (job, *span), release = wait_until_released(1)
        assert (index, job, release) == (("index",), "partitions", ("release",))
        assert len(span) == 2

        add_photo(tmp_path, "new.jpg", LANDSCAPE, seed=77, caption="new")
        assert wait_until_released(2) == [("index",), ("partitions", WIDE[1]), ("release",)]

        add_photo(tmp_path, "000.jpg", LANDSCAPE, seed=78)
        assert wait_until_released(3) == [("index",), ("partitions", WIDE[0]), ("release",)]

        (tmp_path / "raw" / "new.jpg").unlink()
        assert wait_until_released(4) == [("index",), ("partitions", WIDE[1]), ("release",)]
