from pathlib import Path

import pytest
import yaml

from dataset_assets.errors import StorageError
from dataset_assets.storage.home import prepare_dagster_home
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.objects import ObjectPath


def test_the_datasets_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)

    home = prepare_dagster_home(Layout(tmp_path / "root"))

    assert home == tmp_path / "root" / ".dagster"
    assert yaml.safe_load((home / "dagster.yaml").read_text())["telemetry"] == {"enabled": False}


def test_dagster_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "mine"))

    assert prepare_dagster_home(Layout(tmp_path / "root")) == tmp_path / "mine"
    assert (tmp_path / "mine" / "dagster.yaml").is_file()
    assert not (tmp_path / "root").exists()


def test_an_empty_dagster_home_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")

    assert prepare_dagster_home(Layout(tmp_path)) == tmp_path / ".dagster"


def test_a_persons_own_dagster_yaml_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("# mine\n")

    prepare_dagster_home(Layout(tmp_path / "root"))

    assert (tmp_path / "dagster.yaml").read_text() == "# mine\n"


def test_a_home_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "file" / "home"))

    with pytest.raises(StorageError, match=r"cannot make Dagster's folder .*/file/home: Not a directory"):
        prepare_dagster_home(Layout(tmp_path))


def test_a_home_of_another_dataset_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    (tmp_path / "one").mkdir()
    prepare_dagster_home(Layout(tmp_path / "one"))

    assert prepare_dagster_home(Layout(tmp_path / "one")) == tmp_path / "home"
    with pytest.raises(StorageError, match=f"holds the runs of the dataset in {tmp_path / 'one'}"):
        prepare_dagster_home(Layout(tmp_path / "two"))


def test_a_dataset_that_was_moved_takes_its_home_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    prepare_dagster_home(Layout(tmp_path / "one"))
    moved = (tmp_path / "one").rename(tmp_path / "two")

    assert prepare_dagster_home(Layout(moved)) == moved / ".dagster"


@pytest.mark.parametrize("name", ["what?", "a%20b"])
def test_a_path_that_dagster_would_misread_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)

    with pytest.raises(StorageError, match="set DAGSTER_HOME to another folder"):
        prepare_dagster_home(Layout(tmp_path / name))
    assert not (tmp_path / name).exists()


def test_roots_in_object_stores_keep_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (Layout(ObjectPath(f"s3://bucket/{name}"), tmp_path / name) for name in ("one", "other"))
    assert prepare_dagster_home(one) == tmp_path / "one" / ".dagster"
    assert prepare_dagster_home(other) == tmp_path / "other" / ".dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "shared"))
    prepare_dagster_home(one)
    prepare_dagster_home(one)

    with pytest.raises(StorageError, match="holds the runs of the dataset in s3://bucket/one: set DAGSTER_HOME"):
        prepare_dagster_home(other)
