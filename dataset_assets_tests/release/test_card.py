import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from PIL import Image

from dataset_assets.buckets.protos import make_buckets
from dataset_assets.charts.dataset import draw_buckets
from dataset_assets.errors import DropReason
from dataset_assets.records import sample_key
from dataset_assets.release.card import CaptionUsage, render_card
from dataset_assets.release.manifest import BucketShards, ShardEntry, SourceEntry, build_manifest, dump_manifest
from dataset_assets.settings import DatasetSettings, Settings, parse_settings
from dataset_assets.shards.sample import sample_members
from dataset_assets.storage.layout import shard_path

GEMINI, MISTRAL = "google/gemini-2.0-flash-lite-001", "mistralai/mistral-medium-3.1"
NOTHING = CaptionUsage(planned={}, available={})

# The published card's distribution: what LAION_Aesthetics_512_bucketed_512 must look like.
PUBLISHED_ROWS = """\
| p1216x832 | 608×416 | 1.462 | 535,075 |
| p832x1216 | 416×608 | 0.684 | 226,268 |
| p1024x1024 | 512×512 | 1.000 | 218,348 |
| p1152x832 | 576×416 | 1.385 | 167,817 |
| p1344x768 | 672×384 | 1.750 | 138,497 |
| p832x1152 | 416×576 | 0.722 | 126,255 |
| p896x1152 | 448×576 | 0.778 | 122,382 |
| p1280x768 | 640×384 | 1.667 | 90,974 |
| p1152x896 | 576×448 | 1.286 | 90,688 |
| p896x1088 | 448×544 | 0.824 | 62,608 |
| p1088x896 | 544×448 | 1.214 | 44,030 |
| p960x1088 | 480×544 | 0.882 | 26,534 |
| p1088x960 | 544×480 | 1.133 | 23,278 |
| p1344x704 | 672×352 | 1.909 | 20,917 |
| p960x1024 | 480×512 | 0.938 | 18,569 |
| p768x1280 | 384×640 | 0.600 | 18,330 |
| p1024x960 | 512×480 | 1.067 | 17,845 |
| p1408x704 | 704×352 | 2.000 | 15,004 |
| p768x1344 | 384×672 | 0.571 | 10,823 |
| p1472x704 | 736×352 | 2.091 | 7,064 |
| p1536x640 | 768×320 | 2.400 | 6,159 |
| p704x1408 | 352×704 | 0.500 | 3,139 |
| p1600x640 | 800×320 | 2.500 | 2,867 |
| p704x1472 | 352×736 | 0.478 | 1,625 |
| p1664x576 | 832×288 | 2.889 | 1,236 |
| p1728x576 | 864×288 | 3.000 | 861 |
| p1792x576 | 896×288 | 3.111 | 626 |
| p640x1536 | 320×768 | 0.417 | 507 |
| p640x1600 | 320×800 | 0.400 | 343 |
| p1856x512 | 928×256 | 3.625 | 282 |
| p512x2048 | 256×1024 | 0.250 | 251 |
| p576x1664 | 288×832 | 0.346 | 214 |
| p576x1792 | 288×896 | 0.321 | 120 |
| p576x1728 | 288×864 | 0.333 | 100 |
| p2048x512 | 1024×256 | 4.000 | 86 |
| p512x1856 | 256×928 | 0.276 | 82 |
| p1920x512 | 960×256 | 3.750 | 39 |
| p1984x512 | 992×256 | 3.875 | 27 |
| p512x1984 | 256×992 | 0.258 | 26 |
| p512x1920 | 256×960 | 0.267 | 12 |"""

PUBLISHED_PREVIEW = (
    "`p1024x1024`, `p1024x960`, `p1088x896`, `p1088x960`, `p1152x832`, `p1152x896`, `p1216x832`, `p1280x768`, "
    "`p1344x704`, `p1344x768`, `p1408x704`, `p1472x704`, `p1536x640`, `p1600x640`, `p1664x576`, `p1728x576`, "
    "`p1792x576`, `p1856x512`, `p1920x512`, `p1984x512`, … (+20 more)"
)


