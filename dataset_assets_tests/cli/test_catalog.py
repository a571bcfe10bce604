import tomllib
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import URL

from dataset_assets.dataset import open_dataset
from dataset_assets.settings import load_settings
from dataset_assets_tests.commands import run, write_settings
from dataset_assets_tests.datasets import LANDSCAPE, add_photo, add_photos, build_library
from dataset_assets_tests.postgres import GUARDED, PASSWORD, Server

SECRETS = [PASSWORD.encode(), quote(PASSWORD, safe="").encode(), quote(PASSWORD, safe=" +").encode()]


@pytest.fixture
def guarded(postgres: URL, postgres_server: Server) -> str:
    """The URL of an empty database for which a password is needed, which is in it."""
    url = postgres_server.url(str(postgres.database), user=GUARDED, password=PASSWORD)
    return url.render_as_string(hide_password=False)


def told(printed: str) -> str:
    """Return the URL that is to be written into the settings."""
    (line,) = (line for line in printed.splitlines() if "dataset.toml" in line)
    return str(tomllib.loads(line.partition("[dataset]: ")[2])["catalog"])


def test_a_dataset_moves_to_a_server_and_back_and_the_password_is_nowhere(tmp_path: Path, guarded: str) -> None:
    add_photos(tmp_path, 6)
    with open_dataset(load_settings(write_settings(tmp_path))) as dataset:
        build_library(dataset)

    there = run(tmp_path, "catalog", "copy", "--to", guarded)

    assert there.returncode == 0, there.stderr
    assert "images: 6 rows\n" in there.stdout
    assert told(there.stdout) == guarded.replace(quote(PASSWORD, safe=" +"), "***")
    assert there.stdout.endswith(
        "put the password in place of ***, or leave :*** out and set PGPASSWORD, or write ~/.pgpass\n"
    )
    (tmp_path / "out" / "dataset.sqlite").unlink()
    write_settings(tmp_path, catalog=guarded)
    add_photo(tmp_path, "more.jpg", LANDSCAPE, seed=99)
    built = run(tmp_path, "build")
    assert built.returncode == 0, built.stderr
    status = run(tmp_path, "status", "--json")

    back = run(tmp_path, "catalog", "copy", "--to", f"sqlite:///{tmp_path}/back.sqlite")

    assert told(back.stdout) == f"sqlite:///{tmp_path}/back.sqlite"
    config = write_settings(tmp_path, catalog=told(back.stdout))
    assert run(tmp_path, "status", "--json").stdout == status.stdout
    assert "fresh" in status.stdout
    with open_dataset(load_settings(config)) as dataset, dataset.catalog.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM slots").scalar_one() == 7
    said = "".join(one.stdout + one.stderr for one in (there, built, status, back)).encode()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert not any(secret in said + kept for secret in SECRETS)


def test_a_database_with_something_in_it_is_refused_with_exit_code_1(tmp_path: Path, guarded: str) -> None:
    write_settings(tmp_path)
    add_photos(tmp_path, 1)
    with open_dataset(load_settings(tmp_path / "dataset.toml")) as dataset, dataset.catalog.writing() as connection:
        connection.exec_driver_sql("INSERT INTO buckets VALUES ('a', 1)")
    assert run(tmp_path, "catalog", "copy", "--to", guarded).returncode == 0

    again = run(tmp_path, "catalog", "copy", "--to", guarded)

    assert again.returncode == 1
    assert again.stderr.splitlines()[-1].startswith("error: catalog postgresql://guarded:***@/")
    assert "it is not empty (buckets); a copy needs a database with nothing in it" in again.stderr
    assert not any(secret.decode() in again.stdout + again.stderr for secret in SECRETS)


@pytest.mark.parametrize("url", ["somewhere.sqlite", "mysql://me:s3cret@host/x"])
def test_a_target_that_is_no_catalog(tmp_path: Path, url: str) -> None:
    write_settings(tmp_path)
    (tmp_path / "raw").mkdir()

    said = run(tmp_path, "catalog", "copy", "--to", url)

    assert said.returncode == 1
    assert "allowed: postgresql://user@host/database, or sqlite:////absolute/path" in said.stderr
    assert "s3cret" not in said.stderr + said.stdout


def test_a_build_says_what_is_wrong_with_a_password_in_one_line(tmp_path: Path, guarded: str) -> None:
    add_photos(tmp_path, 1)
    write_settings(tmp_path, catalog=guarded.replace("s3cret", "wr0ng"))

    said = run(tmp_path, "build")

    assert said.returncode == 1
    (line,) = said.stderr.splitlines()
    assert line.startswith("error: catalog postgresql://guarded:***@/")
    assert 'password authentication failed for user "guarded": set it in the URL of dataset.catalog' in line
    assert "wr0ng" not in said.stderr + said.stdout
