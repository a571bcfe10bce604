"""[automation]: what happens by itself while Dagster's daemon runs, and the tags of each job's runs. No job is here."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from dataset_assets.settings.base import Model, show

_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_TAG = re.compile(r"[A-Za-z0-9._-]{1,63}(/[A-Za-z0-9._-]{1,63})?")  # as Dagster has them


class Job:
    """The jobs by name: parts of a build that are run by themselves.

    Plain strings: Dagster takes no enumeration of ours for a name.
    """

    INDEX: Final = "index"
    CROPS: Final = "crops"
    PARTITIONS: Final = "partitions"
    RELEASE: Final = "release"
    RECORDS_INDEX: Final = "records_index"
    RECORDS: Final = "records"
    TRAINER: Final = "trainer"


JOBS = (Job.INDEX, Job.CROPS, Job.PARTITIONS, Job.RELEASE, Job.RECORDS_INDEX, Job.RECORDS, Job.TRAINER)


def _time_of_day(text: str) -> str:
    if text and not _TIME_OF_DAY.fullmatch(text):
        raise ValueError('a time of day such as "03:00", or "" for never')
    return text


def _tables(value: Any) -> Any:
    """Return the tags of every job as JSON, which is one text for the same content and can be hashed."""
    if not isinstance(value, dict):
        raise ValueError('a table of jobs, such as partitions = { "dagster/priority" = "1" }')
    return json.dumps({job: dict(_read_tags(job, tags)) for job, tags in value.items()}, sort_keys=True)


def _read_tags(job: str, tags: Any) -> Iterator[tuple[str, str]]:
    if job not in JOBS:
        raise ValueError(f"{job}: there is no such job; allowed: {', '.join(JOBS)}")
    if not isinstance(tags, Mapping):
        raise ValueError(f"{job}: {show(tags)} given; allowed: a table of tags")
    for name, value in tags.items():
        if not _TAG.fullmatch(name):
            raise ValueError(f'{job}: {show(name)} given; allowed: names of tags, such as "dagster-ray/config"')
        if not isinstance(value, str | Mapping):
            raise ValueError(f"{job}.{name}: {show(value)} given; allowed: a text, or a table, which becomes JSON")
        yield name, value if isinstance(value, str) else _dump(f"{job}.{name}", value)


def _dump(where: str, table: Mapping[str, Any]) -> str:
    try:
        return json.dumps(table, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: {show(dict(table))} given; allowed: a table of values that JSON has") from None


class AutomationSettings(Model):
    """What happens by itself while Dagster's daemon runs. Nothing here changes a byte of the export."""

    watch: bool = True
    interval_seconds: Annotated[int, Field(ge=5, le=86_400)] = 30
    settle_seconds: Annotated[float, Field(ge=0, le=86_400)] = 5
    nightly: Annotated[str, AfterValidator(_time_of_day)] = "03:00"
    partitions_per_run: Annotated[int, Field(ge=1, le=500)] = 16  # each is a lock, and that an open file
    separate_crops: bool = False
    run_tags: Annotated[str, BeforeValidator(_tables)] = "{}"

    def tags_of(self, job: str) -> dict[str, str]:
        """Return the tags that every run of a job gets."""
        tags: dict[str, dict[str, str]] = json.loads(self.run_tags)
        return tags.get(job, {})
