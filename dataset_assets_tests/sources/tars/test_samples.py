import json
import os
import tarfile
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from dataset_assets.errors import DropReason
from dataset_assets.sources.tars.samples import BY_KEY, IdRule, Offers, list_samples
from dataset_assets_tests.sources.tarballs import Members, entry, make_tar

BY_PATH = IdRule(by="path")
BY_FIELD = IdRule(by="json", field="id")


def offers(members: Members, rule: IdRule = BY_KEY, *, damage: slice = slice(None)) -> tuple[Offers, bytes]:
    data = make_tar(members, form=tarfile.PAX_FORMAT)[damage]
    with TemporaryFile() as file:
        file.write(data)
        file.flush()
        return list_samples(file.fileno(), len(data), "sub/t.tar", rule), data


def ids(members: Members, rule: IdRule = BY_KEY) -> list[str]:
    return [one.image_id for one in offers(members, rule)[0].images]


def beside(members: Members) -> dict[str, dict[str, bytes]]:
    """Return what lies beside each image, by the image's name and the extension."""
    found, data = offers(members)
    return {
        one.name: {extension: data[at : at + size] for extension, (at, size) in one.sidecars.items()}
        for one in found.images
    }


def named(name: str, **fields: Any) -> dict[str, bytes]:
    return {f"{name}.jpg": b"", f"{name}.json": json.dumps(fields).encode()}


def test_members_of_one_key_are_a_sample() -> None:
    files = {
        "a.jpg": b"image",
        "a.txt": b"text",
        "a.json": b"{}",
        "a.cls": b"7",
        "sub.d/b.png": b"",
        "sub.d/b.caption": b"c",
    }

    found, data = offers(files)

    assert beside(files) == {
        "a.jpg": {"txt": b"text", "json": b"{}", "cls": b"7"},
        "sub.d/b.png": {"caption": b"c"},
    }
    assert [one.image_id for one in found.images] == ["a", "sub.d/b"]
    assert [data[at : at + size] for at, size in (one.place for one in found.images)] == [b"image", b""]
    assert [one.fault for one in found.images] == [None, None]
    assert found.ignored == {}


def test_members_of_one_key_may_lie_apart() -> None:
    files = {"b.txt": b"of b", "a.jpg": b"", "b.jpg": b"", "a.txt": b"of a"}

    assert beside(files) == {"a.jpg": {"txt": b"of a"}, "b.jpg": {"txt": b"of b"}}


def test_the_same_name_in_two_folders_is_two_samples() -> None:
    files = {"x/a.jpg": b"", "y/a.jpg": b"", "x/a.txt": b"of x", "y/a.txt": b"of y"}

    assert beside(files) == {"x/a.jpg": {"txt": b"of x"}, "y/a.jpg": {"txt": b"of y"}}
    assert ids(files) == ["x/a", "y/a"]


def test_extensions_in_capitals() -> None:
    files = {"a.JPG": b"", "a.TXT": b"text", "a.Json": b"{}", "b.Bin": b""}

    assert beside(files) == {"a.JPG": {"TXT": b"text", "Json": b"{}"}}
    assert offers(files)[0].ignored == {"bin": 1}


def test_what_is_no_image_is_counted() -> None:
    files = {
        "a.jpg": b"",
        "a.npy": b"",
        "b.NPY": b"",
        "README": b"",
        "a.mask.pt": b"",
        "lonely.txt": b"",
        "x.\udcff": b"",
    }

    found, _ = offers(files)

    assert [one.name for one in found.images] == ["a.jpg"]
    assert found.ignored == {"npy": 2, "": 1, "pt": 1, r"\xff": 1}


def test_hidden_and_temporary_members_are_left_alone() -> None:
    left_alone = [
        "._a.jpg",
        "sub/.b.jpg",
        ".git/c.jpg",
        "__MACOSX/a.jpg",
        "d.jpg~",
        "e.jpg.tmp",
        "@eaDir/f.jpg",
        ".txt",
    ]

    found, _ = offers(dict.fromkeys([*left_alone, "./g.jpg", "../h.jpg"], b""))

    assert [one.name for one in found.images] == ["./g.jpg", "../h.jpg"]
    assert found.ignored == {}


