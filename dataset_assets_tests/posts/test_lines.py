import json
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.posts import lines
from dataset_assets.posts.archives import PackedDamageError
from dataset_assets.posts.batch import Fields
from dataset_assets.posts.faults import Faults, read_list
from dataset_assets.posts.lines import LineReader, cut_blocks
from dataset_assets_tests.posts.given import write

FIELDS = Fields(id="id", names=("text", "more"))


def read(
    folder: Path, data: bytes, *, name: str = "some.jsonl", fields: Fields = FIELDS
) -> tuple[list[Any], list[Any]]:
    """Return the rows of a file as (line, id, texts …), and its faults as (line, fault, detail)."""
    path = write(folder / name, data)
    with Faults(name, folder / "faults") as faults:
        reader = LineReader(fields, faults)
        rows: list[Any] = []
        for batch in reader.read(path):
            columns = [
                batch.lines.tolist(),
                batch.ids.tolist(),
                *(batch.texts[one].to_pylist() for one in fields.names),
            ]
            rows += zip(*columns, strict=True)
    assert reader.rows == len(rows) + faults.dropped
    return rows, [(one["line"], one["fault"], one["detail"]) for one in read_list(folder / "faults")]


def test_a_row_has_its_line_its_id_and_the_wanted_fields(tmp_path: Path) -> None:
    data = b'{"id": 5, "text": "one", "score": [1, {"a": null}]}\n{"more": "two", "id": 0, "text": null}\n'

    assert read(tmp_path, data) == ([(1, 5, "one", None), (2, 0, None, "two")], [])


@pytest.mark.parametrize("name", ["some.jsonl", "some.jsonl.gz", "some.jsonl.zst", "some.ndjson"])
@pytest.mark.parametrize(
    ("line", "fault", "detail"),
    [
        (b'{"id": 1, "text": "tru', "not_json", "Unterminated string"),
        (b'{"id": 1} {"id": 2}', "not_json", "Extra data"),
        (b"[" * 100_000, "not_json", "nested too deeply"),
        (b"plain words", "not_json", "Expecting value"),
        (b"[1, 2]", "not_an_object", "a list"),
        (b'"text"', "not_an_object", "a text"),
        (b"12", "not_an_object", "a number"),
        (b"null", "not_an_object", "null"),
        (b'{"id": 1, "text": "\xff"}', "not_utf8", "invalid start byte at byte 19"),
        (b'{"id": 1, "other": "\xff"}', "not_utf8", "invalid start byte at byte 20"),
        (b'{"id": 1, "text": "\xed\xa0\x80"}', "not_utf8", "invalid continuation byte at byte 19"),
        (b'{"text": "no id"}', "no_id", ""),
        (b'{"id": null}', "no_id", "null"),
        (b'{"id": "7"}', "id_not_an_integer", "a text"),
        (b'{"id": 7.0}', "id_not_an_integer", "a number"),
        (b'{"id": 1e2}', "id_not_an_integer", "a number"),
        (b'{"id": NaN}', "id_not_an_integer", "a number"),
        (b'{"id": true}', "id_not_an_integer", "a boolean"),
        (b'{"id": [7]}', "id_not_an_integer", "a list"),
        (b'{"id": {"id": 7}}', "id_not_an_integer", "an object"),
        (b'{"id": -1}', "id_out_of_range", "-1"),
        (b'{"id": 9223372036854775808}', "id_out_of_range", "9223372036854775808"),
        (b'{"id": 1' + b"0" * 400 + b"}", "id_out_of_range", "a very large number"),
        (b'{"id": 1' + b"0" * 5000 + b"}", "not_json", "Exceeds the limit"),
        (b"", "blank_line", ""),
        (b" \t", "blank_line", ""),
    ],
)
def test_a_bad_line_is_dropped_and_listed_and_costs_no_other(
    tmp_path: Path, name: str, line: bytes, fault: str, detail: str
) -> None:
    rows, faults = read(tmp_path, b'{"id": 3}\n' + line + b'\n{"id": 4}\n', name=name)

    assert rows == [(1, 3, None, None), (3, 4, None, None)]
    ((place, kind, said),) = faults
    assert (place, kind) == (2, fault)
    assert said.startswith(detail)
    assert bool(said) == bool(detail)


