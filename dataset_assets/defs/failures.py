"""The library's errors as Dagster's: one line that says what to do, and a retry only for what can pass.

Retries are asked for here and not by a RetryPolicy: that would retry our defects, and a step that Ctrl-C ended, too.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from dataset_assets.errors import CatalogError, DatasetError, IncompleteError, SourceError
from dataset_assets.work import Outcome

_PASSING = (CatalogError, SourceError)
_RETRIES = 2
_WAIT_SECONDS = 3


@contextmanager
def failing() -> Iterator[None]:
    """Turn a DatasetError into a failure of the step; a defect stays an exception with its traceback."""
    try:
        yield
    except _PASSING as error:
        raise dg.RetryRequested(max_retries=_RETRIES, seconds_to_wait=_WAIT_SECONDS) from _fail(error)
    except DatasetError as error:
        raise _fail(error) from error


def make_when_complete(context: dg.AssetExecutionContext, make: Callable[[], Outcome], told: str) -> Outcome | None:
    """Return what `make` makes of all partitions; None where some are missing in a run that is about one partition.

    Someone brings that one up to date and everything below it: that others are missing is no fault, and is only told.
    """
    try:
        return make()
    except IncompleteError as error:
        if not context.has_partition_key:
            raise
        context.log.warning(f"{told}: {error}")
        return None


def _fail(error: DatasetError) -> dg.Failure:
    failure = dg.Failure(str(error), allow_retries=False)
    failure.__cause__ = error
    return failure
