import io
from typing import Any

import pytest
from rich.console import Console

from dataset_assets.captions.files.importing import ImportReport
from dataset_assets.captions.files.incoming import Problem
from dataset_assets.captions.files.rows import Fault
from dataset_assets.captions.reports.account import CaptionAccount, SelectorAccount, SourceAccount, VariantAccount
from dataset_assets.captions.reports.estimate import Amount, Estimate
from dataset_assets.captions.reports.explain import Explanation, ShownCaption, ShownFinding
from dataset_assets.captions.terminal import (
    print_account,
    print_estimates,
    print_import,
    print_sample,
    show_cost,
    show_span,
    show_time,
)
from dataset_assets.catalog.captions import Spending
from dataset_assets.catalog.lookup import SavedCaption
from dataset_assets.release.describe import Description
from dataset_assets.shards.locate import Stored

ODD = "[bold]odd[/] \x1b[31mred\x07"  # markup and commands to a terminal


def printed(print_it: Any, *arguments: Any, width: int = 200, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_it(console, *arguments, **options)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row."""
    lines = [line.split("│")[1:-1] for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line] for line in lines]


def amount(images: int, cost: float | None = 0.0, seconds: float | None = 0.0) -> Amount:
    return Amount(images=images, prompt_tokens=300 * images, completion_tokens=40 * images, cost=cost, seconds=seconds)


def estimate(**changes: Any) -> Estimate:
    fields: dict[str, Any] = {
        "variant": "caption_a",
        "backend": "openrouter",
        "model": "m/one",
        "asked": True,
        "each": amount(1, 0.0005, 2.0),
        "left": amount(10_000, 5.0, 7_200.0),
        "at_most": amount(10_000, 5.0, 7_200.0),
        "spent": 1.5,
        "budget": 0.0,
        "key_missing": "",
        "basis": "measured on 1,234 answers",
        "price_unknown": "",
    }
    return Estimate(**fields | changes)


def test_an_estimate_is_a_row_and_what_it_rests_on() -> None:
    said = printed(print_estimates, [estimate()])

    assert rows(said) == [["caption_a", "10,000", "3,000,000", "400,000", "$5.00", "2.0 h", "$1.50"]]
    assert "caption_a: 300 tokens in and 40 out, $0.000500 an image, measured on 1,234 answers\n" in said
    assert said.endswith("in all 10,000 captions, about $5.00\n")
    assert said.count("caption_a: ") == 1


def test_everything_that_stands_in_the_way_is_said() -> None:
    first = estimate(budget=4.0, key_missing="SOME_KEY")
    second = estimate(
        variant="caption_b",
        asked=False,
        each=amount(1, None),
        left=amount(10, None, None),
        at_most=amount(15, None, None),
        price_unknown="the host is away",
        budget=9.0,
    )

    said = printed(print_estimates, [first, second])

    assert rows(said)[1][4:6] == ["?", "?"]
    for line in (
        "caption_a: $2.50 of its budget of $4.00 is left, which is not enough",
        "caption_a: it is left out until the environment variable SOME_KEY, which holds its key, is set",
        "caption_b: no price is known: the host is away",
        "caption_b: 5 more images wait for the models before it: at most 15 images and ?",
        "caption_b: ask = false: it is asked about nothing, and what it said before counts",
        "caption_b: $7.50 of its budget of $9.00 is left",
        "in all 10,010 captions, about $5.00, and what is not known",
    ):
        assert line in said.splitlines()


def test_without_models_there_is_nothing_to_estimate() -> None:
    said = printed(print_estimates, [])

    assert said == "no variant is made by a model: there is nothing to ask for and nothing to pay\n"


def account() -> CaptionAccount:
    source = SourceAccount(
        id=7,
        backend="openrouter",
        model=f"m/{ODD}",
        created_at=1_700_000_000,
        system_prompt="",
        user_prompt="0123456789ab",
        current=True,
        counts=True,
        selector=0,
        statuses={"refused": 3, "ok": 1_200},
        findings={"too_short": 4},
    )
    variant = VariantAccount(
        variant="caption_a",
        backend="openrouter",
        sources=[source],
        spent=Spending(requests=1_203, prompt_tokens=360_900, completion_tokens=48_120, cost=0.6),
        budget=2.0,
        budget_left=1.4,
        left=55,
        partitions_left=2,
        key_missing="SOME_KEY",
    )
    gone = VariantAccount(
        variant="caption_gone",
        backend="",
        sources=[],
        spent=Spending(),
        budget=0.0,
        budget_left=None,
        left=0,
        partitions_left=0,
        key_missing="",
    )
    selector = SelectorAccount(index=0, variant="caption_a", backend="", model="m/one", selected=1_150)
    return CaptionAccount(
        variants=[variant, gone],
        selectors=[selector],
        images=1_300,
        without=148,
        drops={"skipped_placeholder": 2},
        partitions=3,
        partitions_selected=1,
    )


def test_an_account_shows_every_number() -> None:
    said = printed(print_account, account())

    assert rows(said) == [
        ["7  caption_a", "ok 1,200", "too_short 4"],
        ["openrouter m/[bold]odd[/]  [31mred", "refused 3", ""],
        ["since 2023-11-14 22:13", "", ""],
        ["user prompt 0123456789ab", "", ""],
        ["taken by selector 0, made now", "", ""],
        ["caption_a", "55", "1,203", "360,900", "48,120", "$0.6000", "$1.40"],
        ["caption_gone", "0", "0", "0", "0", "$0.00", ""],
        ["0", "caption_a, m/one", "1,150"],
        ["", "left out: skipped_placeholder", "2"],
        ["", "without a caption", "148"],
    ]
    assert "\x1b" not in said
    for line in (
        "caption_a: the environment variable SOME_KEY, which holds its key, is not set",
        "caption_a: its captions of 2 partitions have not been made yet",
        "2 of 3 partitions have no selection yet",
    ):
        assert line in said.splitlines()
    assert "caption_gone: the settings have no such variant any more" in said


def explanation(*captions: ShownCaption, **changes: Any) -> Explanation:
    fields: dict[str, Any] = {
        "image_id": "hills/001.jpg",
        "key": "ab" * 32,
        "source": "folder",
        "uri": "hills/001.jpg",
        "width": 1_600,
        "height": 1_200,
        "removed": False,
        "bucket_id": "p1216x832",
        "partition": "p1216x832_000000-000015",
        "slot": 1_025,
        "shard": 1,
        "no_crop": "",
        "captions": captions,
        "variant": "caption_a",
        "selector_index": 0,
        "caption_source": 7,
        "text": f"A hill.\nWith {ODD}.",
        "drop": "",
        "why": "selector 0 (caption_a) gave it",
    }
    return Explanation(**fields | changes)


def shown(**changes: Any) -> ShownCaption:
    said: dict[str, Any] = {
        "caption_source": 7,
        "status": "ok",
        "text": f"A hill.\nWith {ODD}.",
        "detail": "",
        "input_version": "",
        "created_at": 1_700_000_000.0,
        "attempts": 2,
        "finish_reason": "stop",
        "provider": "Someone",
        "prompt_tokens": 300,
        "completion_tokens": 40,
        "cost": 0.02,
        "latency": 1.25,
    }
    fields: dict[str, Any] = {
        "variant": "caption_a",
        "caption_source": 7,
        "backend": "openrouter",
        "model": "m/one",
        "said": SavedCaption(**said | changes.pop("said", {})),
        "counts": True,
        "selector": 0,
        "current": True,
        "findings": [ShownFinding(finding="too_short", policy="keep", detail="2 words, at least 3 wanted")],
        "won": True,
    }
    return ShownCaption(**fields | changes)


def stored(**changes: Any) -> Stored:
    row = {
        "target_w": 512, "target_h": 352, "w": 512, "h": 352, "src_w": 1_600, "src_h": 1_200, "crop_scale": 0.32,
        "crop_x": 0, "crop_y": 16, "quality": 95, "subsampling": "4:4:4", "jpg_size": 45_678, "jpg_offset": 1_048_576,
        "image_mode": "reencode_jpeg",
    }  # fmt: skip
    fields: dict[str, Any] = {
        "shard": "buckets/p1216x832/shard-000001.tar",
        "number": 17,
        "row": row | changes.pop("row", {}),
        "box": (0.0, 16 / 384, 1.0, 368 / 384),
        "fault": "",
    }
    return Stored(**fields | changes)


def described(now: Explanation, **changes: Any) -> Description:
    fields: dict[str, Any] = {"path": "", "stored": stored(), "missing": "", "pending": ""}
    return Description(now=now, **fields | changes)


def test_a_sample_tells_the_image_the_reason_and_each_caption() -> None:
    said = printed(print_sample, described(explanation(shown())))

    assert said.splitlines() == [
        "image    hills/001.jpg, 1600×1200 pixels",
        "source   folder: hills/001.jpg",
        f"key      {'ab' * 32}",
        "place    p1216x832, partition p1216x832_000000-000015, slot 1,025 in shard 1",
        "crop     512×352 pixels at 0, 16 of 1600×1200 scaled by 0.3200: 0.0% to 100.0% across, 4.2% to 95.8% down",
        "jpeg     512×352 pixels, 45,678 bytes, quality 95, 4:4:4",
        "tar      buckets/p1216x832/shard-000001.tar:17, the JPEG at byte 1048576",
        "caption  A hill. With [bold]odd[/]  [31mred .",
        "why      selector 0 (caption_a) gave it",
        "",
        "→ caption_a, caption source 7, openrouter m/one: ok, selector 0",
        "    2023-11-14 22:13, asked 2 times, stop, Someone, 300 tokens in, 40 out, $0.0200, 1.2 s",
        "    A hill. With [bold]odd[/]  [31mred .",
        "    too_short (keep): 2 words, at least 3 wanted",
    ]


def test_a_caption_that_does_not_count_says_why() -> None:
    unused: dict[str, Any] = {"won": False, "findings": [], "selector": None, "counts": False, "current": False}
    file = {
        "status": "missing", "text": "", "detail": "no photo.txt", "finish_reason": "", "provider": "",
        "prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0, "latency": 0.0,
    }  # fmt: skip

    said = printed(print_sample, described(explanation(shown(**unused, said=file))))

    made_by = "  caption_a, caption source 7, openrouter m/one"
    assert said.splitlines()[-3:] == [
        f"{made_by}: missing, no selector takes it, not read any more, of an older version of the image",
        "    2023-11-14 22:13",
        "    no photo.txt",
    ]


def test_an_image_without_slot_crop_or_caption() -> None:
    nowhere: dict[str, Any] = {
        "removed": True, "bucket_id": "", "partition": "", "slot": -1, "shard": -1, "width": 0, "height": 0,
        "no_crop": "it is gone", "variant": "", "selector_index": -1, "caption_source": -1, "text": "", "why": "gone",
    }  # fmt: skip

    said = printed(print_sample, described(explanation(**nowhere), stored=None, missing="it is gone"))

    assert [line[9:] for line in said.splitlines()] == [
        "hills/001.jpg, of unknown size, removed",
        "folder: hills/001.jpg",
        "ab" * 32,
        "in no slot",
        "none: it is gone",
        "not in it: it is gone",
        "none",
        "gone",
        "as ever said of it",
    ]


def test_a_sample_that_is_not_as_it_should_be_says_so() -> None:
    odd = stored(row={"quality": 0, "subsampling": "source"}, box=None, fault=f"it is not {ODD}")

    said = printed(print_sample, described(explanation(), path="/raw/a\nb.jpg", stored=odd, pending=f"to be {ODD}"))

    assert said.splitlines()[1] == "source   folder: /raw/a b.jpg"
    assert said.splitlines()[4:9] == [
        "crop     512×352 pixels at 0, 16 of 1600×1200 scaled by 0.3200",
        "jpeg     512×352 pixels, 45,678 bytes, as the source has it",
        "tar      buckets/p1216x832/shard-000001.tar:17, the JPEG at byte 1048576",
        "fault    it is not [bold]odd[/]  [31mred ",
        "pending  to be [bold]odd[/]  [31mred ",
    ]


def test_what_was_passed_through_has_no_crop() -> None:
    passed = stored(row={"image_mode": "passthrough_jpeg", "quality": 0}, box=(0.0, 0.0, 1.0, 1.0))

    said = printed(print_sample, described(explanation(), stored=passed))

    assert said.splitlines()[4] == "crop     none, the source's 1600×1200 pixels are passed through"


def report(**changes: Any) -> ImportReport:
    fields: dict[str, Any] = {
        "rows": 2_006,
        "imported": 2_000,
        "unchanged": 2,
        "kept": 0,
        "replaced_by_later": 1,
        "faults": {Fault.UNKNOWN_IMAGE: 3},
        "examples": (Problem(row=1_234, fault=Fault.UNKNOWN_IMAGE, detail=f'no image "{ODD}"'),),
        "by_variant": {"caption_a": 2_000},
        "partitions": 4,
    }
    return ImportReport(**fields | changes)


def test_an_import_counts_every_row() -> None:
    said = printed(print_import, report(), dry_run=False)

    assert rows(said) == [
        ["imported", "2,000"],
        ["unchanged", "2"],
        ["replaced by a later row", "1"],
        ["unknown_image", "3"],
        ["in all", "2,006"],
    ]
    assert said.startswith("import ")
    assert said.endswith('row 1,234: unknown_image: no image "[bold]odd[/]  [31mred "\n')
    dry = printed(print_import, report(), dry_run=True)
    assert dry.startswith("dry run")
    assert dry.endswith("nothing was written: this was a dry run\n")


@pytest.mark.parametrize("width", [40, 80])
def test_narrow_terminals_lose_no_letter(width: int) -> None:
    said = printed(print_account, account(), width=width)

    cells = ["".join(row[0] for row in rows(said))]
    assert "openrouterm/[bold]odd[/][31mred" in "".join(cells).replace(" ", "")


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (None, "?"), (0, "$0.00"), (0.000123, "$0.000123"), (0.01, "$0.0100"), (0.999, "$0.9990"), (1, "$1.00"),
        (12_345.678, "$12,345.68"),
    ],
)  # fmt: skip
def test_costs(cost: float | None, expected: str) -> None:
    assert show_cost(cost) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1.0 min"), (5_400, "1.5 h"), (86_400 * 12, "12.0 d")],
)
def test_spans(seconds: float, expected: str) -> None:
    assert show_span(seconds) == expected


def test_times_are_of_the_whole_world() -> None:
    assert show_time(1_700_000_000) == "2023-11-14 22:13"
