"""Importing what a long command needs. What the commands are, and which of them that is, is the other modules'."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_imports() -> Iterator[None]:
    """Let what the block imports be kept for good: it is searched for garbage neither now nor ever after.

    Dagster, pandas and SQLAlchemy are a third of a million objects that live as long as the process. To go through
    them again and again, while they are made and each time that others are to be freed, takes 0.7 seconds of a build.
    """
    searching, imported = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > imported:  # else everything that is there by now would be kept, for nothing
            gc.freeze()
        if searching:
            gc.enable()
