import json
import os
import random
import signal
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.errors import SourceError, StorageError
from dataset_assets.trainer.merge.merge import starting
from dataset_assets.trainer.output.merged import Form
from dataset_assets.trainer.output.report import write_log
from dataset_assets_tests.children import start
from dataset_assets_tests.commands import alive, children_of, wait_for
from dataset_assets_tests.trainer.metas import (
    CAPTIONS,
    LATENTS,
    TAGS,
    merge,
    merge_whole,
    merged,
    source,
    write_inputs,
    write_json,
    write_lines,
    write_parquet,
)

LETTERS = 'abc ,.:{}[]|"\\/\n\r\t\x00\x1f\x7fé雨😀\u2028'


def make_metas(count: int, seed: int = 0) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return tags, captions and latents of random ids, in a random order each; some ids have no caption."""
    chance = random.Random(seed)

    def text() -> str:
        return "x" + "".join(chance.choices(LETTERS, k=chance.randrange(60)))

    ids = [str(one) for one in chance.sample(range(10 * count), count)]
    tags = {one: {"tags": text(), "other": {"5": {"6": None}} if chance.random() < 0.02 else 1} for one in ids}
    chance.shuffle(ids)
    captions = {one: {"caption": text()} for one in ids if chance.random() < 0.9}
    chance.shuffle(ids)
    return tags, captions, {one: {"train_resolution": [chance.randrange(1, 9), 64]} for one in ids}


def test_the_files_are_those_of_a_loop_over_whole_dictionaries(tmp_path: Path) -> None:
    files = merge(write_inputs(tmp_path), tmp_path)
    whole, missing = merge_whole(TAGS, CAPTIONS, LATENTS)
    assert files["meta_merged.json"].decode() == json.dumps(whole)
    assert files["missing.json"].decode() == json.dumps(missing)
    assert files["meta_cap.json"].decode() == json.dumps({key: CAPTIONS[key] for key in ("1", "3", "20")})


@pytest.mark.parametrize("options", [{}, {"indent": 2}, {"ensure_ascii": False}, {"separators": (",", ":")}])
def test_many_random_texts_are_those_of_the_loop_however_the_inputs_are_written(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    metas = make_metas(2000)
    names = ("tags.json", "captions.json", "latents.json")
    paths = [write_json(tmp_path / name, meta, **options) for name, meta in zip(names, metas, strict=True)]
    inputs = [source(paths[0], "tags"), source(paths[1], "captions"), source(paths[2], "ids", "latents")]
    files = merge(inputs, tmp_path, step=10_000, stretch=30_000)
    whole, missing = merge_whole(*metas)
    assert files["meta_merged.json"].decode() == json.dumps(whole)
    assert files["missing.json"].decode() == json.dumps(missing)


def test_processes_write_the_same_bytes_as_one_thread(tmp_path: Path) -> None:
    metas = make_metas(3000)
    for meta in metas[:2]:
        for entry in meta.values():
            entry[next(iter(entry))] *= 100
    inputs = write_inputs(tmp_path, *metas)
    assert sum(one.path.stat().st_size for one in inputs) > 1 << 24
    cut = {"step": 1 << 20, "stretch": 1 << 20}
    alone = merge(inputs, tmp_path, Form(split=3), workers=0, **cut)
    assert merge(inputs, tmp_path, Form(split=3), workers=2, **cut) == alone


def rows_of(*metas: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all that metas say of an id as one row, for each id."""
    keys = sorted({key for meta in metas for key in meta})
    return [{"id": int(key)} | {k: v for meta in metas for k, v in meta.get(key, {}).items()} for key in keys]


def test_lines_and_tables_merge_as_objects_do(tmp_path: Path) -> None:
    expected = merge(write_inputs(tmp_path), tmp_path)
    rows = rows_of(TAGS, CAPTIONS, LATENTS)
    lines = source(write_lines(tmp_path / "all.jsonl", rows), "ids", "tags", "captions", "latents")
    table = source(write_parquet(tmp_path / "all.parquet", rows), "ids", "tags", "captions", "latents")
    pairs = [{key: entry} for key, entry in CAPTIONS.items()]
    mixed = [table, source(write_lines(tmp_path / "pairs.jsonl", pairs), "captions")]
    for inputs in ([lines], [table], mixed):
        files = merge(inputs, tmp_path, step=100)
        assert {name: files[name] for name in files if name != "missing_reasons.jsonl"} == {
            name: expected[name] for name in expected if name != "missing_reasons.jsonl"
        }


