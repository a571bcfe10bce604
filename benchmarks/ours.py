"""Parts of dataset-assets, each run in a process of its own and measured from outside; JSON is the last line printed.

    python benchmarks/ours.py {prepare,scan,crops,build} dataset.toml
    python benchmarks/ours.py {verify,hash} EXPORT

Worker processes import this module, too: at its top it imports nothing that takes time.
"""

import json
import multiprocessing
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from hashlib import file_digest
from pathlib import Path
from typing import Any

WORKERS = 2

BEGAN = time.monotonic()


def scan(config: Path) -> dict[str, Any]:
    """Scan the sources into an empty catalog."""
    from dataset_assets.dataset import open_dataset
    from dataset_assets.settings import load_settings
    from dataset_assets.sources.scan import scan_sources

    with open_dataset(load_settings(config)) as dataset:
        started = time.monotonic()
        report = scan_sources(dataset).report
        return {"images": report["usable"], "seconds": time.monotonic() - started}


def prepare(config: Path) -> dict[str, Any]:
    """Do all that comes before the crops."""
    from dataset_assets.buckets.assign import assign_buckets
    from dataset_assets.dataset import open_dataset
    from dataset_assets.settings import load_settings
    from dataset_assets.sources.scan import scan_sources

    with open_dataset(load_settings(config)) as dataset:
        scan_sources(dataset)
        report = assign_buckets(dataset).outcome.report
        return {"images": report["assigned"], "buckets": len(report["buckets"])}


def crops(config: Path) -> dict[str, Any]:
    """Make the crops of all partitions; the CPU seconds before that are told, so that they can be left out."""
    from dataset_assets.dataset import open_dataset
    from dataset_assets.images.crops import make_crops
    from dataset_assets.settings import load_settings
    from dataset_assets.shards.plan import list_plans

    with open_dataset(load_settings(config)) as dataset:
        keys = list(list_plans(dataset))
        before, started = time.process_time(), time.monotonic()
        reports = [outcome.report for outcome in make_crops(dataset, keys).values()]
        seconds = time.monotonic() - started
    made = sum(report["crops"] for report in reports)
    return {"images": made, "seconds": seconds, "cpu_before": before, "bytes": sum(one["bytes"] for one in reports)}


def build(config: Path) -> dict[str, Any]:
    """Run `dataset-assets build` and time the functions of the library that the Dagster layer and the command call."""
    from dataset_assets.cli import main
    from dataset_assets.release.manifest import load_manifest
    from dataset_assets.settings import load_settings
    from dataset_assets.storage.layout import Layout

    spent = time_library()
    ready = time.monotonic()
    if code := main(["build", "--config", str(config)], standalone_mode=False):
        raise SystemExit(code)
    ended = time.monotonic()
    layout = Layout(load_settings(config).root)
    manifest = load_manifest(layout.manifest)
    return {
        "images": manifest["summary"]["images_exported"],
        "buckets": len(manifest["buckets"]),
        "seconds": ended - BEGAN,
        "startup": ready - BEGAN,
        "stages": dict(spent),
    }


def time_library() -> dict[str, float]:
    """Let every call from the Dagster layer into the library be timed; the seconds by name come in while they run.

    Those are the functions that modules of `dataset_assets.defs` import from elsewhere in the package, and the contact
    sheet, which the command draws. Of calls inside each other the outermost counts, so that nothing counts twice; what
    threads do meanwhile is not on the wall.
    """
    from dataset_assets.cli.imports import kept_imports

    with kept_imports():  # as the command does
        import dataset_assets.defs.graph
        import dataset_assets.previews.contact
        from dataset_assets.defs import build as _  # noqa: F401

    spent: dict[str, float] = defaultdict(float)
    running: list[str] = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if running or threading.current_thread() is not threading.main_thread():
                return function(*args, **kwargs)
            running.append(function.__name__)
            started = time.monotonic()
            try:
                return function(*args, **kwargs)
            finally:
                spent[function.__name__] += time.monotonic() - started
                running.pop()

        return call

    for name, module in sorted(sys.modules.items()):
        if name.startswith("dataset_assets.defs."):
            for label, value in list(vars(module).items()):
                if _is_library(value):
                    setattr(module, label, timed(value))
    preview: Any = dataset_assets.previews.contact
    preview.write_sheet = timed(preview.write_sheet)
    return spent


def _is_library(value: object) -> bool:
    name = getattr(value, "__module__", None) or ""
    return (
        callable(value)
        and not isinstance(value, type)
        and name.startswith("dataset_assets.")
        and not name.startswith("dataset_assets.defs.")
    )


def verify(export: Path) -> dict[str, Any]:
    """Verify an export."""
    from dataset_assets.progress import Silence
    from dataset_assets.shards.verify import verify as verify_export

    started = time.monotonic()
    report = verify_export(export, workers=WORKERS, progress=Silence())
    seconds = time.monotonic() - started
    if not report.ok:
        raise SystemExit("\n".join(map(str, report.faults[:10])))
    return {"images": report.samples, "bytes": report.bytes, "seconds": seconds}


def hash_tars(export: Path) -> dict[str, Any]:
    """Take the SHA-256 of every tar, with both cores and nothing else: the limit of verifying."""
    tars = sorted(export.rglob("*.tar"), key=lambda path: -path.stat().st_size)
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        pool.map(len, [""] * WORKERS)  # they have started
        started = time.monotonic()
        sizes = list(pool.imap_unordered(hash_file, tars))
        seconds = time.monotonic() - started
    return {"images": 0, "bytes": sum(sizes), "seconds": seconds}


def hash_file(path: Path) -> int:
    """Return how many bytes of a file were hashed."""
    with path.open("rb") as file:
        file_digest(file, "sha256").hexdigest()
        return file.tell()


PARTS = {"scan": scan, "prepare": prepare, "crops": crops, "build": build, "verify": verify, "hash": hash_tars}

if __name__ == "__main__":
    print(json.dumps(PARTS[sys.argv[1]](Path(sys.argv[2]))))
