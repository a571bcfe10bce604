import json
from pathlib import Path

import pytest

from dataset_assets.trainer.inputs.lines import read_lines, read_span
from dataset_assets.trainer.inputs.rows import NOT_AN_OBJECT, Lack, Role

ALL: frozenset[Role] = frozenset(("tags", "captions", "latents"))


def test_every_line_is_in_just_one_span_however_the_file_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    data = b'{"id": 1}\n\n{"id": 22, "tags": "b"}\r\n{"id": 333}'
    path.write_bytes(data)
    for step in range(1, len(data) + 2):
        spans = [read_span(path, start, min(start + step, len(data))) for start in range(0, len(data), step)]
        assert b"".join(span for span, _ in spans) == data
        assert all(data[first : first + len(span)] == span for span, first in spans)


def test_lines_have_their_id_as_number_or_text_under_either_name() -> None:
    lines = b'{"id": 1, "tags": "a"}\n{"key": "e621/2", "tags": "b"}\n{"id": "3", "image_size": [4, 5]}\n'
    found = read_lines(lines, 0, ALL)
    assert (found.ids, found.tags) == ([1, 2, 3], ["a", "b", None])
    assert found.sizes[2] == (4, 5, Lack.NONE)
    assert found.faults == []


def test_a_line_may_be_an_entry_under_its_id() -> None:
    found = read_lines(b'{"1": {"caption": "a"}}\n{"e621/2": null}\n', 0, ALL)
    assert (found.ids, found.captions) == ([1, 2], ["a", NOT_AN_OBJECT])


def test_lines_without_an_entry_are_faults_with_their_byte() -> None:
    bad = [
        "[1]",
        '{"id": null}',
        '{"id": true, "tags": "x"}',
        '{"id": -1}',
        '{"a": {}, "b": {}}',
        '{"id": 1',
        '{"id": 1.5}',
        "{}",
    ]
    text = "\ufeff" + '{"id": 5, "tags": "ok"}\r\n\n' + "\n".join(bad)
    data = text.encode()
    found = read_lines(data, 0, ALL)
    assert (found.ids, found.tags) == ([5], ["ok"])
    kinds = ["not_an_object", "no_id", "id_not_an_integer", "id_out_of_range", "no_id", "not_json"]
    kinds += ["id_not_an_integer", "no_id"]
    assert [fault["fault"] for fault in found.faults] == kinds
    assert [fault["line"] for fault in found.faults] == list(range(3, 11))
    for fault, line in zip(found.faults, bad, strict=True):
        assert data[fault["byte"] :].startswith(line.encode())


def test_the_byte_of_a_fault_is_counted_from_the_beginning_of_the_file() -> None:
    assert read_lines(b'{"id": 1}\nx\n', 100, ALL).faults == [{"fault": "not_json", "line": 2, "byte": 110}]


def test_line_separators_of_unicode_are_text() -> None:
    found = read_lines('{"id": 1, "tags": "a\u2028b\u0085c"}\n'.encode(), 0, ALL)
    assert found.tags == ["a\u2028b\u0085c"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": 7, "tags": "a"}', b'{"id": 7}{"id": 8}', b'{"id": 7} {"id": 8}', b'{"id": 7}\r{"id": 8}', b'{"id":',
        b"7}", b"", b" \r", b'{"id": 7.0}', b'{"key": "e621/7", "tags": 5}', b'{"id": 7, "tags": "a\xe9"}',
        b'{"id": 7, "caption": "\\ud800"}', b'{"id": 7, "x": NaN}', b'{"7": {"tags": "t"}}',
        b'{"id": null, "key": "7"}',
        b'{"id": 7, "train_resolution": "\xff"}', b'{"id": 7, "image_size": [1, ' + b"9" * 5000 + b"]}",
        b'{"id": ' + b"9" * 5000 + b"}", b'{"id": 7, "tags": ' + b"9" * 5000 + b"}", b'{"id": 7, "x": ' + b"[" * 9999,
        b'{"id": 7, "id": 9}', b'{"id": 7, "tags": "a\tb"}',
    ],
)  # fmt: skip
def test_what_becomes_of_a_line_does_not_depend_on_its_neighbours(line: bytes) -> None:
    alone = read_lines(line, 0, ALL)
    for before, after in ((b'{"id": 1}', b'{"id": 2}'), (b"x", b'{"key": "a/2"}'), (b'{"id": 1}', b"")):
        first, last = read_lines(before, 0, ALL), read_lines(after, 0, ALL)
        found = read_lines(b"\n".join((before, line, after)), 0, ALL)
        assert found.ids == [*first.ids, *alone.ids, *last.ids]
        assert found.tags == [*first.tags, *alone.tags, *last.tags]
        assert found.sizes == [*first.sizes, *alone.sizes, *last.sizes]
        faults = [fault["fault"] for fault in found.faults if fault["line"] == 2]
        assert faults == [fault["fault"] for fault in alone.faults]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"id": 1}{"id": 2}', "not_json"),
        (b'{"id": 1}\r{"id": 2}', "not_json"),
        (b'{"id": 7, "caption": "a\xe9"}', "not_utf8"),
        (b'{"id": 7, "caption": "\\ud800"}', "lone_surrogate"),
        (b'{"id": ' + b"9" * 5000 + b"}", "id_not_an_integer"),
    ],
)
def test_what_is_wrong_with_a_line_is_told(line: bytes, fault: str) -> None:
    found = read_lines(b'{"id": 1}\n' + line, 0, ALL)
    assert [(one["fault"], one["line"], one["byte"]) for one in found.faults] == [(fault, 2, 10)]


def test_sizes_that_cannot_be_read_are_no_sizes() -> None:
    lines = [b'{"id":1,"train_resolution":"\xff"}', b'{"id":2,"train_resolution":' + b"9" * 5000 + b"}"]
    found = read_lines(b"\n".join(lines), 0, ALL)
    assert found.sizes == [(0, 0, Lack.NOT_A_SIZE)] * 2
    assert found.faults == []


def test_keys_in_other_spellings_have_a_number_of_their_own() -> None:
    lines = [{"key": "e621/1"}, {"id": "1"}, {"id": 1}, {"e621/1": {}}]
    found = read_lines("\n".join(map(json.dumps, lines)).encode(), 0, ALL)
    assert found.ids == [1] * 4
    assert found.spellings[0] == found.spellings[3] != 0
    assert found.spellings[1:3] == [0, 0]
