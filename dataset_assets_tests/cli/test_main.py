import json
import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from dataset_assets import cli
from dataset_assets.defs import failures
from dataset_assets.storage.layout import Layout
from dataset_assets_tests import children, commands
from dataset_assets_tests.commands import alive, artifacts, children_of, start, wait_for, write_settings
from dataset_assets_tests.datasets import LANDSCAPE, add_photo, add_photos, on_disk
from dataset_assets_tests.photos import jpeg
from dataset_assets_tests.posts.given import post, write_posts

HOLD_LOCK = """
import sys
from pathlib import Path
from dataset_assets.storage.lock import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
HOLD_CATALOG = """
import sqlite3, sys

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""
FULL = """
import resource, sys
from dataset_assets.cli import main
from dataset_assets.defs import failures

failures._WAIT_SECONDS = 0
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # the disk ends here
main()
"""


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.delenv("DATASET_CONFIG", raising=False)
    monkeypatch.setattr(failures, "_WAIT_SECONDS", 0)


def call(*arguments: object) -> Result:
    """Run `dataset-assets` in this process; a traceback is the test's failure."""
    result = CliRunner().invoke(cli.main, [*map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def build(folder: Path, *options: str) -> Result:
    return call("build", "--config", folder / "dataset.toml", *options)


def refused(result: Result | subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a command ended with, as a person sees it."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert code == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.stderr.splitlines()[-1] == line
    return line.removeprefix("error: ")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder with twenty photos, and their first build as a person runs it."""
    folder = tmp_path_factory.mktemp("first")
    write_settings(folder)
    add_photos(folder)
    return folder, commands.run(folder, "build")


@pytest.fixture
def folder(first: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> Path:
    """A copy of that folder, for the test alone."""
    return Path(shutil.copytree(first[0], tmp_path / "built"))


def test_mistakes_are_a_line_each_and_names_in_them_steer_nothing(tmp_path: Path) -> None:
    config = tmp_path / "a\n\x1b[31m\u202e.toml"
    config.write_text("[dataset]\nnam = 1\n[work]\nworkrs = 2\n")

    result = call("status", "--config", config)

    first, second = result.stderr.splitlines()
    assert result.exit_code == 1
    assert first.startswith(f"error: {tmp_path}/a [31m .toml: dataset.nam: there is no such key; ")
    assert second.startswith(f"{tmp_path}/a [31m .toml: work.workrs: there is no such key; ")


def test_faults_that_verify_finds_steer_nothing(folder: Path) -> None:
    (folder / "out/export/extra\n\x1b[2J").touch()

    (fault, last) = call("verify", folder / "out/export").stdout.splitlines()

    assert fault.startswith("extra [2J: ")
    assert last.startswith("1 fault: ")


def test_the_first_build(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = first

    assert done.returncode == 0
    assert done.stderr == ""
    assert "│ p1216x832  │ 72×48 │     10 │      3 │" in done.stdout
    assert "│ caption_sidecar │      ok │     10 │" in done.stdout
    assert re.search(r"^20 of 20 images in 7 shards, 0\.\d MB, export id [0-9a-f]{16}$", done.stdout, re.MULTILINE)
    layout = Layout(folder / "out")
    places = [("export", layout.export), ("contact sheet", layout.contact_sheet), ("gallery", layout.gallery_page)]
    assert done.stdout.endswith("".join(f"{name:<13}  {place}\n" for name, place in places))
    assert list(layout.gallery.glob("data/overview.*.js"))
    assert layout.contact_sheet.read_bytes().startswith(b"\x89PNG")
    assert layout.card.is_file()
    with dg.DagsterInstance.from_config(str(folder / "out" / ".dagster")) as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.SUCCESS] * 3


def test_a_build_with_nothing_to_do_writes_nothing(folder: Path) -> None:
    layout = Layout(folder / "out")
    before = artifacts(on_disk(layout.root))
    assert layout.contact_sheet.relative_to(layout.root).as_posix() in before

    result = build(folder, "--json")

    assert result.exit_code == 0
    assert artifacts(folder / "out") == before
    said = json.loads(result.stdout)
    manifest = json.loads((folder / "out" / "export" / "manifest.json").read_bytes())
    assert said["export_id"] == manifest["export_id"]
    assert said["counts"] == manifest["summary"]
    places = {"export": layout.export, "contact_sheet": layout.contact_sheet, "gallery": layout.gallery_page}
    assert {name: said[name] for name in places} == {name: str(place) for name, place in places.items()}


def test_a_build_without_a_gallery_says_so(folder: Path) -> None:
    with (folder / "dataset.toml").open("a") as file:
        file.write("[gallery]\nenabled = false\n")

    assert json.loads(build(folder, "--json").stdout)["gallery"] is None
    assert "\ngallery" not in build(folder).stdout
    said = call("status", "--json", "--config", folder / "dataset.toml").stdout
    assert "gallery" not in {row["stage"] for row in json.loads(said)}


def test_content_that_changed_in_silence_needs_a_checksum(folder: Path) -> None:
    photo = folder / "raw" / "000.jpg"
    before = json.loads(build(folder, "--json", "--checksum").stdout)
    stat = photo.stat()
    data = bytearray(photo.read_bytes())
    data[-40:-30] = bytes(10)
    photo.write_bytes(data)
    os.utime(photo, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert json.loads(build(folder, "--json").stdout)["export_id"] == before["export_id"]
    assert json.loads(build(folder, "--json", "--checksum").stdout)["export_id"] != before["export_id"]


def test_the_config_may_be_named_by_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASET_CONFIG", str(folder / "dataset.toml"))

    assert {row["state"] for row in json.loads(call("status", "--json").stdout)} == {"fresh"}


def test_status_before_any_build(tmp_path: Path) -> None:
    config = write_settings(tmp_path)

    text, rows = call("status", "--config", config), call("status", "--json", "--config", config)

    assert (text.exit_code, rows.exit_code) == (0, 0)
    assert "raw_images: missing, not made yet" in text.stdout
    assert json.loads(rows.stdout)[0] == {
        "stage": "raw_images", "partition": "", "state": "missing", "reason": "not made yet", "retry": False,
    }  # fmt: skip


def test_status_after_a_build_a_loss_and_a_change(folder: Path) -> None:
    config = folder / "dataset.toml"
    fresh = call("status", "--config", config).stdout
    assert ": stale" not in fresh
    assert ": missing" not in fresh

    on_disk(Layout(folder / "out").tar("p1216x832", 0)).unlink()
    lost = call("status", "--config", config).stdout
    reason = "export/buckets/p1216x832/shard-000000.tar: No such file or directory"
    assert f"shards p1216x832_000000-000001: stale, {reason}" in lost
    rows = json.loads(call("status", "--json", "--config", config).stdout)
    (row,) = [row for row in rows if row["reason"] == reason]
    assert (row["stage"], row["partition"], row["state"]) == ("shards", "p1216x832_000000-000001", "stale")

    write_settings(folder, quality=80)
    changed = call("status", "--config", config).stdout
    assert changed.count("resized_crops ") >= 4
    assert "resized_crops p1216x832_000000-000001: stale, changed: settings" in changed


def test_verify_says_ok(folder: Path) -> None:
    result = call("verify", folder / "out" / "export", "--workers", 1)

    assert result.exit_code == 0
    assert result.stdout.startswith("ok: 20 samples in 14 files, ")
    assert json.loads(call("verify", folder / "out" / "export", "--json", "--workers", 1).stdout)["ok"] is True
    assert call("verify", folder / "out" / "export", "--pixels", "--workers", 1).stdout == result.stdout


def test_verify_names_what_is_damaged(folder: Path) -> None:
    export = folder / "out" / "export"
    tar = Layout(folder / "out").tar("p1216x832", 0)
    data = bytearray(tar.read_bytes())
    key = data[:64].decode()
    data[512:514] = b"no"  # the first image's first bytes
    on_disk(tar).write_bytes(data)

    result = call("verify", export, "--workers", 1)

    assert result.exit_code == 1
    assert f"buckets/p1216x832/shard-000000.tar: {key}: " in result.stdout
    assert re.search(r"^\d faults?: 20 samples in 14 files", result.stdout, re.MULTILINE)
    said = json.loads(call("verify", export, "--json", "--workers", 1).stdout)
    assert said["ok"] is False
    assert {"buckets/p1216x832/shard-000000.tar"} == {fault["file"] for fault in said["faults"]}


def test_verify_of_no_folder_is_a_wrong_call(tmp_path: Path) -> None:
    result = call("verify", tmp_path / "nothing")

    assert result.exit_code == 2
    assert f"Directory '{tmp_path}/nothing' does not exist" in result.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_names_that_are_no_text_are_printed(folder: Path, options: list[str]) -> None:
    (folder / "out" / "export" / "odd \udcff [x].txt").touch()

    done = commands.run(folder, "verify", "out/export", "--workers", 1, *options, PYTHONIOENCODING="utf-8:strict")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "odd \\udcff [x].txt" in done.stdout


def test_init_then_build(tmp_path: Path) -> None:
    add_photo(tmp_path, "0.jpg", (1200, 900))

    result = call("init", tmp_path / "my dataset", "--source", tmp_path / "raw")

    config = tmp_path / "my dataset" / "dataset.toml"
    assert result.exit_code == 0
    assert result.stdout == f"wrote {config}\nnext: dataset-assets build --config '{config}'\n"
    assert json.loads(build(config.parent, "--json").stdout)["counts"]["images_exported"] == 1
    assert "is there already" in refused(call("init", config.parent, "--source", tmp_path / "raw"))
    assert "there is no such folder" in refused(call("init", tmp_path / "other", "--source", tmp_path / "none"))


def test_no_config(tmp_path: Path) -> None:
    for command in ("build", "status", "ui"):
        line = refused(call(command, "--config", tmp_path / "none.toml"))
        assert line.startswith(f"{tmp_path}/none.toml: there is no such file; `dataset-assets init")


def test_a_wrong_key(tmp_path: Path) -> None:
    config = write_settings(tmp_path)
    config.write_text(config.read_text().replace("quality", "qualty"))

    assert "images.qualty: there is no such key; allowed: " in refused(build(tmp_path))


def test_no_source_then_an_empty_one_then_photos(tmp_path: Path) -> None:
    write_settings(tmp_path)

    assert refused(build(tmp_path)).startswith(f"source {tmp_path}/raw: there is no such folder; ")

    (tmp_path / "raw").mkdir()
    assert refused(build(tmp_path)) == "there is nothing to export: 0 images seen"

    add_photo(tmp_path, "0.jpg")
    assert build(tmp_path).exit_code == 0


def test_a_root_that_cannot_be_written_to(folder: Path) -> None:
    out, made = folder / "out", folder / "new"
    add_photo(folder, "one more.jpg", LANDSCAPE, seed=77)
    made.mkdir(mode=0o555)
    out.chmod(0o555)

    there = refused(commands.run(folder, "build", powerless=True))
    write_settings(folder, root="new/out")
    not_there = refused(commands.run(folder, "build", powerless=True))

    assert there.startswith(f"catalog {out}/dataset.sqlite: ")
    assert "may this user write to it?" in there
    assert not_there == f"cannot make the dataset's root {made}/out: Permission denied"
    write_settings(folder)
    out.chmod(0o755)
    assert json.loads(build(folder, "--json").stdout)["counts"]["images_exported"] == 21


def test_a_home_that_cannot_be_written_to(folder: Path) -> None:
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").touch()
    home.chmod(0o555)

    line = refused(commands.run(folder, "build", powerless=True, DAGSTER_HOME=str(home)))

    assert line.startswith(f"cannot keep Dagster's records in {home}: ")
    assert build(folder).exit_code == 0


def test_a_locked_catalog(folder: Path) -> None:
    catalog = folder / "out" / "dataset.sqlite"
    write_settings(folder, catalog=f"sqlite:///{catalog}?timeout=0.2")
    holder = children.start(HOLD_CATALOG, catalog)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    line = refused(build(folder))
    holder.communicate(timeout=60)

    assert line.startswith(f"catalog {catalog}: database is locked: another process is writing to it; wait for")
    assert build(folder).exit_code == 0


def test_a_second_build_at_once(folder: Path) -> None:
    holder = children.start(HOLD_LOCK, folder / "out" / ".build.lock")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    line = refused(build(folder))
    holder.communicate(timeout=60)

    assert line == f"process {holder.pid} is building this dataset: wait until it ends, or end it"
    assert build(folder).exit_code == 0


def heavy(folder: Path, count: int) -> Path:
    """Write `count` photos that take a while, and settings for two workers; return the root."""
    (folder / "raw").mkdir(parents=True)
    photos = [jpeg(1500, 1100, seed) for seed in range(3)]
    for number in range(count):
        (folder / "raw" / f"{number:03d}.jpg").write_bytes(photos[number % 3] + bytes(number))
    write_settings(folder, base=512, workers=2)
    return folder / "out"


@pytest.mark.parametrize("limit", [100_000, 600_000], ids=["of Dagster's records", "of the crops"])
def test_a_full_disk(tmp_path: Path, limit: int) -> None:
    heavy(tmp_path, 5)
    write_settings(tmp_path, base=1024, quality=100)

    child = children.start(FULL, limit, "build", "--config", tmp_path / "dataset.toml")
    printed, complaints = child.communicate(timeout=120)

    line = refused(subprocess.CompletedProcess(child.args, child.returncode, printed, complaints))
    assert line.startswith((f"cannot keep Dagster's records in {tmp_path}", f"cannot write {tmp_path}/out/crops/"))
    assert not list((tmp_path / "out").rglob("*.writing"))
    assert json.loads(build(tmp_path, "--json").stdout)["counts"]["images_exported"] == 5


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Photos that take a while, and the digests of the tars that a build makes of them when nobody disturbs it."""
    folder = tmp_path_factory.mktemp("reference")
    root = heavy(folder, 60)
    assert commands.run(folder, "build").returncode == 0
    return folder, tars(root)


def tars(root: Path) -> dict[str, str]:
    return {name: digest for name, (digest, _) in artifacts(root).items() if name.endswith(".tar")}


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=str
)
def test_a_build_that_is_ended_is_taken_up_where_it_was(
    reference: tuple[Path, dict[str, str]], tmp_path: Path, number: signal.Signals
) -> None:
    folder, expected = reference
    shutil.copytree(folder / "raw", tmp_path / "raw")
    shutil.copy(folder / "dataset.toml", tmp_path)
    root = tmp_path / "out"
    process = start(tmp_path, "build")
    wait_for(lambda: len(list(root.glob("crops/*/*.parquet"))) >= 2 or process.poll() is not None)
    below = children_of(process.pid)

    process.send_signal(number)
    printed, complaints = process.communicate(timeout=30)

    assert not list(root.rglob("*.tar")), "it was over before it was ended"
    assert printed == ""
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        assert (root / ".build.lock").read_text() == str(process.pid)
    else:
        assert process.returncode == 130
        assert complaints == "interrupted: what was finished is kept, the same command goes on from there\n"
    wait_for(lambda: not any(map(alive, below)))
    finished = {path: path.stat().st_mtime_ns for path in root.glob("crops/*/*.parquet")}
    assert build(tmp_path).exit_code == 0
    assert tars(root) == expected
    assert not list(root.rglob("*.writing"))
    with dg.DagsterInstance.from_config(str(root / ".dagster")) as instance:
        assert not instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    kept = [path for path, time in finished.items() if path.stat().st_mtime_ns == time]
    assert len(kept) >= 2  # what was finished was kept


@pytest.mark.parametrize("command", ["status", "show"])
def test_a_command_that_keeps_nothing_does_not_say_that_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dataset_assets.dataset.open_dataset", interrupt)
    result = CliRunner().invoke(cli.main, [command, "--config", str(write_settings(tmp_path))])

    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")


@pytest.mark.slow
def test_a_build_that_is_killed_again_and_again_ends_the_same(
    reference: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder, expected = reference
    shutil.copytree(folder / "raw", tmp_path / "raw")
    shutil.copy(folder / "dataset.toml", tmp_path)
    kills = 0
    for tenths in range(10, 60, 4):
        process = start(tmp_path, "build")
        try:
            process.communicate(timeout=tenths / 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1

    assert kills >= 3
    assert build(tmp_path).exit_code == 0
    assert tars(tmp_path / "out") == expected
    assert call("verify", tmp_path / "out" / "export").exit_code == 0


def test_help_needs_nothing_and_names_every_command(tmp_path: Path) -> None:
    done = commands.run(tmp_path, "--help")

    assert done.returncode == 0
    for command in ("init", "build", "status", "ui", "verify"):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_ui_shows_the_runs_of_the_builds(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start(folder, "ui", "--port", port)
    answers = []

    def ask() -> bool:
        query = urlencode({"query": "{ runsOrError { ... on Runs { results { status } } } }"})
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/graphql?{query}") as answer:
            answers.append(json.load(answer)["data"]["runsOrError"]["results"])
        return bool(answers)

    wait_for(ask)
    below = children_of(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert answers[0] == [{"status": "SUCCESS"}] * 3
    wait_for(lambda: not any(map(alive, below)))


@pytest.mark.parametrize("options", [[], ["--source", ".", "--records", "a.jsonl"]])
def test_a_dataset_is_of_images_or_of_records(options: list[str], tmp_path: Path) -> None:
    result = call("init", tmp_path / "new", *options)

    assert result.exit_code == 2
    assert "Give one of --source and --records." in result.stderr
    assert not (tmp_path / "new").exists()


def test_from_records_to_tars_and_metadata(tmp_path: Path) -> None:
    write_posts(tmp_path / "captions/a.jsonl", [post(1, "a", "b"), post(2, tags="t"), post(1, "c", "d"), []])

    made = call("init", tmp_path / "posts", "--records", tmp_path / "captions/*.jsonl")
    done = build(tmp_path / "posts")

    assert made.exit_code == 0
    assert done.exit_code == 0
    root = tmp_path / "posts" / "data"
    for line in (
        "│ read          │     4 │            of 1 file │",
        "│ records       │     3 │            of 2 ids │",
        "│ not_an_object │     1 │              dropped │",
        "│ repeated_id   │     1 │   a later one counts │",
        "│ summary │   1 │",
        "│ captions │       2 │",
        f"tars           {root / 'export_1k'}, 10.2 MB",
        "ids: 2, missing tags: 1, missing caption: 0, missing latent: 2",
        f"trainer        {root / 'trainer'}, ",
    ):
        assert "".join(line.split()) in "".join(done.stdout.split()), line
    assert not (root / "preview").exists()
    assert call("verify", root / "export_1k").stdout.startswith("ok: 2 samples in 1,000 files, ")
