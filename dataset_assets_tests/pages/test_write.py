import json
import re
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest

from dataset_assets.errors import StorageError
from dataset_assets.pages import write
from dataset_assets.pages.write import PAGES, encode_data, find_data, write_page
from dataset_assets.storage.atomic import remove, write_bytes

STATIC = {
    file.name: file.read_text(encoding="utf-8") for file in files("dataset_assets.pages").joinpath("static").iterdir()
}
ODD = {
    "the end of a script": "</script><script>window.hacked = 1</script>",
    "a comment": "<!-- <script>",
    "line separators": "a\u2028b\u2029c\r\nd",
    "half a character": "a\ud800b\udc00c",
    "a whole one": "\U0001f6a4 船 é",
    "controls": "\0\x01\x1b\x7f\ufeff",
    "quotes": '"\'`\\"${1}',
    "a turn": "\u202egnp.exe\u2066",
    "a key": '{"__proto__":1},"__proto__":2',
}


class _Killed(BaseException):
    pass


def named(name: str, value: object) -> str:
    return f"{name}.{sha256(encode_data(name, value)).hexdigest()[:16]}.js"


def read_data(folder: Path) -> list[object]:
    """Return what the page in a folder gets, as a browser reads it: the files that its index.html names."""
    return [load(path.read_bytes()) for path in find_data(folder)]


def load(script: bytes) -> object:
    text = script.decode()
    return json.loads(text[text.index(",") + 1 : text.rindex(");")])


def test_a_page_has_its_own_files_the_look_and_its_data(tmp_path: Path) -> None:
    write_page(tmp_path, "gallery", {"overview": {"name": "a"}, "samples-000": []})
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    own = {name for name in STATIC if name.startswith(("gallery.", "gallery-")) and not name.endswith(".html")}
    data = {f"data/{named('overview', {'name': 'a'})}", f"data/{named('samples-000', [])}"}
    assert found == own | {"index.html", "look.css", "look.js"} | data


def test_every_static_file_belongs_to_a_page_or_to_all() -> None:
    assert [name for name in STATIC if re.split(r"[.-]", name)[0] not in (*PAGES, "look")] == []


def test_the_data_is_there_before_the_pages_own_scripts_and_after_the_one_that_takes_it(tmp_path: Path) -> None:
    write_page(tmp_path, "gallery", {"overview": 1, "samples-000": 2})
    scripts = re.findall(r'<script (?:defer )?src="([^"]+)"', (tmp_path / "index.html").read_text())
    assert scripts[:3] == ["look.js", f"data/{named('overview', 1)}", f"data/{named('samples-000', 2)}"]
    assert all((tmp_path / script).is_file() for script in scripts)


def test_the_index_is_written_last(tmp_path: Path) -> None:
    written = write_page(tmp_path, "gallery", {"overview": 1})
    assert written[-1] == tmp_path / "index.html"
    assert tmp_path / "data" / named("overview", 1) in written


def test_what_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    write_page(tmp_path, "gallery", {"overview": 1, "near": 2})
    assert write_page(tmp_path, "gallery", {"overview": 1, "near": 2}) == []
    assert write_page(tmp_path, "gallery", {"overview": 1, "near": 3}) == [
        tmp_path / "data" / named("near", 3), tmp_path / "index.html",
    ]  # fmt: skip
    assert find_data(tmp_path) == [tmp_path / "data" / named("overview", 1), tmp_path / "data" / named("near", 3)]
    assert sorted((tmp_path / "data").iterdir()) == sorted(find_data(tmp_path))


def test_a_damaged_file_is_written_again(tmp_path: Path) -> None:
    write_page(tmp_path, "gallery", {"overview": 1})
    (tmp_path / "look.css").write_text("")
    (tmp_path / "gallery.js").unlink()
    data = tmp_path / "data" / named("overview", 1)
    data.write_text("")
    assert write_page(tmp_path, "gallery", {"overview": 1}) == [data, tmp_path / "gallery.js", tmp_path / "look.css"]
    assert data.read_bytes() == encode_data("overview", 1)