def test_keys_with_a_folder_are_ids_and_get_the_folder_that_is_asked_for(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path, {f"e621/{key}": entry for key, entry in TAGS.items()})
    files = merge(inputs, tmp_path, Form(prefix="set/e621", archive=False))
    whole, missing = merge_whole(TAGS, CAPTIONS, LATENTS, "set/e621")
    assert files["meta_merged.json"].decode() == json.dumps(whole)
    assert files["missing.json"].decode() == json.dumps(missing)
    assert json.loads(files["missing_reasons.jsonl"])["id"] == "set/e621/100"


def test_a_split_cuts_by_the_id(tmp_path: Path) -> None:
    metas = make_metas(200)
    files = merge(write_inputs(tmp_path, *metas), tmp_path, Form(split=3, archive=False), step=1000, stretch=2000)
    whole, _ = merge_whole(*metas)
    for part in range(3):
        expected = {key: entry for key, entry in whole.items() if int(key) % 3 == part}
        assert files[f"meta_merged_{part}.json"].decode() == json.dumps(expected)
    empty = merge(write_inputs(tmp_path), tmp_path, Form(split=200, archive=False))
    assert empty["meta_merged_7.json"] == b"{}"


def test_the_lines_dialect_has_an_entry_a_line_with_its_id(tmp_path: Path) -> None:
    whole, _ = merge_whole(TAGS, CAPTIONS, LATENTS)
    files = merge(write_inputs(tmp_path), tmp_path, Form(dialect="jsonl", archive=False), stretch=1)
    lines = [json.dumps({"id": int(key), **entry}) for key, entry in whole.items()]
    assert files["meta_merged.jsonl"].decode() == "".join(f"{line}\n" for line in lines)
    named = merge(write_inputs(tmp_path), tmp_path, Form(dialect="jsonl", prefix="e621", archive=False))
    assert json.loads(named["meta_merged.jsonl"].splitlines()[0])["id"] == "e621/1"


def test_what_was_merged_can_be_merged_again(tmp_path: Path) -> None:
    for dialect, name in (("json", "meta_merged.json"), ("jsonl", "meta_merged.jsonl")):
        files = merge(write_inputs(tmp_path), tmp_path, Form(dialect=dialect, archive=False))  # type: ignore[arg-type]
        (tmp_path / name).write_bytes(files[name])
        again = source(tmp_path / name, "ids", "tags", "captions", "latents")
        assert merge([again], tmp_path, Form(dialect=dialect, archive=False))[name] == files[name]  # type: ignore[arg-type]


