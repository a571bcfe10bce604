import io
from pathlib import Path

from rich.console import Console

from dataset_assets.compare.terminal import print_comparison
from dataset_assets_tests.compare.pairs import add_sample, compare, draw, remove_sample, say, write_pair
from dataset_assets_tests.exports import Draft, edit_manifest

ODD = "[bold]odd[/] [/red]\x1b[31m name"


def printed(said: object, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_comparison(console, said)  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def change(draft: Draft) -> None:
    add_sample(draft)
    remove_sample(draft, "c.png")
    say(draft, "a.png", ODD)
    draw(draft, "a.png", optimize=True)
    draft.fields("b.png", caption_variant=ODD)


def test_every_count_is_shown(tmp_path: Path) -> None:
    text = printed(compare(*write_pair(tmp_path, change, shards={"shard_size": 3})))

    found = rows(text)
    for row in (
        ["the same", "2", "2"],
        ["changed", "2", "2"],
        ["re-cropped", "1", "1"],
        ["re-captioned", "1", "1"],
        ["same caption of another variant", "1", "1"],
        ["removed", "1", ""],
        ["added", "", "1"],
        ["in all", "5", "5"],
        ["other bytes, all else alike", "1"],
        ["p1216x832", "2", "3", "2", "", "1", "", "", ""],
        ["export_settings.shard_size", "2", "3"],
        ["no caption", "–", "1"],
    ):
        assert row in found
    assert f"{tmp_path}/a: 5 samples in 3 tars, bucketed_shards_v1, export id " in text
    assert "both another image and another caption or variant: 1\n" in text
    assert text.endswith("\nthe samples differ\n")


def test_other_caption_sources_are_counted_and_are_no_settings(tmp_path: Path) -> None:
    first, second = write_pair(tmp_path, lambda draft: say(draft, "a.png", "other"))
    assert "caption sources" not in printed(compare(first, second))

    edit_manifest(second, lambda manifest: manifest["caption_sources"]["1"].update(model="vlm"))
    text = printed(compare(first, second))

    assert "caption sources: 1 in both, 1 only in A, 1 only in B\n" in text
    assert "settings that differ" not in text


def test_examples_say_what_was_and_what_is(tmp_path: Path) -> None:
    text = printed(compare(*write_pair(tmp_path, change, shards={"shard_size": 3})))

    start = text.index("re-captioned: a.png")
    example = text[start : text.index("\n\n", start)]
    assert "A   buckets/p1024x1024/shard-000000.tar" in example
    assert example.index("a square, α") < example.index("odd")


def test_odd_texts_are_shown_letter_by_letter_and_steer_nothing(tmp_path: Path) -> None:
    text = printed(compare(*write_pair(tmp_path, change, shards={"shard_size": 3})))

    assert "[bold]odd[/] [/red] [31m name" in text
    assert "\x1b" not in text


def test_exports_that_are_the_same_say_so_and_not_more(tmp_path: Path) -> None:
    text = printed(compare(*write_pair(tmp_path)))

    assert text.endswith("the same, in tars with the same hash, which were not opened: 5\n\nthe samples are the same\n")
    assert "buckets" not in text
    assert "settings" not in text


def test_long_lists_are_cut_off_with_a_word(tmp_path: Path) -> None:
    first, second = write_pair(tmp_path, lambda draft: say(draft, "a.png", "long " * 1000))
    said = compare(first, second)
    many = [said.buckets[0]] * 45

    object.__setattr__(said, "buckets", many)
    text = printed(said)

    assert "… and 25 more; --json lists all" in text
    assert max(map(len, text.splitlines())) < 400
