"""The stage that asks a model: for the captions of some partitions that it still owes, each paid for once.

Every answer is in the catalog before the next question takes its place. What was asked is never asked again, whoever
ended the process; which images are still owed is found out anew from the catalog each time (../needs.py).
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from dataset_assets.captions.chat.answer import Answer
from dataset_assets.captions.chat.caller import Stop, ask_all
from dataset_assets.captions.chat.prompts import name_input, write_prompt
from dataset_assets.captions.chat.request import Question
from dataset_assets.captions.needs import find_owed
from dataset_assets.captions.sources import register_variants
from dataset_assets.captions.stage import finish_captions
from dataset_assets.captions.view import View, list_rows, load_samples, load_view
from dataset_assets.catalog.captions import (
    CaptionSource,
    CaptionStatus,
    copy_captions,
    forgive_attempts,
    load_spending,
    mean_cost,
    record_answers,
    sum_usage,
)
from dataset_assets.dataset import Dataset
from dataset_assets.errors import CaptionsStopped
from dataset_assets.images.store import open_rows
from dataset_assets.progress import Progress, Silence
from dataset_assets.settings import ChatSettings
from dataset_assets.shards.partition import Partition
from dataset_assets.stages import Stage, caption_stage
from dataset_assets.storage.lock import Confirm
from dataset_assets.work import Outcome, Work, begin, condemning, holding_lock


def ask_captions(
    dataset: Dataset,
    variant: ChatSettings,
    partitions: Iterable[str],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, Outcome]:
    """Return what became of a variant's captions of each partition, after asking for those that are owed.

    An image is asked about again while its last answer has attempts left, in this run. Without a key nothing is asked:
    `left` in the reports says what is owed. Another run that asks the same model for this dataset is waited for: what
    one run asks a minute is what is asked a minute, and what one spends is what is spent. Raises CaptionsStopped when
    the model cannot be asked any further, and CatalogError when another run came to ask it because this one's
    connection was lost; what was answered is kept.
    """
    with dataset.locks.waiting(f"{variant.name}.asking") as confirm:
        return _ask_captions(dataset, variant, partitions, confirm, force=force, progress=progress)


@holding_lock("partitions")
def _ask_captions(
    dataset: Dataset,
    variant: ChatSettings,
    partitions: Iterable[str],
    confirm: Confirm,
    *,
    force: bool,
    progress: Progress | None,
) -> dict[str, Outcome]:
    begun = {key: begin(dataset, caption_stage(variant.name), key, force=force) for key in partitions}
    stale = [key for key, work in begun.items() if isinstance(work, Work)]
    if not stale:
        return {key: work for key, work in begun.items() if isinstance(work, Outcome)}
    with dataset.catalog.writing() as connection:
        registered = register_variants(connection, dataset.settings.captions)
    numbers = {name: one.id for name, one in registered.items()}
    asking = _Asking(dataset, variant, registered[variant.name], numbers, confirm)
    for key in stale:
        asking.copy(key)
    stop = None if variant.key_missing else asking.run(stale, progress or Silence())
    outcomes = {
        key: work if isinstance(work, Outcome) else asking.finish(work, stopped=stop is not None)
        for key, work in begun.items()
    }
    if stop is not None:
        left = sum(outcome.report.get("left", 0) for outcome in outcomes.values())
        kept = asking.tally.answers - asking.tally.errors
        raise CaptionsStopped(
            f"{variant.name}: {stop.detail}. {kept:,} answers of this run are kept, {left:,} images of its partitions "
            f"are left: run the same again to go on, or set ask = false for {variant.name} to go on without them"
        )
    return outcomes


@dataclass(slots=True)
class _Tally:
    """What a run has got so far."""

    answers: int = 0
    errors: int = 0  # of them
    copied: Counter[str] = field(default_factory=Counter)  # partition → captions taken from images of the same content
    cost: float = 0  # USD
    spent: float = 0  # USD, by the variant in all
    by_key: Counter[str] = field(default_factory=Counter)  # partition → answers
    started: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Captions a second."""
        return round(self.answers / max(time.monotonic() - self.started, 1e-9), 1)


