"""A page's folder: its static files, and beside them the data that its scripts get. What it means is not known here.

The page opens from disk and asks for nothing from anywhere else. Browsers let such a page read no other file but as a
script, so each piece of data is a script that calls `receive` (static/look.js) with it.
"""

import json
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from hashlib import sha256
from importlib.resources import files

from dataset_assets.errors import StorageError
from dataset_assets.storage.atomic import remove, write_bytes
from dataset_assets.storage.location import Location

PAGES = ("gallery", "compare")

_EVERYWHERE = "look"  # begins the names of what every page has
_HEAD = "<!-- head -->"  # where a page's html gets what is made here
# `self` is enough for Chromium; others count no file as the page's own without `file:`.
_POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src 'self' file: data:; "
    "base-uri 'none'; form-action 'none'"
)
_CALL = "receive("  # begins each of our data files
_NAME = re.compile(r"[a-z0-9_-]+")
_DIGITS = 16  # of its digest, in the name of a file of data
_FILE = re.compile(rf"{_NAME.pattern}\.[0-9a-f]{{{_DIGITS}}}\.js")
_NAMED = re.compile(r'<script defer src="(data/[^"/]+\.js)"></script>')  # in an index.html: a file of its data
# What JSON may hold, and a script or UTF-8 may not. All of it is inside strings, where an escape means the same.
_UNSAFE = re.compile("[<\u2028\u2029\ud800-\udfff]")
_PROTOTYPE = re.compile(r'(?<=[{,])"__proto__":')  # as a key it would set the prototype in a script


def write_page(folder: Location, page: str, data: Mapping[str, object]) -> list[Location]:
    """Write one of PAGES with its data into `folder` and return the paths that were written: those that changed.

    `data` is what json can write, by the name under which the page's scripts get it. The files of data are named by
    what is in them, index.html, which names them, is written last, and those that it no longer needs are removed after
    it: at every moment the page shows the old data or the new. Its static files change with this package only. Other
    files in the folder are left alone. Raises StorageError, and ValueError for a page or a name that there cannot be.
    """
    if page not in PAGES:
        raise ValueError(f"there is no page {page!r}, only {' and '.join(PAGES)}")
    if unfit := [name for name in data if not _NAME.fullmatch(name)]:
        raise ValueError(f"data is named with a-z, 0-9, _ and - only: {unfit[0]!r}")
    scripts = dict(_make_script(name, value) for name, value in data.items())
    static = _read_static(page)
    index = _fill_head(static.pop(f"{page}.html").decode(), scripts).encode()
    written = [
        folder / name
        for name, content in (*scripts.items(), *static.items(), ("index.html", index))
        if _write_changed(folder / name, content)
    ]
    _remove_strays(folder / "data", scripts)
    return written


def find_data(folder: Location) -> list[Location]:
    """Return the files of data that the page in a folder has, in its order; none where there is no page.

    Raises OSError where it is there and cannot be read.
    """
    try:
        html = (folder / "index.html").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [folder / name for name in _NAMED.findall(html)]


def encode_data(name: str, value: object) -> bytes:
    """Return the script that gives `value` to a page under `name`: UTF-8, whatever the texts in it are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    text = _PROTOTYPE.sub('["__proto__"]:', text)
    return f'{_CALL}"{name}",{text});\n'.encode()


def _make_script(name: str, value: object) -> tuple[str, bytes]:
    """Return the path of a file of data in the page's folder, and what is in it."""
    script = encode_data(name, value)
    return f"data/{name}.{sha256(script).hexdigest()[:_DIGITS]}.js", script


def _read_static(page: str) -> dict[str, bytes]:
    """Return the static files that a page has, by name."""
    found = files("dataset_assets.pages").joinpath("static").iterdir()
    own = re.compile(rf"({page}|{_EVERYWHERE})[.-].+")
    return {
        file.name: file.read_bytes() for file in sorted(found, key=lambda file: file.name) if own.fullmatch(file.name)
    }


def _fill_head(html: str, scripts: Collection[str]) -> str:
    """Return a page's html with its policy, the look and its data, which are there before its own scripts run."""
    lines = (
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f'<link rel="stylesheet" href="{_EVERYWHERE}.css">',
        f'<script src="{_EVERYWHERE}.js"></script>',
        *(f'<script defer src="{script}"></script>' for script in scripts),
    )
    return html.replace(_HEAD, "\n".join(lines), 1)


def _write_changed(path: Location, content: bytes) -> bool:
    with suppress(OSError):  # where it is not there or cannot be read, it is written
        if path.read_bytes() == content:
            return False
    write_bytes(path, content)
    return True


def _remove_strays(folder: Location, wanted: Collection[str]) -> None:
    try:
        found = sorted(folder.glob("*.js"))
    except OSError as error:
        raise StorageError(f"cannot list {folder}: {error.strerror or error}") from error
    for path in found:
        if f"data/{path.name}" not in wanted and _is_ours(path):
            remove(path)


def _is_ours(path: Location) -> bool:
    if _FILE.fullmatch(path.name):  # also where nothing is in it
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_CALL)) == _CALL.encode()
    except OSError:
        return False
