from threading import Barrier, Thread
from time import monotonic
from types import SimpleNamespace

import pytest

from dataset_assets.sources import waiting as module
from dataset_assets.sources.waiting import WAITS, tell_waits, untold, waiting


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setattr(module, "_waits", module._Waits())
    shared = SimpleNamespace(value=1.0)
    tell_waits(shared)
    return shared


def test_it_is_told_while_a_block_lasts(shared: SimpleNamespace) -> None:
    before = monotonic()
    with waiting():
        assert shared.value == WAITS
        with waiting():
            pass
        assert shared.value == WAITS
    assert before <= shared.value <= monotonic()


def test_it_is_told_until_the_last_thread_has_ceased(shared: SimpleNamespace) -> None:
    meeting = Barrier(2)

    def wait() -> None:
        with waiting():
            meeting.wait()
            meeting.wait()

    thread = Thread(target=wait)
    thread.start()
    with waiting():
        meeting.wait()
    assert shared.value == WAITS
    meeting.wait()
    thread.join()
    assert shared.value > WAITS


def test_an_error_ends_it(shared: SimpleNamespace) -> None:
    with pytest.raises(OSError, match="broken off"), waiting():
        raise OSError("broken off")
    assert shared.value > WAITS


def test_nobody_has_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_waits", module._Waits())
    with waiting():
        pass


def test_what_one_thread_waits_for_untold_is_told_of_others(shared: SimpleNamespace) -> None:
    told = []

    def wait() -> None:
        with waiting():
            told.append(shared.value)

    with untold(), waiting():
        assert shared.value == 1
        thread = Thread(target=wait)
        thread.start()
        thread.join()
    assert told == [WAITS]
    with waiting():
        assert shared.value == WAITS
