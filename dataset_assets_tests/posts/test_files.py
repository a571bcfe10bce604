import os
import time
from pathlib import Path

import pytest

from dataset_assets.errors import SourceError
from dataset_assets.posts import files
from dataset_assets.posts.files import are_settled, list_files
from dataset_assets.settings import parse_settings
from dataset_assets_tests.posts.given import settings_for, write_posts


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def names_of(folder: Path, *paths: str) -> list[str]:
    return [file.name for file in list_files(settings_for(folder, *paths))]


def test_files_come_pattern_by_pattern_and_by_path_in_each(tmp_path: Path) -> None:
    make(tmp_path, "b.jsonl", "a.jsonl", "more/c.jsonl.gz", "more/deep/d.parquet", "fixes.jsonl.zst")

    assert names_of(tmp_path, "*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert names_of(tmp_path, "more/**/*", "b.jsonl", "*.jsonl", "fixes.jsonl.zst") == [
        "more/c.jsonl.gz",
        "more/deep/d.parquet",
        "b.jsonl",
        "a.jsonl",
        "fixes.jsonl.zst",
    ]


def test_a_file_is_named_as_the_settings_folder_sees_it(tmp_path: Path) -> None:
    folder, beside = tmp_path / "set", tmp_path / "beside"
    make(folder, "in.jsonl")
    make(beside, "out.jsonl")

    assert names_of(folder, "in.jsonl", f"{beside}/*.jsonl") == ["in.jsonl", f"{beside}/out.jsonl"]
    assert names_of(folder, f"{folder}/in.jsonl") == ["in.jsonl"]


def test_the_characters_of_patterns_in_names_are_no_patterns(tmp_path: Path) -> None:
    folder = tmp_path / "[set] *"
    make(folder, "a[1].jsonl", "a1.jsonl")

    assert names_of(folder, "a[1].jsonl") == ["a[1].jsonl"]
    assert names_of(folder, "a?.jsonl") == ["a1.jsonl"]


def test_hidden_files_are_left_alone(tmp_path: Path) -> None:
    make(tmp_path, ".a.jsonl", "a.jsonl", ".hidden/b.jsonl")

    assert names_of(tmp_path, "**/*.jsonl") == ["a.jsonl"]


def test_folders_and_pipes_are_no_files(tmp_path: Path) -> None:
    make(tmp_path, "x.jsonl/y.jsonl")
    os.mkfifo(tmp_path / "z.jsonl")

    with pytest.raises(SourceError, match=r"\*.jsonl matches no file"):
        names_of(tmp_path, "*.jsonl")


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl")

    with pytest.raises(SourceError, match=r"^records: 2024-\*\.jsonl matches no file; paths under \[records\]"):
        names_of(tmp_path, "a.jsonl", "2024-*.jsonl")


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "notes.txt")

    with pytest.raises(SourceError, match=r"notes\.txt is matched by \*; allowed: \*\.jsonl, .*\*\.parquet$"):
        names_of(tmp_path, "*")


def test_settings_without_records_are_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"add \[records\] with paths"):
        list_files(parse_settings({}, folder=tmp_path))


def test_a_file_keeps_its_number_when_others_come_and_go(tmp_path: Path) -> None:
    make(tmp_path, "b.jsonl", "c.jsonl")
    before = {file.name: (file.number, file.stem) for file in list_files(settings_for(tmp_path))}
    make(tmp_path, "a.jsonl", "d.jsonl")

    after = {file.name: (file.number, file.stem) for file in list_files(settings_for(tmp_path))}

    assert {name: after[name] for name in before} == before
    assert len({number for number, _ in after.values()}) == 4
    assert all(0 <= number < 2**31 for number, _ in after.values())


def test_numbers_that_collide_move_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BITS", 2)
    make(tmp_path, *(f"{name}.jsonl" for name in "abcd"))

    assert sorted(file.number for file in list_files(settings_for(tmp_path))) == [0, 1, 2, 3]


def test_a_link_that_leads_nowhere_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "gone.jsonl")

    (file,) = list_files(settings_for(tmp_path))

    assert (file.name, file.size, file.stamp) == ("a.jsonl", -1, 0)


def test_files_are_settled_when_none_has_changed_just_now(tmp_path: Path) -> None:
    for name, age in (("a.jsonl", 3600), ("b.jsonl", 60)):
        moment = time.time() - age
        write_posts(tmp_path / name, [])
        os.utime(tmp_path / name, (moment, moment))
    files = list_files(settings_for(tmp_path))

    assert are_settled(files, 30)
    assert not are_settled(files, 600)
    assert are_settled([], 600)
