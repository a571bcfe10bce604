"""What the commands on captions, and `show` of one sample, print, as tables and lines. No work and no decision here."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from dataset_assets.counts import count_noun
from dataset_assets.terminal import count_table, say, show_line

if TYPE_CHECKING:  # pandas comes with some of these, and the other commands start without it
    from dataset_assets.captions.files.importing import ImportReport
    from dataset_assets.captions.reports.account import CaptionAccount, SourceAccount, VariantAccount
    from dataset_assets.captions.reports.estimate import Estimate
    from dataset_assets.captions.reports.explain import Explanation, ShownCaption
    from dataset_assets.release.describe import Description
    from dataset_assets.shards.locate import Stored

_UNKNOWN = "?"
_SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def print_estimates(console: Console, estimates: "Sequence[Estimate]") -> None:
    """Print what each variant is expected to take, what the numbers rest on, and what stands in the way."""
    if not estimates:
        say(console, "no variant is made by a model: there is nothing to ask for and nothing to pay")
        return
    table = count_table("captions to make", "variant", "images", "tokens in", "tokens out", "cost", "time", "spent")
    for one in estimates:
        left = one.left
        tokens = (f"{left.prompt_tokens:,}", f"{left.completion_tokens:,}")
        time = _UNKNOWN if left.seconds is None else show_span(left.seconds)
        table.add_row(Text(one.variant), f"{left.images:,}", *tokens, show_cost(left.cost), time, show_cost(one.spent))
    console.print(table)
    for one in estimates:
        for line in _remark(one):
            say(console, f"{one.variant}: {line}")
    known = sum(one.left.cost or 0 for one in estimates)
    rest = "" if all(one.left.cost is not None for one in estimates) else ", and what is not known"
    captions = count_noun(sum(one.left.images for one in estimates), "caption")
    say(console, f"in all {captions}, about {show_cost(known)}{rest}")


def _remark(one: "Estimate") -> list[str]:
    """Return what there is to know of an estimate, a line each."""
    each = one.each
    tokens = f"{each.prompt_tokens:,} tokens in and {each.completion_tokens:,} out"
    lines = [f"{tokens}, {show_cost(each.cost)} an image, {one.basis}"]
    if one.price_unknown:
        lines.append(f"no price is known: {one.price_unknown}")
    if waiting := one.at_most.images - one.left.images:
        lines.append(
            f"{waiting:,} more images wait for the models before it: at most {one.at_most.images:,} images and "
            f"{show_cost(one.at_most.cost)}"
        )
    if not one.asked:
        lines.append("ask = false: it is asked about nothing, and what it said before counts")
    if one.key_missing:
        lines.append(f"it is left out until the environment variable {one.key_missing}, which holds its key, is set")
    if one.budget:
        money = max(one.budget - one.spent, 0)
        short = ", which is not enough" if one.left.cost is not None and one.left.cost > money else ""
        lines.append(f"{show_cost(money)} of its budget of {show_cost(one.budget)} is left{short}")
    return lines


def print_account(console: Console, account: "CaptionAccount") -> None:
    """Print the caption sources, what the variants cost and still want, and what the selectors took."""
    sources = count_table("caption sources", "caption source", "images", "findings")
    sources.show_lines = True
    for variant in account.variants:
        for one in variant.sources:
            sources.add_row(_describe(variant, one), _list_counts(one.statuses), _list_counts(one.findings))
    variants = count_table("variants", "variant", "left", "requests", "tokens in", "tokens out", "cost", "budget left")
    for variant in account.variants:
        spent = variant.spent
        numbers = (variant.left, spent.requests, spent.prompt_tokens, spent.completion_tokens)
        money = "" if variant.budget_left is None else show_cost(variant.budget_left)
        variants.add_row(Text(variant.variant), *(f"{number:,}" for number in numbers), show_cost(spent.cost), money)
    selectors = count_table("selectors", "selector", "variant", "samples")
    for step in account.selectors:
        narrowed = ", ".join(name for name in (step.variant, step.backend, step.model) if name)
        selectors.add_row(str(step.index), Text(narrowed), f"{step.selected:,}")
    for reason, count in account.drops.items():
        selectors.add_row("", f"left out: {reason}", f"{count:,}")
    selectors.add_row("", "without a caption", f"{account.without:,}")
    for table in (sources, variants, selectors):
        console.print(table)
    for variant in account.variants:
        for line in _list_lacks(variant):
            say(console, f"{variant.variant}: {line}")
    if missing := account.partitions - account.partitions_selected:
        say(console, f"{missing:,} of {account.partitions:,} partitions have no selection yet")


def _describe(variant: "VariantAccount", one: "SourceAccount") -> Text:
    """Return what a caption source is, over a few lines."""
    hashes = {"system prompt": one.system_prompt, "user prompt": one.user_prompt}
    lines = [
        f"{one.id}  {variant.variant}",
        f"{one.backend} {one.model}",
        f"since {show_time(one.created_at)}",
        *(f"{name} {digits}" for name, digits in hashes.items() if digits),
        _tell_use(one),
    ]
    return Text("\n".join(show_line(line) for line in lines))


def _tell_use(one: "SourceAccount") -> str:
    by = "taken by no selector" if one.selector is None else f"taken by selector {one.selector}"
    if not one.counts:
        by = "not read any more"
    return f"{by}, made now" if one.current else by


def _list_lacks(variant: "VariantAccount") -> list[str]:
    lines = []
    if not variant.backend:
        lines.append("the settings have no such variant any more; what it said before counts where a selector takes it")
    if variant.key_missing:
        lines.append(f"the environment variable {variant.key_missing}, which holds its key, is not set")
    if variant.partitions_left:
        lines.append(f"its captions of {variant.partitions_left:,} partitions have not been made yet")
    return lines


def _list_counts(counts: Mapping[str, int]) -> Text:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Text("\n".join(f"{name} {count:,}" for name, count in ordered))


def print_sample(console: Console, shown: "Description") -> None:
    """Print an image's place, what the export holds of it, why it has the caption it has, and every caption of it."""
    now = shown.now
    removed = ", removed" if now.removed else ""
    for name, value in {
        "image": f"{now.image_id}, {_tell_size(now.width, now.height)}{removed}",
        "source": f"{now.source}: {shown.path or now.uri}",
        "key": now.key,
        "place": _tell_place(now),
        **(_tell_stored(shown.stored) if shown.stored else {"crop": f"none: {now.no_crop}" if now.no_crop else "made"}),
        "export": shown.missing and f"not in it: {shown.missing}",
        "pending": shown.pending,
        "caption": now.text if now.selector_index >= 0 else "none",
        "why": now.why,
    }.items():
        if value:
            say(console, f"{name:<9}{show_line(value)}")
    if not now.captions:
        say(console, "nothing was ever said of it")
    for one in now.captions:
        _print_caption(console, one)


