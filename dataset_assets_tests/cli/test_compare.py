import io
import json
import signal
from dataclasses import asdict, replace
from pathlib import Path

from dataset_assets.shards.tar import make_header
from dataset_assets_tests.commands import run, start, wait_for
from dataset_assets_tests.compare.pairs import compare, say, write_pair
from dataset_assets_tests.exports import SQUARE_0, WIDE_0


def test_exports_that_differ_are_no_error(tmp_path: Path) -> None:
    write_pair(tmp_path, lambda draft: say(draft, "a.png", "b"))

    done = run(tmp_path, "compare", "a", "b")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("A  a: 5 samples in 3 tars")
    assert done.stdout.endswith("the samples differ\n")


def test_the_exit_code_tells_whether_they_differ_where_that_is_asked(tmp_path: Path) -> None:
    write_pair(tmp_path, lambda draft: say(draft, "a.png", "b"))

    assert run(tmp_path, "compare", "a", "b", "--exit-code").returncode == 1
    assert run(tmp_path, "compare", "a", "a", "--exit-code").returncode == 0


def test_json_is_one_object_with_every_field(tmp_path: Path) -> None:
    first, second = write_pair(tmp_path, lambda draft: say(draft, "a.png", "b"), images={"quality": 90})

    done = run(tmp_path, "compare", "a", "b", "--json", "--examples", 1)

    expected = compare(first, second, examples=1)
    expected = replace(expected, a=replace(expected.a, path="a"), b=replace(expected.b, path="b"))
    assert json.loads(done.stdout) == json.loads(json.dumps(asdict(expected)))
    assert len(json.loads(done.stdout)["examples"]["image"]) == 1


def test_a_page_is_written_and_its_place_is_said(tmp_path: Path) -> None:
    write_pair(tmp_path, lambda draft: say(draft, "a.png", "b"))

    done = run(tmp_path, "compare", "a", "b", "--page", "page")

    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("page  page/index.html\n")
    assert (tmp_path / "page/index.html").is_file()


def test_a_folder_of_a_user_is_no_place_for_a_page(tmp_path: Path) -> None:
    write_pair(tmp_path)
    (tmp_path / "page").mkdir()
    (tmp_path / "page/notes.txt").write_text("mine")

    done = run(tmp_path, "compare", "a", "b", "--page", "page")

    assert done.returncode == 1
    assert done.stderr == "error: page is not empty and no page of a comparison: choose a new or an empty folder\n"
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["notes.txt"]


def test_a_damaged_tar_is_an_error_of_one_line(tmp_path: Path) -> None:
    write_pair(tmp_path, lambda draft: say(draft, "a.png", "b"))
    tar = tmp_path / "b" / SQUARE_0
    tar.write_bytes(tar.read_bytes()[:4_000])

    done = run(tmp_path, "compare", "a", "b")

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: b/{SQUARE_0}: ")
    assert done.stderr.count("\n") == 1


def test_a_folder_that_is_no_export_is_an_error_of_one_line(tmp_path: Path) -> None:
    write_pair(tmp_path)
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars/0000.tar").write_bytes(b"")

    numbered, nothing = run(tmp_path, "compare", "a", "tars"), run(tmp_path, "compare", "nowhere", "a")

    assert numbered.returncode == 1
    assert numbered.stderr == (
        "error: tars holds numbered tars of caption records; only bucketed exports, with a manifest, are compared\n"
    )
    assert nothing.returncode == 2
    assert "'nowhere' does not exist" in nothing.stderr


def test_ctrl_c_ends_it_in_one_line(tmp_path: Path) -> None:
    write_pair(tmp_path)
    tar = tmp_path / "b" / WIDE_0
    _write_large(tar)

    child = start(tmp_path, "compare", "a", "b")
    wait_for(lambda: child.poll() is not None or _has_open(child.pid, tar))
    child.send_signal(signal.SIGINT)
    printed, complaints = child.communicate()

    assert child.returncode == 130
    assert printed == ""
    assert complaints == "interrupted\n"  # nothing of it is kept


def _write_large(path: Path) -> None:
    """Write a tar of 3 GB that takes no room on the disk: its JPEGs are holes."""
    size = 1 << 25
    with path.open("wb") as tar:
        for number in range(96):
            tar.write(make_header(f"{number:064x}.jpg", size))
            tar.seek(size, io.SEEK_CUR)
            for extension in ("txt", "json"):
                tar.write(make_header(f"{number:064x}.{extension}", 2) + b"{}".ljust(512, b"\0"))
        tar.write(bytes(1024))


def _has_open(process: int, path: Path) -> bool:
    try:
        return any(Path(one).resolve() == path for one in Path(f"/proc/{process}/fd").iterdir())
    except OSError:  # one was closed in between
        return False
