import base64
import random
from io import BytesIO
from pathlib import Path

import pytest
from dagster._serdes import serialize_value
from PIL import Image

from dataset_assets.defs.markdown import MOST, show_page


def add_picture(folder: Path, name: str, side: int = 8) -> bytes:
    noise = random.Random(0).randbytes(3 * side * side)
    file = BytesIO()
    Image.frombytes("RGB", (side, side), noise).save(file, "PNG")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(file.getvalue())
    return file.getvalue()


def shown(folder: Path, text: str) -> str:
    (folder / "README.md").write_text(text, encoding="utf-8")
    value = show_page(folder / "README.md")
    assert len(serialize_value(value)) < 150_000
    assert value.value is not None
    return value.value


def test_front_matter_is_left_out_and_rules_stay(tmp_path: Path) -> None:
    assert shown(tmp_path, "---\nlicense: x\n---\n\n# A\n\n---\n\nb\n") == "# A\n\n---\n\nb\n"
    assert shown(tmp_path, "# A\n\n---\n\nb\n\n---\n") == "# A\n\n---\n\nb\n\n---\n"


def test_pictures_beside_the_page_are_carried_along(tmp_path: Path) -> None:
    picture = add_picture(tmp_path, "charts/a.png")

    text = shown(tmp_path, "a ![what it shows](charts/a.png) b")

    assert text == f"a ![what it shows](data:image/png;base64,{base64.b64encode(picture).decode()}) b"


@pytest.mark.parametrize("name", ["https://example.org/a.png", "../a.png", "/a.png", "%2e%2e/a.png"])
def test_others_are_left_as_they_are(tmp_path: Path, name: str) -> None:
    add_picture(tmp_path, "a.png")
    (tmp_path / "page").mkdir()

    assert shown(tmp_path / "page", f"![a]({name})") == f"![a]({name})"


def test_of_one_that_does_not_fit_or_is_gone_it_is_said_where_it_lies(tmp_path: Path) -> None:
    add_picture(tmp_path, "large.png", 180)
    add_picture(tmp_path, "small.png")

    text = shown(tmp_path, "![a](large.png)\n\n![b](gone.png)\n\n![c](small.png)")

    first, second, third = text.split("\n\n")
    assert first == f"A picture that is too large for this page: `{tmp_path}/large.png`"
    assert second == f"A picture that is not there: `{tmp_path}/gone.png`"
    assert third.startswith("![c](data:image/png")


def test_many_pictures_are_no_more_than_fit(tmp_path: Path) -> None:
    add_picture(tmp_path, "a.png", 110)

    text = shown(tmp_path, "\n\n".join(["![a](a.png)"] * 5))

    assert text.count("data:image/png") == 2
    assert text.count("too large") == 3
    assert len(text) < MOST + 1_000


def test_a_long_page_ends_in_where_the_rest_is(tmp_path: Path) -> None:
    text = shown(tmp_path, "\U0001f408" * 100_000)

    assert text.startswith("\U0001f408" * 1_000)
    assert text.endswith(f"…\n\nThe rest is in `{tmp_path}/README.md`.")
