"""What the documentation says is true: links, commands, snippets, settings, names, tables."""

import operator
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from dataset_assets.buckets.protos import PROTOS
from dataset_assets.captions.review.findings import Finding
from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.cli import main
from dataset_assets.dataset import open_dataset
from dataset_assets.errors import DropReason
from dataset_assets.posts.faults import RowFault
from dataset_assets.release.manifest import Manifest
from dataset_assets.settings import (
    AutomationSettings,
    BucketSettings,
    CaptionSettings,
    ChatSettings,
    ConditionSettings,
    CropSettings,
    DatasetSettings,
    DuplicateSettings,
    ExportSettings,
    FolderSettings,
    GallerySettings,
    ImageSettings,
    ImportedSettings,
    ParquetSettings,
    RecordSettings,
    RecordVariantSettings,
    ReleaseSettings,
    ReviewSettings,
    SelectorSettings,
    Settings,
    ShardSettings,
    SidecarSettings,
    TarSettings,
    TrainerSettings,
    WorkSettings,
    parse_settings,
)
from dataset_assets.settings.captions import AttemptSettings, PriceSettings
from dataset_assets.shards.index import SAMPLE_SCHEMA
from dataset_assets.shards.sample import SAMPLE_FIELDS
from dataset_assets_tests.datasets import SQUARE, TINY, add_photo, build_library, settings_in
from dataset_assets_tests.photos import encoded, jpeg

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").glob("*/README.md")),
]

TABLES: dict[str, type[BaseModel]] = {
    "[dataset]": DatasetSettings,
    "[[sources]] of folders": FolderSettings,
    "[[sources]] of tars": TarSettings,
    "[[sources]] of Parquet files": ParquetSettings,
    "[[sources]] of exports": ExportSettings,
    "[buckets]": BucketSettings,
    "[duplicates]": DuplicateSettings,
    "[images]": ImageSettings,
    "[images.crop]": CropSettings,
    "[shards]": ShardSettings,
    "[release]": ReleaseSettings,
    "[gallery]": GallerySettings,
    "[captions]": CaptionSettings,
    "captions.priority": SelectorSettings,
    "[[captions.variants]] of sidecars": SidecarSettings,
    "[[captions.variants]] of imports": ImportedSettings,
    "[[captions.variants]] of models": ChatSettings,
    "[captions.variants.attempts]": AttemptSettings,
    "[captions.variants.prices]": PriceSettings,
    "[captions.review]": ReviewSettings,
    "[records]": RecordSettings,
    "[[records.variants]]": RecordVariantSettings,
    "[records.variants.when]": ConditionSettings,
    "[trainer]": TrainerSettings,
    "[work]": WorkSettings,
    "[automation]": AutomationSettings,
}

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's fenced blocks of one language."""
    return [text for name, text in _FENCED.findall(page.read_text()) if name == language]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCED.sub("", page.read_text())


