"""The stage of trainer metadata: what is merged by the settings, the files it makes, and their report.

What goes in is said in docs/records.md, What is merged. The merge itself is merge.py's, and a bucketed export's
metadata is export.py's.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from shutil import copyfileobj

from dataset_assets.catalog.state import load_pieces
from dataset_assets.damage import index_path
from dataset_assets.dataset import Dataset
from dataset_assets.errors import DamagedError, OrderError, SettingsError, StorageError
from dataset_assets.freshness import fingerprint
from dataset_assets.posts.read import iter_tars
from dataset_assets.progress import Progress, Silence
from dataset_assets.settings import Settings, TrainerSettings
from dataset_assets.sources.named import pin
from dataset_assets.stages import Stage, upstream
from dataset_assets.status import require_fresh
from dataset_assets.storage.atomic import settle, sweep, write_bytes
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.location import Location
from dataset_assets.trainer.export import merging_export
from dataset_assets.trainer.inputs.columns import find_tags
from dataset_assets.trainer.inputs.rows import Input, Lack, Role
from dataset_assets.trainer.merge.merge import Merged, merging
from dataset_assets.trainer.output.merged import ARCHIVE, CAPTIONS, MISSING, REASONS, Form
from dataset_assets.trainer.output.plot import draw_report
from dataset_assets.trainer.output.report import describe, dump_report, write_markdown
from dataset_assets.work import Outcome, Work, begin, condemning, holding_lock

REPORT, REPORT_TEXT, REPORT_PLOT = "report.json", "report.md", "report.png"

_MISSING_LIST = "missing.json"
_NAMES = (CAPTIONS, ARCHIVE, _MISSING_LIST, REASONS, REPORT, REPORT_TEXT, REPORT_PLOT)
_FIRST = {"json": 100, "jsonl": 20_000}  # numbers of the pieces of merged metadata
_ROLES: tuple[Role, ...] = ("ids", "tags", "captions", "latents")


@holding_lock()
def write_trainer_metadata(dataset: Dataset, *, force: bool = False, progress: Progress | None = None) -> Outcome:
    """Return what became of the trainer metadata, after writing it if it is not fresh.

    Raises OrderError where the settings have no [trainer], SettingsError where what they name does not go together,
    IncompleteError while what it is made from is missing or stale, and SourceError where a file cannot be read.
    """
    settings = dataset.settings
    if settings.trainer is None:
        raise OrderError("the settings have no [trainer]: it says what trainer metadata is made of")
    require_fresh(dataset, upstream(settings, Stage.TRAINER_METADATA), "trainer metadata is made of all captions")
    work = begin(dataset, Stage.TRAINER_METADATA, force=force)
    if isinstance(work, Outcome):
        return work
    progress = progress or Silence()
    _prepare(dataset.layout.trainer_scratch)
    form = _make_form(settings)
    with _condemning(dataset), _merging(dataset, settings.trainer, form, progress) as merged:
        report = describe(merged.tally, _name_rows(dataset, merged), merged.faults)
        _add_reasons(merged)
        for name, path in merged.files.items():
            _put(work, form, name, path)
    for name, data in {
        REPORT: dump_report(report),
        REPORT_TEXT: write_markdown(report, settings.dataset.name).encode(),
        REPORT_PLOT: draw_report(report, settings.dataset.name),
    }.items():
        work.replace(_number(form, name))
        write_bytes(dataset.layout.trainer / name, data)
        _record(work, form, name)
    progress.note(report["log"])
    sizes = {Path(piece.path).name: piece.bytes for piece in work.pieces}
    return work.finish(output=fingerprint(work.inputs, report), report={**report, "files": sizes})


def _prepare(folder: Path) -> None:
    """Make the folder in which files are made, without what killed processes left in it. Raises StorageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror or error}") from error
    sweep([folder])


def list_inputs(dataset: Dataset) -> list[Input]:
    """Return the files that are merged, in the order of the settings; [] where it is the export that metadata is of.

    Raises SettingsError where ids come from the export and the rest does not, SourceError where an object is not there.
    """
    settings = dataset.settings
    trainer = settings.trainer
    assert trainer is not None
    given = {role: getattr(trainer, role) for role in _ROLES}
    if not any(given.values()) and not settings.records:
        return []
    if not given["ids"] and not settings.records:
        raise SettingsError(
            'trainer.ids: "" given, which is the export, whose keys no file has; allowed: a file, or no file at all'
        )
    roles: dict[Location, set[Role]] = {}
    for role, path in given.items():
        if path:
            roles.setdefault(settings.resolve(path), set()).add(role)
    inputs = [
        Input(path=pin(path), roles=frozenset(found), name=_name(settings, path)) for path, found in roles.items()
    ]
    own = frozenset(role for role, path in given.items() if not path and role != "latents")
    return [*(_list_own(settings, dataset.layout, own) if own else ()), *inputs]


