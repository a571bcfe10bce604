"""The catalog's tables as SQLAlchemy Core knows them. How an older catalog becomes this one is in migrations.py.

One row an image is kept for good: a removed file leaves its row as `removed`, so that its captions are there when the
file comes back. A slot is for life: `buckets.next_slot` only grows, also when the last image of a bucket is removed.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite numbers rows by itself only where the type is called INTEGER.
_ID = BigInteger().with_variant(Integer(), "sqlite")

# Every database sorts texts as SQLite does, by their bytes: what is made in an order must not depend on a locale.
_STRING, _LOOK, _HASH = (
    String(length).with_variant(String(length, collation="C"), "postgresql") for length in (None, 16, 64)
)
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

images = Table(
    "images",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("source", _STRING, nullable=False),
    Column("uri", _TEXT, nullable=False),  # where the source finds it
    Column("image_id", _TEXT, nullable=False),  # docs/format.md, Samples
    Column("size", BigInteger, nullable=False),  # bytes
    Column("version", _STRING, nullable=False),  # what the source says of the file as it is now
    Column("revision", _STRING, nullable=False),  # the version at which its content last changed
    Column("checksum", _HASH, nullable=False),  # sha256 of its bytes, "" until they were read
    Column("sidecars", _TEXT, nullable=False),  # which files lie beside it, and their versions
    Column("width", Integer, nullable=False),  # pixels after EXIF transposition, 0 where unusable
    Column("height", Integer, nullable=False),
    Column("orientation", Integer, nullable=False),
    Column("format", _STRING, nullable=False),
    Column("reason", _STRING, nullable=False),  # a DropReason, "" where usable
    Column("detail", _TEXT, nullable=False),
    Column("removed", Boolean, nullable=False),
    UniqueConstraint("source", "uri", name="images_source_uri"),
    Index("images_image_id", "image_id"),
)

buckets = Table(
    "buckets",
    metadata,
    Column("bucket_id", _STRING, primary_key=True),
    Column("next_slot", BigInteger, nullable=False),
)

slots = Table(
    "slots",
    metadata,
    Column("image", _ID, ForeignKey("images.id"), primary_key=True, autoincrement=False),
    Column("bucket_id", _STRING, ForeignKey("buckets.bucket_id"), nullable=False),
    Column("slot", BigInteger, nullable=False),
    UniqueConstraint("bucket_id", "slot", name="slots_bucket_slot"),
)

caption_sources = Table(
    "caption_sources",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("variant", _STRING, nullable=False),
    Column("backend", _STRING, nullable=False),
    Column("model", _STRING, nullable=False),
    Column("created_at", BigInteger, nullable=False),  # unix seconds
    Column("activated_at", Float, nullable=False, server_default="0"),  # when the settings came to name it; 0: never
    Column("system_prompt_sha256", _HASH, nullable=False),  # "" where there is no prompt
    Column("user_prompt_sha256", _HASH, nullable=False),
    Column("parameters", _TEXT, nullable=False),  # canonical JSON of everything else that shapes a caption
    Column("system_prompt", _TEXT, nullable=False, server_default=""),  # for reviews of what it made; never exported
    Column("user_prompt", _TEXT, nullable=False, server_default=""),
    UniqueConstraint(
        "variant",
        "backend",
        "model",
        "system_prompt_sha256",
        "user_prompt_sha256",
        "parameters",
        name="caption_sources_identity",
    ),
)

captions = Table(
    "captions",
    metadata,
    Column("image", _ID, ForeignKey("images.id"), nullable=False),
    Column("caption_source", Integer, ForeignKey("caption_sources.id"), nullable=False),
    Column("status", _STRING, nullable=False),  # a CaptionStatus
    Column("text", _TEXT, nullable=False),
    Column("detail", _TEXT, nullable=False),
    Column("input_version", _STRING, nullable=False),  # of what the text was made from
    Column("created_at", Float, nullable=False),  # unix seconds
    Column("attempts", Integer, nullable=False, server_default="1"),  # how often it was asked for
    Column("finish_reason", _STRING, nullable=False, server_default=""),  # the model's, of the last attempt
    Column("provider", _STRING, nullable=False, server_default=""),  # who served the model
    Column("prompt_tokens", BigInteger, nullable=False, server_default="0"),  # this and the rest: of all attempts
    Column("completion_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cost", Float, nullable=False, server_default="0"),  # USD
    Column("latency", Float, nullable=False, server_default="0"),  # seconds
    PrimaryKeyConstraint("image", "caption_source", name="captions_pk"),
    Index("captions_input", "caption_source", "input_version"),
)

# What each variant has cost so far, kept with every answer: all processes that ask draw on one budget.
spending = Table(
    "spending",
    metadata,
    Column("variant", _STRING, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cost", Float, nullable=False),  # USD
)

# The images that look like others, as of the last time they were looked for. A report: nothing is made from it.
near_duplicates = Table(
    "near_duplicates",
    metadata,
    Column("image", _ID, ForeignKey("images.id"), primary_key=True, autoincrement=False),
    Column("group_id", Integer, nullable=False),  # 1 is the largest group
    Column("look", _LOOK, nullable=False),  # images/looks.py
)

stage_state = Table(
    "stage_state",
    metadata,
    Column("stage", _STRING, nullable=False),
    Column("partition", _STRING, nullable=False),  # "" for a stage without partitions
    Column("fingerprint", _HASH, nullable=False),  # of the stage's inputs
    Column("output", _HASH, nullable=False),  # digest of what it made: the next stage's input
    Column("report", _TEXT, nullable=False),  # JSON: counts and digests
    Column("finished_at", Float, nullable=False),  # unix seconds
    PrimaryKeyConstraint("stage", "partition", name="stage_state_pk"),
)

pieces = Table(
    "pieces",
    metadata,
    Column("stage", _STRING, nullable=False),
    Column("partition", _STRING, nullable=False),
    Column("number", Integer, nullable=False),  # the shard's; 0 where a stage makes one file a partition
    Column("fingerprint", _HASH, nullable=False),  # of what this file was made from
    Column("output", _HASH, nullable=False),
    Column("path", _TEXT, nullable=False),  # relative to the root; "" where nothing was left to write
    Column("bytes", BigInteger, nullable=False),
    Column("facts", _TEXT, nullable=False),  # JSON
    PrimaryKeyConstraint("stage", "partition", "number", name="pieces_pk"),
)
