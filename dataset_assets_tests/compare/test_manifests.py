from typing import Any

import pytest

from dataset_assets.compare.manifests import compare_drops, compare_settings, compare_sources, compare_values
from dataset_assets.compare.records import Difference, Sources


@pytest.mark.parametrize(
    ("a", "b", "differences"),
    [
        ({"x": 1}, {"x": 1}, []),
        ({"x": 1}, {"x": 2}, [("x", 1, 2)]),
        ({"x": 1}, {}, [("x", 1, None)]),
        ({}, {"x": 1}, [("x", None, 1)]),
        ({"x": 1}, {"x": True}, [("x", 1, True)]),
        ({"x": 1}, {"x": 1.0}, [("x", 1, 1.0)]),
        ({"x": [1, 2]}, {"x": [2, 1]}, [("x", [1, 2], [2, 1])]),
        ({"x": {"y": {"z": 1}}}, {"x": {"y": {"z": 2}}}, [("x.y.z", 1, 2)]),
        ({"x": [{"y": 1}]}, {"x": [{"y": 1}, {"y": 2}]}, [("x.1.y", None, 2)]),
        ({"x": {"y": 1}}, {"x": 1}, [("x.y", 1, None), ("x", None, 1)]),
        ({"x": {}}, {"x": {"y": 1}}, [("x", {}, None), ("x.y", None, 1)]),
    ],
)
def test_values_that_differ_are_found_by_their_keys(
    a: dict[str, Any], b: dict[str, Any], differences: list[tuple[str, object, object]]
) -> None:
    assert [(one.key, one.a, one.b) for one in compare_values(a, b)] == differences


def test_what_is_no_setting_is_no_difference_of_settings() -> None:
    a = {"created_at": "1", "export_id": "1", "summary": {"x": 1}, "buckets": {}, "files": [], "divisible": 8}
    b = {"created_at": "2", "export_id": "2", "summary": {"x": 2}, "buckets": {"y": 1}, "divisible": 16}

    assert compare_settings(a, b) == [Difference(key="divisible", a=8, b=16)]


def test_caption_sources_are_no_settings_and_are_counted_whatever_their_numbers() -> None:
    title, sidecar, model = ({"backend": "sidecar", "model": name} for name in ("json:title", "txt", "vlm"))
    prompted = model | {"user_prompt_sha256": "ab"}
    a = {"caption_sources": {"1": title | {"created_at": 1}, "2": sidecar, "3": model}}
    b = {"caption_sources": {"1": sidecar, "7": prompted, "8": title | {"created_at": 2}}}

    assert compare_settings(a, b) == []
    assert compare_sources(a, b) == Sources(both=2, a=1, b=1)
    odds: list[dict[str, Any]] = [{}, {"caption_sources": []}, {"caption_sources": {"1": "vlm"}}]
    for odd in odds:
        assert compare_sources(a, odd) == Sources(both=0, a=3, b=0)
    assert compare_sources({}, {"caption_sources": {"1": {"model": {}}}}) == Sources(both=0, a=0, b=1)


def test_a_manifest_of_very_many_or_very_deep_values_is_no_trouble() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"x": deep}

    assert len(compare_values({}, {str(number): number for number in range(50_000)})) == 1_000
    assert [one.key for one in compare_values({}, deep)] == ["x.x.x.x.x.x.x.x"]


def test_drops_are_listed_by_reason_where_there_are_any() -> None:
    a = {"summary": {"images_seen": 9, "images_exported": 7, "decode_errors": 2, "not_jpeg": 0, "old": 0}}
    b = {"summary": {"images_seen": 9, "images_exported": 6, "decode_errors": 2, "not_jpeg": 0, "new": 1}}

    assert compare_drops(a, b) == [
        Difference(key="decode_errors", a=2, b=2),
        Difference(key="new", a=None, b=1),
    ]


@pytest.mark.parametrize("summary", [None, [], "many", 3])
def test_a_summary_that_is_none_has_no_drops(summary: object) -> None:
    assert compare_drops({"summary": summary}, {}) == []
