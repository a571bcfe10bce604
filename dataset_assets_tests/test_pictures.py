"""The pictures that README.md shows are those that docs/pictures/make.py takes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import dataset_assets
from docs.pictures.make import LARGEST, SHOTS, list_pictures

ROOT = Path(dataset_assets.__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
WIDEST = 1280  # pixels


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "make.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_readme_shows_exactly_what_is_made_and_all_of_it_is_there() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(docs/pictures/([^)]+)\)", (ROOT / "README.md").read_text())

    assert sorted(shown) == sorted(list_pictures())
    assert {path.name for path in FOLDER.glob("*.png")} == set(shown)
    for name in shown:
        assert (FOLDER / name).stat().st_size < LARGEST
        with Image.open(FOLDER / name) as picture:
            assert (picture.format, picture.width <= WIDEST) == ("PNG", True)


def test_pictures_can_be_named() -> None:
    helped, refused = run("--help"), run("galery")

    assert helped.returncode == 0
    assert "taken of the demo" in helped.stdout
    assert refused.returncode == 2
    assert refused.stderr.endswith("error: 'galery' is not one of " + ", ".join(shot.name for shot in SHOTS) + "\n")


@pytest.mark.browser
@pytest.mark.slow
def test_a_picture_is_taken(tmp_path: Path) -> None:
    pytest.importorskip("skimage")

    done = run("left-out", "--folder", tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{tmp_path / 'left-out.png'}  ")
    (path,) = tmp_path.iterdir()
    with Image.open(path) as picture:
        assert picture.size == (1280, 800)
        assert len(picture.convert("RGB").getcolors() or ()) > 20
