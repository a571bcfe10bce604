import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import IncompleteError, OrderError
from dataset_assets.freshness import Verdict
from dataset_assets.gallery import stage
from dataset_assets.gallery.pictures import Album
from dataset_assets.gallery.stage import is_current, is_shown, tell_missing, write_gallery
from dataset_assets.records import sample_key
from dataset_assets.stages import Stage
from dataset_assets.status import judge_all
from dataset_assets.work import Work
from dataset_assets_tests.datasets import LANDSCAPE, TINY, add_photo, build_library, settings_in
from dataset_assets_tests.gallery.written import find_files, list_pictures, name_data, opened, read_gallery

GALLERY = (Stage.GALLERY, "")


def check_page(folder: Path) -> None:
    """Check that a page is there, with its data, and that every picture it shows is there."""
    page = folder / "out" / "gallery"
    for picture in list_pictures(read_gallery(folder)):
        assert (page / picture["path"]).is_file()


def keys_of(folder: Path) -> set[str]:
    return {one["key"] for one in read_gallery(folder)["samples"]}


def test_a_page_with_all_that_it_shows(built: Path) -> None:
    with opened(built) as dataset:
        outcome = write_gallery(dataset)

    check_page(built)
    assert len(keys_of(built)) == outcome.report["samples"] == 20
    pictures = list((built / "out" / "gallery").rglob("*.jpg"))
    assert outcome.report["pictures"] == len(pictures) == 60
    assert outcome.report["picture_bytes"] == sum(path.stat().st_size for path in pictures)
    assert outcome.report["drawn"] == 40  # crops and sources


def test_what_is_fresh_is_left_alone(built: Path) -> None:
    with opened(built) as dataset:
        write_gallery(dataset)
        before = find_files(built)
        again = write_gallery(dataset)
        assert judge_all(dataset)[GALLERY].fresh

    assert again.reused
    assert find_files(built) == before


def test_it_costs_the_library_no_torch(built: Path) -> None:
    from dataset_assets_tests import children

    code = (
        "import sys\nimport dataset_assets.gallery.stage\n"
        "print(sorted({'torch', 'matplotlib', 'dagster'} & sys.modules.keys()))"
    )
    assert children.run(code) == "[]"


def test_after_one_new_image_only_what_changed_is_made_and_written(built: Path) -> None:
    with opened(built) as dataset:
        write_gallery(dataset)
        before = find_files(built)
        add_photo(built, "new.jpg", LANDSCAPE, seed=99)
        outcome = build_library(dataset).gallery
    after = find_files(built)

    assert outcome is not None
    assert outcome.report["drawn"] == 2
    written = {name for name, facts in after.items() if before.get(name) != facts}
    assert name_data(name for name in written if not name.startswith("pictures/")) == {
        "overview", "samples-001", "index.html",
    }  # fmt: skip
    assert len(written) == 6
    assert name_data(before.keys() - after.keys()) == {"overview", "samples-001"}
    assert sample_key("new.jpg") in keys_of(built)


def test_after_an_image_was_removed_its_pictures_go(built: Path) -> None:
    with opened(built) as dataset:
        write_gallery(dataset)
        before = find_files(built)
        (built / "raw" / "000.jpg").unlink()
        build_library(dataset)
    after = find_files(built)

    gone = {name for name in before.keys() - after.keys() if not name.startswith("data/")}
    assert len(gone) == 3
    assert name_data(after) == name_data(before.keys() - gone)
    check_page(built)


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": {"name": "other"}},
        {"shown": 3},
        {"drops": 1},
    ],
)
def test_its_settings_make_it_stale(built: Path, change: dict[str, Any]) -> None:
    with opened(built) as dataset:
        write_gallery(dataset)
    with opened(built, **change) as dataset:
        assert judge_all(dataset)[GALLERY] == Verdict("stale", "changed: settings")
        assert not write_gallery(dataset).reused
        assert judge_all(dataset)[GALLERY].fresh


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"torn")])
def test_a_page_that_is_lost_or_torn_is_written_again(built: Path, damage: Callable[[Path], object]) -> None:
    with opened(built) as dataset:
        write_gallery(dataset)
        before = dataset.layout.gallery_page.read_bytes()
        damage(built / "out" / "gallery" / "index.html")

        assert not judge_all(dataset)[GALLERY].fresh
        assert not write_gallery(dataset).reused
        assert dataset.layout.gallery_page.read_bytes() == before


