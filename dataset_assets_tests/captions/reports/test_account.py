import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.captions.reports.account import CaptionAccount, SelectorAccount, VariantAccount, describe_captions
from dataset_assets.captions.select import select_captions
from dataset_assets.catalog.captions import SourceIdentity, Spending
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DamagedError
from dataset_assets_tests.captions.asked import chat, list_samples, photos, say, waterfall
from dataset_assets_tests.captions.captioned import answer, record
from dataset_assets_tests.datasets import caption, on_disk, partition_keys, settings_in

A, B, SIDECAR = "caption_a", "caption_b", "caption_sidecar"
USAGE: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": 10, "cost": 0.25}


@contextmanager
def opened(folder: Path, *variants: dict[str, Any], **others: Any) -> Iterator[Dataset]:
    with open_dataset(settings_in(folder, captions=waterfall(*variants, **others))) as dataset:
        yield dataset


def select(dataset: Dataset) -> None:
    """Bring captions and selections up to date."""
    for key in partition_keys(dataset):
        for variant in dataset.settings.captions.in_turn:
            caption(dataset, variant, key)
        select_captions(dataset, key)


def named(account: CaptionAccount, variant: str) -> VariantAccount:
    (found,) = [one for one in account.variants if one.variant == variant]
    return found


def test_before_any_build_there_is_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, chat(A), {"name": SIDECAR}) as dataset:
        account = describe_captions(dataset)

    assert {one.variant: (one.backend, one.sources, one.left) for one in account.variants} == {
        A: ("openai", [], 0), SIDECAR: ("sidecar", [], 0),
    }  # fmt: skip
    assert [one.selected for one in account.selectors] == [0, 0]
    assert (account.images, account.without, account.drops) == (0, 0, {})
    assert (account.partitions, account.partitions_selected) == (0, 0)


def test_what_a_finished_build_has(built: Path) -> None:
    with opened(built, {"name": SIDECAR}) as dataset:
        account = describe_captions(dataset)

    (source,) = named(account, SIDECAR).sources
    assert (source.backend, source.model, source.system_prompt, source.user_prompt) == (
        "sidecar",
        "txt,caption",
        "",
        "",
    )
    assert (source.current, source.counts, source.selector) == (True, True, 0)
    assert source.statuses == {"missing": 10, "ok": 10}
    assert named(account, SIDECAR).spent == Spending()
    assert named(account, SIDECAR).budget_left is None
    assert account.selectors == [SelectorAccount(index=0, variant=SIDECAR, backend="", model="", selected=10)]
    assert (account.images, account.without, account.drops) == (20, 10, {})
    assert (account.partitions, account.partitions_selected) == (4, 4)


def test_sources_statuses_findings_and_selections(built: Path) -> None:
    prompts = {"system_prompt": "Be brief.", "user_prompt": "Say what is seen."}
    with opened(built, chat(A, user_prompt="In a word?"), {"name": SIDECAR}) as dataset:
        old = say(dataset, A, dict.fromkeys(photos(0, 1), "Hill."))
    with opened(built, chat(A, ask=False, **prompts), chat(B, ask=False), {"name": SIDECAR}) as dataset:
        new = say(dataset, A, dict.fromkeys(photos(1, 3, 5), "A hill in the sun."))
        say(dataset, A, {"007.jpg": "[image]"}, status="placeholder")
        say(dataset, B, dict.fromkeys(photos(9, 11), "I cannot."), status="refused")
        select(dataset)
        account = describe_captions(dataset)

    first, second = named(account, A).sources
    assert (first.id, second.id) == (old.id, new.id)
    assert first.user_prompt == sha256(b"In a word?").hexdigest()[:12]
    assert (second.system_prompt, second.user_prompt) == tuple(
        sha256(prompt.encode()).hexdigest()[:12] for prompt in prompts.values()
    )
    assert [(one.current, one.counts, one.selector) for one in (first, second)] == [(False, True, 0), (True, True, 0)]
    assert [one.statuses for one in (first, second)] == [{"ok": 2}, {"ok": 3, "placeholder": 1}]
    assert [one.findings for one in (first, second)] == [{"too_short": 2}, {"placeholder": 1}]
    assert [one.findings for one in named(account, B).sources] == [{"refused": 2}]
    assert [(one.variant, one.selected) for one in account.selectors] == [(A, 4), (B, 0), (SIDECAR, 9)]
    assert (account.images, account.without, account.drops) == (20, 6, {"skipped_placeholder": 1})
    assert account.images == sum(one.selected for one in account.selectors) + account.without + 1


