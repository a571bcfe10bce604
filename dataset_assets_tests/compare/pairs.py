"""Two small exports that are compared: the second is the first with changes that a test makes."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dataset_assets.compare.compare import Compared, compare_exports
from dataset_assets.compare.records import BucketCounts, Comparison
from dataset_assets.progress import Silence
from dataset_assets_tests.exports import (
    SQUARE,
    WIDE,
    WIDE_0,
    Draft,
    Members,
    bucket_of,
    make_draft,
    make_jpeg,
    make_sample,
)

Edit = Callable[[Draft], object]
TITLE = ("caption_title", 0, 1)


def write_pair(folder: Path, *edits: Edit, **settings: Any) -> tuple[Path, Path]:
    """Write the export of five samples as `folder`/a, and with changes of settings and samples as `folder`/b."""
    first, second = make_draft(), make_draft(**settings)
    for edit in edits:
        edit(second)
    first.write(folder / "a")
    second.write(folder / "b")
    return folder / "a", folder / "b"


def compare(first: Path, second: Path, **options: Any) -> Comparison:
    """Return in what two exports differ, after a look at whether its counts add up."""
    return compare_whole(first, second, **options).comparison


def compare_whole(first: Path, second: Path, **options: Any) -> Compared:
    """Return a comparison with its JPEGs, after a look at whether its counts add up."""
    compared = compare_exports(first, second, progress=Silence(), **options)
    check_sums(compared.comparison)
    return compared


def check_sums(said: Comparison) -> None:
    """Fail unless everything adds up that must."""
    counts = said.counts
    assert counts.a == said.a.samples == counts.same + counts.changed + counts.removed
    assert counts.b == said.b.samples == counts.same + counts.changed + counts.added
    assert sum(one.count for one in said.combinations) == counts.changed
    for kind, count in asdict(said.kinds).items():
        assert sum(one.count for one in said.combinations if kind in one.kinds) == count
    for one in said.buckets:
        assert one.a == one.same + one.changed + one.removed + one.went
        assert one.b == one.same + one.changed + one.added + one.came
    for name in ("a", "b", "same", "added", "removed"):
        assert sum(getattr(one, name) for one in said.buckets) == getattr(counts, name)
    moved = sum(flow.count for flow in said.bucket_moves)
    assert sum(one.changed for one in said.buckets) + moved == counts.changed
    assert sum(flow.count for flow in said.variants) == counts.a + counts.added - counts.not_read
    assert said.equal == (counts.same == counts.a == counts.b)


def add_sample(draft: Draft, image_id: str = "new.png") -> None:
    """Add a sample to the wide bucket's tar, which has room for three then."""
    draft.tars[WIDE_0].append(
        make_sample(draft.settings, image_id, (150, 100), bucket_of(draft.settings, WIDE), "new", TITLE)
    )


def remove_sample(draft: Draft, image_id: str) -> Members:
    """Take a sample out of its tar, and the tar away if it is empty then; return the sample."""
    sample = draft.sample(image_id)
    for path, samples in list(draft.tars.items()):
        if sample in samples:
            samples.remove(sample)
            if not samples:
                del draft.tars[path]
    return sample


def say(draft: Draft, image_id: str, caption: str) -> None:
    """Give a sample another caption."""
    members = draft.sample(image_id)
    members[1] = (members[1][0], f"{caption}\n".encode())


def draw(draft: Draft, image_id: str, **options: Any) -> None:
    """Give a sample of the square bucket another JPEG."""
    members = draft.sample(image_id)
    jpeg = make_jpeg(bucket_of(draft.settings, SQUARE).target, "4:4:4", **options)
    members[0] = (members[0][0], jpeg)


def bucket(said: Comparison, bucket_id: str) -> BucketCounts:
    """Return the counts of one bucket."""
    return next(one for one in said.buckets if one.id == bucket_id)