@pytest.mark.parametrize(
    ("lost", "drawn"), [("data/samples-000.*.js", 0), ("pictures/*/*.jpg", 1), ("look.css", 0)], ids=str
)
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (Path.unlink, "No such file or directory"),
        (lambda path: path.write_bytes(b""), "0 bytes, {size} were written"),
        (lambda path: path.write_bytes(b"torn"), "4 bytes, {size} were written"),
    ],
    ids=["lost", "empty", "torn"],
)
def test_a_file_of_it_that_is_lost_or_torn_is_noticed_and_made_again(
    built: Path, lost: str, drawn: int, damage: Callable[[Path], object], said: str
) -> None:
    page = built / "out" / "gallery"
    with opened(built) as dataset:
        write_gallery(dataset)
        before = find_files(built)
        path = min(page.glob(lost))
        content = path.read_bytes()
        damage(path)

        said = f"gallery/{path.relative_to(page).as_posix()}: {said.format(size=len(content))}"
        assert judge_all(dataset)[GALLERY] == Verdict("stale", said)
        assert not is_current(dataset)
        outcome = write_gallery(dataset)
        assert (outcome.reused, outcome.report["drawn"]) == (False, drawn)
        assert judge_all(dataset)[GALLERY].fresh
        assert write_gallery(dataset).reused

    after = find_files(built)
    assert after.keys() == before.keys()
    assert len([name for name in after if after[name] != before[name]]) == 1
    assert path.read_bytes() == content
    check_page(built)


def test_a_gallery_that_is_gone_is_made_again(built: Path) -> None:
    with opened(built) as dataset:
        write_gallery(dataset)
        before = find_files(built).keys()
        shutil.rmtree(built / "out" / "gallery")
        write_gallery(dataset)

    assert find_files(built).keys() == before


def test_force_makes_every_picture_again(built: Path) -> None:
    with opened(built) as dataset:
        write_gallery(dataset)
        before = {path: path.read_bytes() for path in (built / "out" / "gallery").rglob("*.jpg")}
        for path in before:
            path.write_bytes(b"torn")
        outcome = write_gallery(dataset, force=True)

    assert outcome.report["drawn"] == 40
    assert {path: path.read_bytes() for path in before} == before


def test_before_there_is_a_manifest(tmp_path: Path) -> None:
    with opened(tmp_path) as dataset, pytest.raises(OrderError, match="manifest has not been made yet"):
        write_gallery(dataset)


def test_while_the_manifest_is_of_something_else(built: Path) -> None:
    with opened(built, images={"quality": 80}) as dataset:
        with pytest.raises(OrderError, match="manifest is stale"):
            write_gallery(dataset)
        assert not judge_all(dataset)[GALLERY].fresh


