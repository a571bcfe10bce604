"""The stage that makes the gallery: the page with which a person looks the dataset over, beside the export.

Pictures come first, then the page that shows them, then what it no longer shows is removed: whenever it is killed, the
page that is there opens, and the next run goes on.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from itertools import groupby

from dataset_assets.captions.reports.explain import Explanation
from dataset_assets.catalog.state import Piece, load_pieces, load_states
from dataset_assets.damage import describe_folder, find_damage, recorded_sizes
from dataset_assets.dataset import Dataset
from dataset_assets.errors import OrderError
from dataset_assets.freshness import find_state, fingerprint, list_inputs
from dataset_assets.gallery.choose import Chosen, choose_samples
from dataset_assets.gallery.left_out import collect_left_out, settle_left_out
from dataset_assets.gallery.near import collect_near, load_groups, settle_group
from dataset_assets.gallery.pictures import Album
from dataset_assets.gallery.records import Sample
from dataset_assets.gallery.samples import collect_samples, explain_samples, settle_sample
from dataset_assets.gallery.summary import sum_up
from dataset_assets.pages.write import find_data, write_page
from dataset_assets.progress import Progress, Silence
from dataset_assets.stages import Stage
from dataset_assets.work import Outcome, Work, begin, holding_lock

_SAMPLES = "samples"  # begins the names of the data that has them
_FILE = 250  # samples: a file of them holds one bucket's, so that a new image changes little


@holding_lock()
def write_gallery(
    dataset: Dataset, *, force: bool = False, also: Collection[str] = (), progress: Progress | None = None
) -> Outcome:
    """Return what became of the gallery, after writing it if it is not fresh.

    `also` are keys of samples that it is to show whether or not they are of its choice, until it is written the next
    time. `force` makes every picture again. Raises OrderError while the manifest is not of what is there now, or where
    the export has no sample with such a key; StorageError where what it shows cannot be read.
    """
    work = begin(dataset, Stage.GALLERY, force=force)
    if isinstance(work, Outcome):
        shown = set(work.report["also"]) | {one.row["key"] for one in _choose(dataset)} if also else set()
        if shown.issuperset(also):
            return work
        work = begin(dataset, Stage.GALLERY, force=True)
        assert isinstance(work, Work)
    work.require_fresh()
    with dataset.catalog.reading() as connection:
        pieces = load_pieces(connection, Stage.GALLERY)
    written = {path: size for piece in pieces for path, size in recorded_sizes(piece).items()}
    return _write(work, Album(dataset, anew=force, written=written), also, progress or Silence())


def is_shown(dataset: Dataset, key: str) -> bool:
    """Return whether the page that is there now shows the sample with a key, whatever it is of. Nothing is written."""
    sought = f'"key":"{key}"'.encode()  # in a text of theirs the quotes would be escaped
    with suppress(OSError):  # a build may just replace what is read
        files = find_data(dataset.layout.gallery)
        return any(sought in path.read_bytes() for path in files if path.name.startswith(f"{_SAMPLES}-"))
    return False


def is_current(dataset: Dataset) -> bool:
    """Return whether the page is whole, and of the tars that are there now. It may be so when its settings changed."""
    with dataset.catalog.reading() as connection:
        states = load_states(connection)
        pieces = load_pieces(connection, Stage.GALLERY)
    try:
        page = find_state(states, Stage.GALLERY).report["inputs"]
        manifest = find_state(states, Stage.MANIFEST)
        tars = list_inputs(dataset.settings, states, Stage.MANIFEST)[Stage.SHARDS]
    except OrderError:
        return False
    same = page[Stage.MANIFEST] == manifest.output and manifest.report["inputs"][Stage.SHARDS] == tars
    return same and not any(find_damage(dataset.layout, piece) for piece in pieces)


def tell_missing(dataset: Dataset) -> str:
    """Return why there is no page and what to do about it, for who asks where it is."""
    with dataset.catalog.reading() as connection:
        assigned = load_states(connection, [""]).get((Stage.BUCKET_ASSIGNMENTS, ""))
        tars = load_pieces(connection, Stage.SHARDS)
    if not dataset.settings.gallery.enabled:
        return f"there is no gallery in {dataset.layout.gallery}: gallery.enabled in the settings turns it off"
    if assigned and not assigned.interrupted:
        drops = sum((Counter(tar.facts["drops"]) for tar in tars), Counter(assigned.report["drops"]))
        if drops.total() == assigned.report["seen"]:
            counts = ", ".join(f"{reason} {count:,}" for reason, count in drops.most_common() if count)
            said = f"{assigned.report['seen']:,} images seen{counts and f' ({counts})'}"
            return f"there is no gallery: nothing is exported of {said}; `dataset-assets show IMAGE` says why of each"
    return f"there is no gallery in {dataset.layout.gallery} yet: `dataset-assets build` writes it"


def _write(work: Work, album: Album, also: Collection[str], progress: Progress) -> Outcome:
    dataset = work.dataset
    tars, groups = _list_tars(dataset), load_groups(dataset)
    chosen = _choose(dataset, also)
    samples = collect_samples(dataset, chosen, album, groups.numbers if groups else {})
    left_out = collect_left_out(dataset, tars, album)
    near = collect_near(dataset, groups, tars, {one.image_id: one.key for one in samples}, album)
    drawn, told = _draw(dataset, samples, album, progress)
    samples = [settle_sample(one, album, told[one.image_id]) for one in samples]
    data = {
        "overview": asdict(sum_up(dataset, samples, groups)),
        **{f"{_SAMPLES}-{number:03d}": [asdict(one) for one in part] for number, part in enumerate(_split(samples))},
        "left_out": [asdict(settle_left_out(one, album)) for one in left_out],
        "near": [asdict(settle_group(one, album)) for one in near],
    }
    page, output = dataset.layout.gallery_page, fingerprint(data)
    work.replace()
    write_page(dataset.layout.gallery, "gallery", data)
    pictures, size = album.clean()
    facts = describe_folder(dataset.layout, dataset.layout.gallery)
    work.put(page, made_from=fingerprint(work.inputs), output=output, facts=facts)
    return work.finish(
        output=output,
        report={
            "samples": len(samples),
            "left_out": len(left_out),
            "near_groups": len(near),
            "pictures": pictures,
            "picture_bytes": size,
            "drawn": drawn,
            "also": sorted(also),
        },
    )


def _draw(
    dataset: Dataset, samples: Sequence[Sample], album: Album, progress: Progress
) -> tuple[int, dict[str, Explanation]]:
    """Make the pictures; return of how many images they are, and what is told of the samples, by image_id.

    That is found out in a thread, as other processes draw; a bucket at a time, so that an interrupt has not long to
    wait.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="gallery")
    try:
        told = [thread.submit(explain_samples, dataset, bucket) for bucket in _split(samples)]
        drawn = album.draw(progress)
        return drawn, {image_id: one for bucket in told for image_id, one in bucket.result().items()}
    finally:
        thread.shutdown(cancel_futures=True)


def _choose(dataset: Dataset, also: Collection[str] = ()) -> list[Chosen]:
    tars = [tar for tar in _list_tars(dataset) if tar.path]
    return choose_samples(dataset, tars, dataset.settings.gallery.images, also)


def _list_tars(dataset: Dataset) -> Sequence[Piece]:
    """Return the pieces of all shards, those without a sample, too."""
    with dataset.catalog.reading() as connection:
        return load_pieces(connection, Stage.SHARDS)


def _split(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Yield the samples in parts, each of one bucket."""
    for _, bucket in groupby(samples, lambda one: one.bucket_id):
        own = list(bucket)
        yield from (own[first : first + _FILE] for first in range(0, len(own), _FILE))
