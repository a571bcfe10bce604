import glob
from pathlib import Path

import pytest

from dataset_assets.storage.patterns import cut_pattern, fits

PATHS = [
    "a.jsonl",
    "b.jsonl.gz",
    ".a.jsonl",
    "x/a.jsonl",
    "x/y/a.jsonl",
    ".x/a.jsonl",
    "x/.y/a.jsonl",
    "a1.jsonl",
    "[a].jsonl",
]


@pytest.mark.parametrize(
    "pattern",
    ["*", "*.jsonl", "**/*.jsonl", "**", "x/**/a.jsonl", "*/*.jsonl", "a?.jsonl", "[!b]*.jsonl", ".*", "**/.y/*",
     "[[]a].jsonl", "a.jsonl", "**/**/a.jsonl", ".x/*", "**a.jsonl"],
)  # fmt: skip
def test_a_pattern_means_what_it_means_on_a_disk(tmp_path: Path, pattern: str) -> None:
    for name in PATHS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = glob.glob(pattern, root_dir=tmp_path, recursive=True)  # noqa: PTH207
    on_disk = {one for one in found if (tmp_path / one).is_file()}

    assert {name for name in PATHS if fits(name.split("/"), pattern.split("/"))} == on_disk
    assert on_disk


@pytest.mark.parametrize(
    ("url", "folder", "wanted"),
    [
        ("s3://b/c/*.jsonl", "s3://b/c", ["*.jsonl"]),
        ("s3://b/a.jsonl", "s3://b", ["a.jsonl"]),
        ("s3://b/c/d/a.jsonl", "s3://b/c/d", ["a.jsonl"]),
        ("s3://b/c/*/d/a.jsonl", "s3://b/c", ["*", "d", "a.jsonl"]),
        ("s3://b/**/?.jsonl", "s3://b", ["**", "?.jsonl"]),
        ("s3://b", "s3://b", []),
    ],
)
def test_a_url_is_cut_where_names_are_no_longer_known(url: str, folder: str, wanted: list[str]) -> None:
    assert cut_pattern(url) == (folder, wanted)
