from pathlib import Path

from dataset_assets.storage.layout import Layout, shard_path


def test_everything_lies_under_the_root_at_a_place_of_its_own() -> None:
    layout = Layout(Path("/data"))
    paths = [
        layout.catalog,
        layout.dagster_home,
        layout.lock,
        layout.plan("p1024x1024_000000-000015"),
        layout.crops("p1024x1024", 7),
        layout.selection("p1024x1024_000000-000015"),
        layout.index("p1024x1024", 7),
        layout.tar("p1024x1024", 7),
        layout.samples,
        layout.manifest,
        layout.card,
        layout.near_duplicates,
        layout.contact_sheet,
    ]

    assert len(set(paths)) == len(paths)
    assert all(path.is_relative_to("/data") for path in paths)


def test_an_export_is_laid_out_as_the_format_says() -> None:
    layout = Layout(Path("/data"))

    assert shard_path("p1216x832", 7) == "buckets/p1216x832/shard-000007.tar"
    assert layout.tar("p1216x832", 1_234_567) == Path("/data/export/buckets/p1216x832/shard-1234567.tar")
    assert layout.manifest == layout.export / "manifest.json"
    assert layout.card == layout.export / "README.md"
    assert layout.samples == layout.export / "samples.parquet"


def test_what_is_made_of_a_dataset_lies_in_its_folders() -> None:
    layout = Layout(Path("/data"))

    for path in (layout.plan("p"), layout.crops("p", 0), layout.index("p", 0), layout.samples, layout.contact_sheet):
        assert any(path.is_relative_to(folder) for folder in layout.folders)