def test_the_archive_holds_the_captions_and_has_no_time(tmp_path: Path) -> None:
    metas = make_metas(500)
    files = merge(write_inputs(tmp_path, *metas), tmp_path, Form(), step=1000, stretch=3000)
    with tarfile.open(fileobj=BytesIO(files["meta_cap.tar.gz"])) as tar:
        (member,) = tar.getmembers()
        content = tar.extractfile(member)
        assert content is not None
        assert (member.name, member.mtime, content.read()) == ("meta_cap.json", 0, files["meta_cap.json"])
    assert files["meta_cap.tar.gz"][:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_without_captions_their_file_is_an_empty_object_and_so_is_that_of_the_archive(tmp_path: Path) -> None:
    files = merge(write_inputs(tmp_path, captions={}), tmp_path, Form())
    assert files["meta_cap.json"] == b"{}"
    with tarfile.open(fileobj=BytesIO(files["meta_cap.tar.gz"])) as tar:
        content = tar.extractfile("meta_cap.json")
        assert content is not None
        assert content.read() == b"{}"


def test_of_an_id_that_is_there_several_times_the_last_entry_counts_and_the_others_are_counted(tmp_path: Path) -> None:
    texts = [("1", "first"), ("2", "two"), ("1", "second"), ("\\u0031", "third")]
    text = "{" + ", ".join(f'"{key}": {{"caption": "{caption}"}}' for key, caption in texts) + "}"
    (tmp_path / "captions.json").write_text(text)
    ids = write_json(tmp_path / "ids.json", {"1": {}, "2": {}})
    inputs = [source(ids, "ids"), source(tmp_path / "captions.json", "captions")]
    for step in (1, 1000):
        with merged(inputs, tmp_path, step=step) as found:
            captions = json.loads(found.files["meta_cap.json"].read_bytes())
            assert captions == json.loads(text)
            assert found.tally.repeated == {"captions": 2}


def test_why_something_is_missing_is_said_of_every_id(tmp_path: Path) -> None:
    captions = {
        "1": None,
        "2": {},
        "3": {"caption": 5},
        "4": {"caption": " \n"},
        "5": {"caption": None},
        "7": {"caption": "x"},
    }
    sizes: dict[str, object] = {
        "1": [0, 5], "2": [64], "3": "64x64", "4": [64.5, 64], "5": [True, 64], "6": None, "7": [64, 64]
    }  # fmt: skip
    inputs = write_inputs(tmp_path, {}, captions, {key: {"train_resolution": size} for key, size in sizes.items()})
    with merged(inputs[1:], tmp_path) as found:
        lines = [json.loads(line) for line in found.files["missing_reasons.jsonl"].read_text().splitlines()]
        reasons = {
            name: [line["reason"] for line in lines if line["missing"] == name] for name in ("caption", "latent")
        }
        assert [line["id"] for line in lines] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
        assert reasons["caption"] == ["not_an_object", "no_text", "not_text", "empty", "no_text", "no_entry"]
        assert reasons["latent"] == ["not_a_size"] * 5 + ["no_size"]
        assert found.tally.reasons["tags"] == {"no_input": 7}
        assert found.tally.sources == {"caption": 1, "empty": 1, "none": 5}
        assert json.loads(found.files["missing.json"].read_bytes())["latent"] == ["1", "2", "3", "4", "5", "6"]
        entries = json.loads(found.files["meta_merged.json"].read_bytes())
        assert entries["6"] == {"tags": "", "caption": ""}


def test_the_log_is_the_published_cards_line(tmp_path: Path) -> None:
    ids = [str(one) for one in range(1000, 5441)]
    tags = {one: {"tags": f"fox, number {one}"} for one in ids}
    captions = {one: {"caption": f"a fox of number {one}"} for one in ids[178:]}
    captions |= {one: {"caption": f"fox number {one}"} for one in ids[178:1178]}
    latents = {one: {"train_resolution": [1024, 1024]} for one in ids}
    with merged(write_inputs(tmp_path, tags, captions, latents), tmp_path) as found:
        assert write_log(found.tally) == "ids: 4441, missing tags: 0, missing caption: 178, missing latent: 0"
        assert found.tally.sources == {"caption": 3263, "tags": 1178}


def test_what_is_not_in_the_list_of_ids_is_counted_and_left_out(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path, TAGS | {"999": {"tags": "x"}, "no id": {"tags": "y"}})
    with merged(inputs, tmp_path) as found:
        assert found.tally.unused == {"tags": 1}
        assert found.faults == {"no_id": 1}
        assert found.listed is not None
        assert found.listed.read_text() == '{"file": "tags.json", "fault": "no_id", "key": "no id"}\n'
        assert found.rows == {inputs[0].path: 5, inputs[1].path: 3, inputs[2].path: 4}


def test_nothing_stays_behind_where_a_merge_fails_or_its_files_are_not_taken(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path)
    there = sorted(tmp_path.iterdir())
    with merged(inputs, tmp_path, Form()) as found:
        assert len(found.files) == 5
    assert sorted(tmp_path.iterdir()) == there
    (tmp_path / inputs[1].path.name).write_text('{"1": {"caption": "cut sh}')
    with pytest.raises(SourceError, match=r"captions.json is damaged between bytes 1 and 25"):
        merge(inputs, tmp_path)
    assert sorted(tmp_path.iterdir()) == there


def test_a_merge_without_an_id_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"no id was found in .*latents.json: 1 entries of all inputs have faults, 1 of them no_id"
    ):
        merge(write_inputs(tmp_path, latents={"x": {}}), tmp_path)


