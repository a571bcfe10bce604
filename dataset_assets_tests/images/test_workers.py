import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import count, islice
from multiprocessing import active_children
from pathlib import Path

import pytest

from dataset_assets.errors import DropReason, SourceError
from dataset_assets.images import workers as workers_module
from dataset_assets.images.pipeline import make_crop
from dataset_assets.images.worker import Loss
from dataset_assets.images.workers import CropWorkers, Workers
from dataset_assets.records import Crop, CropTask, Drop
from dataset_assets.settings import ImageSettings
from dataset_assets.sources.folder import FolderSource
from dataset_assets_tests.images.readers import AT_ONCE, Packed, Reader, Remote, Stillborn, task

SOURCES = {"test": Reader()}


@pytest.fixture(scope="module")
def workers() -> Iterator[CropWorkers]:
    with CropWorkers(2, ImageSettings(), SOURCES) as pool:
        yield pool


@pytest.fixture(autouse=True)
def _no_child_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    before = set(active_children())
    yield
    if "workers" not in request.fixturenames:
        assert set(active_children()) <= before


def crop_of(wanted: CropTask) -> Crop:
    return make_crop(Reader().read(wanted.uri, wanted.version), wanted, ImageSettings())


def test_crops_come_in_the_order_of_the_tasks(workers: CropWorkers) -> None:
    tasks = [task(slot, "large" if slot % 5 == 0 else "photo") for slot in range(30)]

    results = list(workers.run(tasks))

    assert [done for done, _ in results] == tasks
    assert [crop for _, crop in results] == [crop_of(wanted) for wanted in tasks]


def test_one_worker_gives_the_same(workers: CropWorkers) -> None:
    tasks = [task(slot) for slot in range(10)]

    with CropWorkers(1, ImageSettings(), SOURCES) as alone:
        assert list(alone.run(tasks)) == list(workers.run(tasks))


def test_no_tasks_start_no_worker() -> None:
    before = active_children()

    with CropWorkers(2, ImageSettings(), SOURCES) as pool:
        assert list(pool.run([])) == []
        assert active_children() == before


def test_workers_are_kept_between_runs(workers: CropWorkers) -> None:
    list(workers.run(task(slot) for slot in range(8)))
    before = {child.pid for child in active_children()}

    list(workers.run(task(slot) for slot in range(8)))

    assert {child.pid for child in active_children()} == before
    assert len(before) == 2


def test_tasks_are_taken_only_as_far_as_needed(workers: CropWorkers) -> None:
    taken = 0

    def endless() -> Iterator[CropTask]:
        nonlocal taken
        for slot in count():
            taken += 1
            yield task(slot, "large" if slot == 0 else "photo")

    run = workers.run(endless())
    for yielded, _ in enumerate(islice(run, 60)):
        assert taken - yielded <= 192


@pytest.mark.parametrize(("uri", "word"), [("segfault", "SIGSEGV"), ("exit", "exit code 3")])
def test_a_crash_costs_one_image(workers: CropWorkers, uri: str, word: str) -> None:
    tasks = [task(slot, uri if slot in (2, 3, 9) else "photo") for slot in range(12)]

    results = dict(workers.run(tasks))

    drops = {done.slot: result for done, result in results.items() if isinstance(result, Drop)}
    assert set(drops) == {2, 3, 9}
    for drop in drops.values():
        assert drop.reason == DropReason.DECODE_ERROR
        assert word in drop.detail
    assert all(results[wanted] == crop_of(wanted) for wanted in tasks if wanted.slot not in drops)


@pytest.mark.parametrize("workers_count", [1, 2])
def test_a_hang_costs_one_image(workers_count: int) -> None:
    tasks = [task(0), task(1, "hang"), task(2), task(3)]

    with CropWorkers(workers_count, ImageSettings(timeout_seconds=2.5), SOURCES) as pool:
        results = [result for _, result in pool.run(tasks)]

    assert results[1] == Drop(reason=DropReason.DECODE_ERROR, detail="took longer than 2.5 seconds", timeout=2.5)
    assert [results[index] for index in (0, 2, 3)] == [crop_of(tasks[index]) for index in (0, 2, 3)]


