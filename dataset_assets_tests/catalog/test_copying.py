from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, select

from dataset_assets.catalog import copying
from dataset_assets.catalog.captions import SourceIdentity, list_sources, record_answers, register_source
from dataset_assets.catalog.copying import TABLES, copy_catalog
from dataset_assets.catalog.database import Catalog, sqlite_url
from dataset_assets.catalog.images import insert_images
from dataset_assets.catalog.near import replace_groups
from dataset_assets.catalog.slots import take_slots
from dataset_assets.catalog.state import Piece, StageState, put_piece, put_state
from dataset_assets.errors import CatalogError
from dataset_assets.progress import Silence
from dataset_assets_tests.captions.captioned import answer
from dataset_assets_tests.catalog.rows import add_images, image

TEXT = 'tab\t, line\nbreak\r, "quotes", back\\slash, \\N, \\., ünïcode 😀, '


class Count(Silence):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.total, self.done = 0, 0

    def start(self, stage: str, total: int | None, unit: str) -> None:
        assert (stage, unit) == ("catalog copy", "rows")
        self.total = total or 0

    def advance(self, count: int) -> None:
        self.done += count


@pytest.fixture(params=["to the server", "to a file", "from file to file"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Catalog, Catalog]]:
    """Two empty catalogs, to copy from one into the other."""
    file = sqlite_url(tmp_path / "one.sqlite")
    if request.param == "from file to file":
        urls = [file, sqlite_url(tmp_path / "other.sqlite")]
    else:
        server: URL = request.getfixturevalue("postgres")
        urls = [file, server] if request.param == "to the server" else [server, file]
    with ExitStack() as stack:
        source, target = (stack.enter_context(closing(Catalog(url))) for url in urls)
        yield source, target


def fill(catalog: Catalog) -> None:
    """Put something into every table."""
    with catalog.writing() as connection:
        ids = add_images(connection, "a", "gap", TEXT)
        connection.exec_driver_sql(f"DELETE FROM images WHERE id = {ids['gap']}")
        insert_images(connection, [image("gone", removed=True, size=2**40, reason="too_small")])
        take_slots(connection, [{"image": ids[TEXT], "bucket_id": "wide", "slot": 2**33}], {"wide": 2**33 + 1})
        source = register_source(connection, SourceIdentity(variant="v", backend="openai", model="m"))
        record_answers(connection, source, [answer(ids["a"], TEXT, prompt_tokens=10**9, created_at=0.1 + 0.2)])
        replace_groups(connection, [(ids["a"], 1, "0123456789abcdef")])
        put_state(connection, StageState(stage="s", fingerprint="f", output="o", report={"é\0": [1]}))
        put_piece(connection, Piece(stage="s", path="p", bytes=2**40))


def everything(catalog: Catalog) -> dict[str, list[Any]]:
    with catalog.reading() as connection:
        return {table.name: sorted(tuple(row) for row in connection.execute(select(table))) for table in copying.TABLES}


def test_every_row_is_there_as_it_was(both: tuple[Catalog, Catalog]) -> None:
    source, target = both
    fill(source)
    told = Count()

    copied = copy_catalog(source, target, progress=told)

    assert everything(target) == everything(source)
    assert all(everything(target).values())
    assert copied.rows == {table.name: len(rows) for table in TABLES for rows in [everything(source)[table.name]]}
    assert told.done == told.total == sum(copied.rows.values())


def test_what_is_added_to_a_copy_is_numbered_on(both: tuple[Catalog, Catalog]) -> None:
    source, target = both
    fill(source)
    copy_catalog(source, target)

    with target.writing() as connection:
        before = {row[0] for row in everything(source)["images"]}
        ids = add_images(connection, "new")
        register_source(connection, SourceIdentity(variant="w", backend="openai", model="m"))
        assert [one.variant for one in list_sources(connection)] == ["v", "w"]

    assert ids["new"] == max(before) + 1


def test_an_empty_catalog_is_copied_and_can_be_filled(both: tuple[Catalog, Catalog]) -> None:
    source, target = both

    assert set(copy_catalog(source, target).rows.values()) == {0}
    fill(target)
    assert all(everything(target).values())


def test_a_target_that_is_not_empty_is_left_alone(both: tuple[Catalog, Catalog]) -> None:
    source, target = both
    fill(source)
    with target.writing() as connection:
        insert_images(connection, [image("mine")])
    before = everything(target)

    with pytest.raises(CatalogError) as caught:
        copy_catalog(source, target)

    assert str(caught.value).startswith(f"catalog {target.name}: it is not empty (images); a copy needs a database ")
    assert everything(target) == before


def test_a_copy_that_fails_leaves_nothing(both: tuple[Catalog, Catalog], monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = both
    fill(source)
    monkeypatch.setattr(copying, "_copy_table", lambda *_: None)

    with pytest.raises(CatalogError, match="rows arrived of"):
        copy_catalog(source, target)

    assert not any(everything(target).values())


def test_what_is_written_meanwhile_is_not_half_copied(both: tuple[Catalog, Catalog]) -> None:
    source, target = both
    fill(source)
    before = everything(source)

    class Intruder(Count):
        def advance(self, count: int) -> None:
            if not self.done:  # after the first table
                with source.writing() as connection:
                    put_state(connection, StageState(stage="later", fingerprint="f", output="o"))
            super().advance(count)

    copy_catalog(source, target, progress=Intruder())

    assert everything(target) == before