@pytest.mark.parametrize(
    ("line", "text", "fault"),
    [
        (b'{"id": 1, "text": 5}', None, ("not_text", "text is a number")),
        (b'{"id": 1, "text": 5.5}', None, ("not_text", "text is a number")),
        (b'{"id": 1, "text": false}', None, ("not_text", "text is a boolean")),
        (b'{"id": 1, "text": ["a"]}', None, ("not_text", "text is a list")),
        (b'{"id": 1, "text": {"a": 1}}', None, ("not_text", "text is an object")),
        (b'{"id": 1, "text": "a\\ud800b"}', "a�b", ("lone_surrogate", "text")),
        (b'{"id": 1, "text": "\\udc00\\ud83d\\ude00"}', "�😀", ("lone_surrogate", "text")),
        (b'\xef\xbb\xbf{"id": 1, "text": "a"}', "a", ("bom", "")),
    ],
)
def test_a_row_with_a_smaller_fault_is_kept(
    tmp_path: Path, line: bytes, text: str | None, fault: tuple[str, str]
) -> None:
    rows, faults = read(tmp_path, b'{"id": 3}\n' + line + b"\n")

    assert rows == [(1, 3, None, None), (2, 1, text, None)]
    assert faults == [(2, *fault)]


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": 1, "text": "a", "other": "\\ud800"}',
        b'{"id": 1, "text": "a", "other": NaN}',
        b'{"id": 1, "text": "a", "other": "a\tb"}',
        b'{"id": 9, "id": 1, "text": 5, "text": "a"}',
        b'{"i\\u0064": 1, "text": "a"}',
        b'\t{"id": 1, "text": "a"} ',
    ],
)
def test_what_is_odd_elsewhere_in_a_line_is_nobodys_matter(tmp_path: Path, line: bytes) -> None:
    assert read(tmp_path, line + b"\n") == ([(1, 1, "a", None)], [])


def test_a_line_ends_in_a_line_feed_and_in_nothing_else(tmp_path: Path) -> None:
    odd = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"
    line = json.dumps({"id": 1, "text": "a\rb", "more": odd}, ensure_ascii=False).encode()

    assert read(tmp_path, line + b"\n" + line) == ([(1, 1, "a\rb", odd), (2, 1, "a\rb", odd)], [])


def test_lines_that_end_in_crlf_are_counted_and_listed_once(tmp_path: Path) -> None:
    data = b'{"id": 1}\n' + b'{"id": 2}\r\n' * 3 + b'{"id": 3, "text": 5}\r\n'

    rows, faults = read(tmp_path, data)

    assert [row[:2] for row in rows] == [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3)]
    assert faults == [
        (5, "not_text", "text is a number"),
        (2, "crlf", "4 lines end in \\r\\n, of which this is the first"),
    ]


