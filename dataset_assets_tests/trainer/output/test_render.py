import json

import numpy as np
import pyarrow as pa

from dataset_assets.trainer.output.render import (
    cut_by_split,
    quote_keys,
    render_captions,
    render_list,
    render_reasons,
    render_records,
    render_sizes,
    view,
)


def strings(*texts: str | None) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def test_entries_between_braces_are_what_json_dumps_gives() -> None:
    keys = quote_keys(strings("1", "22"), "e621")
    sizes = render_sizes(pa.array([64, None]), pa.array([32, None]), np.array([True, False]))
    entries = render_records(keys, strings('"a"', None), strings('"b"', None), sizes, "json")
    whole = {
        "e621/1": {"tags": "a", "caption": "b", "train_resolution": [64, 32], "image_size": [64, 32]},
        "e621/22": {"tags": "", "caption": ""},
    }
    assert f"{{{bytes(view(entries)).decode()[2:]}}}" == json.dumps(whole)
    assert bytes(view(render_captions(keys, strings('"a"', '"b"'))[1:])) == b', "e621/22": {"caption": "b"}'
    assert bytes(view(render_list(keys))) == b', "e621/1", "e621/22"'


def test_lines_are_whole_objects() -> None:
    sizes = render_sizes(pa.array([1]), pa.array([2]), np.array([True]))
    (line,) = render_records(strings("5"), strings('"a"'), strings('"b"'), sizes, "jsonl").to_pylist()
    entry = {"id": 5, "tags": "a", "caption": "b", "train_resolution": [1, 2], "image_size": [1, 2]}
    assert line == json.dumps(entry) + "\n"
    (reason,) = render_reasons(strings("5"), "latent", strings("no_size")).to_pylist()
    assert reason == json.dumps({"id": 5, "missing": "latent", "reason": "no_size"}) + "\n"


def test_sizes_of_two_billion_pixels_a_side_are_kept() -> None:
    largest = (1 << 31) - 1
    (end,) = render_sizes(pa.array([largest]), pa.array([largest]), np.array([True])).to_pylist()
    assert end.count(str(largest)) == 4


def test_a_split_keeps_the_order_in_each_part() -> None:
    parts = cut_by_split(strings("a", "b", "c", "d"), np.array([5, 0, 5, 0]))
    assert [(number, entries.to_pylist()) for number, entries in parts] == [(0, ["b", "d"]), (5, ["a", "c"])]