def settings_of(**tables: Any) -> Settings:
    """Settings with the published waterfall; `tables` are those of dataset.toml."""
    variants = [{"name": "caption_gemini_2_flash_lite"}, {"name": "caption_mistral_medium_3_1"}]
    priority = [
        {"variant": "caption_gemini_2_flash_lite", "backend": "openrouter", "model": GEMINI},
        {"variant": "caption_mistral_medium_3_1", "backend": "openrouter", "model": MISTRAL},
    ]
    return parse_settings({"captions": {"variants": variants, "priority": priority}} | tables, folder=Path())


def manifest_of(counts: Mapping[str, int], settings: Settings | None = None, **changes: Any) -> dict[str, Any]:
    """A manifest with `counts` images in each bucket; `changes` replace whole keys."""
    buckets = [
        BucketShards(bucket=bucket, count=counts[bucket.id], shards=tuple(shards_of(bucket.id, counts[bucket.id])))
        for bucket in make_buckets([512], 32)
        if bucket.id in counts
    ]
    manifest = build_manifest(
        settings or settings_of(),
        created_at="2026-02-27T11:42:10.753994+00:00",
        buckets=buckets,
        caption_sources={
            1: source("openrouter", GEMINI, 1776589694, "503ff8c1ba9c".ljust(64, "0"), "6b4b2b1dc90b".ljust(64, "0")),
            2: source("openrouter", MISTRAL, 1776684944, "503ff8c1ba9c".ljust(64, "0"), "6b4b2b1dc90b".ljust(64, "0")),
        },
        images_seen=sum(counts.values()),
        drops={},
    )
    return manifest | changes


def shards_of(bucket_id: str, count: int) -> Iterator[ShardEntry]:
    for number, first in enumerate(range(0, count, 1024)):
        size = min(1024, count - first)
        yield ShardEntry(path=shard_path(bucket_id, number), count=size, bytes=10_240, sha256="0" * 64)


def source(backend: str, model: str, created_at: int, system: str = "", user: str = "") -> SourceEntry:
    return SourceEntry(
        backend=backend, model=model, created_at=created_at, system_prompt_sha256=system, user_prompt_sha256=user
    )


def section(card: str, heading: str) -> str:
    return card.split(f"\n## {heading}\n\n")[1].split("\n\n## ", maxsplit=1)[0]


def front_matter(card: str) -> dict[str, Any]:
    """What the Hub's own library reads in the card's front matter."""
    fields: dict[str, Any] = DatasetCard(card).data.to_dict()  # type: ignore[no-untyped-call]  # theirs has no types
    return fields


def table_under(card: str, heading: str) -> str:
    """The rows of the first table after `heading`, without its header."""
    table = re.compile(r"(?:^\|.*\n?)+", re.MULTILINE).search(card, card.index(heading))
    assert table is not None
    return table[0].strip().split("\n", 2)[2]


@pytest.fixture(scope="module")
def published() -> str:
    counts = {
        cells[1].strip(): int(cells[4].replace(",", ""))
        for cells in (row.split("|") for row in PUBLISHED_ROWS.splitlines())
    }
    usage = CaptionUsage(
        planned={0: 1_999_846, 1: 62},
        available={"caption_mistral_medium_3_1": 62, "caption_gemini_2_flash_lite": 1_999_846},
    )
    return render_card(manifest_of(counts), usage, DatasetSettings(name="LAION Aesthetics 512 Bucketed 512 Captioned"))


def test_published_facts_are_stated(published: str) -> None:
    facts = (
        "# LAION Aesthetics 512 Bucketed 512 Captioned",
        "`1,999,908` images",
        "`1,976` uncompressed WebDataset-style tar shards",
        f"\n1. {GEMINI} ",
        f"\n2. {MISTRAL} ",
        "- **Format**: `bucketed_shards_v1`",
        "- **Created**: `2026-02-27T11:42:10.753994+00:00`",
        "- **Manifest**: `manifest.json`",
        "- **Image mode**: `reencode_jpeg`",
        "`scale = max(target_w / src_w, target_h / src_h)`",
        "`too_small_policy=drop`",
        "`crop_strategy=corner`",
        "`[2, 3]`",
        "quality `95`",
        "`adaptive_scale`",
        "`0.85`",
        "- Base resolution(s): `[512]`",
        f"Bucket IDs (preview): {PUBLISHED_PREVIEW}\n",
        "Missing caption policy: `empty`",
    )
    assert [fact for fact in facts if fact not in published] == []


