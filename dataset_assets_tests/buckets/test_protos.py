"""The proto table against the published card's table, and the scaling rule against the rows that tell rules apart."""

import math
from pathlib import Path

import pytest

from dataset_assets.buckets.protos import PROTOS, list_buckets, make_buckets, proto_id, scale_proto
from dataset_assets.settings import BucketSettings

# bucket_id, target at base 512, aspect to 3 decimals, images: the table of the published card.
PUBLISHED = """
p1216x832  608x416 1.462 535075    p832x1216  416x608 0.684 226268    p1024x1024 512x512 1.000 218348
p1152x832  576x416 1.385 167817    p1344x768  672x384 1.750 138497    p832x1152  416x576 0.722 126255
p896x1152  448x576 0.778 122382    p1280x768  640x384 1.667  90974    p1152x896  576x448 1.286  90688
p896x1088  448x544 0.824  62608    p1088x896  544x448 1.214  44030    p960x1088  480x544 0.882  26534
p1088x960  544x480 1.133  23278    p1344x704  672x352 1.909  20917    p960x1024  480x512 0.938  18569
p768x1280  384x640 0.600  18330    p1024x960  512x480 1.067  17845    p1408x704  704x352 2.000  15004
p768x1344  384x672 0.571  10823    p1472x704  736x352 2.091   7064    p1536x640  768x320 2.400   6159
p704x1408  352x704 0.500   3139    p1600x640  800x320 2.500   2867    p704x1472  352x736 0.478   1625
p1664x576  832x288 2.889   1236    p1728x576  864x288 3.000    861    p1792x576  896x288 3.111    626
p640x1536  320x768 0.417    507    p640x1600  320x800 0.400    343    p1856x512  928x256 3.625    282
p512x2048 256x1024 0.250    251    p576x1664  288x832 0.346    214    p576x1792  288x896 0.321    120
p576x1728  288x864 0.333    100    p2048x512 1024x256 4.000     86    p512x1856  256x928 0.276     82
p1920x512  960x256 3.750     39    p1984x512  992x256 3.875     27    p512x1984  256x992 0.258     26
p512x1920  256x960 0.267     12
"""
WORDS = [word for line in PUBLISHED.splitlines() for word in line.split()]
ROWS = list(zip(WORDS[0::4], WORDS[1::4], WORDS[2::4], map(int, WORDS[3::4]), strict=True))


def test_the_published_table_is_complete() -> None:
    assert len(ROWS) == 40
    assert sum(count for *_, count in ROWS) == 1_999_908
    assert sum(math.ceil(count / 1024) for *_, count in ROWS) == 1976


def test_buckets_at_512_are_the_published_ones() -> None:
    made = {
        bucket.id: (f"{bucket.target[0]}x{bucket.target[1]}", f"{bucket.target[0] / bucket.target[1]:.3f}")
        for bucket in make_buckets([512], 32)
    }
    assert made == {bucket_id: (target, aspect) for bucket_id, target, aspect, _ in ROWS}


def test_the_order_is_squarest_then_widest_to_tallest() -> None:
    aspects = [width / height for width, height in PROTOS]
    assert PROTOS[0] == (1024, 1024)
    assert aspects[1:] == sorted(aspects[1:], reverse=True)
    assert [bucket.proto for bucket in make_buckets([512], 32)] == list(PROTOS)


def test_the_format_page_has_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("|") and line.count("×") == 8]
    assert [tuple(map(int, cell.split("×"))) for line in table for cell in line.strip("|").split("|")] == list(PROTOS)


def test_the_table_is_not_symmetric() -> None:
    assert {proto for proto in PROTOS if proto[::-1] not in PROTOS} == {(1344, 704)}


@pytest.mark.parametrize(
    ("proto", "base", "target"),
    [
        ((832, 1216), 256, (192, 288)),
        ((1216, 832), 256, (288, 192)),
        ((960, 1024), 256, (224, 256)),
        ((1344, 704), 256, (320, 160)),
        ((1216, 832), 768, (896, 608)),
        ((1152, 832), 768, (864, 608)),
    ],
)
def test_sides_are_rounded_down(proto: tuple[int, int], base: int, target: tuple[int, int]) -> None:
    assert scale_proto(proto, base, 32) == target


def test_several_bases_are_named_and_the_largest_comes_first() -> None:
    buckets = make_buckets([256, 1024, 256], 32)
    assert [bucket.base for bucket in buckets] == sorted((bucket.base for bucket in buckets), reverse=True)
    assert buckets[0].id == "r1024_p1024x1024"
    assert {bucket.id for bucket in buckets if bucket.base == 1024} == {f"r1024_{proto_id(proto)}" for proto in PROTOS}


def test_of_two_protos_with_one_target_the_first_stays() -> None:
    at_256 = {bucket.target: bucket.id for bucket in make_buckets([256], 32)}
    assert at_256[192, 288] == "p832x1152"
    assert "p832x1216" not in at_256.values()
    assert len(make_buckets([256], 32)) == len({scale_proto(proto, 256, 32) for proto in PROTOS})


def test_a_side_of_zero_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="base 32 with divisible 32 makes p2048x512 64x0"):
        make_buckets([32], 32)


def test_a_table_of_ones_own_keeps_its_order_and_names() -> None:
    own = BucketSettings(base_resolutions=(512,), protos=("1216x832", "1024x1024", "832x1216"))
    assert [(bucket.id, bucket.target) for bucket in list_buckets(own)] == [
        ("p1216x832", (608, 416)),
        ("p1024x1024", (512, 512)),
        ("p832x1216", (416, 608)),
    ]
    assert list_buckets(BucketSettings()) == make_buckets([512], 32)