def test_the_time_that_a_source_takes_is_not_the_codecs() -> None:
    tasks = [task(0), task(1, "slow"), task(2, "hang"), task(3)]

    with CropWorkers(1, ImageSettings(timeout_seconds=2.5), SOURCES) as pool:
        results = [result for _, result in pool.run(tasks)]

    assert results[1] == make_crop(Reader().read("photo", "1"), tasks[1], ImageSettings())
    assert results[2] == Drop(reason=DropReason.DECODE_ERROR, detail="took longer than 2.5 seconds", timeout=2.5)
    assert [results[index] for index in (0, 3)] == [crop_of(tasks[index]) for index in (0, 3)]


def test_a_source_that_hangs_costs_one_image_that_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "READ_SECONDS", 3)
    tasks = [task(0), task(1, "stuck"), task(2)]

    with CropWorkers(1, ImageSettings(timeout_seconds=2), SOURCES) as pool:
        results = [result for _, result in pool.run(tasks)]

    assert results[1] == Drop(reason=DropReason.UNREADABLE, detail="took longer than 3 seconds to read")
    assert DropReason.UNREADABLE.passing
    assert [results[index] for index in (0, 2)] == [crop_of(tasks[index]) for index in (0, 2)]


def test_a_source_that_hangs_for_one_image_after_the_other_is_no_matter_of_the_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers_module, "READ_SECONDS", 1)
    line = r"^4 reads in a row took longer than 1 seconds: do the sources' stores and disks answer\?$"

    with CropWorkers(1, ImageSettings(timeout_seconds=1), SOURCES) as pool, pytest.raises(SourceError, match=line):
        list(pool.run(task(slot, "stuck") for slot in range(20)))


def test_a_file_that_is_waited_for_is_one_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "READ_SECONDS", 2)
    os.mkfifo(tmp_path / "a.jpg")  # to open it takes until somebody writes

    with CropWorkers(1, ImageSettings(timeout_seconds=1), {"test": FolderSource(path=tmp_path)}) as pool:
        ((_, drop),) = pool.run([task(0, "a.jpg")])

    assert drop == Drop(reason=DropReason.UNREADABLE, detail="took longer than 2 seconds to read")


def test_an_answer_between_reads_that_hang_begins_their_count_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "READ_SECONDS", 2)
    monkeypatch.setattr(workers_module, "_LATE", 2)
    uris = ["stuck", "empty", "stuck"]

    with CropWorkers(1, ImageSettings(timeout_seconds=2), SOURCES) as pool:
        reasons = [drop.reason for _, drop in pool.run(map(task, count(), uris)) if isinstance(drop, Drop)]

    assert reasons == [DropReason.UNREADABLE, DropReason.EMPTY_FILE, DropReason.UNREADABLE]


def test_what_a_source_does_with_what_came_is_no_waiting() -> None:
    with CropWorkers(1, ImageSettings(timeout_seconds=2), SOURCES) as pool:
        ((_, drop),) = pool.run([task(0, "unpacks")])

    assert drop == Drop(reason=DropReason.DECODE_ERROR, detail="took longer than 2 seconds", timeout=2)


def test_images_that_are_waited_for_are_read_before_their_turn_and_come_in_order() -> None:
    tasks = [task(slot, "together") for slot in range(3 * AT_ONCE)]

    with CropWorkers(1, ImageSettings(), {"test": Remote()}) as pool:
        results = list(pool.run(tasks))

    made = [make_crop(Reader().read("photo", wanted.version), wanted, ImageSettings()) for wanted in tasks]
    assert results == list(zip(tasks, made, strict=True))


@pytest.mark.parametrize("uri", ["missing", "memory", "hang", "stuck"])
def test_what_befalls_an_image_that_is_read_before_its_turn_befalls_no_other(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "READ_SECONDS", 3)
    tasks = [task(slot, uri if slot in (2, 5) else "photo") for slot in range(9)]

    with CropWorkers(1, ImageSettings(timeout_seconds=2.5), {"test": Remote()}) as pool:
        results = [result for _, result in pool.run(tasks)]

    details = {
        "missing": "no such file",
        "memory": "there is not enough memory for it",
        "hang": "took longer than 2.5 seconds",
        "stuck": "took longer than 3 seconds to read",
    }
    drops = {slot: result.detail for slot, result in enumerate(results) if isinstance(result, Drop)}
    assert drops == dict.fromkeys((2, 5), details[uri])
    assert all(results[slot] == crop_of(tasks[slot]) for slot in range(9) if slot not in drops)


