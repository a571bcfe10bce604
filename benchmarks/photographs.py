"""Photographs in any number and of a realistic size, for benchmarks: windows of those that scikit-image carries."""

from pathlib import Path

import numpy as np
import skimage
from PIL import Image

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
SIDE = 960  # pixels, of a photograph's shorter side before windows are cut from it
NOISE = 3  # standard deviation: making a photograph larger has smoothed away what a camera leaves
SHAPES = ((640, 640), (752, 560), (560, 752), (816, 544), (544, 816))  # (width, height), pixels; one bucket each
STEP = 977  # places from a window to the next of the same photograph and shape; a prime, so that none comes twice


def write_photographs(folder: Path, images: int) -> None:
    """Write so many JPEGs, no two the same, 1,000 a folder; do nothing where they are there."""
    written = folder / "written"
    if written.exists():
        return
    canvases = [enlarge(Path(skimage.__file__).parent / "data" / name) for name in PHOTOGRAPHS]
    for number in range(images):
        rest, shape = divmod(number, len(SHAPES))
        place, photograph = divmod(rest, len(canvases))
        canvas, (width, height) = canvases[photograph], SHAPES[shape]
        across, down = canvas.width - width + 1, canvas.height - height + 1
        y, x = divmod(place * STEP % (across * down), across)
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.crop((x, y, x + width, y + height)).save(path, quality=90)
    written.touch()


def enlarge(path: Path) -> Image.Image:
    """Return a photograph in the size that windows are cut from."""
    with Image.open(path) as file:
        small = file.convert("RGB")
    scale = SIDE / min(small.size)
    width, height = (round(side * scale) for side in small.size)
    pixels = np.asarray(small.resize((width, height), Image.Resampling.LANCZOS))
    noise = np.random.default_rng(0).normal(0, NOISE, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
