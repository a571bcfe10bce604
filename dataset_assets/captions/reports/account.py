"""What there is of captions and what it cost, by variant and source: what the catalog and the stages' reports say.

Nothing is judged anew here, and no crop is read.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dataset_assets.captions.sources import identify_chat, live_sources
from dataset_assets.captions.waterfall import rank_sources
from dataset_assets.catalog.captions import CaptionSource, Spending, list_sources, load_spending
from dataset_assets.catalog.state import Piece, States, load_pieces, load_states
from dataset_assets.catalog.usage import count_statuses
from dataset_assets.dataset import Dataset
from dataset_assets.settings import CaptionSettings, ChatSettings, VariantSettings
from dataset_assets.stages import Stage, caption_stage
from dataset_assets.storage.parquet import read_table
from dataset_assets.work import condemning

_DIGITS = 12  # of a prompt's hash, as on the card


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAccount:
    """One caption source, and what it says."""

    id: int
    backend: str
    model: str
    created_at: int  # unix seconds
    system_prompt: str  # 12 digits of its SHA-256, "" where there is none
    user_prompt: str
    current: bool  # whether the settings of now make captions of it
    counts: bool  # whether its captions can be selected at all: not those of files that no variant reads any more
    selector: int | None  # the index of the selector that takes it
    statuses: Mapping[str, int]  # images in slots by status
    findings: Mapping[str, int]  # what the review of the last selection found in them


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantAccount:
    """One variant: its sources, what it cost, and what is left to do."""

    variant: str
    backend: str  # "" where the settings do not have it any more
    sources: Sequence[SourceAccount]
    spent: Spending
    budget: float  # USD, 0: none
    budget_left: float | None  # USD; None where there is no budget
    left: int  # images that it was to be asked about and was not, as of the last build
    partitions_left: int  # partitions whose captions were not made at all
    key_missing: str  # the environment variable that holds the key and is not set; "" where nothing is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorAccount:
    """One step of the waterfall, and how many samples have its caption, as of the last selection."""

    index: int
    variant: str
    backend: str  # "": any
    model: str
    selected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionAccount:
    """All variants and the waterfall. Images = selected + without + dropped, in the partitions that were selected."""

    variants: Sequence[VariantAccount]
    selectors: Sequence[SelectorAccount]
    images: int
    without: int  # samples that have no caption
    drops: Mapping[str, int]  # samples that the review leaves out, by DropReason
    partitions: int
    partitions_selected: int


def describe_captions(dataset: Dataset) -> CaptionAccount:
    """Return what there is of captions. Before any build there is nothing, and that is no error.

    Raises DamagedError where a review cannot be read; the next build makes it again.
    """
    captions = dataset.settings.captions
    with dataset.catalog.reading() as connection:
        sources, live = list_sources(connection), live_sources(connection, captions)
        statuses = count_statuses(connection, [one.id for one in sources])
        spending, states = load_spending(connection), load_states(connection)
        pieces = load_pieces(connection, Stage.CAPTION_SELECTION)
    findings = _count_findings(dataset, pieces)
    indexes = {number: index for number, (index, _) in rank_sources(live, captions.priority).items()}
    current = _find_current(captions, live)
    accounts = {
        one.id: SourceAccount(
            id=one.id,
            backend=one.backend,
            model=one.model,
            created_at=one.created_at,
            system_prompt=one.system_prompt_sha256[:_DIGITS],
            user_prompt=one.user_prompt_sha256[:_DIGITS],
            current=one.id in current,
            counts=one in live,
            selector=indexes.get(one.id),
            statuses=statuses.get(one.id, {}),
            findings=dict(findings.get(one.id, {})),
        )
        for one in sources
    }
    configured: dict[str, VariantSettings | None] = {one.name: one for one in captions.variants}
    variants = configured | {one.variant: None for one in sources if one.variant not in configured}
    return _sum_up(
        captions,
        states,
        [
            _describe_variant(
                name,
                settings,
                [accounts[one.id] for one in sources if one.variant == name],
                spending.get(name, Spending()),
                states,
            )
            for name, settings in variants.items()
        ],
    )


def _describe_variant(
    name: str, settings: VariantSettings | None, sources: Sequence[SourceAccount], spent: Spending, states: States
) -> VariantAccount:
    chat = settings if isinstance(settings, ChatSettings) else None
    budget = chat.budget_usd if chat else 0.0
    made = [state for (stage, _), state in states.items() if stage == caption_stage(name) and not state.interrupted]
    return VariantAccount(
        variant=name,
        backend=settings.backend if settings else "",
        sources=sources,
        spent=spent,
        budget=budget,
        budget_left=max(budget - spent.cost, 0.0) if budget else None,
        left=sum(state.report.get("left", 0) for state in made),
        partitions_left=len(_list_partitions(states)) - len(made) if settings else 0,
        key_missing=chat.key_variable if chat and chat.key_missing else "",
    )


def _sum_up(captions: CaptionSettings, states: States, variants: Sequence[VariantAccount]) -> CaptionAccount:
    """Return the account of everything, with what the selections of all partitions add up to."""
    reports = [
        state.report
        for (stage, _), state in states.items()
        if stage == Stage.CAPTION_SELECTION and not state.interrupted
    ]
    selected, drops = Counter[str](), Counter[str]()
    for report in reports:
        selected.update(report["selected"])
        drops.update(report.get("drops", {}))  # which selections of before reviews do not say
    return CaptionAccount(
        variants=variants,
        selectors=[
            SelectorAccount(
                index=index,
                variant=selector.variant,
                backend=selector.backend or "",
                model=selector.model or "",
                selected=selected[str(index)],
            )
            for index, selector in enumerate(captions.priority)
        ],
        images=sum(report["images"] for report in reports),
        without=sum(report["without"] for report in reports),
        drops=dict(drops),
        partitions=len(_list_partitions(states)),
        partitions_selected=len(reports),
    )


def _list_partitions(states: States) -> list[str]:
    return [partition for stage, partition in states if stage == Stage.SHARD_PLANS]


def _find_current(captions: CaptionSettings, live: Collection[CaptionSource]) -> set[int]:
    """Return the sources that captions are made of now; of what is imported, the newest source of a variant."""
    asked = {identify_chat(one) for one in captions.chats}
    newest = {
        one.variant: one.id
        for one in sorted(live, key=lambda one: (one.created_at, one.id))
        if any(variant.name == one.variant and variant.backend == "imported" for variant in captions.variants)
    }
    return set(newest.values()) | {one.id for one in live if one.backend == "sidecar" or one.identity in asked}


def _count_findings(dataset: Dataset, pieces: Sequence[Piece]) -> dict[int, Counter[str]]:
    """Return how often each thing was found, by caption source, from the reviews that the selections left."""
    counts: dict[int, Counter[str]] = {}
    for piece in pieces:
        path = dataset.layout.review(piece.partition)
        if dataset.layout.root / piece.path != path:
            continue  # the selection itself
        with condemning(dataset, (piece.stage, piece.partition, piece.number), path):
            table = read_table(path, ["caption_source", "finding"])
        for source, finding in zip(*table.to_pydict().values(), strict=True):
            counts.setdefault(source, Counter())[finding] += 1
    return counts
