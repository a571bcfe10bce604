import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path

import pytest

from dataset_assets.errors import SourceError, StorageError
from dataset_assets.posts.parse import ParseTask
from dataset_assets.posts.workers import parse_here, parse_side_by_side
from dataset_assets.settings import RecordSettings
from dataset_assets_tests import children
from dataset_assets_tests.posts.given import post, write_posts

PROGRAM = """
import sys
from pathlib import Path
from dataset_assets.posts.workers import parse_side_by_side
from dataset_assets_tests.posts.test_workers import task_for

list(parse_side_by_side([task_for(Path(sys.argv[1]), Path(sys.argv[2]))], 1))
"""

IMPORTED = """
import sys
from multiprocessing import Pipe
from pathlib import Path
from dataset_assets.posts.parse import ParseTask
from dataset_assets.posts.workers import work
from dataset_assets.settings import RecordSettings

path, out = map(Path, sys.argv[1:])
ours, theirs = Pipe()
ours.send(
    ParseTask(
        number=1,
        name=path.name,
        path=path,
        size=path.stat().st_size,
        stamp=path.stat().st_mtime_ns,
        parsed=out / "parsed",
        faults=out / "faults",
        settings=RecordSettings(paths=(path.name,)),
    )
)
ours.send(None)
work(theirs)
ours.recv()
print(ours.recv().records, *(name for name in ("torch", "pandas", "dagster", "PIL", "openai") if sys.modules.get(name)))
"""


def task_for(path: Path, out: Path) -> ParseTask:
    """Return the task of one file."""
    return ParseTask(
        number=1,
        name=path.name,
        path=path,
        size=path.stat().st_size,
        stamp=path.stat().st_mtime_ns,
        parsed=out / f"{path.name}.parquet",
        faults=out / f"{path.name}.faults.jsonl",
        settings=RecordSettings(paths=(path.name,)),
    )


@pytest.fixture
def tasks(tmp_path: Path) -> list[ParseTask]:
    names = [f"{letter}.jsonl" for letter in "abc"]
    paths = [write_posts(tmp_path / name, [post(1, name), post(2, name)]) for name in names]
    return [task_for(path, tmp_path / "out") for path in paths]


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[ParseTask]:
    """A file that nobody gets to the end of: the process that reads it is killed as soon as it does."""
    path = tmp_path / "stuck.jsonl"
    os.mkfifo(path)

    def kill() -> None:
        with path.open("wb"):
            for child in active_children():
                child.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    yield task_for(path, tmp_path / "out")
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # where nobody came to read it
    thread.join()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_file_is_read_in_processes_as_it_is_here(tasks: list[ParseTask], workers: int) -> None:
    here = {task.name: parsed for task, parsed in parse_here(tasks)}

    assert {task.name: parsed for task, parsed in parse_side_by_side(tasks, workers)} == here
    assert active_children() == []


def test_a_process_that_is_lost_costs_its_file_and_no_other(tasks: list[ParseTask], stuck: ParseTask) -> None:
    results = parse_side_by_side([tasks[0], stuck, *tasks[1:]], 1)

    assert [next(results)[0].name for _ in tasks] == ["a.jsonl", "b.jsonl", "c.jsonl"]
    with pytest.raises(SourceError, match=r"^the process that read stuck\.jsonl was killed or crashed; what was read"):
        next(results)
    assert not stuck.parsed.exists()
    assert active_children() == []


def test_results_that_cannot_be_written_are_said(tasks: list[ParseTask], tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file where a folder should be")

    with pytest.raises(StorageError, match=r"^cannot write .*a\.jsonl\.parquet: "):
        list(parse_side_by_side(tasks, 1))

    assert active_children() == []


def test_leaving_early_ends_every_process(tasks: list[ParseTask]) -> None:
    results = parse_side_by_side(tasks, 2)
    next(results)
    results.close()  # type: ignore[attr-defined]

    assert active_children() == []


def test_workers_import_nothing_that_is_not_theirs(tmp_path: Path) -> None:
    path = write_posts(tmp_path / "a.jsonl", [post(1, " untidy \n text")])

    assert children.run(IMPORTED, path, tmp_path / "out") == "1"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(tmp_path: Path, ending: signal.Signals) -> None:
    path = tmp_path / "stuck.jsonl"
    os.mkfifo(path)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, path, tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as program:
        pipe = os.open(path, os.O_WRONLY)  # as soon as the worker reads
        if ending == signal.SIGINT:
            os.killpg(program.pid, ending)  # as a terminal does: the worker gets it too
        else:
            program.send_signal(ending)
        _, said = program.communicate()  # returns once nobody, and no worker, holds the pipes any more
        os.close(pipe)

    assert program.returncode == -ending
    assert said.count("Traceback") == (ending == signal.SIGINT)  # the parent's own
