"""The paths of every artifact under a dataset's root. No file is read or written here."""

from dataclasses import dataclass
from pathlib import Path

from dataset_assets.errors import StorageError
from dataset_assets.storage.location import Location, make_folder

EXPORT_MANIFEST = "manifest.json"
EXPORT_CARD = "README.md"
EXPORT_SAMPLES = "samples.parquet"
EXPORT_CHARTS = "charts"
EXPORT_1K = "export_1k"


def shard_path(bucket_id: str, shard: int) -> str:
    """Return a tar's path inside an export, `/`-separated (docs/format.md, Layout)."""
    return f"buckets/{bucket_id}/shard-{shard:06d}.tar"


@dataclass(frozen=True, slots=True)
class Layout:
    """A dataset's root and what lies under it.

    `home` is the folder of what has to be on a local disk; it is left out where it is the root.
    """

    root: Location
    home: Path | None = None

    @property
    def local(self) -> Path:
        """The folder of what has to be on a local disk: locks, databases, and files that are made in no order."""
        if isinstance(self.root, Path):
            return self.root
        if self.home is None:
            raise ValueError(f"{self.root} needs a local folder beside it")
        return self.home

    @property
    def catalog(self) -> Path:
        """The SQLite catalog, where no other database is configured."""
        return self.local / "dataset.sqlite"

    @property
    def dagster_home(self) -> Path:
        """Dagster's own folder, where DAGSTER_HOME does not name another."""
        return self.local / ".dagster"

    @property
    def lock(self) -> Path:
        """The file that a build holds locked."""
        return self.local / ".build.lock"

    @property
    def locks(self) -> Path:
        """The folder of the files that stages hold locked while they run."""
        return self.local / ".locks"

    def plan(self, partition: str) -> Location:
        """The rows of one partition."""
        return self.root / "plans" / f"{partition}.parquet"

    def crops(self, bucket_id: str, shard: int) -> Location:
        """The crops of one shard."""
        return self.root / "crops" / bucket_id / f"shard-{shard:06d}.parquet"

    def selection(self, partition: str) -> Location:
        """The waterfall's choices for one partition."""
        return self.root / "selection" / f"{partition}.parquet"

    def review(self, partition: str) -> Location:
        """What was found in the captions of one partition."""
        return self.root / "review" / f"{partition}.parquet"

    def listings(self, source: str) -> Location:
        """The folder in which a source keeps what it knows of its archives between two scans."""
        return self.root / "listings" / source

    def index(self, bucket_id: str, shard: int) -> Location:
        """What lies where in one tar: a row a sample."""
        return self.root / "index" / bucket_id / f"shard-{shard:06d}.parquet"

    @property
    def export(self) -> Location:
        """The folder that is published."""
        return self.root / "export"

    def tar(self, bucket_id: str, shard: int) -> Location:
        """One tar of the export."""
        return self.export / shard_path(bucket_id, shard)

    @property
    def samples(self) -> Location:
        """The table of the export's samples."""
        return self.export / EXPORT_SAMPLES

    @property
    def manifest(self) -> Location:
        """The export's manifest."""
        return self.export / EXPORT_MANIFEST

    def chart(self, name: str) -> Location:
        """One of the pictures that the dataset card shows."""
        return self.export / EXPORT_CHARTS / f"{name}.png"

    @property
    def card(self) -> Location:
        """The export's dataset card."""
        return self.export / EXPORT_CARD

    @property
    def parsed(self) -> Location:
        """The folder of what was read of each file of records: the texts that can become captions."""
        return self.root / "records" / "parsed"

    def record_captions(self, tars: str) -> Location:
        """The chosen captions of a range of 1k tars."""
        return self.root / "records" / "captions" / f"{tars}.parquet"

    def numbered_tar(self, kind: str, number: str) -> Location:
        """One of the 1k tars, of `kind` captions or the variant whose texts they are; beside it is its index, .json."""
        return self.numbered_tars / kind / f"{number}.tar"

    @property
    def numbered_tars(self) -> Location:
        """The folder of the 1k tars, a folder a kind in it."""
        return self.root / EXPORT_1K

    @property
    def trainer(self) -> Location:
        """The folder of the metadata that trainers read."""
        return self.root / "trainer"

    @property
    def trainer_scratch(self) -> Path:
        """The local folder in which that metadata is made before it is settled: the same one, where that is local."""
        return self.local / "trainer"

    @property
    def folders(self) -> tuple[Location, ...]:
        """Every folder under the root that is ours: none of a user's files are in them."""
        images = (
            "plans",
            "crops",
            "selection",
            "review",
            "listings",
            "index",
            "duplicates",
            "export",
            "preview",
            "gallery",
        )
        names = (*images, "records", EXPORT_1K, "trainer", self.dagster_home.name)
        return tuple(self.root / name for name in names)

    @property
    def local_folders(self) -> tuple[Path, ...]:
        """Those of our folders that are on a local disk, where a source may lie beside them."""
        return tuple(folder for folder in self.folders if isinstance(folder, Path)) or (self.local,)

    @property
    def near_duplicates(self) -> Location:
        """The images that look alike, for a person to look over."""
        return self.root / "duplicates" / "near.parquet"

    @property
    def gallery(self) -> Location:
        """The folder of the page with which a person looks the dataset over."""
        return self.root / "gallery"

    @property
    def gallery_page(self) -> Location:
        """What to open in a browser."""
        return self.gallery / "index.html"

    @property
    def contact_sheet(self) -> Location:
        """A picture of a few crops of every bucket."""
        return self.root / "preview" / "contact_sheet.png"


def prepare(layout: Layout) -> None:
    """Make the dataset's root; of an object store see that it answers. Raises StorageError.

    A local folder beside it is made by whatever is first to write there: where everything else is on servers, nothing
    is, and the settings may lie in a folder that nobody can write to.
    """
    try:
        make_folder(layout.root)
    except OSError as error:
        raise StorageError(f"cannot make the dataset's root {layout.root}: {error.strerror}") from None