def test_several_images_of_a_key_have_ids_of_their_own() -> None:
    files = {"a.png": b"", "a.jpg": b"", "a.seg.jpg": b"", "b.jpg": b"", "a.JPG": b""}

    assert ids(files) == ["a", "a.jpg", "a.seg.jpg", "b", "a.JPG"]
    assert ids(files, BY_PATH) == ["sub/t/a", "sub/t/a.jpg", "sub/t/a.seg.jpg", "sub/t/b", "sub/t/a.JPG"]
    assert ids({**named("a", id="x"), "a.png": b""}, BY_FIELD) == ["x", "x.png"]


def test_names_with_dots_keep_what_is_theirs() -> None:
    files = {
        "v1.5.jpg": b"",
        "v1.6.jpg": b"",
        "v1.5.txt": b"of 5",
        "v1.6.TXT": b"of 6",
        "v1.txt": b"shared",
        "v1.json": b"{}",
    }

    assert beside(files) == {
        "v1.5.jpg": {"txt": b"of 5", "json": b"{}"},
        "v1.6.jpg": {"TXT": b"of 6", "json": b"{}"},
    }
    assert ids(files) == ["v1", "v1.6.jpg"]


def test_ids_from_the_json() -> None:
    files = named("a", id="text é") | named("b", id=12345678901234567890) | named("c", id=0)

    assert ids(files, BY_FIELD) == ["text é", "12345678901234567890", "0"]
    assert ids({"d.1.jpg": b"", "d.2.jpg": b"", "d.1.json": b'{"id": "x"}', "d.2.json": b'{"id": "y"}'}, BY_FIELD) == [
        "x",
        "y",
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"other": 1}', "no field id in the JSON"),
        (b'{"id": null}', "no field id in the JSON"),
        (b'{"id": true}', "the field id in the JSON is a bool, not text or an integer"),
        (b'{"id": 1.0}', "the field id in the JSON is a float, not text or an integer"),
        (b'{"id": ["x"]}', "the field id in the JSON is a list, not text or an integer"),
        (b'{"id": ""}', "the field id in the JSON is empty or holds characters that no text has"),
        (b'{"id": "a\\u0000"}', "the field id in the JSON is empty or holds characters that no text has"),
        (b'{"id": "\\ud83d"}', "the field id in the JSON is empty or holds characters that no text has"),
        (b"[1]", "the JSON is not an object"),
        (b'{"id": "cut', "the JSON is none: Unterminated string starting at: line 1 column 8 (char 7)"),
        (b'{"id": "\xe9"}', "the JSON is not UTF-8: invalid continuation byte at byte 8"),
        (b" " * (1 << 20) + b"{}", "the JSON has more than 1048576 bytes"),
    ],
)
def test_a_json_without_an_id(content: bytes, why: str) -> None:
    found, _ = offers({"a.jpg": b"", "a.json": content} | named("b", id="good"), BY_FIELD)

    assert [(one.image_id, one.fault) for one in found.images] == [
        ("sub/t.tar/a.jpg", (DropReason.UNREADABLE, why)),
        ("good", None),
    ]


def test_an_image_without_a_json_has_no_id_in_it() -> None:
    found, _ = offers({"a.jpg": b"", "b.json": b'{"id": 1}'}, BY_FIELD)

    assert [one.fault for one in found.images] == [(DropReason.UNREADABLE, "no JSON")]


def test_the_key_where_the_json_has_no_id() -> None:
    rule = IdRule(by="json", field="image_id", or_key=True)
    files = {"a.jpg": b"", **named("b", other=1), **named("c", image_id="own"), **named("d", image_id=[])}

    found, _ = offers(files, rule)

    assert [(one.image_id, one.fault and one.fault[1]) for one in found.images] == [
        ("a", None),
        ("b", None),
        ("own", None),
        ("sub/t.tar/d.jpg", "the field image_id in the JSON is a list, not text or an integer"),
    ]