def test_what_was_spent_and_what_the_budget_leaves(built: Path) -> None:
    with opened(built, chat(A, budget_usd=2.0), chat(B, budget_usd=0.5)) as dataset:
        say(dataset, A, dict.fromkeys(photos(1, 3), "A hill in the sun."), **USAGE)
        say(dataset, A, {"001.jpg": "A hill in the sun."}, **USAGE)
        say(dataset, B, dict.fromkeys(photos(1, 3, 5), "A hill in the sun."), **USAGE)
        account = describe_captions(dataset)

    one, other = named(account, A), named(account, B)
    assert one.spent == Spending(requests=3, prompt_tokens=300, completion_tokens=30, cost=0.75)
    assert (one.budget, one.budget_left) == (2.0, 1.25)
    assert (other.budget, other.budget_left) == (0.5, 0)


def test_what_is_left_is_what_the_last_build_could_not_ask(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEY_OF_A", raising=False)

    with opened(built, chat(A, api_key_env="KEY_OF_A"), {"name": SIDECAR}) as dataset:
        unmade = named(describe_captions(dataset), A)
        select(dataset)
        made = named(describe_captions(dataset), A)

    assert (unmade.left, unmade.partitions_left) == (0, 4)
    assert (made.left, made.partitions_left, made.key_missing) == (20, 0, "KEY_OF_A")


def test_sources_of_variants_that_are_gone_are_still_listed(built: Path) -> None:
    with opened(built, chat(A)) as dataset:
        say(dataset, A, {"001.jpg": "A hill in the sun."}, **USAGE)
    with opened(built, {"name": "caption_title", "field": "title"}) as dataset:
        account = describe_captions(dataset)

    assert [one.variant for one in account.variants] == ["caption_title", SIDECAR, A]
    gone, files = named(account, A), named(account, SIDECAR)
    assert (gone.backend, gone.spent.cost, gone.partitions_left) == ("", 0.25, 0)
    assert [(one.current, one.counts, one.selector) for one in gone.sources] == [(False, True, None)]
    assert [(one.current, one.counts, one.selector) for one in files.sources] == [(False, False, None)]


def test_of_what_is_imported_the_newest_source_is_current(built: Path) -> None:
    with opened(built, {"name": "caption_hand", "backend": "imported"}) as dataset:
        image = list_samples(dataset)["001.jpg"]["id"]
        for time, model in ((1_700_000_002, "new"), (1_700_000_001, "old")):
            identity = SourceIdentity(variant="caption_hand", backend="imported", model=model)
            record(dataset, identity, answer(image, "A hill."), created_at=time)
        account = describe_captions(dataset)

    assert {one.model: one.current for one in named(account, "caption_hand").sources} == {"new": True, "old": False}


def test_it_is_json_of_plain_values(built: Path) -> None:
    with opened(built, chat(A, ask=False), {"name": SIDECAR}) as dataset:
        say(dataset, A, dict.fromkeys(photos(1, 3), "Hügel."))
        select(dataset)
        account = describe_captions(dataset)

    said = json.loads(json.dumps(asdict(account)))
    assert said["variants"][0]["sources"][0]["findings"] == {"too_short": 2}
    assert said["variants"][0]["spent"]["requests"] == 2


def test_a_damaged_review_is_made_anew_by_the_next_selection(built: Path) -> None:
    with opened(built, chat(A, ask=False), {"name": SIDECAR}) as dataset:
        say(dataset, A, dict.fromkeys(photos(0), "Hill."))
        select(dataset)
        (review,) = dataset.layout.root.glob("review/*.parquet")
        size = review.stat().st_size
        on_disk(review).write_bytes(bytes(size))

        with pytest.raises(DamagedError, match="was damaged and has been removed: build again"):
            describe_captions(dataset)
        select(dataset)
        account = describe_captions(dataset)

    assert named(account, A).sources[0].findings == {"too_short": 1}