def test_where_it_is_turned_off_it_is_no_stage(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        assert GALLERY not in judge_all(dataset)
    with opened(built) as dataset:
        assert judge_all(dataset)[GALLERY] == Verdict("missing", "not made yet")


def test_a_sample_that_is_asked_for_is_shown_until_the_page_is_written_again(built: Path) -> None:
    with opened(built, shown=3) as dataset:
        write_gallery(dataset)
        few = keys_of(built)
        other = next(key for key in (sample_key(f"{seed:03d}.jpg") for seed in range(20)) if key not in few)

        assert write_gallery(dataset, also=few).reused
        outcome = write_gallery(dataset, also=[other])
        assert (outcome.reused, outcome.report["also"], outcome.report["drawn"]) == (False, [other], 2)
        assert keys_of(built) == {*few, other}
        assert read_gallery(built)["overview"]["shown"] == 4
        assert write_gallery(dataset, also=[other]).reused
        assert judge_all(dataset)[GALLERY].fresh
        assert write_gallery(dataset).reused

        add_photo(built, "new.jpg", seed=99)
        build_library(dataset)
        assert other not in keys_of(built)
    check_page(built)


def test_findings_on_the_page_are_those_of_the_settings_where_no_other_caption_is_selected(built: Path) -> None:
    with opened(built) as dataset:
        write_gallery(dataset)
    changed = {"review": {"min_words": 9}}
    with opened(built, captions=changed) as dataset:
        gallery = build_library(dataset).gallery
    assert gallery is not None
    assert not gallery.reused
    found = {
        finding for one in read_gallery(built)["samples"] for said in one["captions"] for finding in said["findings"]
    }
    assert found == {"too_short"}


def test_where_there_is_no_page_it_is_said_why(built: Path, tmp_path: Path) -> None:
    with opened(tmp_path / "new") as dataset:
        assert tell_missing(dataset) == (
            f"there is no gallery in {dataset.layout.gallery} yet: `dataset-assets build` writes it"
        )
    with open_dataset(settings_in(built, gallery={"enabled": False})) as dataset:
        assert tell_missing(dataset).endswith("gallery.enabled in the settings turns it off")
    with opened(built) as dataset:
        assert tell_missing(dataset).endswith("`dataset-assets build` writes it")


@pytest.mark.parametrize(
    ("captions", "counts"),
    [({}, "skipped_too_small 2"), ({"missing_caption_policy": "drop"}, "skipped_no_caption 3, skipped_too_small 2")],
)
def test_where_nothing_is_exported_it_is_said_what_became_of_the_images(
    tmp_path: Path, captions: dict[str, Any], counts: str
) -> None:
    for seed in range(2):
        add_photo(tmp_path, f"tiny {seed}.jpg", TINY, seed=seed)
    for seed in range(3 if captions else 0):
        add_photo(tmp_path, f"{seed}.jpg", seed=seed)
    with opened(tmp_path, captions=captions) as dataset:
        with pytest.raises(IncompleteError, match="there is nothing to export"):
            build_library(dataset)
        assert tell_missing(dataset) == (
            f"there is no gallery: nothing is exported of {5 if captions else 2} images seen ({counts}); "
            "`dataset-assets show IMAGE` says why of each"
        )


def test_it_is_known_which_samples_the_page_shows(built: Path) -> None:
    with opened(built, shown=3) as dataset:
        assert not is_shown(dataset, sample_key("000.jpg"))
        write_gallery(dataset)
        keys = {sample_key(f"{seed:03d}.jpg") for seed in range(20)}

        assert {key for key in keys if is_shown(dataset, key)} == keys_of(built)
        assert not is_shown(dataset, min(keys_of(built))[:8])
        stray = built / "out" / "gallery" / "data" / "samples-009.js"
        other = min(keys - keys_of(built))
        stray.write_text(f'receive("samples-009",[{{"key":"{other}"}}]);')
        assert not is_shown(dataset, other)


def test_it_is_known_whether_the_page_is_of_what_is_exported(built: Path) -> None:
    with opened(built) as dataset:
        assert not is_current(dataset)
        write_gallery(dataset)
        assert is_current(dataset)
    with opened(built, shown=3, images={"quality": 80}) as dataset:
        assert is_current(dataset)
    with opened(built) as dataset:
        add_photo(built, "new.jpg", seed=99)
        with open_dataset(settings_in(built)) as without:
            build_library(without)
        assert not is_current(dataset)
        write_gallery(dataset)
        assert is_current(dataset)
        (built / "out" / "gallery" / "index.html").unlink()
        assert not is_current(dataset)


class _Killed(BaseException):
    pass


STEPS: list[tuple[type | Any, str]] = [
    (stage, "collect_samples"),
    (Album, "draw"),
    (stage, "write_page"),
    (Work, "put"),
    (Album, "clean"),
    (Work, "finish"),
]


@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_killed_at_any_step_it_leaves_a_page_that_opens_and_goes_on_from_there(
    built: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, late: bool
) -> None:
    def change(dataset: Dataset) -> None:
        (built / "raw" / "000.jpg").unlink()
        add_photo(built, "new.jpg", seed=99)
        build_library(dataset)

    with opened(built) as dataset:
        write_gallery(dataset)
    with open_dataset(settings_in(built)) as dataset:
        change(dataset)
    whole = getattr(owner, name)

    def killed(*arguments: Any, **options: Any) -> Any:
        if late:
            whole(*arguments, **options)
        raise _Killed

    with opened(built) as dataset:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, killed)
            with pytest.raises(_Killed):
                write_gallery(dataset)
        check_page(built)
        write_gallery(dataset)
        after = find_files(built).keys()
        data = read_gallery(built)
        shutil.rmtree(built / "out" / "gallery")
        write_gallery(dataset)

    check_page(built)
    assert find_files(built).keys() == after
    assert read_gallery(built) == data
