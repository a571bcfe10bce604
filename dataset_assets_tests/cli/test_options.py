from pathlib import Path

import click
import pytest

from dataset_assets.cli.options import Folder


def test_a_folder_may_be_named_by_its_url(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()

    assert Folder().convert(folder.as_uri(), None, None) == folder


@pytest.mark.parametrize("name", ["none", "file.txt"])
def test_a_url_of_what_is_no_folder_is_refused_as_a_path_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").touch()
    path = tmp_path / name

    said = []
    for given in (str(path), path.as_uri()):
        with pytest.raises(click.BadParameter) as raised:
            Folder().convert(given, None, None)
        said.append(raised.value.message)

    assert said[0] == said[1]
    assert str(path) in said[0]


def test_a_place_in_a_store_is_not_looked_at() -> None:
    assert str(Folder().convert("memory://bucket/folder", None, None)) == "memory://bucket/folder"


@pytest.mark.parametrize("url", ["http://example.org/export", "file://host/export"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(click.BadParameter, match="allowed: "):
        Folder().convert(url, None, None)