def test_the_last_of_equal_names_counts_as_for_tar(tmp_path: Path) -> None:
    files = [("a.jpg", b"first"), ("a.txt", b"old"), ("a.jpg", b"second"), ("a.txt", b"new"), ("a.jpg", b"third")]

    found, data = offers(files)

    (tmp_path / "t.tar").write_bytes(data)
    with tarfile.open(tmp_path / "t.tar") as tar:
        unpacked = {member.name: tar.extractfile(member) for member in tar}  # a later one in an earlier one's place
        as_tar_has_it = {name: file.read() for name, file in unpacked.items() if file}
    (last,) = [one for one in found.images if not one.fault]
    assert data[last.place[0] :][: last.place[1]] == as_tar_has_it["a.jpg"] == b"third"
    assert {extension: data[at : at + size] for extension, (at, size) in last.sidecars.items()} == {"txt": b"new"}
    assert [(one.name, one.image_id, one.fault) for one in found.images] == [
        (
            f"a.jpg at byte {at}",
            f"sub/t.tar/a.jpg at byte {at}",
            (DropReason.DUPLICATE_ID, f"another member of this name follows, at byte {last.place[0]}"),
        )
        for at in (512, 512 * 5)
    ] + [("a.jpg", "a", None)]
    assert found.ignored == {"txt": 1}


def test_images_that_are_links_are_counted() -> None:
    members: Members = [
        entry("a.jpg", tarfile.LNKTYPE, link="b.jpg"),
        ("b.jpg", b""),
        entry("b.txt", tarfile.SYMTYPE, link="x"),
    ]

    found, _ = offers(members)

    assert [(one.image_id, one.fault) for one in found.images] == [
        ("a", (DropReason.UNREADABLE, "a link in the tar")),
        ("b", None),
    ]
    assert found.images[1].sidecars == {}


@pytest.mark.parametrize(
    ("damage", "detail"),
    [
        (slice(0, 0), "not a tar: the file is empty"),
        (slice(5, None), "not a tar: no header, or one whose checksum is wrong"),
        (slice(0, 1500), "the tar is damaged after 1 member, at byte 1024: it ends inside a header"),
        (slice(0, 2048), "the tar is damaged after 2 members, at byte 2048: it ends without the mark of its end"),
    ],
)
def test_a_damaged_tar_is_offered_itself(damage: slice, detail: str) -> None:
    found, data = offers({"a.jpg": b"a", "b.jpg": b"b"}, damage=damage)

    *images, tar = found.images
    assert [one.image_id for one in images] == ["a", "b"][: 2 if "2 members" in detail else int("1 member" in detail)]
    assert (tar.name, tar.image_id, tar.place) == ("", "sub/t.tar", (0, len(data)))
    assert tar.fault == (DropReason.UNREADABLE, detail)


def test_damage_in_several_places_is_said_once() -> None:
    data = bytearray(make_tar({f"{number}.jpg": b"" for number in range(5)}))
    data[512], data[1536] = 0xFF, 0xFF
    with TemporaryFile() as file:
        file.write(data)
        file.flush()
        found = list_samples(file.fileno(), len(data), "t.tar", BY_KEY)

    assert [one.image_id for one in found.images] == ["0", "2", "4", "t.tar"]
    assert found.images[-1].fault is not None
    assert (
        found.images[-1]
        .fault[1]
        .endswith("after 1 member, at byte 512: no header, or one whose checksum is wrong; damaged in 2 places")
    )


def test_many_members(tmp_path: Path) -> None:
    with (tmp_path / "t.tar").open("wb+") as file:
        for number in range(100_000):
            file.write(tarfile.TarInfo(f"{number // 2:06d}.{'jpg' if number % 2 else 'txt'}").tobuf())
        file.write(bytes(1024))
        file.flush()
        found = list_samples(file.fileno(), os.fstat(file.fileno()).st_size, "t.tar", BY_KEY)

    assert len(found.images) == len({one.image_id for one in found.images}) == 50_000
    assert all(set(one.sidecars) == {"txt"} for one in found.images)
