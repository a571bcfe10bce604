import uuid

import pytest

from dataset_assets.errors import SourceError
from dataset_assets.sources.objects import ObjectFile, fetch, list_objects, look_up, parse_version
from dataset_assets.sources.slices import ChangedError, find_state, identify, read_at, view
from dataset_assets.storage.objects import ObjectPath
from dataset_assets_tests.fakes.object_proxy import ObjectProxy
from dataset_assets_tests.objects import gets, put

DATA = bytes(range(256)) * 400


@pytest.fixture
def path(object_root: ObjectPath) -> ObjectPath:
    put(object_root / "file", DATA)
    return object_root / "file"


def test_a_part_is_a_request_of_its_own(path: ObjectPath, object_proxy: ObjectProxy) -> None:
    file = ObjectFile(path, look_up(path))
    object_proxy.forget()

    assert [file.read_at(7, 3), file.read_at(7, 3), file.read_at(99, len(DATA) - 5)] == [
        DATA[3:10], DATA[3:10], DATA[-5:],
    ]  # fmt: skip
    assert (file.read_at(9, len(DATA)), file.read_at(9, len(DATA) + 9), file.read_at(0, 3)) == (b"", b"", b"")
    assert len(gets(object_proxy)) == len(object_proxy.requests) == 3


def test_what_follows_comes_with_it_where_more_is_wanted(path: ObjectPath, object_proxy: ObjectProxy) -> None:
    file = ObjectFile(path, look_up(path), ahead=1000, most=5000)
    object_proxy.forget()

    places = [0, 10, 990, 1000, 4000, 5999, 6000, 10_990, 0]
    assert [file.read_at(10, place) for place in places] == [DATA[place : place + 10] for place in places]
    assert len(object_proxy.requests) == 5  # at 0, 1000, 5999 and 10,990, and at 0 again
    assert file.read_at(20_000, 50) == DATA[50:20_050]


def test_it_is_read_as_a_file_and_known_by_its_version(path: ObjectPath) -> None:
    state = look_up(path)
    file = ObjectFile(path, state)

    with view(file) as whole:
        assert (whole.read(3), whole.seek(-3, 2), whole.read()) == (DATA[:3], len(DATA) - 3, DATA[-3:])
    assert (find_state(file), read_at(file, 2, 1)) == (state, DATA[1:3])
    assert identify(file) == identify(ObjectFile(path, state))
    put(path, DATA[::-1])
    assert identify(file) != identify(ObjectFile(path, look_up(path)))
    with pytest.raises(ChangedError):
        file.read_at(3, 0)


@pytest.mark.parametrize("version", ["", "12", "x-1", "-", "-1-5"])
def test_a_version_of_something_else_is_another_one(version: str) -> None:
    with pytest.raises(ChangedError):
        parse_version(version)


def test_an_object_that_is_gone_is_told_from_a_bucket_that_is_gone(path: ObjectPath) -> None:
    state = look_up(path)
    path.remove()

    with pytest.raises(FileNotFoundError):
        fetch(path, 0, 3, state)
    with pytest.raises(SourceError, match=r"cannot be read: there is no bucket no-such-bucket-here$"):
        fetch(ObjectPath("s3://no-such-bucket-here/a"), 0, 3, state)


def test_any_other_store_is_listed_and_read_and_compared_afterwards() -> None:
    root = ObjectPath(f"memory://{uuid.uuid4().hex}/data")
    for name in ("b.jpg", "a/c.jpg", "a/d#1%.jpg"):
        root.store.pipe_file((root / name).url.removeprefix("memory://"), name.encode())

    found = dict(list_objects(root))

    assert sorted(found) == ["a/c.jpg", "a/d#1%.jpg", "b.jpg"]
    assert sorted(dict(list_objects(root / "a", deep=False))) == ["c.jpg", "d#1%.jpg"]
    assert found["b.jpg"].version == look_up(root / "b.jpg").version
    assert found["b.jpg"].modified > 1e9
    assert fetch(root / "a/d#1%.jpg", 2, 3, found["a/d#1%.jpg"]) == b"d#1"
    root.store.pipe_file((root / "b.jpg").url.removeprefix("memory://"), b"other")
    with pytest.raises(ChangedError):
        fetch(root / "b.jpg", 0, 3, found["b.jpg"])