def test_a_merge_of_nothing_but_faults_says_which_and_keeps_the_list(tmp_path: Path) -> None:
    lines = [{"name": 1}, {"name": 2}, {"id": 1.5}]
    path = write_lines(tmp_path / "ids.jsonl", lines)
    kept = tmp_path / "faults.jsonl"
    with pytest.raises(SourceError, match=r"no id was found in .*ids\.jsonl: 3 .* faults, 2 of them no_id; .*faults"):
        merge([source(path, "ids")], tmp_path, step=1)
    assert [(one["line"], one["fault"]) for one in map(json.loads, kept.read_text().splitlines())] == [
        (1, "no_id"), (2, "no_id"), (3, "id_not_an_integer")
    ]  # fmt: skip
    merge(write_inputs(tmp_path), tmp_path)
    assert not kept.exists()
    with pytest.raises(SourceError, match=r"no id was found: there is no entry in .*none\.json$"):
        merge([source(write_json(tmp_path / "none.json", {}), "ids")], tmp_path)
    assert not kept.exists()


@pytest.mark.parametrize("step", [1, 1000])
def test_ids_that_are_there_again_or_in_another_spelling_are_counted_and_listed(tmp_path: Path, step: int) -> None:
    text = '{"e621/1": {}, "danbooru/1": {}, "001": {}, "2": {"tags": "a"}, "2": {}, "e621/3": {}, "e621/1": {}}'
    path = tmp_path / "ids.json"
    path.write_text(text)
    with merged([source(path, "ids", "tags")], tmp_path, step=step, stretch=1) as found:
        assert found.tally.ids == 3
        assert found.rows == {path: 7}
        assert found.tally.repeated == {"ids": 4, "tags": 4}
        assert found.tally.respelled == {"ids": 2, "tags": 2}
        lines = [json.loads(line) for line in found.files["missing_reasons.jsonl"].read_text().splitlines()]
    told = [line for line in lines if "fault" in line]
    assert told == [{"id": 1, "fault": "another_spelling", "input": role} for role in ("ids", "tags")]
    assert len([line for line in lines if "reason" in line]) == 3


def test_faults_have_their_line_however_the_file_is_cut(tmp_path: Path) -> None:
    lines = [f'{{"id": {number}}}' if number % 3 else "x" for number in range(30)]
    (tmp_path / "ids.jsonl").write_text("\n".join(lines))
    for step in (1, 7, 50, 1000):
        with merged([source(tmp_path / "ids.jsonl", "ids")], tmp_path, step=step) as found:
            assert found.listed is not None
            faults = [json.loads(line) for line in found.listed.read_text().splitlines()]
            assert [fault["line"] for fault in faults] == list(range(1, 31, 3))


def test_the_largest_ids_are_merged(tmp_path: Path) -> None:
    ids = [str((1 << 63) - 1), "0", str(1 << 31)]
    metas = [{one: {"caption": "x", "train_resolution": [1, 1]} for one in ids} for _ in range(3)]
    files = merge(write_inputs(tmp_path, *metas), tmp_path, stretch=1)
    assert list(json.loads(files["meta_merged.json"])) == ["0", str(1 << 31), str((1 << 63) - 1)]


BUSY = """
import time
from pathlib import Path
from dataset_assets.trainer.merge.merge import starting
from dataset_assets.trainer.output.merged import Form

if __name__ == "__main__":
    with starting([], [], Form(), Path("ids"), 2) as (pool, _):
        futures = [pool.submit(eval, "list(__import__('sys').modules)") for _ in range(2)]
        print(*{name.partition(".")[0] for future in futures for name in future.result()}, flush=True)
        for _ in range(2):
            pool.submit(time.sleep, 600)
        time.sleep(600)
"""


def test_processes_end_with_their_parent_and_have_nothing_large_inside() -> None:
    process = start(BUSY)
    assert process.stdout is not None
    imported = process.stdout.readline().split()
    assert "pyarrow" in imported
    assert not {"torch", "pandas", "dagster", "matplotlib", "sqlalchemy"} & set(imported)
    workers = children_of(process.pid)
    assert len(workers) >= 2
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(alive(worker) for worker in workers))


def test_a_process_that_is_ended_from_outside_is_said() -> None:
    with (
        pytest.raises(StorageError, match=r"a process that merges was ended from outside"),
        starting([], [], Form(), Path("ids"), 1) as (pool, _),
    ):
        pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result()
