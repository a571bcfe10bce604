import pytest

from dataset_assets.trainer.output.merged import Form, find_copies
from dataset_assets.trainer.output.texts import escape_texts


@pytest.mark.parametrize(
    ("caption", "tags", "same"),
    [
        ("fox, blue eyes", "fox, blue eyes", True), ("fox blue eyes", "fox, blue eyes", True), ("a", "a", True),
        ("fox", "fox, blue eyes", False), ("fox blue-eyes", "fox, blue eyes", False), ("a", "b", False),
        (None, "fox", False), ("fox", None, False), ("été, b", "été, b", True), ("a fox of blue eyes", "fox", False),
    ],
)  # fmt: skip
def test_a_caption_that_is_its_tags_is_found(caption: str | None, tags: str | None, same: bool) -> None:
    captions, others = escape_texts(["x", caption, None, caption]), escape_texts(["y", tags, "z", tags])
    assert find_copies(captions, others).tolist() == [False, same, False, same]
    assert find_copies(captions.slice(1, 1), others.slice(1, 1)).tolist() == [same]


def test_the_files_of_a_form() -> None:
    assert Form().names[:3] == ("meta_merged.json", "meta_cap.json", "meta_cap.tar.gz")
    assert Form(split=2, dialect="jsonl", archive=False).names[:3] == (
        "meta_merged_0.jsonl", "meta_merged_1.jsonl", "meta_cap.json"
    )  # fmt: skip
    assert "meta_cap.json" not in Form(captions=False).names
