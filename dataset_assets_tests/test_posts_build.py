"""Caption records from files to tars and trainer metadata, by `dataset-assets build`, as a person runs it."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_assets_tests.commands import alive, artifacts, children_of, run, start, wait_for
from dataset_assets_tests.posts.given import post, write_posts

IDS = 4_442  # a thousandth of the published card's
WITHOUT_CAPTION = 178
WITHOUT_LATENT = 3
PARTIAL, TAGS, EMPTY = (
    300,
    900,
    78,
)  # captions of a part only, of tags, and of nothing; the other hundred have no record
LOG = f"ids: {IDS}, missing tags: 0, missing caption: {WITHOUT_CAPTION}, missing latent: {WITHOUT_LATENT}"
SETTINGS = """\
[dataset]
name = "posts"
root = "out"
[records]
paths = ["captions/*.jsonl*"]
modulus = 50
padding = 4
tars_per_partition = 10
text_tars = ["tags"]
[trainer]
ids = "meta_lat.json"
tags = "meta_lat.json"
latents = "meta_lat.json"
[work]
workers = 2
"""


def write_all(folder: Path) -> None:
    """Write a year of records, the metadata of their latents, and the settings."""
    posts = []
    for number in range(IDS - (WITHOUT_CAPTION - EMPTY)):
        tags = f"tag_{number % 17} tag_{number % 5}"
        regular, brief = f"A picture, number {number}.\n\nIt shows a fox.", f"Fox {number}"
        if number < PARTIAL:
            posts.append(post(7 * number, regular, None, tags))
        elif number < PARTIAL + TAGS:
            posts.append(post(7 * number, regular, brief, tags, "MAX_TOKENS"))
        elif number < PARTIAL + TAGS + EMPTY:
            posts.append(post(7 * number, " ", "\n", None))
        else:
            posts.append(post(7 * number, regular, brief, tags))
    ending = (".jsonl", ".jsonl.gz", ".jsonl.zst")
    for month in range(12):
        write_posts(folder / "captions" / f"2024-{month + 1:02d}_grouped{ending[month % 3]}", posts[month::12])
    latents = {str(7 * number): {"tags": f"tag {number}", "train_resolution": [1024, 768]} for number in range(IDS)}
    for number in range(WITHOUT_LATENT):
        del latents[str(7 * number)]["train_resolution"]
    (folder / "meta_lat.json").write_text(json.dumps(latents))
    (folder / "dataset.toml").write_text(SETTINGS)


@pytest.fixture(scope="module")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    write_all(folder)
    done = run(folder, "build")
    assert done.returncode == 0, done.stderr
    assert LOG in done.stdout
    return folder


@pytest.fixture
def folder(_built: Path, tmp_path: Path) -> Path:
    """A folder with a year of records, all built, for the test alone."""
    return Path(shutil.copytree(_built, tmp_path / "built"))


def load(folder: Path, name: str) -> dict[str, object]:
    said = json.loads((folder / "out/trainer" / name).read_bytes())
    assert isinstance(said, dict)
    return said


def test_the_log_is_the_cards_and_every_text_has_its_source(folder: Path) -> None:
    said = json.loads(run(folder, "build", "--json").stdout)

    whole = IDS - WITHOUT_CAPTION - PARTIAL - TAGS
    assert said["trainer"]["log"] == LOG
    assert said["trainer"]["missing"] == {"tags": 0, "caption": WITHOUT_CAPTION, "latent": WITHOUT_LATENT}
    assert said["trainer"]["sources"] == {
        "summary": whole,
        "tags": TAGS + WITHOUT_CAPTION,
        "summary:partial": PARTIAL,
    }
    records = said["records"]
    assert (records["files"], records["rows"], records["ids"]) == (12, IDS - 100, IDS - 100)
    assert records["sources"] == {"summary": whole, "tags": TAGS, "summary:partial": PARTIAL, "empty": EMPTY}
    assert records["tars"] == {"captions": IDS - WITHOUT_CAPTION, "tags": IDS - WITHOUT_CAPTION}
    assert records["dropped"] == records["noted"] == {}
    missing = load(folder, "missing.json")
    assert {name: len(ids) for name, ids in missing.items() if isinstance(ids, list)} == said["trainer"]["missing"]
    merged = load(folder, "meta_merged.json")
    assert len(merged) == IDS
    assert merged["7"] == {"tags": "tag 1", "caption": "A picture, number 1. It shows a fox."}
    assert merged[str(7 * (IDS - 1))] == {
        "tags": f"tag {IDS - 1}",
        "caption": f"tag {IDS - 1}",  # it has no record: its tags stand in
        "train_resolution": [1024, 768],
        "image_size": [1024, 768],
    }


def test_with_nothing_to_do_nothing_is_written(folder: Path) -> None:
    before = artifacts(folder / "out")

    assert run(folder, "build").returncode == 0

    assert artifacts(folder / "out") == before
    said = json.loads(run(folder, "status", "--json").stdout)
    assert {row["stage"]: row["state"] for row in said} == dict.fromkeys(
        ("caption_records", "record_captions", "captions_1ktar", "trainer_metadata"), "fresh"
    )
    assert len(said) == 1 + 5 + 5 + 1


def test_a_new_file_touches_only_the_tars_of_its_ids(folder: Path) -> None:
    before = artifacts(folder / "out")
    write_posts(
        folder / "captions" / "2025-01_grouped.jsonl", [post(7, "New.", tags="t"), post(100_003, "Other.", tags="t")]
    )

    done = run(folder, "build")

    assert done.returncode == 0, done.stderr
    after = artifacts(folder / "out")
    assert after.keys() >= before.keys()
    changed = {name for name in after if before.get(name) != after[name]}
    assert {name for name in changed if name.startswith("export_1k/")} == {
        f"export_1k/{kind}/{tar}.{ending}"
        for kind in ("captions", "tags")
        for tar in ("0003", "0007")
        for ending in ("tar", "json")
    }
    assert {name for name in changed if name.startswith("records/captions/")} == {
        "records/captions/0000-0009.parquet",
        "records/captions/0000-0009.faults.jsonl",
    }
    assert len([name for name in changed if name.startswith("records/parsed/")]) == 1
    assert "trainer/meta_merged.json" in changed


def test_the_tars_are_verified(folder: Path) -> None:
    export = folder / "out" / "export_1k"
    good = run(folder, "verify", export)
    tar = export / "captions" / "0007.tar"
    data = bytearray(tar.read_bytes())
    data[515] ^= 1
    tar.write_bytes(data)

    bad = run(folder, "verify", export / "captions", "--json")

    assert good.returncode == 0, good.stderr
    assert good.stdout.startswith(f"ok: {2 * (IDS - WITHOUT_CAPTION):,} samples in 100 files, ")
    assert bad.returncode == 1
    assert {fault["file"] for fault in json.loads(bad.stdout)["faults"]} == {"0007.json"}


def digests(folder: Path) -> dict[str, str]:
    return {name: digest for name, (digest, _) in artifacts(folder / "out").items()}


def has(folder: Path, pattern: str, count: int) -> Callable[[], bool]:
    return lambda: len(list(folder.glob(pattern))) >= count


@pytest.mark.slow
def test_killed_again_and_again_it_ends_in_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    anew = tmp_path / "anew"
    write_all(anew)
    out = anew / "out"
    moments = [
        has(out, "records/parsed/*.parquet", 1),
        has(out, "records/parsed/*.parquet", 9),
        has(out, "records/captions/*.parquet", 2),
        has(out, "export_1k/captions/*.tar", 1),
        has(out, "export_1k/*/*.tar", 70),
        has(out, "trainer/.*", 1),
        has(out, "trainer/*", 2),
    ]
    for reached in moments:
        build = start(anew, "build", log=tmp_path / "log.txt")
        wait_for(lambda now=reached, child=build: now() or child.poll() is not None, every=0.001)  # type: ignore[misc]
        below = children_of(build.pid)
        os.kill(build.pid, signal.SIGKILL)
        build.wait()
        wait_for(lambda of=below: not any(map(alive, of)))  # type: ignore[misc]

    done = run(anew, "build")

    assert done.returncode == 0, done.stderr
    assert LOG in done.stdout
    assert digests(anew) == digests(folder)


@pytest.mark.slow
def test_an_export_of_images_has_metadata_too(built: Path) -> None:
    (built / "dataset.toml").write_text(
        '[dataset]\nroot = "out"\n[[sources]]\npath = "raw"\n[buckets]\nbase_resolutions = [64]\ndivisible = 8\n'
        "[shards]\nshard_size = 4\nshards_per_partition = 2\n[trainer]\n[work]\nworkers = 1\n"
    )

    done = run(built, "build", "--json")

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["counts"]["images_exported"] == 20
    assert said["trainer"]["log"] == "ids: 20, missing tags: 20, missing caption: 10, missing latent: 0"
    merged = load(built, "meta_merged.json")
    assert len(merged) == 20
    assert all(len(key) == 64 for key in merged)