def test_published_sections_stand_in_order(published: str) -> None:
    assert re.findall(r"^## (.+)$", published, re.MULTILINE) == [
        "Technical details",
        "Format",
        "Image preprocessing",
        "Buckets / resolutions",
        "Caption selection (waterfall)",
        "Export summary",
        "Efficient loading",
    ]


def test_published_tables_are_equal(published: str) -> None:
    assert "| bucket_id | target_w×h | aspect | count |\n" in published
    assert table_under(published, "Bucket distribution") == PUBLISHED_ROWS
    assert (
        "| caption_source_id | backend | model | created_at | system_prompt_sha256 | user_prompt_sha256 |" in published
    )
    assert table_under(published, "Caption sources used").splitlines() == [
        f"| 1 | openrouter | {GEMINI} | 1776589694 | 503ff8c1ba9c… | 6b4b2b1dc90b… |",
        f"| 2 | openrouter | {MISTRAL} | 1776684944 | 503ff8c1ba9c… | 6b4b2b1dc90b… |",
    ]
    assert "| selector_index | variant | backend | model | planned_images |\n" in published
    assert table_under(published, "Caption priority (waterfall) + planned usage").splitlines() == [
        f"| 0 | caption_gemini_2_flash_lite | openrouter | {GEMINI} | 1,999,846 |",
        f"| 1 | caption_mistral_medium_3_1 | openrouter | {MISTRAL} | 62 |",
    ]
    assert "| selected | variant | images_with_ok_caption |\n" in published
    assert table_under(published, "Available caption variants (top 30)").splitlines() == [
        "| ✓ | caption_gemini_2_flash_lite | 1,999,846 |",
        "| ✓ | caption_mistral_medium_3_1 | 62 |",
    ]


def test_published_summary_is_equal(published: str) -> None:
    summary = section(published, "Export summary").splitlines()
    assert summary[:6] == [
        "- images_seen: 1,999,908",
        "- images_exported: 1,999,908",
        "- skipped_no_caption: 0",
        "- skipped_too_small: 0",
        "- decode_errors: 0",
        "- encode_errors: 0",
    ]
    assert [line.partition(":")[0].removeprefix("- ") for line in summary[2:]] == list(DropReason)