def sections(page: Path) -> dict[str, str]:
    """Return a page's text by heading, without code marks in the headings."""
    parts = re.split(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {title.replace("`", ""): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def rows(text: str) -> list[list[str]]:
    """Return the cells of all table rows of a text, header and rule included."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def names(text: str, column: int = 0) -> list[str]:
    """Return what is set in code in one column of a text's tables."""
    return [name for row in rows(text) for name in re.findall(r"`([^`]+)`", row[column])]


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    for path, _, anchor in (link.partition("#") for link in links if "://" not in link):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in map(slug, sections(target)), f"{path}#{anchor}"


def commands(page: Path) -> Iterator[str]:
    """Yield every call of dataset-assets that a page shows, whole lines and code in sentences."""
    for text in blocks(page, "bash"):
        yield from (line for line in text.splitlines() if "dataset-assets " in line)
    yield from re.findall(r"`(dataset-assets [^`]+)`", prose(page))


def parse_command(line: str) -> None:
    """Read a call as click would, without looking at files. A name alone is a mention and needs no arguments."""
    arguments = shlex.split(line[line.index("dataset-assets ") :], comments=True)[1:]
    command: click.Command = main
    while isinstance(command, click.Group) and arguments:
        assert arguments[0] in command.commands, line
        command = command.commands[arguments.pop(0)]
    values, rest, _ = command.make_parser(click.Context(command)).parse_args(list(arguments))
    assert not rest, line
    if arguments:
        assert all(isinstance(values.get(str(one.name)), str | list) for one in command.params if one.required), line


@each_page
def test_commands_are_those_there_are(page: Path) -> None:
    for line in commands(page):
        parse_command(line)


@pytest.mark.parametrize(
    "line",
    [
        "dataset-assets make",
        "dataset-assets init --name birds",
        "dataset-assets status all",
        "dataset-assets captions count",
        "dataset-assets captions retry caption_vlm",
    ],
)
def test_a_wrong_command_would_be_noticed(line: str) -> None:
    with pytest.raises(AssertionError):
        parse_command(line)


@each_page
def test_make_targets_are_those_there_are(page: Path) -> None:
    shown = prose(page) + "".join(blocks(page, "bash"))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`|install )make ([a-z]+)", shown, re.MULTILINE)) <= targets


@pytest.fixture
def my_dataset(built: Path) -> Path:
    """A folder in which my-dataset/data is a finished build, with four images that are left out."""
    (built / "raw/empty.jpg").touch()
    (built / "raw/fog.jpg").write_bytes(encoded(Image.new("RGB", SQUARE, "white")))
    (built / "raw/fog.txt").write_text("Fog.")
    (built / "raw/broken.jpg").write_bytes(jpeg(104, 72)[:-500])
    add_photo(built, "tiny.jpg", TINY)
    with open_dataset(settings_in(built)) as dataset:
        build_library(dataset)
    (built / "my-dataset").mkdir()
    (built / "out").rename(built / "my-dataset/data")
    return built


def test_the_readmes_snippets_run(my_dataset: Path) -> None:
    read, explain = (
        subprocess.run([sys.executable, "-c", code], cwd=my_dataset, capture_output=True, text=True, check=True).stdout
        for code in blocks(ROOT / "README.md", "python")
    )
    lines = read.splitlines()
    assert len(lines) == 20
    assert {re.sub(r"photo number \d+$", "…", line).rstrip() for line in lines} == {
        "p1216x832 (72, 48) …",
        "p832x1152 (48, 72)",
        "p1024x1024 (64, 64)",
    }
    assert [line.split("  ")[:2] for line in explain.splitlines()] == [
        ["empty.jpg", "skipped_empty_file"],
        ["tiny.jpg", "in no bucket"],
        ["broken.jpg", "decode_errors"],
        ["fog.jpg", "skipped_blank_image"],
    ]


def test_the_snippet_about_findings_runs(my_dataset: Path) -> None:
    (code,) = blocks(ROOT / "docs/captioning.md", "python")
    said = subprocess.run([sys.executable, "-c", code], cwd=my_dataset, capture_output=True, text=True, check=True)
    assert [line.split() for line in said.stdout.splitlines() if line.startswith("caption_")] == [
        ["caption_sidecar", "too_short", "keep", "1"]
    ]


@each_page
def test_settings_in_examples_are_allowed(page: Path) -> None:
    for text in blocks(page, "toml"):
        parse_settings(tomllib.loads(text), folder=ROOT)


def shown(value: Any) -> str:
    """Return a default as the settings page writes it."""
    match value:
        case str():
            return f'"{value}"'
        case BaseModel():
            return shown(value.model_dump(exclude_defaults=True))
        case dict():
            return "{" + ", ".join(f"{key} = {shown(item)}" for key, item in value.items()) + "}"
        case tuple():
            return "[" + ", ".join(map(shown, value)) + "]"
        case _:
            return str(value)


def default(value: Any) -> str:
    """Return the cell of a key's default."""
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value == "{}":  # a free table, kept as JSON
        return "`{}`"
    return "none" if value is None else f"`{shown(value)}`"


def table_of(title: str) -> str:
    """Return the table of the file that a heading of the settings page is about."""
    return re.sub(r"\].*|\[", "", title)


def test_the_settings_page_has_every_key_and_default() -> None:
    page, tables = sections(ROOT / "docs/settings.md"), {table_of(title) for title in TABLES}
    for title, model in TABLES.items():
        there = {name.strip("`"): given for name, _, given, *_ in rows(page[title])[2:]}
        expected = {
            name: default(field.default)
            for name, field in model.model_fields.items()
            if f"{table_of(title)}.{name}" not in tables or isinstance(field.default, tuple)
        }
        if model is CaptionSettings:
            expected["priority"] = "the variants in their order"  # which the model cannot know
        assert there == expected, title


def test_the_settings_page_has_every_table() -> None:
    tables = {table_of(title).partition(".")[0] for title in TABLES}
    assert tables == {name for name, field in Settings.model_fields.items() if not field.exclude}


def test_the_readmes_settings_are_the_defaults() -> None:
    for keys, given, _ in rows(sections(ROOT / "README.md")["Settings"])[2:]:
        section, *path = keys.split("`")[1].split(".")
        model: Any = getattr(Settings(), section)
        for part in path:
            model = getattr(model, part)
        assert not given or given == default(model)


@each_page
def test_modules_are_those_there_are(page: Path) -> None:
    for path in re.findall(r"\bdataset_assets(?:_tests)?/[\w/.]*\w/?", page.read_text()):
        assert (ROOT / path).exists(), path


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    there = names(sections(ROOT / "docs/design.md")["Dependencies"])
    assert there == [re.split(r"[<>=\[]", one)[0] for one in required]


def test_every_drop_reason_is_explained() -> None:
    reasons = sorted(DropReason)
    assert sorted(names(sections(ROOT / "README.md")["What happens to bad images"])) == reasons
    assert set(reasons) <= set(re.findall(r"`(\w+)`", sections(ROOT / "docs/format.md")["Summary"]))


def test_every_fault_of_a_row_is_explained() -> None:
    table = rows(sections(ROOT / "docs/records.md")["Bad rows"])[2:]
    assert [name.strip("`") for name, *_ in table] == [fault.value for fault in RowFault]
    assert {name.strip("`"): fate == "dropped" for name, _, fate in table} == {
        fault.value: fault.dropped for fault in RowFault
    }


def test_every_caption_status_is_explained_with_its_attempts() -> None:
    table = rows(sections(ROOT / "docs/captioning.md")["Statuses"])[2:]
    attempts = AttemptSettings()
    assert {status.strip("`"): said for status, _, _, said in table} == {
        status.value: str(getattr(attempts, status, "")) for status in CaptionStatus
    }


def test_every_finding_is_explained_with_its_policy() -> None:
    table = [row for row in rows(sections(ROOT / "docs/captioning.md")["Review"]) if len(row) == 4][2:]
    review = ReviewSettings()
    assert {name: row[2].strip("`") for row in table for name in re.findall(r"`(\w+)`", row[0])} == {
        name: getattr(review, name) for name in ("blank_image", *Finding)
    }
    assert {reason.strip("`") for _, _, _, reason in table} == set(DropReason) & {
        "skipped_blank_image",
        "skipped_placeholder",
        "skipped_image_unavailable",
        "skipped_caption_review",
    }


def test_the_arithmetic_adds_up() -> None:
    text = sections(ROOT / "docs/captioning.md")["What it costs"]
    sums = re.findall(r"([\d,.]+) ([×÷+]) ([\d,.]+) = ([\d,.]+)", text)
    signs = {"×": operator.mul, "÷": operator.truediv, "+": operator.add}
    assert len(sums) == 14
    for one, sign, other, result in sums:
        left, right = (float(number.replace(",", "")) for number in (one, other))
        decimals = len(result.partition(".")[2])
        assert f"{signs[sign](left, right):,.{decimals}f}" == result


def test_the_design_page_has_every_asset_and_check() -> None:
    from dataset_assets.defs.checks import CHECKS, make_model_checks
    from dataset_assets.defs.graph import build_definitions
    from dataset_assets.defs.record_checks import RECORD_CHECKS, TRAINER_CHECKS

    page = sections(ROOT / "docs/design.md")
    with_all = parse_settings({"sources": [{}], "records": {"paths": ["a.jsonl"]}, "trainer": {}}, folder=ROOT)
    graph = build_definitions(with_all).resolve_asset_graph()
    assets = {key.to_user_string().replace("caption_sidecar", "<variant>") for key in graph.get_all_asset_keys()}
    assert set(names(page["The asset graph"])) == assets
    blocking = {row[0].strip("`"): row[1].strip("`") for row in rows(page["Checks"])[2:] if row[2] == "yes"}
    model = ChatSettings(name="variant", backend="openrouter", model="maker/model")
    checks = [*CHECKS, *make_model_checks(model), *RECORD_CHECKS, *TRAINER_CHECKS]
    specs = [spec for check in checks for spec in check.check_specs]
    assert names(page["Checks"]) == [spec.name for spec in specs]
    assert blocking == {spec.name: spec.asset_key.to_user_string() for spec in specs if spec.blocking}


def test_the_format_page_has_the_keys_and_sizes_that_are_written() -> None:
    page = sections(ROOT / "docs/format.md")
    assert names(page["<key>.json: the fields"]) == list(SAMPLE_FIELDS)
    assert names(page["manifest.json"]) == list(Manifest.model_fields)
    assert names(page["samples.parquet"]) == SAMPLE_SCHEMA.names
    assert re.findall(r"(\d+)×(\d+)", page["Buckets"])[: len(PROTOS)] == [(str(w), str(h)) for w, h in PROTOS]
