from collections import Counter
from pathlib import Path

import pytest

from dataset_assets.demo import CAPTIONS, make_demo
from dataset_assets.settings import load_settings
from dataset_assets.sources.folder import FolderSource

pytest.importorskip("skimage")


def test_the_demo_is_photographs_captions_and_settings(tmp_path: Path) -> None:
    assert make_demo(tmp_path / "demo") == len(CAPTIONS)

    settings = load_settings(tmp_path / "demo" / "dataset.toml")
    source = FolderSource(path=settings.resolve(settings.sources[0].path))
    ignored: Counter[str] = Counter()
    listed = {one.image_id: one for one in source.list_images(ignored)}
    assert not ignored
    assert listed.keys() == CAPTIONS.keys()
    assert all(one.fault is None and one.size for one in listed.values())
    assert {name for name, one in listed.items() if one.sidecars} == {name for name, text in CAPTIONS.items() if text}


def test_what_a_person_changed_stays(tmp_path: Path) -> None:
    make_demo(tmp_path)
    (tmp_path / "dataset.toml").write_text("# mine\n")
    (tmp_path / "raw" / "coffee.txt").write_text("tea\n")
    (tmp_path / "raw" / "coins.png").unlink()

    make_demo(tmp_path)

    assert (tmp_path / "dataset.toml").read_text() == "# mine\n"
    assert (tmp_path / "raw" / "coffee.txt").read_text() == "tea\n"
    assert (tmp_path / "raw" / "coins.png").is_file()
