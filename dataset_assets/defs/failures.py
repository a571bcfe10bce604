"""The library's errors as Dagster's: one line that says what to do, and a retry only for what can pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from dataset_assets.errors import CatalogError, DatasetError, SourceError, StorageError

_PASSING = (CatalogError, SourceError, StorageError)

RETRY = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL)


@contextmanager
def failing() -> Iterator[None]:
    """Turn a DatasetError into a failure of the step; a defect stays an exception with its traceback."""
    try:
        yield
    except DatasetError as error:
        raise dg.Failure(str(error), allow_retries=isinstance(error, _PASSING)) from error
