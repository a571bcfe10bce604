"""Which images each model still has to be asked about. Nothing is asked here, and nothing read but what views hold."""

from collections.abc import Callable, Mapping
from typing import Any

from dataset_assets.captions.view import View, list_rows
from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.settings import CaptionSettings, ChatSettings

NameInput = Callable[[ChatSettings, Mapping[str, Any]], str]  # what a caption of a sample would be made from now


def find_owed(
    captions: CaptionSettings, view: View, registered: Mapping[str, int], name_input: NameInput
) -> dict[str, list[int]]:
    """Return the slots of a partition that each model still has to be asked about, by variant, in slot order.

    `registered` maps a variant to its caption source. With `only_needed` a variant is asked about an image only when
    the waterfall would come to what it says, and no model before it is still to be asked: one that has no key today is
    waited for, not replaced by one that may cost ten times as much. A model that no selector takes is asked about all.
    """
    rows: dict[int, dict[int, Any]] = {}
    said: Any
    for said in view.captions[view.captions["current"]].itertuples(index=False):
        rows.setdefault(said.caption_source, {})[said.slot] = said
    seen = list_rows(view.samples, (view.samples["reason"] == "") & ~view.samples["blank"])
    samples = {sample["slot"]: sample for sample in seen}
    owed: dict[str, list[int]] = {}
    for variant in captions.in_turn:
        if not isinstance(variant, ChatSettings) or not variant.ask:
            continue
        source = registered[variant.name]
        spared: set[int] = set()
        index = captions.rank_of(variant)
        if variant.only_needed and index is not None:
            spared.update(*(owed.get(other.name, ()) for other in captions.before(variant)))
            spared |= _decided(view, view.ranks.get(source, (index, -1)))  # not there yet: the newest of its selector
        own = rows.get(source, {})
        owed[variant.name] = [
            slot
            for slot, sample in samples.items()
            if slot not in spared and not _is_settled(variant, own.get(slot), sample, name_input)
        ]
    return owed


def _decided(view: View, rank: tuple[int, int]) -> set[int]:
    """Return the slots for which the waterfall never comes to this rank: another source decides before it."""
    first = [number for number, other in view.ranks.items() if other < rank]
    decides = (view.captions["usable"] | (view.captions["drop"] != "")) & view.captions["caption_source"].isin(first)
    return set(view.captions.loc[decides, "slot"])


def _is_settled(variant: ChatSettings, said: Any, sample: Mapping[str, Any], name_input: NameInput) -> bool:
    """Return whether the model has said what it has to say of a sample."""
    if said is None:
        return False
    if said.input_version and sample["source_sha256"] and said.input_version != name_input(variant, sample):
        return False
    if said.status == CaptionStatus.OK:
        return True
    return bool(said.attempts >= getattr(variant.attempts, said.status, 1))
