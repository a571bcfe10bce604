"""Photographs in realistic sizes, cut from those of Debian packages and of scikit-image, and sets of any number.

How they are measured is not here. The same photographs and the same versions of Pillow give the same files.
"""

import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import skimage
from PIL import Image

IMAGES = 2_000  # different ones
SEED = 6
SHARES = Path("/usr/share")
PACKAGES = {  # of Debian and Ubuntu → where their photographs are; the other pictures in them are drawn
    "lomiri-wallpapers-16.04": "backgrounds/*_by_*.jpg",
    "mate-backgrounds": "backgrounds/mate/nature/*.jpg",
    "plasma-workspace-wallpapers": "wallpapers/*/contents/images/2560x1600.jpg",
}
CARRIED = ("astronaut.png", "hubble_deep_field.jpg", "retina.jpg")  # by scikit-image, and large enough
LEAST, MOST = 512, 2048  # pixels a side
MEDIAN, SPREAD = 0.88e6, 0.55  # pixels, and the standard deviation of their logarithm, before the limits above
# Width to height and how often. Photographs are mostly 3:2 and 4:3 lying, some of them standing, few of them narrow.
ASPECTS = (
    (3 / 2, 20), (4 / 3, 18), (16 / 9, 10), (1, 9), (2 / 3, 9), (3 / 4, 9), (5 / 4, 4), (4 / 5, 4), (1.6, 4),
    (9 / 16, 4), (2.0, 2), (0.5, 2), (2.4, 1), (2.6, 1), (3.0, 1), (0.42, 1), (0.35, 1), (0.9, 1), (1.1, 1), (1.2, 1),
)  # fmt: skip
WOBBLE = 0.02  # by which an aspect differs from its name: people cut their photographs
QUALITIES = (80, 85, 88, 90, 92, 95)
TURNED = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}
TURNS = 0.04  # of the photographs are stored turned, and say so in EXIF
ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One image of the corpus: which part of which photograph it is, and how it is stored."""

    number: int
    photograph: Path
    box: tuple[float, float, float, float]  # left, top, right, bottom, pixels of the photograph
    size: tuple[int, int]  # (width, height) upright, pixels
    quality: int
    orientation: int  # EXIF 1, 3, 6 or 8

    @property
    def name(self) -> str:
        """Its path in the corpus."""
        return f"{self.number // 500:03d}/{self.number:06d}.jpg"


def make_corpus(folder: Path) -> None:
    """Make the 2,000 images below `folder`, each with a .txt beside it; do nothing where they are there."""
    written = folder / "written"
    if written.exists():
        return
    cuts = sorted(plan_cuts(find_photographs()), key=lambda cut: cut.photograph)
    groups = [list(group) for _, group in groupby(cuts, key=lambda cut: cut.photograph)]
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(write_cuts, groups, [folder] * len(groups)):
            pass
    written.touch()


def find_photographs() -> list[Path]:
    """Return the photographs to cut from; ends the program with the names of the packages that are missing."""
    found = {package: sorted(SHARES.glob(pattern)) for package, pattern in PACKAGES.items()}
    if missing := [package for package, paths in found.items() if not paths]:
        raise SystemExit(
            f"photographs of these packages are missing below {SHARES}: {', '.join(missing)}\n"
            f"on Debian or Ubuntu: apt-get install {' '.join(missing)}"
        )
    carried = [Path(skimage.__file__).parent / "data" / name for name in CARRIED]
    return [*(path for paths in found.values() for path in paths), *carried]


def plan_cuts(photographs: list[Path]) -> Iterator[Cut]:
    """Yield what the corpus consists of; nothing is made larger than it is in its photograph."""
    dice = random.Random(SEED)
    sizes = {}
    for path in photographs:
        with Image.open(path) as image:
            sizes[path] = image.size
    for number in range(IMAGES):
        width, height = draw_size(dice)
        roomy = [path for path, (most_w, most_h) in sizes.items() if most_w >= width and most_h >= height]
        path = dice.choice(roomy)
        most_w, most_h = sizes[path]
        scale = dice.uniform(1, min(most_w / width, most_h / height))  # photograph's pixels to one of ours
        left, top = dice.uniform(0, most_w - width * scale), dice.uniform(0, most_h - height * scale)
        yield Cut(
            number=number,
            photograph=path,
            box=(left, top, min(most_w, left + width * scale), min(most_h, top + height * scale)),
            size=(width, height),
            quality=dice.choice(QUALITIES),
            orientation=dice.choice(list(TURNED)) if dice.random() < TURNS else 1,
        )


def draw_size(dice: random.Random) -> tuple[int, int]:
    """Return a (width, height), pixels, both within the limits."""
    values, weights = zip(*ASPECTS, strict=True)
    while True:
        aspect = dice.choices(values, weights)[0] * (1 + dice.uniform(-WOBBLE, WOBBLE) * (dice.random() < 0.5))
        area = dice.lognormvariate(0, SPREAD) * MEDIAN
        width, height = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if min(width, height) >= LEAST and max(width, height) <= MOST:
            return width, height


def write_cuts(cuts: list[Cut], folder: Path) -> None:
    """Write the images that are cut from one photograph."""
    with Image.open(cuts[0].photograph) as file:
        photograph = file.convert("RGB")
    for cut in cuts:
        path = folder / cut.name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = photograph.resize(cut.size, Image.Resampling.LANCZOS, cut.box)
        exif = Image.Exif()
        if cut.orientation != 1:
            image = image.transpose(TURNED[cut.orientation])
            exif[ORIENTATION] = cut.orientation
        image.save(path, quality=cut.quality, subsampling="4:2:0", exif=exif)
        width, height = cut.size
        path.with_suffix(".txt").write_text(
            f"Part of a photograph, {width} pixels wide and {height} high, with its left edge at {cut.box[0]:.0f}.\n"
        )


def link_set(corpus: Path, folder: Path, images: int) -> Path:
    """Return a folder of so many images and their captions: hard links to those of the corpus, under other names.

    The images are in a random order, so that the first of them are a fair part of all.
    """
    place = folder / str(images)
    if (folder / f"{images}.written").exists():
        return place
    originals = sorted(corpus.rglob("*.jpg"))
    for number in range(images):
        copy, which = divmod(number, len(originals))
        for original in (originals[which], originals[which].with_suffix(".txt")):
            path = place / f"{copy:02d}" / original.relative_to(corpus)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                os.link(original, path)
    (folder / f"{images}.written").touch()
    return place


def describe_corpus(corpus: Path) -> str:
    """Return in a sentence what the corpus is: sizes in pixels and bytes, how many are turned."""
    pixels, sizes, turned = [], [], 0
    for path in sorted(corpus.rglob("*.jpg")):
        with Image.open(path) as image:
            pixels.append(image.width * image.height)
            turned += image.getexif().get(ORIENTATION, 1) != 1
        sizes.append(path.stat().st_size)
    middle = len(pixels) // 2
    return (
        f"{len(pixels):,} photographs, {min(pixels) / 1e6:.2f} to {max(pixels) / 1e6:.2f} megapixels and "
        f"{sorted(pixels)[middle] / 1e6:.2f} in the median, {sorted(sizes)[middle] / 1e3:.0f} kB in the median, "
        f"{sum(sizes) / 1e6:.0f} MB in all, {turned} of them turned by EXIF"
    )
