"""The pictures beside the page: a file for each, named by what it shows, so that one that is there is never made again.

Making them is draw.py's, in worker processes; a picture that cannot be made is lost, and nothing else is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dataset_assets.dataset import Dataset
from dataset_assets.freshness import VERSIONS, fingerprint
from dataset_assets.gallery.draw import Drawing, DrawJob, DrawTask, Where
from dataset_assets.gallery.records import Picture
from dataset_assets.images.workers import Workers
from dataset_assets.progress import Progress
from dataset_assets.stages import Stage
from dataset_assets.storage.atomic import remove
from dataset_assets.storage.location import list_sizes, path_in

_PICTURES = "pictures"  # in the gallery's


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How large a picture is at most, and how well it is kept."""

    side: int  # pixels, the longer one
    quality: int  # of JPEG


# Together about 35 kB and 7 ms of a processor for a sample.
THUMB = Kind(side=192, quality=70)
LARGE = Kind(side=640, quality=70)
ORIGIN = Kind(side=288, quality=65)


def fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return (width, height) of an image that is brought to a longer side of at most `side` pixels."""
    longer = max(size)
    if longer <= side:
        return size
    width, height = (max(1, (2 * one * side + longer) // (2 * longer)) for one in size)
    return width, height


class Album:
    """The pictures of one page, while they are put together."""

    def __init__(self, dataset: Dataset, *, anew: bool, written: Mapping[str, int] | None = None) -> None:
        """Start an empty one; `anew` makes every picture again, also those that are there.

        `written` are the sizes, bytes, of those whose writing is recorded, by path: one of another size is made again.
        """
        self._dataset = dataset
        self._folder = dataset.layout.gallery
        self._there = {f"{_PICTURES}/{path}": size for path, size in list_sizes(self._folder / _PICTURES).items()}
        sizes = {} if written is None else written
        self._torn = {path for path, size in self._there.items() if not size or size != sizes.get(path, size)}
        self._anew = anew
        self._wanted: set[str] = set()
        self._tasks: list[DrawTask] = []
        self._lost: dict[str, str] = {}

    def want(self, where: Where, shown: str, size: tuple[int, int], *kinds: Kind) -> tuple[Picture, ...]:
        """Return pictures of an image, which are made later, the largest kind first.

        `shown` names what can be seen, `size` is its (width, height), upright.
        """
        settings = self._dataset.settings.images
        pictures = tuple(_name([shown, settings.icc], size, kind) for kind in kinds)
        drawings = [
            Drawing(path=self._folder / picture.path, size=(picture.w, picture.h), quality=kind.quality)
            for picture, kind in zip(pictures, kinds, strict=True)
            if picture.path not in self._wanted and (self._anew or not self._has(picture))
        ]
        if drawings:
            self._tasks.append(DrawTask(where=where, size=size, drawings=drawings))
        self._wanted.update(picture.path for picture in pictures)
        return pictures

    def _has(self, picture: Picture) -> bool:
        return picture.path in self._there and picture.path not in self._torn

    def draw(self, progress: Progress) -> int:
        """Make the pictures that are not there; return how many images they are of.

        Raises StorageError where they cannot be written.
        """
        settings = self._dataset.settings
        progress.start(Stage.GALLERY, len(self._tasks), "images")
        with Workers(settings.workers, DrawJob(settings=settings.images, sources=self._dataset.sources)) as workers:
            for task, fault in workers.run(self._tasks):
                if fault:
                    self._lost |= {path_in(self._folder, drawing.path): fault for drawing in task.drawings}
                progress.advance(1)
        progress.finish()
        return len(self._tasks)

    def find_fault(self, picture: Picture) -> str:
        """Return why a picture could not be made; "" where it is there."""
        return self._lost.get(picture.path, "")

    def check(self, picture: Picture | None) -> Picture | None:
        """Return a picture, None where it could not be made."""
        return None if picture is None or picture.path in self._lost else picture

    def clean(self) -> tuple[int, int]:
        """Remove the pictures that are not of this page, which is written now; return how many are left, and bytes."""
        left = self._wanted - self._lost.keys()
        for path in self._there.keys() - left:
            remove(self._folder / path)
        sizes = list_sizes(self._folder / _PICTURES)
        return len(sizes), sum(sizes.values())


def _name(shown: Sequence[str], size: tuple[int, int], kind: Kind) -> Picture:
    width, height = fit(size, kind.side)
    digest = fingerprint(VERSIONS[Stage.GALLERY], *shown, size, kind.side, kind.quality)[:32]
    return Picture(path=f"{_PICTURES}/{digest[:2]}/{digest[2:]}.jpg", w=width, h=height)