def _tell_size(width: int, height: int) -> str:
    return f"{width}×{height} pixels" if width else "of unknown size"


def _tell_place(now: "Explanation") -> str:
    if now.slot < 0:
        return "in no slot"
    return f"{now.bucket_id}, partition {now.partition}, slot {now.slot:,} in shard {now.shard:,}"


def _tell_stored(stored: "Stored") -> dict[str, str]:
    """Return what a tar has of a sample, line by line."""
    row = stored.row
    crop = f"{row['target_w']}×{row['target_h']} pixels at {row['crop_x']}, {row['crop_y']}"
    crop += f" of {row['src_w']}×{row['src_h']} scaled by {row['crop_scale']:.4f}"
    if row["image_mode"] == "passthrough_jpeg":
        crop = f"none, the source's {row['src_w']}×{row['src_h']} pixels are passed through"
    elif stored.box:
        left, top, right, bottom = stored.box
        crop += f": {left:.1%} to {right:.1%} across, {top:.1%} to {bottom:.1%} down"
    quality = f"quality {row['quality']}, {row['subsampling']}" if row["quality"] else "as the source has it"
    return {
        "crop": crop,
        "jpeg": f"{row['w']}×{row['h']} pixels, {row['jpg_size']:,} bytes, {quality}",
        "tar": f"{stored.shard}:{stored.number}, the JPEG at byte {row['jpg_offset']}",
        "fault": stored.fault,
    }


def _print_caption(console: Console, one: "ShownCaption") -> None:
    said = one.said
    use = "no selector takes it" if one.selector is None else f"selector {one.selector}"
    notes = [said.status, use]
    if not one.counts:
        notes.append("not read any more")
    if one.current is False:
        notes.append("of an older version of the image")
    style = "bold green" if one.won else ""
    made_by = f"{one.variant}, caption source {one.caption_source}, {one.backend} {one.model}".rstrip()
    mark = "→" if one.won else " "
    say(console, Text(f"\n{mark} {show_line(made_by)}: {', '.join(notes)}", style))
    times = "once" if said.attempts == 1 else f"{said.attempts:,} times"
    facts = [show_time(said.created_at), f"asked {times}" if said.finish_reason or said.latency else ""]
    facts = [fact for fact in (*facts, said.finish_reason, said.provider) if fact]
    if said.prompt_tokens or said.completion_tokens:
        facts.append(f"{said.prompt_tokens:,} tokens in, {said.completion_tokens:,} out")
        facts.append(show_cost(said.cost))
    if said.latency:
        facts.append(f"{said.latency:,.1f} s")
    for line in (", ".join(facts), said.detail, said.text):
        if line:
            say(console, f"    {show_line(line)}")
    for found in one.findings:
        say(console, f"    {found.finding} ({found.policy}): {show_line(found.detail)}")


def print_import(console: Console, report: "ImportReport", *, dry_run: bool) -> None:
    """Print what became of a file's rows, and the first of those that were not taken."""
    table = count_table("dry run" if dry_run else "import", "rows", "count")
    counts = {
        "imported": report.imported,
        "unchanged": report.unchanged,
        "kept: what was there is newer or better": report.kept,
        "replaced by a later row": report.replaced_by_later,
        **{fault.value: count for fault, count in report.faults.items()},
    }
    for name, count in counts.items():
        if count:
            table.add_row(name, f"{count:,}")
    table.add_row("in all", f"{report.rows:,}")
    console.print(table)
    for example in report.examples:
        say(console, f"row {example.row:,}: {example.fault.value}: {show_line(example.detail)}")
    if dry_run:
        say(console, "nothing was written: this was a dry run")


def show_cost(cost: float | None) -> str:
    """Return an amount in USD, to the cent, or closer where it is less than a dollar; "?" where it is not known."""
    if cost is None:
        return _UNKNOWN
    digits = 2 if cost >= 1 or cost == 0 else 4 if cost >= 0.01 else 6
    return f"${cost:,.{digits}f}"


def show_span(seconds: float) -> str:
    """Return a time span in its largest unit."""
    for length, unit in _SPANS:
        if seconds >= length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:,.0f} s"


def show_time(seconds: float) -> str:
    """Return unix seconds as date and time, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
