"""What a verification says, faults and reports, and which tables go with a tar. No check is here."""

from dataclasses import asdict, dataclass

from dataset_assets.storage.location import Location


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    file: str  # path in the export, `/`-separated
    sample: str  # its key, "" where no single sample is meant
    reason: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.sample, self.reason) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `verify` found: everything that is wrong, and how much was read."""

    faults: tuple[Fault, ...]
    files: int
    samples: int
    bytes: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def to_dict(self) -> dict[str, object]:
        """Return the report as JSON's types."""
        return {"ok": self.ok, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """What is wrong with one tar, and what was read of it."""

    faults: tuple[Fault, ...]
    samples: int
    digests: bytes  # the keys of its samples, 32 bytes each, in their order
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The tables that say something of one tar and are compared with it; None where there is no such table."""

    samples: Location | None = None
    first: int = 0  # row of the tar's first sample in `samples`, from 0
    webshart: Location | None = None


NO_TABLES = Tables()
