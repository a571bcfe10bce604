"""What a person may say when an asset is materialized."""

import dagster as dg


class ScanConfig(dg.Config):
    """How raw_images looks at the sources."""

    checksum: bool = False  # read every file and compare content, not only size and time
    force: bool = False  # open every header again
    settle_seconds: float = 0  # leave what changed in these last seconds for the next scan
    allow_empty: bool = False  # take it that a source that had images has none any more


class RecordsConfig(dg.Config):
    """How caption_records reads its files."""

    force: bool = False  # read every file again
    allow_empty: bool = False  # take it that there are no records any more


class StageConfig(dg.Config):
    """How every other stage is run."""

    force: bool = False  # do the work even where everything is fresh
