"""A comparison as a static page, with pictures of its examples. How it looks is in pages/static/compare.*."""

import re
from dataclasses import asdict, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from PIL import Image

from dataset_assets.compare.compare import Compared
from dataset_assets.compare.records import Example, Picture, Side
from dataset_assets.errors import SampleError, StorageError
from dataset_assets.images.decode import decode
from dataset_assets.pages.write import write_page
from dataset_assets.settings import ImageSettings
from dataset_assets.storage.atomic import remove, write_bytes

PICTURES = "pictures"

_SIDE = 480  # pixels: the longest a picture has
_QUALITY = 88
_IMAGES = ImageSettings()  # what may be decoded: the limits of any build
_NAME = re.compile(r"[0-9a-f]{32}\.jpg")
_MARK = b'<meta name="generator" content="dataset-assets compare">'  # compare.html has it
_OURS = re.compile(
    rf"(look|compare)[.-]\w+(\.\w+)?|data/compare(\.[0-9a-f]{{16}})?\.js|{PICTURES}/{_NAME.pattern}|(.*/)?\..*\.writing"
)
_DATA = "compare"


def check_folder(folder: Path, exports: tuple[Path, Path]) -> None:
    """Raise StorageError unless a page of a comparison may be written into a folder.

    That is one that is not there, is empty or has an older page of ours, and is not in one of the exports.
    """
    whole = folder.resolve()
    for export in exports:
        if whole.is_relative_to(export.resolve()):
            raise StorageError(f"{folder} is in the export {export}, where nothing else may be: choose another folder")
    try:
        index = folder / "index.html"
        if index.is_file() and _MARK in index.read_bytes():
            return
        files = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
        if all(_OURS.fullmatch(path.relative_to(folder).as_posix()) for path in files):
            return  # nothing at all, or what was written before a page was whole
    except OSError as error:
        raise StorageError(f"cannot look into {folder}: {error.strerror or error}") from error
    raise StorageError(f"{folder} is not empty and no page of a comparison: choose a new or an empty folder")


def write_comparison(folder: Path, compared: Compared) -> Path:
    """Write the page and return its index.html; pictures of an older page of ours that it does not show are removed.

    Raises StorageError.
    """
    comparison = compared.comparison
    drawer = _Drawer(folder, compared)
    examples = {kind: [drawer.illustrate(one) for one in found] for kind, found in comparison.examples.items()}
    write_page(folder, "compare", {_DATA: asdict(replace(comparison, examples=examples))})
    for stray in sorted(folder.glob(f"{PICTURES}/*.jpg")):
        if _NAME.fullmatch(stray.name) and stray.name not in drawer.names:
            remove(stray)
    return folder / "index.html"


class _Drawer:
    """Writes pictures of examples: files that are named by their content."""

    def __init__(self, folder: Path, compared: Compared) -> None:
        self._folder = folder
        self._jpegs = compared.jpegs
        self._drawn: dict[str, Picture | None] = {}  # by the JPEG's hash
        self.names: set[str] = set()

    def illustrate(self, example: Example) -> Example:
        """Return an example with pictures."""
        sides = [
            side and replace(side, picture=self._draw(side, self._jpegs[example.key, number]))
            for number, side in enumerate((example.a, example.b))
        ]
        return replace(example, a=sides[0], b=sides[1])

    def _draw(self, side: Side, jpeg: bytes) -> Picture | None:
        if side.sha256 not in self._drawn:
            self._drawn[side.sha256] = self._write(jpeg)
        return self._drawn[side.sha256]

    def _write(self, jpeg: bytes) -> Picture | None:
        """Return a small picture of a JPEG after writing it, None where it cannot be decoded."""
        try:
            image = Image.fromarray(decode(jpeg, _IMAGES))
        except SampleError:
            return None
        image.thumbnail((_SIDE, _SIDE))
        file = BytesIO()
        image.save(file, "JPEG", quality=_QUALITY)
        name = f"{sha256(file.getvalue()).hexdigest()[:32]}.jpg"
        self.names.add(name)
        path = self._folder / PICTURES / name
        if not path.exists():
            write_bytes(path, file.getvalue())
        return Picture(path=f"{PICTURES}/{name}", w=image.width, h=image.height)
