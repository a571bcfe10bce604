from pathlib import Path

from dataset_assets.trainer.lines import read_lines, read_span
from dataset_assets.trainer.rows import NOT_AN_OBJECT, Lack, Role

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
    kinds = ["not_an_object", "no_id", "no_id", "no_id", "no_id", "not_json", "no_id", "no_id"]
    assert [fault["fault"] for fault in found.faults] == kinds
    for fault, line in zip(found.faults, bad, strict=True):
        assert data[fault["byte"] :].startswith(line.encode())


def test_the_byte_of_a_fault_is_counted_from_the_beginning_of_the_file() -> None:
    assert read_lines(b'{"id": 1}\nx\n', 100, ALL).faults == [{"fault": "not_json", "byte": 110}]


def test_line_separators_of_unicode_are_text() -> None:
    found = read_lines('{"id": 1, "tags": "a\u2028b\u0085c"}\n'.encode(), 0, ALL)
    assert found.tags == ["a\u2028b\u0085c"]