def test_a_bom_before_nothing_is_a_blank_line(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf\n")[1] == [(1, "bom", ""), (1, "blank_line", "")]


def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    assert read(tmp_path, b'{"id": 1}\n{"id": 2}')[0] == [(1, 1, None, None), (2, 2, None, None)]
    assert read(tmp_path, b"") == ([], [])


def test_a_text_of_a_megabyte_is_a_text(tmp_path: Path) -> None:
    text = "öde " * 250_000
    data = json.dumps({"id": 1, "text": text}, ensure_ascii=False).encode() + b'\n{"id": 2}\n'

    rows, faults = read(tmp_path, data * 3)

    assert [(line, number, len(said or "")) for line, number, said, _ in rows] == [
        (1, 1, 1_000_000),
        (2, 2, 0),
        (3, 1, 1_000_000),
        (4, 2, 0),
        (5, 1, 1_000_000),
        (6, 2, 0),
    ]
    assert rows[0][2] == text
    assert faults == []


@pytest.mark.parametrize("name", ["some.jsonl", "some.jsonl.zst"])
def test_a_line_too_long_is_dropped_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", 3_000_000)
    long = json.dumps({"id": 2, "text": "x" * 5_000_000}).encode()
    data = b'{"id": 1}\n' + long + b'\n{"id": 3}\n' + long

    rows, faults = read(tmp_path, data, name=name)

    assert [row[:2] for row in rows] == [(1, 1), (3, 3)]
    assert faults == [
        (2, "line_too_long", "more than 3,000,000 bytes"),
        (4, "line_too_long", "more than 3,000,000 bytes"),
    ]


def test_blocks_are_the_same_lines_however_the_bytes_come() -> None:
    def chunks(data: bytes, size: int) -> Iterator[bytes]:
        return (data[start : start + size] for start in range(0, len(data), size))

    for data in (b"", b"\n", b"a", b"a\nbb\n\nccc", b"a\nbb\n\nccc\n"):
        for size in range(1, 12):
            blocks = list(cut_blocks(chunks(data, size)))
            assert b"".join(block or b"?" for block in blocks) == data
            assert all(block and block.endswith(b"\n") for block in blocks[:-1])


@pytest.mark.parametrize("size", [1, 3, 7, 10])
def test_the_limit_of_a_line_does_not_depend_on_how_the_bytes_come(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", 10)
    data = b"a" * 10 + b"\n" + b"b" * 11 + b"\n\n" + b"c" * 50 + b"\nd\n" + b"e" * 11

    found = list(cut_blocks(data[start : start + size] for start in range(0, len(data), size)))

    assert found.count(None) == 3
    assert b"".join(block or b"" for block in found) == b"a" * 10 + b"\n\nd\n"


@pytest.mark.parametrize(
    ("name", "fault"), [("cut.jsonl.gz", "archive_cut_short"), ("cut.jsonl.zst", "archive_cut_short")]
)
def test_an_archive_cut_short_has_the_rows_before_the_cut(tmp_path: Path, name: str, fault: str) -> None:
    data = b"".join(b'{"id": %d, "text": "%x"}\n' % (number, number * number * 2654435761) for number in range(200_000))
    path = write(tmp_path / name, data)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with Faults(name, tmp_path / "faults") as faults:
        reader = LineReader(FIELDS, faults)
        ids = [number for batch in reader.read(path) for number in batch.ids.tolist()]

    listed = [(one["line"], one["fault"]) for one in read_list(tmp_path / "faults")]
    assert 50_000 < len(ids) < 200_000
    assert ids == list(range(len(ids)))
    assert reader.rows == len(ids) + faults.dropped
    assert (faults.counts[fault], faults.dropped <= 1) == (1, True)  # the line that the cut went through
    assert listed[-1][0] == len(ids) + 1


@pytest.mark.parametrize("end", [b"", b"}", b"}\n"])
def test_of_an_archive_cut_short_only_whole_records_count(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "cut.jsonl.gz"
    packer = zlib.compressobj(wbits=31)
    path.write_bytes(packer.compress(b'{"id": 1}\n{"id": 23' + end) + packer.flush(zlib.Z_SYNC_FLUSH))

    with Faults(path.name, tmp_path / "faults") as faults:
        ids = [number for batch in LineReader(FIELDS, faults).read(path) for number in batch.ids.tolist()]

    assert ids == ([1, 23] if end else [1])
    assert faults.counts == ({} if end else {"not_json": 1}) | {"archive_cut_short": 1}


def test_something_else_than_its_name_says_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl.gz"
    path.write_bytes(b'{"id": 1}\n')

    with Faults(path.name, tmp_path / "faults") as faults, pytest.raises(PackedDamageError):
        list(LineReader(FIELDS, faults).read(path))


def test_what_is_wrong_is_listed_by_line(tmp_path: Path) -> None:
    large = b'{"id": 3000000000}\n'
    data = large + b"\n" + b'{"id": 3000000001, "text": 5}\n' + large + b"null\n"

    _, faults = read(tmp_path, data)

    assert [fault[:2] for fault in faults] == [
        (1, "large_id"), (2, "blank_line"), (3, "not_text"), (3, "large_id"), (4, "large_id"), (5, "not_an_object"),
    ]  # fmt: skip


def test_the_id_can_be_a_field_of_the_text_too(tmp_path: Path) -> None:
    fields = Fields(id="text", names=("text", "more"))

    rows, faults = read(tmp_path, b'{"text": 5, "more": "a"}\n', fields=fields)

    assert rows == [(1, 5, None, "a")]
    assert faults == [(1, "not_text", "text is a number")]


def test_the_typed_decoder_and_the_slow_way_agree(tmp_path: Path) -> None:
    chance = random.Random(7)
    values: list[Any] = ["a", "", "é\u2028", "\U0001f600", "tab\t", 5, None, [1], {"a": "b"}, True, 2**62]
    data = []
    for _ in range(500):
        record = {"id": chance.randrange(100)} | {
            name: chance.choice(values) for name in ("text", "more", "other") if chance.random() < 0.7
        }
        data.append(json.dumps(record, ensure_ascii=chance.random() < 0.5).encode())
    quick, faults = read(tmp_path, b"\n".join(data))

    slow = []
    for number, line in enumerate(data, start=1):
        record = json.loads(line)
        texts = [record.get(name) if isinstance(record.get(name), str) else None for name in FIELDS.names]
        slow.append((number, record["id"], *texts))

    assert quick == slow
    assert len(faults) == sum(
        1 for line in data for name in FIELDS.names if not isinstance(json.loads(line).get(name), str | None)
    )


def test_ids_above_31_bits_are_whole(tmp_path: Path) -> None:
    ids = [2**31 - 1, 2**31, 2**63 - 1]
    rows, faults = read(tmp_path, b"".join(b'{"id": %d}\n' % number for number in ids))

    assert [row[1] for row in rows] == ids
    assert faults == [(2, "large_id", str(ids[1])), (3, "large_id", str(ids[2]))]
