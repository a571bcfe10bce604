import pyarrow as pa
import pytest

from dataset_assets.posts.batch import TEXT
from dataset_assets.posts.form import caption_schema, cell_width, digest_rows, kept_texts, new_digest, parsed_schema
from dataset_assets.settings import RecordSettings


def digest(columns: list[pa.Array], start: int, stop: int) -> str:
    made = new_digest()
    digest_rows(columns, start, stop, made)
    return str(made.hexdigest())


def test_equal_rows_have_equal_digests_wherever_they_lie() -> None:
    ids, texts = pa.array([9, 1, 2, 9]), pa.array(["x", "a", "", "yy"], TEXT)

    assert digest([ids, texts], 1, 3) == digest([ids[1:3], texts[1:3]], 0, 2)
    assert digest([ids, texts], 1, 3) == digest([pa.array([1, 2]), pa.array(["a", ""], TEXT)], 0, 2)


@pytest.mark.parametrize("texts", [["ab", "c"], ["", "abc"], ["abc", ""], ["abc"], ["ab", "d"]])
def test_other_texts_have_other_digests(texts: list[str]) -> None:
    assert digest([pa.array(texts, TEXT)], 0, len(texts)) != digest([pa.array(["a", "bc"], TEXT)], 0, 2)


def test_nothing_has_a_digest_too() -> None:
    assert digest([pa.array([], TEXT), pa.array([], pa.int64())], 0, 0) == new_digest().hexdigest()


def test_tags_are_kept_beside_the_captions_where_there_are_any() -> None:
    tags, title = {"name": "tags", "join": ("tags",)}, {"name": "title", "join": ("title",)}

    def settings(*variants: object, **more: object) -> RecordSettings:
        return RecordSettings(paths=("a",), variants=variants, **more)  # type: ignore[arg-type]

    assert kept_texts(settings(tags, title)) == ("tags",)
    assert kept_texts(settings(title, tags, text_tars=("title",))) == ("title", "tags")
    assert kept_texts(settings(tags, title, text_tars=("tags", "title"))) == ("tags", "title")
    assert kept_texts(settings(title)) == ()
    assert caption_schema(settings(title)).names == ["id", "tar", "caption", "variant", "status", "file", "line"]
    assert parsed_schema(settings(title)).names == ["id", "line", "tar", "text_title", "status_title"]


def test_there_are_a_hundred_cells_at_most() -> None:
    assert [cell_width(modulus) for modulus in (1, 100, 101, 1000, 10_000)] == [1, 1, 2, 10, 100]