def test_a_codec_that_hangs_is_told_from_a_source_that_does_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "READ_SECONDS", 5)
    tasks = [task(0), task(1, "hang"), task(2), task(3, "stuck"), task(4)]

    with CropWorkers(1, ImageSettings(timeout_seconds=2.5), {"test": Remote()}) as pool:
        results = [result for _, result in pool.run(tasks)]

    assert results[1] == Drop(reason=DropReason.DECODE_ERROR, detail="took longer than 2.5 seconds", timeout=2.5)
    assert results[3] == Drop(reason=DropReason.UNREADABLE, detail="took longer than 5 seconds to read")
    assert [results[index] for index in (0, 2, 4)] == [crop_of(tasks[index]) for index in (0, 2, 4)]


def test_an_image_that_takes_a_decoder_to_read_is_read_in_its_turn_so_that_a_crash_is_its_own() -> None:
    tasks = [task(slot, "segfault" if slot in (3, 4) else "photo") for slot in range(9)]

    with CropWorkers(1, ImageSettings(), {"test": Packed()}) as pool:
        results = [result for _, result in pool.run(tasks)]

    assert [slot for slot, result in enumerate(results) if isinstance(result, Drop)] == [3, 4]


def test_a_source_that_is_gone_is_told_when_its_image_is_due() -> None:
    tasks = [task(0), task(1), task(2, "source"), task(3)]
    done: list[int] = []

    with (
        CropWorkers(1, ImageSettings(), {"test": Remote()}) as pool,
        pytest.raises(SourceError, match=r"^the disk is gone$"),
    ):
        done.extend(wanted.slot for wanted, _ in pool.run(tasks))

    assert done in ([], [0], [0, 1])


def test_a_taker_that_is_slower_than_the_limit_costs_nothing() -> None:
    with CropWorkers(1, ImageSettings(timeout_seconds=2), SOURCES) as pool:
        run = pool.run(task(slot) for slot in range(4))
        first = next(run)
        time.sleep(3)
        results = [first, *run]

    assert all(isinstance(result, Crop) for _, result in results)


def test_faults_of_an_image_are_results(workers: CropWorkers) -> None:
    results = [result for _, result in workers.run([task(0, "missing"), task(1, "memory"), task(2, "empty")])]

    assert results == [
        Drop(reason=DropReason.UNREADABLE, detail="no such file"),
        Drop(reason=DropReason.DECODE_ERROR, detail="there is not enough memory for it", passing=True),
        Drop(reason=DropReason.EMPTY_FILE, detail="the file is empty", source_sha256=sha256(b"").hexdigest()),
    ]


def test_a_defect_is_raised_with_its_traceback(workers: CropWorkers) -> None:
    with pytest.raises(RuntimeError, match="a defect at bug") as caught:
        list(workers.run([task(0), task(1, "bug"), *(task(slot) for slot in range(2, 20))]))

    assert "readers.py" in str(caught.value)
    assert isinstance(next(workers.run([task(0)]))[1], Crop)  # the next run finds a sound pool


def test_a_defect_is_raised_when_its_worker_is_gone_already() -> None:
    tasks = [task(0), task(1, "bug"), *(task(slot) for slot in range(2, 9))]

    def wait(_: object) -> None:
        for child in active_children():
            if child.name == "image-worker":
                child.join(3)

    with CropWorkers(1, ImageSettings(), SOURCES) as pool, pytest.raises(RuntimeError, match="a defect at bug"):
        list(map(wait, pool.run(tasks)))


def test_an_error_a_person_can_act_on_stays_itself(workers: CropWorkers) -> None:
    with pytest.raises(SourceError, match="the disk is gone"):
        list(workers.run([task(0, "source")]))


@pytest.mark.parametrize("reader", [Reader(), Remote()])
def test_an_unknown_source_is_a_defect(reader: Reader) -> None:
    with (
        CropWorkers(1, ImageSettings(), {"test": reader}) as pool,
        pytest.raises(RuntimeError, match="KeyError: 'elsewhere'"),
    ):
        list(pool.run([task(0), task(1, source="elsewhere")]))


def test_a_worker_that_cannot_start_is_no_fault_of_an_image() -> None:
    with CropWorkers(1, ImageSettings(), {"test": Stillborn()}) as pool, pytest.raises(RuntimeError, match="starting"):
        list(pool.run([task(0)]))


def test_a_run_left_early_leaves_no_answers_to_the_next(workers: CropWorkers) -> None:
    assert next(workers.run(task(slot) for slot in range(10)))[0].slot == 0

    tasks = [task(slot) for slot in range(20, 25)]
    assert [done for done, _ in workers.run(tasks)] == tasks