def test_data_that_is_no_longer_wanted_is_removed_and_nothing_else(tmp_path: Path) -> None:
    write_page(tmp_path, "gallery", {"overview": 1, "samples-000": [], "samples-001": []})
    others = [tmp_path / "data" / "mine.js", tmp_path / "data" / "notes.txt", tmp_path / "pictures" / "a.jpg"]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("of somebody else")
    (tmp_path / "data" / "overview.js").write_bytes(encode_data("overview", 1))  # as they were named once
    (tmp_path / "data" / named("samples-001", [])).write_text("")
    write_page(tmp_path, "gallery", {"overview": 1, "samples-000": []})
    assert {path.name for path in (tmp_path / "data").iterdir()} == {
        named("overview", 1), named("samples-000", []), "mine.js", "notes.txt",
    }  # fmt: skip
    assert "samples-001" not in (tmp_path / "index.html").read_text()
    assert all(path.read_text() == "of somebody else" for path in others)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(5))
def test_killed_at_any_file_the_page_has_the_old_data_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, late: bool
) -> None:
    old, new = {"overview": 1, "near": 2, "kept": 0}, {"overview": 3, "near": 4, "kept": 0}
    write_page(tmp_path, "gallery", old)
    calls = []

    def killing(whole: Callable[..., object]) -> Callable[..., None]:
        def killed(path: Path, *content: bytes) -> None:
            calls.append(path)
            if len(calls) <= step or late:
                whole(path, *content)
            if len(calls) > step:
                raise _Killed

        return killed

    with monkeypatch.context() as patch:
        patch.setattr(write, "write_bytes", killing(write_bytes))
        patch.setattr(write, "remove", killing(remove))
        with pytest.raises(_Killed):  # two files of data, the index, and two strays
            write_page(tmp_path, "gallery", new)
    turned = step + late > 2
    assert read_data(tmp_path) == list((new if turned else old).values())

    write_page(tmp_path, "gallery", new)
    assert read_data(tmp_path) == list(new.values())
    assert {path.name for path in (tmp_path / "data").iterdir()} == {named(*item) for item in new.items()}


def test_a_folder_without_a_page_has_no_data(tmp_path: Path) -> None:
    assert find_data(tmp_path) == []


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_odd_texts_come_back_as_they_were_from_a_script_that_nothing_in_them_ends(text: str) -> None:
    script = encode_data("a", {"text": text, text: [text]})
    assert script.decode().count("\n") == 1
    assert not re.search("[<\u2028\u2029]", script.decode())
    assert load(script) == {"text": text, text: [text]}


def test_a_key_cannot_be_the_prototype_of_what_has_it() -> None:
    assert encode_data("a", {"__proto__": {"x": 1}, "b": 2}) == b'receive("a",{["__proto__"]:{"x":1},"b":2});\n'
    assert encode_data("a", [{"b": 2, "__proto__": 1}]) == b'receive("a",[{"b":2,["__proto__"]:1}]);\n'


@pytest.mark.parametrize("page", ["nothing", "look", "../gallery", ""])
def test_a_page_that_there_is_not_is_refused(tmp_path: Path, page: str) -> None:
    with pytest.raises(ValueError, match="there is no page"):
        write_page(tmp_path, page, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../index", "a b", 'a"', "", "A"])
def test_data_with_an_unfit_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="data is named with"):
        write_page(tmp_path, "gallery", {name: 1})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_page(tmp_path / "file", "gallery", {"overview": 1})


@pytest.mark.parametrize("name", sorted(name for name in STATIC if name.endswith(".html")))
def test_html_gets_a_policy_and_has_nothing_that_it_forbids(tmp_path: Path, name: str) -> None:
    write_page(tmp_path, name.removesuffix(".html"), {})
    html = (tmp_path / "index.html").read_text()
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">', html)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert "http" not in policy[1]
    assert re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|https?:", html) is None


@pytest.mark.parametrize("name", sorted(name for name in STATIC if name.endswith(".js")))
def test_scripts_make_no_markup_of_texts_and_ask_for_nothing(name: str) -> None:
    found = re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|\bfetch\(|XMLHttp|\bimport\b",
        STATIC[name],
    )
    assert found == []
    assert set(re.findall(r"https?://[^\s\"'`]+", STATIC[name])) <= {"http://www.w3.org/2000/svg"}
    assert len(STATIC[name].splitlines()) <= 350
