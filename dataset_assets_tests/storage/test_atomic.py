import os
import signal
from pathlib import Path

import pytest

from dataset_assets.errors import StorageError
from dataset_assets.storage.atomic import remove, settle, sweep, write_bytes, writing
from dataset_assets.storage.objects import ObjectPath
from dataset_assets_tests import children
from dataset_assets_tests.fakes.object_proxy import ObjectProxy

KILLED = """
import os, signal, sys
from pathlib import Path
from dataset_assets.storage.atomic import writing

with writing(Path(sys.argv[1])) as file:
    file.write(b"new" * 100_000)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
FULL = """
import resource, sys
from pathlib import Path
from dataset_assets.errors import StorageError
from dataset_assets.storage.atomic import write_bytes

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # the disk ends here
try:
    write_bytes(Path(sys.argv[1]), bytes(5000))
except StorageError as error:
    print(error)
"""
REFUSED = """
import sys
from pathlib import Path
from dataset_assets.errors import StorageError
from dataset_assets.storage import atomic

try:
    getattr(atomic, sys.argv[1])(Path(sys.argv[2]), *map(str.encode, sys.argv[3:]))
except StorageError as error:
    print(error)
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"

    write_bytes(path, b"data")

    assert path.read_bytes() == b"data"
    assert names(path.parent) == {"file"}


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with path.open("rb") as reader:
        with writing(path) as file:
            file.write(b"new")
            file.flush()
            assert path.read_bytes() == b"old"
        assert reader.read() == b"old"

    assert path.read_bytes() == b"new"


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with pytest.raises(ZeroDivisionError), writing(path) as file:
        file.write(b"%d" % (1 // 0))

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"file"}


def test_a_killed_process_leaves_the_old_file_and_what_sweep_removes(tmp_path: Path) -> None:
    path = tmp_path / "export" / "shard-000000.tar"
    write_bytes(path, b"old")

    child = children.start(KILLED, path)
    child.communicate(timeout=60)

    assert child.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert [one for one in names(path.parent) if one.endswith(".tar")] == ["shard-000000.tar"]
    assert len(names(path.parent)) == 2
    assert sweep([tmp_path]) == 1
    assert names(path.parent) == {"shard-000000.tar"}
    assert sweep([tmp_path]) == 0


def test_sweep_leaves_files_that_are_not_ours_alone(tmp_path: Path) -> None:
    kept = {".notes.writing", "story.writing", ".hidden", "photo.jpg", ".photo.jpg.12x.writing"}
    for name in kept:
        (tmp_path / name).write_bytes(b"mine")

    assert sweep([tmp_path]) == 0
    assert names(tmp_path) == kept


def test_sweep_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert sweep([tmp_path / "no"]) == 0


def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    assert children.run(FULL, path) == f"cannot write {path}: File too large"
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"file"}


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="there is no /dev/full")
def test_a_write_that_fails_at_the_end_is_said(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (tmp_path / f".file.{os.getpid()}.writing").symlink_to("/dev/full")

    with pytest.raises(StorageError) as caught:
        write_bytes(path, b"data")

    assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert names(tmp_path) == set()


@pytest.mark.parametrize(("function", "arguments"), [("write_bytes", ("new",)), ("remove", ())])
def test_a_folder_without_permission(tmp_path: Path, function: str, arguments: tuple[str, ...]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    for mode in (0o500, 0o400):
        tmp_path.chmod(mode)
        said = children.run(REFUSED, function, path, *arguments, powerless=True)
        tmp_path.chmod(0o700)

        assert said == f"cannot {'write' if arguments else 'remove'} {path}: Permission denied"
        assert path.read_bytes() == b"old"


def test_a_file_where_a_folder_must_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")

    for below in ("file/x", "file/x/y"):
        with pytest.raises(StorageError, match=f"cannot write {tmp_path / below}: "):
            write_bytes(tmp_path / below, b"new")

    assert names(tmp_path) == {"file"}


def test_a_folder_where_the_file_must_be(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (path / "inside").mkdir(parents=True)

    with pytest.raises(StorageError, match=f"cannot write {path}: Is a directory"):
        write_bytes(path, b"new")
    with pytest.raises(StorageError, match=f"cannot remove {path}: Is a directory"):
        remove(path)

    assert names(tmp_path) == {"file"}


def test_remove_takes_the_folder_with_the_last_file(tmp_path: Path) -> None:
    first, second = tmp_path / "bucket" / "1.tar", tmp_path / "bucket" / "2.tar"
    for path in (first, second):
        write_bytes(path, b"data")

    assert remove(first)
    assert names(tmp_path / "bucket") == {"2.tar"}
    assert not remove(first)
    assert remove(second)
    assert names(tmp_path) == set()
    assert not remove(second)


def test_sweep_leaves_what_a_living_process_writes(tmp_path: Path) -> None:
    theirs = tmp_path / f".photo.tar.{os.getppid()}.writing"
    theirs.touch()

    assert sweep([tmp_path]) == 0
    assert theirs.exists()


def test_a_finished_file_gets_its_name(tmp_path: Path) -> None:
    made, place = tmp_path / ".b.made", tmp_path / "b"
    made.write_bytes(b"new")
    place.write_bytes(b"old")

    settle(made, place)

    assert names(tmp_path) == {"b"}
    assert place.read_bytes() == b"new"


def test_a_finished_file_that_is_not_there_leaves_what_was(tmp_path: Path) -> None:
    place = tmp_path / "b"
    place.write_bytes(b"old")

    with pytest.raises(StorageError, match=r"cannot write .*b: No such file"):
        settle(tmp_path / "a", place)

    assert place.read_bytes() == b"old"


def test_a_finished_file_is_sent_whole(tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy) -> None:
    made, place = tmp_path / "made", object_root / "trainer" / "b"
    for data in (b"small", bytes(range(256)) * 80_000):
        made.write_bytes(data)

        settle(made, place)

        assert place.read_bytes() == data
        assert names(tmp_path) == set()

    made.write_bytes(b"another")
    object_proxy.fail("error", "PUT", "trainer/b", times=100)
    with pytest.raises(StorageError, match=rf"^cannot write {place}: "):
        settle(made, place)
    assert place.read_bytes() == data
    assert names(tmp_path) == {"made"}