def test_one_run_at_a_time(workers: CropWorkers) -> None:
    first = workers.run(task(slot) for slot in count())
    next(first)

    with pytest.raises(RuntimeError, match="has not ended"):
        next(workers.run([task(0)]))
    first.close()


def test_ctrl_c_is_the_parents(workers: CropWorkers) -> None:
    list(workers.run([task(0), task(1)]))
    for child in active_children():
        os.kill(child.pid or 0, signal.SIGINT)

    results = [result for _, result in workers.run([task(0), task(1)])]

    assert results == [crop_of(task(0)), crop_of(task(1))]


def test_closing_ends_workers_that_hang() -> None:
    before = set(active_children())
    with CropWorkers(2, ImageSettings(), SOURCES) as pool:
        run = pool.run([task(0), task(1, "hang"), task(2, "hang"), task(3, "hang")])
        next(run)
        pids = [child.pid or 0 for child in set(active_children()) - before]

    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


PROGRAM = """
from dataset_assets.images.worker import Loss
from dataset_assets.images.workers import CropWorkers, Workers
from dataset_assets.settings import ImageSettings
from dataset_assets_tests.images.readers import Reader, task

with CropWorkers(2, ImageSettings(), {"test": Reader()}) as pool:
    for done, _ in pool.run([task(0), task(1), task(2, "hang"), task(3, "hang")]):
        print(done.slot, flush=True)
"""


def test_stopping_from_another_thread_ends_a_run_that_waits() -> None:
    with CropWorkers(1, ImageSettings(), SOURCES) as pool:
        run = pool.run([task(0), task(1, "hang")])
        assert next(run)[0].slot == 0
        threading.Timer(0.2, pool.stop).start()
        assert list(run) == []
        assert list(pool.run([task(2)])) == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(ending: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as program:
        assert program.stdout is not None
        assert [program.stdout.readline() for _ in range(2)] == ["0\n", "1\n"]
        if ending == signal.SIGINT:
            os.killpg(program.pid, ending)  # as a terminal does: the workers get it too
        else:
            program.send_signal(ending)
        _, said = program.communicate()  # returns once nobody, and no worker, holds the pipes any more

    assert program.returncode == -ending
    assert said.count("Traceback") == (ending == signal.SIGINT)  # the parent's own


def test_at_least_one_worker() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        CropWorkers(0, ImageSettings(), SOURCES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleepy:
    """A job of lists of names; one over "hang" never ends."""

    timeout_seconds: float = 2
    start_seconds: float = 0
    ahead: int = 1

    def prepare(self) -> Callable[[list[str]], Callable[[], int]]:
        time.sleep(self.start_seconds)

        def answer(names: list[str]) -> int:
            while names[0] == "hang":
                time.sleep(1)
            return len(names)

        return lambda names: lambda: answer(names)

    def fail(self, task: list[str], loss: Loss) -> int:
        assert loss.timed_out
        return -1


@pytest.mark.parametrize("length", [10, 1_000, 100_000])
def test_a_hang_behind_tasks_of_any_size_costs_one(length: int) -> None:
    tasks = [["photo", *(f"{number:0{length}d}" for number in range(30))] for number in range(40)]
    tasks[20] = ["hang", "x" * length]

    with Workers(2, Sleepy()) as pool:
        results = [answer for _, answer in pool.run(tasks)]

    assert results == [31] * 20 + [-1] + [31] * 19


KILLED = """
import sys, threading, time
from multiprocessing import active_children
from dataset_assets.images.workers import Workers
from dataset_assets_tests.images.test_workers import Sleepy

def kill(times):
    killed = set()
    while len(killed) < times:
        for child in active_children():
            if child.pid not in killed:
                child.kill()
                killed.add(child.pid)
        time.sleep(0.01)

threading.Thread(target=kill, args=(int(sys.argv[1]),), daemon=True).start()
with Workers(1, Sleepy(start_seconds=1)) as pool:
    try:
        print([answer for _, answer in pool.run([["photo"], ["photo", "photo"]])])
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize(("kills", "said"), [(1, "[1, 2]"), (3, "StorageError an image worker was ended by SIGKILL")])
def test_a_worker_that_is_killed_while_it_starts_is_started_again(kills: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(kills)], capture_output=True, text=True, check=True, timeout=120
    )

    assert done.stdout.startswith(said)


def test_stopping_a_pool_that_is_closed_does_nothing() -> None:
    pool = CropWorkers(1, ImageSettings(), SOURCES)
    with pool:
        pass
    pool.stop()