class _Asking:
    """A run of questions to one model, over some partitions."""

    def __init__(
        self,
        dataset: Dataset,
        variant: ChatSettings,
        source: CaptionSource,
        registered: Mapping[str, int],
        confirm: Confirm,
    ) -> None:
        self.tally = _Tally()
        self._dataset = dataset
        self._variant = variant
        self._source = source
        self._registered = registered
        self._confirm = confirm
        self._failed: list[int] = []  # rows of the images that nobody answered about, since somebody did
        self._last = ""  # why, of the last of them
        self._price = 0.0  # USD, of a caption in earlier runs
        self._keys: dict[int, str] = {}  # image's row → partition, of those in flight

    def run(self, keys: Sequence[str], progress: Progress) -> Stop | None:
        """Ask about everything that the partitions owe; return why it stopped before the end."""
        with self._dataset.catalog.reading() as connection:
            spent = load_spending(connection).get(self._variant.name)
            self._price = mean_cost(connection, self._source)
        self.tally.spent = spent.cost if spent else 0
        while owed := self._list_owed(keys):
            stop = self._pass(owed, progress)
            if stop is None and len(self._failed) == self.tally.answers:  # fewer than stop_after_errors, but all
                stop = Stop(reason="errors", detail=f"{self._variant.url} answered nothing; the last: {self._last}")
            if stop is not None:
                if stop.reason == "errors":  # a server that is down is not the images' fault
                    with self._dataset.catalog.writing() as connection:
                        forgive_attempts(connection, self._source, self._failed)
                return stop
        return None

    def copy(self, key: str) -> None:
        """Take the captions of images with the same content, also where nobody is asked."""
        view = load_view(self._dataset, key)
        owed = list_rows(view.samples, view.samples["slot"].isin(self._owed(view, ask=True)))
        inputs = {sample["id"]: self._name_input(self._variant, sample) for sample in owed if sample["source_sha256"]}
        with self._dataset.catalog.writing() as connection:
            self.tally.copied[key] = copy_captions(connection, self._source, inputs)

    def _list_owed(self, keys: Sequence[str]) -> dict[str, list[int]]:
        """Return the slots that the model owes, by partition; one without has no entry."""
        owed = {key: self._owed(load_view(self._dataset, key)) for key in keys}
        return {key: slots for key, slots in owed.items() if slots}

    def _pass(self, owed: Mapping[str, Sequence[int]], progress: Progress) -> Stop | None:
        """Ask once about every image that is owed."""
        total, done = sum(map(len, owed.values())), 0

        def commit(answers: Sequence[Answer]) -> float:
            nonlocal done
            self.tally.spent = self._record(answers)
            done += len(answers)
            progress.advance(len(answers))
            if self.tally.cost:
                expected = self.tally.cost / self.tally.answers * (total - done)
                progress.note(f"${self.tally.cost:,.2f} of about ${self.tally.cost + expected:,.2f}")
            return self.tally.spent

        progress.start(caption_stage(self._variant.name), total, "captions")
        questions = (question for key, slots in owed.items() for question in self._questions(key, slots))
        stop = ask_all(self._variant, questions, commit, spent=self.tally.spent, price=self._price)
        progress.finish()
        return stop

    def _record(self, answers: Sequence[Answer]) -> float:
        rows = [_make_row(answer) for answer in answers]
        spent = self._dataset.catalog.record(lambda connection: record_answers(connection, self._source, rows))
        for answer in answers:
            if answer.unanswered:
                self._failed.append(answer.id)
                self._last = answer.detail
            else:
                self._failed.clear()
        self.tally.answers += len(answers)
        self.tally.errors += sum(answer.status is CaptionStatus.ERROR for answer in answers)
        self.tally.cost += sum(answer.cost for answer in answers)
        self.tally.by_key.update(self._keys.pop(answer.id, "") for answer in answers)
        self._confirm()  # after what was paid for is kept: if another run asks by now, this one must not go on
        return spent

    def _owed(self, view: View, *, ask: bool | None = None) -> list[int]:
        """Return the slots that the model owes; `ask` takes the place of its setting."""
        name = self._variant.name
        captions = self._dataset.settings.captions.asking({} if ask is None else {name: ask})
        return find_owed(captions, view, self._registered, self._name_input).get(name, [])

    def _name_input(self, variant: ChatSettings, sample: Mapping[str, Any]) -> str:
        return name_input(variant, sample, write_prompt(self._dataset, variant, sample))

    def _questions(self, key: str, slots: Sequence[int]) -> Iterator[Question]:
        """Yield the questions about some slots of a partition; of its crops some megabytes are in memory at a time."""
        samples = load_samples(self._dataset, key)
        owed = list_rows(samples, samples["slot"].isin(slots))
        bucket_id = Partition.parse(key).bucket_id
        for shard, those in groupby(owed, key=itemgetter("shard")):
            path = self._dataset.layout.crops(bucket_id, shard)
            piece = (Stage.RESIZED_CROPS, key, shard)
            with condemning(self._dataset, piece, path), open_rows(path) as crops:
                for sample in those:
                    prompt = write_prompt(self._dataset, self._variant, sample)
                    self._keys[sample["id"]] = key
                    yield Question(
                        id=sample["id"],
                        jpeg=crops[sample["row"]]["jpeg"],
                        prompt=prompt,
                        input_version=name_input(self._variant, sample, prompt),
                    )

    def finish(self, work: Work, *, stopped: bool) -> Outcome:
        """Record a partition's captions as made; where images are left, that they are."""
        key = work.partition
        owed = self._list_owed([key]).get(key, []) if stopped or self._variant.key_missing else []
        slots = Partition.parse(key).slots(self._dataset.settings.shards.shard_size)
        with self._dataset.catalog.reading() as connection:
            usage = sum_usage(connection, self._source, Partition.parse(key).bucket_id, slots)
        return finish_captions(
            work,
            self._source,
            {
                "images": int((load_samples(self._dataset, key)["reason"] == "").sum()),
                "asked": self.tally.by_key[key],
                "copied": self.tally.copied[key],
                "left": len(owed),
                **usage,
                "captions_per_second": self.tally.rate,
            },
            owed=owed,
        )


def _make_row(answer: Answer) -> dict[str, Any]:
    """Return the catalog's row of an answer."""
    return {
        "image": answer.id,
        "status": answer.status.value,
        "text": answer.text,
        "detail": answer.detail,
        "input_version": answer.input_version,
        "created_at": time.time(),
        "finish_reason": answer.finish_reason,
        "provider": answer.provider,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "cost": answer.cost,
        "latency": answer.latency,
    }