def _list_own(settings: Settings, layout: Layout, roles: frozenset[Role]) -> Iterator[Input]:
    """Yield the captions of our own records, which have no sizes, and tags only where a variant is called so."""
    for key in settings.records.ranges if settings.records else ():
        path = layout.record_captions(key)
        found = roles if "tags" not in roles or find_tags(path) else roles - {"tags"}
        if found:
            yield Input(path=path, roles=frozenset(found), own=True, name=_name(settings, path))


@contextmanager
def _condemning(dataset: Dataset) -> Iterator[None]:
    """Remove those of our own captions that turn out to be damaged, so that the next build makes them again.

    Raises DamagedError, which says so.
    """
    try:
        yield
    except DamagedError:
        records = dataset.settings.records
        for key in records.ranges if records else ():  # who found it was another process: which one is it?
            path = dataset.layout.record_captions(key)
            with condemning(dataset, (Stage.RECORD_CAPTIONS, key, 0), path):
                for _ in iter_tars(path):
                    pass
        raise


def _make_form(settings: Settings) -> Form:
    trainer = settings.trainer
    assert trainer is not None
    return Form(
        prefix=trainer.key_prefix,
        dialect=trainer.dialect,
        split=trainer.split,
        archive=trainer.archives,
        numeric=bool(settings.records or trainer.ids),
    )


def _merging(
    dataset: Dataset, trainer: TrainerSettings, form: Form, progress: Progress
) -> AbstractContextManager[Merged]:
    settings, folder = dataset.settings, dataset.layout.trainer_scratch
    if inputs := list_inputs(dataset):
        return merging(inputs, folder, form, workers=settings.workers, progress=progress)
    with dataset.catalog.reading() as connection:
        shards = [piece for piece in load_pieces(connection, Stage.SHARDS) if piece.path]
    shards.sort(key=lambda piece: str(piece.facts["path"]))
    indexes = [(index_path(dataset.layout, piece), int(piece.facts["count"])) for piece in shards]
    return merging_export(indexes, folder, form, progress=progress)


def _name_rows(dataset: Dataset, merged: Merged) -> dict[str, int]:
    """Return how many entries each input had, by its path as a person knows it."""
    records = dataset.settings.records
    own = {dataset.layout.record_captions(key) for key in (records.ranges if records else ())}
    rows: Counter[str] = Counter()
    for path, count in merged.rows.items():
        rows["(records)" if path in own else _name(dataset.settings, path)] += count
    return dict(rows)


def _name(settings: Settings, path: Location) -> str:
    return str(path.relative_to(settings.folder) if path.is_relative_to(settings.folder) else path)


def _add_reasons(merged: Merged) -> None:
    """Add to missing_reasons.jsonl what is about no id, or about all."""
    nothing = Lack.NO_INPUT.name.lower()
    ids = {missing: merged.tally.reasons.get(missing, Counter())[nothing] for missing in MISSING}
    said = [{"missing": missing, "reason": nothing, "ids": count} for missing, count in ids.items() if count]
    try:
        with merged.files[REASONS].open("ab") as file:
            if merged.listed:
                with merged.listed.open("rb") as faults:
                    copyfileobj(faults, file)
            file.writelines(f"{json.dumps(line)}\n".encode() for line in said)
    except OSError as error:
        raise StorageError(f"cannot write {merged.files[REASONS]}: {error.strerror or error}") from None


def _put(work: Work, form: Form, name: str, temporary: Path) -> None:
    work.replace(_number(form, name))
    settle(temporary, work.dataset.layout.trainer / name)
    _record(work, form, name)


def _record(work: Work, form: Form, name: str) -> None:
    made_from = fingerprint(work.inputs)
    path = work.dataset.layout.trainer / name
    work.put(path, made_from=made_from, output=fingerprint(made_from, name), number=_number(form, name))


def _number(form: Form, name: str) -> int:
    """Return the number of a file's piece: another one for every name, so that what is not made any more is removed."""
    if name in _NAMES:
        return _NAMES.index(name)
    return _FIRST[form.dialect] + (1 + form.find(name) if form.split > 1 else 0)
