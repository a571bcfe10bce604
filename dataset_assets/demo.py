"""The photographs of `make demo`: those that the scikit-image wheel carries, with captions and settings."""

import sys
from pathlib import Path

from dataset_assets.errors import DatasetError

# What is written beside each photograph. Those without a text are there to show what happens without a caption.
CAPTIONS = {
    "astronaut.png": "A smiling astronaut in an orange suit in front of a flag and a model of a space shuttle.",
    "brick.png": "A wall of bricks, seen from the front, in black and white.",
    "camera.png": "A man in a dark coat looks through a film camera on a tripod, a city behind him.",
    "cell.png": "A single round cell under the microscope.",
    "chelsea.png": "The face of a tabby cat with green eyes, close up.",
    "chessboard_RGB.png": "A chessboard.",
    "clock_motion.png": "A clock, blurred by motion.",
    "coffee.png": "A cup of espresso with a spoon on a wooden table.",
    "coins.png": "Ancient coins in rows on a dark ground.",
    "grass.png": "Blades of grass from above, in black and white.",
    "gravel.png": "Gravel from above, in black and white.",
    "hubble_deep_field.jpg": "Thousands of galaxies on a black sky.",
    "ihc.png": "Stained tissue under the microscope, brown and blue.",
    "microaneurysms.png": "A detail of a retina with small dark spots.",
    "moon.png": "The surface of the moon with craters.",
    "motorcycle_left.png": "A red motorcycle in a garage, seen from the side.",
    "motorcycle_right.png": "",
    "page.png": "A printed page, lit from the side.",
    "retina.jpg": "The retina of an eye with its blood vessels.",
    "rocket.jpg": "A white rocket on its launch pad at dusk.",
    "text.png": "",
}

SETTINGS = """\
# The demo: photographs of many shapes, some too small on purpose. `dataset-assets init` writes a file in which
# every key is explained.

[dataset]
name = "demo"
root = "."
description = "The photographs that the scikit-image package carries, as a first dataset."

[[sources]]
path = "raw"

[buckets]
base_resolutions = [256]
"""


def make_demo(folder: Path) -> int:
    """Write the demo's photographs, captions and settings to `folder`; return how many photographs there are.

    Raises DatasetError where scikit-image, of the extra `demo`, is not installed.
    """
    try:
        import skimage
    except ModuleNotFoundError:
        raise DatasetError("the demo needs the extra demo: pip install 'dataset_assets[demo]'") from None
    photographs = Path(skimage.__file__).parent / "data"
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, caption in CAPTIONS.items():
        _write_new(raw / name, (photographs / name).read_bytes())
        if caption:
            _write_new((raw / name).with_suffix(".txt"), f"{caption}\n".encode())
    _write_new(folder / "dataset.toml", SETTINGS.encode())
    return len(CAPTIONS)


def _write_new(path: Path, data: bytes) -> None:
    """Write a file unless it is there: what a person changed in the demo stays changed."""
    if not path.exists():
        path.write_bytes(data)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "data/demo")
    print(f"{make_demo(target)} photographs in {target / 'raw'}")
