"""What all our processes have in common: they end with the one that started them, and leave Ctrl-C to it.

What a process does is not known here; images/workers.py and posts/workers.py hand out work, others use pools.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from multiprocessing import context as contexts
from multiprocessing import forkserver, get_context, parent_process, resource_tracker
from multiprocessing.connection import wait
from os import _exit

import pyarrow as pa


def end_with_parent() -> None:
    """Let this process end when its parent dies, also when that is killed, and in the middle of a call that hangs."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        _exit(1)


@contextmanager
def ignored_by_children() -> Iterator[None]:
    """Let Ctrl-C pass by the processes that are started in the block, also while they are still importing."""
    resource_tracker.ensure_running()  # starting it would unblock SIGINT
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def prepare_forks(*modules: str) -> contexts.ForkServerContext:
    """Return what starts processes that have `modules` imported already; it begins to import them now, if not before.

    Forking this process would copy locks that its threads hold. A server that does nothing but fork has none, and what
    it has imported is in memory once for all. There is one server: it imports what it is told first.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    with ignored_by_children():
        forkserver.ensure_running()
    return context


class _NoPandas(MetaPathFinder):
    """Says that pandas is not there."""

    def find_spec(self, name: str, *_: object) -> None:
        """Refuse pandas, and leave every other module to who can find it."""
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def refuse_pandas() -> None:
    """Let Arrow do without pandas in this process: it takes a third of a second to ask it whether a value is its."""
    sys.meta_path.insert(0, _NoPandas())


def begin_table_work() -> None:
    """Prepare this process for tables, beside others that do the same: it ends with the one that started it."""
    end_with_parent()
    refuse_pandas()
    pa.set_cpu_count(1)
    pa.set_memory_pool(pa.system_memory_pool())  # a tenth less CPU than pyarrow's own