def test_hub_reads_the_front_matter(published: str) -> None:
    assert front_matter(published) == {
        "pretty_name": "LAION Aesthetics 512 Bucketed 512 Captioned",
        "license": "other",
        "task_categories": ["text-to-image"],
        "language": ["en"],
        "tags": ["webdataset", "images", "captions", "bucketed-shards"],
        "size_categories": ["1M<n<10M"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": "buckets/*/shard-*.tar"}]},
        ],
    }


@pytest.mark.parametrize(
    ("images", "category"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (9_999, "1K<n<10K"),
        (10_000, "10K<n<100K"),
        (2_000_000_000, "1B<n<10B"),
        (999_999_999_999, "100B<n<1T"),
        (10**12, "n>1T"),
        (10**15, "n>1T"),
    ],
)
def test_size_categories_are_the_hubs(images: int, category: str) -> None:
    card = render_card(manifest_of({}, summary={"images_exported": images}), NOTHING, DatasetSettings())
    assert front_matter(card)["size_categories"] == [category]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a: 'b' \"c\"", "a: 'b' \"c\""),
        ("two\n---\nlines", "two --- lines"),
        ("a | b `c` *d* _e_ <f> [g] # h & \\", r"a \| b \`c\` \*d\* \_e\_ \<f\> \[g\] \# h \& " + r"\\"),
        ("{{x}} {0} %s", "{{x}} {0} %s"),
        ("Ω 猫 🐈 \x00\x1b[0m", r"Ω 猫 🐈 \[0m"),
        ("null", "null"),
    ],
)
def test_hostile_names_stay_one_line_and_text(name: str, shown: str) -> None:
    card = render_card(manifest_of({"p1024x1024": 1}), NOTHING, DatasetSettings(name=name, language="no"))
    data = front_matter(card)
    assert f"\n# {shown}\n" in card
    assert data["pretty_name"] == re.sub(r"[\s\x00-\x1f]+", " ", name)
    assert data["language"] == ["no"]
    assert data["configs"]


def test_hostile_cells_keep_their_table() -> None:
    entries = {"1": source("a|b", "x\ny `z`", 1).model_dump(), "2": source("sidecar", "", 2).model_dump()}
    priority = [{"variant": "caption_a", "model": "m|n\r\n| 9"}]
    manifest = manifest_of({"p1024x1024": 1}, caption_sources=entries, caption_priority=priority)
    card = render_card(manifest, CaptionUsage(planned={}, available={"*|*": 1}), DatasetSettings())
    assert table_under(card, "Caption sources used").splitlines() == [
        r"| 1 | a\|b | x y \`z\` | 1 | - | - |",
        "| 2 | sidecar | - | 2 | - | - |",
    ]
    assert table_under(card, "Caption priority (waterfall)") == r"| 0 | caption_a | - | m\|n \| 9 | 0 |"
    assert table_under(card, "Available caption variants") == r"| - | \*\|\* | 1 |"


def test_description_is_the_authors_markdown() -> None:
    description = "From **holidays**.\n\nSee [here](https://example.org)."
    card = render_card(manifest_of({}), NOTHING, DatasetSettings(description=f"\n{description}\n"))
    assert f"# my-dataset\n\n{description}\n\n`0` images" in card


def test_few_buckets_are_all_previewed_and_ties_go_by_id() -> None:
    card = render_card(manifest_of({"p960x1024": 5, "p1024x960": 5, "p832x1216": 7}), NOTHING, DatasetSettings())
    assert "Bucket IDs (preview): `p1024x960`, `p832x1216`, `p960x1024`\n" in card
    rows = table_under(card, "Bucket distribution").splitlines()
    assert [row.split(" | ")[0] for row in rows] == ["| p832x1216", "| p1024x960", "| p960x1024"]


def test_thirty_variants_are_listed_the_richest_first() -> None:
    available = {f"caption_{number:02d}": number for number in range(40)}
    card = render_card(manifest_of({}), CaptionUsage(planned={}, available=available), DatasetSettings())
    rows = table_under(card, "Available caption variants").splitlines()
    assert rows[0] == "| - | caption_39 | 39 |"
    assert rows[-1] == "| - | caption_10 | 10 |"
    assert len(rows) == 30


@pytest.mark.parametrize(
    ("images", "there", "absent"),
    [
        ({"crop": {"strategy": "center"}}, "crop_strategy=center", "corner"),
        ({"crop": {"strategy": "random"}}, "crop_strategy=random", "corner"),
        ({"crop": {"corner_jitter": 8}}, "inwards by 0 to 8 pixels", "hash (`corner_jitter=0`)"),
        ({"crop": {"allowed_corners": [0]}}, "`[0]` (0 = top left", "jitter"),
        ({"subsampling_policy": "420"}, "always 4:2:0", "0.85"),
        ({"subsampling_policy": "444"}, "always 4:4:4", "0.85"),
        ({"quality": 80}, "quality `80`", "`95`"),
        ({"icc": "ignore"}, "profile is ignored", "sRGB"),
    ],
)
def test_preprocessing_follows_the_settings(images: dict[str, Any], there: str, absent: str) -> None:
    manifest = manifest_of({"p1024x1024": 1}, settings_of(images=images))
    text = section(render_card(manifest, NOTHING, DatasetSettings()), "Image preprocessing")
    assert there in text
    assert absent not in text


def test_passthrough_says_that_nothing_was_done() -> None:
    manifest = manifest_of({"p1024x1024": 1})
    manifest["image_codec"] |= {"mode": "passthrough_jpeg"}
    card = render_card(manifest, NOTHING, DatasetSettings())
    assert "- **Image mode**: `passthrough_jpeg`" in card
    text = section(card, "Image preprocessing")
    assert "byte for byte" in text
    assert "bicubic" not in text


def test_pictures_stand_in_the_sections_that_they_belong_to() -> None:
    names = ("buckets", "captions", "kept", "sizes", "of_a_later_version")
    files = [{"path": f"charts/{name}.png", "bytes": 1, "sha256": "0" * 64} for name in names]
    card = render_card(manifest_of({"p1216x832": 1}, files=files), NOTHING, DatasetSettings())

    shown = {
        heading: re.findall(r"^!\[[^\]]{20,}\]\((.+)\)$", text, re.MULTILINE)
        for heading, text in re.findall(r"^## (.+?)$(.+?)(?=^## |\Z)", card, re.MULTILINE | re.DOTALL)
    }
    assert {heading: paths for heading, paths in shown.items() if paths} == {
        "Image preprocessing": ["charts/sizes.png", "charts/kept.png"],
        "Buckets / resolutions": ["charts/buckets.png"],
        "Caption selection (waterfall)": ["charts/captions.png"],
    }
    assert "- `charts/*.png`: the pictures on this page\n" in section(card, "Format")
    assert table_under(card, "Bucket distribution") == "| p1216x832 | 608×416 | 1.462 | 1 |"


def test_without_pictures_nothing_is_said_of_them(published: str) -> None:
    assert "charts" not in published
    assert "![" not in published


def test_several_bases_name_buckets_by_base() -> None:
    card = render_card(manifest_of({}, base_resolutions=[1024, 512]), NOTHING, DatasetSettings())
    assert "at base resolution 1024 and 512" in card
    assert "- Base resolution(s): `[1024, 512]`" in card
    assert "`r<base>_p<W>x<H>`" in card


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A published folder: one shard with two samples, a picture, the manifest and the card."""
    picture = tmp_path / "charts" / "buckets.png"
    picture.parent.mkdir()
    picture.write_bytes(draw_buckets({"p1216x832": 2}))
    listed = {"path": "charts/buckets.png", "bytes": picture.stat().st_size, "sha256": "0" * 64}
    manifest = manifest_of({"p1216x832": 2}, files=[listed])
    path = tmp_path / shard_path("p1216x832", 0)
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w") as tar:
        for image_id in ("first", "second"):
            add_sample(tar, image_id, "p1216x832", 608, 416)
    (tmp_path / "manifest.json").write_bytes(dump_manifest(manifest))
    (tmp_path / "README.md").write_text(render_card(manifest, NOTHING, DatasetSettings()), encoding="utf-8")
    return tmp_path


def add_sample(tar: tarfile.TarFile, image_id: str, bucket_id: str, width: int, height: int) -> None:
    jpeg = io.BytesIO()
    Image.new("RGB", (width, height)).save(jpeg, "JPEG")
    target = {"target_w": width, "target_h": height, "w": width, "h": height, "src_w": width, "src_h": height}
    meta = {
        "image_id": image_id,
        "bucket_id": bucket_id,
        **target,
        "image_mode": "reencode_jpeg",
        "jpeg": {"quality": 75, "subsampling": "4:2:0"},
        "crop": {"scale": 1.0, "x": 0, "y": 0, "corner": 2},
        "source_sha256": "0" * 64,
        "caption_variant": "v",
        "caption_selector_index": 0,
        "caption_source_id": 1,
    }
    for name, data in sample_members(sample_key(image_id), jpeg.getvalue(), f"the {image_id} caption", meta):
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def run_python(code: str, folder: Path) -> str:
    """What `code` prints when it is run in `folder` without a network; nothing may be said on stderr."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / ".cache"), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def snippets(export: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (export / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_webdataset_snippet_runs_as_printed(export: Path) -> None:
    printed = run_python(snippets(export)[0], export)
    assert re.fullmatch(r"p1216x832 \(608, 416\) the (first|second) caption\n", printed)


def test_tarfile_snippet_runs_as_printed(export: Path) -> None:
    printed = run_python(snippets(export)[1], export)
    assert re.sub(r"\d+ bytes", "N bytes", printed).splitlines() == [
        "p1216x832 N bytes the first caption",
        "p1216x832 N bytes the second caption",
    ]


def test_datasets_finds_the_shards_by_the_card(export: Path) -> None:
    rows = f"datasets.load_dataset({str(export)!r}, streaming=True)['train']"
    code = f"import datasets; print([row['txt'] for row in {rows}])"
    assert run_python(code, export) == "['the first caption\\n', 'the second caption\\n']\n"
