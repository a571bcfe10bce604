import gzip
import json
from pathlib import Path

import pytest

from dataset_assets.errors import DropReason, StorageError
from dataset_assets.sources.tars.listings import Stamp, forget_others, keep, recall
from dataset_assets.sources.tars.samples import BY_KEY, IdRule, Offer, Offers

STAMP = Stamp("sub/t.tar", 10240, -5, BY_KEY)
OFFERS = Offers(
    [
        Offer("é \udcff.jpg", "é \udcff", (512, 3), {"txt": (1536, 4), "JSON": (2560, 0)}, None),
        Offer("b.jpg", "b", (9 << 30, 1), {}, (DropReason.UNREADABLE, "a link in the tar")),
        Offer("", "sub/t.tar", (0, 10240), {}, (DropReason.UNREADABLE, "the tar is damaged")),
    ],
    {"npy": 3},
)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    keep(tmp_path / "kept", STAMP, OFFERS)

    assert recall(tmp_path / "kept", STAMP) == OFFERS


@pytest.mark.parametrize(
    "other",
    [
        STAMP._replace(tar="t.tar"),
        STAMP._replace(size=10241),
        STAMP._replace(stamp=-6),
        STAMP._replace(rule=IdRule(by="path")),
        STAMP._replace(rule=IdRule(by="key", field="id")),
    ],
)
def test_another_tar_or_rule_has_no_listing(tmp_path: Path, other: Stamp) -> None:
    keep(tmp_path, STAMP, OFFERS)

    assert recall(tmp_path, other) is None


def test_a_listing_that_lies_in_the_place_of_another_is_none(tmp_path: Path) -> None:
    other = STAMP._replace(tar="other.tar")
    keep(tmp_path, other, OFFERS)
    (path,) = tmp_path.iterdir()
    keep(tmp_path, STAMP, OFFERS)
    (place,) = set(tmp_path.iterdir()) - {path}
    path.replace(place)

    assert recall(tmp_path, STAMP) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b"no JSON"),
        gzip.compress(b"[]"),
        gzip.compress(b"{}"),
        gzip.compress(json.dumps({"stamp": [1, "sub/t.tar", 10240, -5, "key", "", False]}).encode()),
        gzip.compress(
            json.dumps(
                {"stamp": [1, "sub/t.tar", 10240, -5, "key", "", False], "images": [[1]], "ignored": {}}
            ).encode()
        ),
    ],
    ids=["empty", "no gzip", "no JSON", "a list", "nothing in it", "no images", "an image without facts"],
)
def test_a_damaged_listing_is_none(tmp_path: Path, content: bytes) -> None:
    keep(tmp_path, STAMP, OFFERS)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)

    assert recall(tmp_path, STAMP) is None


def test_every_flipped_bit_and_cut_is_noticed(tmp_path: Path) -> None:
    keep(tmp_path, STAMP, OFFERS)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()

    for at in range(len(whole)):
        path.write_bytes(whole[:at])
        assert recall(tmp_path, STAMP) is None
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert recall(tmp_path, STAMP) in (None, OFFERS)  # gzip's own header may say another time


def test_listings_of_tars_that_are_gone_are_removed(tmp_path: Path) -> None:
    stamps = [STAMP._replace(tar=f"{number}.tar") for number in range(3)]
    for stamp in stamps:
        keep(tmp_path, stamp, OFFERS)
    (tmp_path / "notes.txt").touch()

    forget_others(tmp_path, ["1.tar", "new.tar"])

    assert [recall(tmp_path, stamp) is not None for stamp in stamps] == [False, True, False]
    assert (tmp_path / "notes.txt").exists()
    forget_others(tmp_path / "nowhere", [])


def test_the_same_listing_is_the_same_file(tmp_path: Path) -> None:
    keep(tmp_path, STAMP, OFFERS)
    (path,) = tmp_path.iterdir()
    first = path.read_bytes()
    keep(tmp_path, STAMP, OFFERS)

    assert path.read_bytes() == first


def test_a_listing_that_cannot_be_kept_is_said(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()

    with pytest.raises(StorageError, match="cannot write"):
        keep(tmp_path / "kept", STAMP, OFFERS)
