import json
import os
import re
import tomllib
from pathlib import Path

import pytest

from dataset_assets.errors import SettingsError
from dataset_assets.settings import CONFIG_VARIABLE, Settings, load_settings, parse_settings
from dataset_assets.storage.location import make_location
from dataset_assets.storage.objects import ObjectPath
from dataset_assets_tests.datasets import on_disk

TABLES = (
    "dataset, sources, buckets, duplicates, images, shards, release, gallery, captions, records, trainer, work, "
    "automation"
)

CHAT_KEYS = (
    "name, backend, model, base_url, api_key_env, system_prompt, system_prompt_file, user_prompt, user_prompt_file, "
    "image_max_side, image_quality, image_detail, max_tokens, temperature, provider, extra_body, concurrency, "
    "requests_per_minute, budget_usd, timeout_seconds, max_retries, stop_after_errors, attempts, only_needed, ask, "
    "prices, image_tokens"
)

# A variant that a model makes, to which a mistake is added.
CHAT = '[[captions.variants]]\nname = "caption_vlm"\nbackend = "openrouter"\nmodel = "maker/model"\n'

RECORD_KEYS = "paths, mode, id, variants, priority, modulus, padding, tars_per_partition, text_tars"

# Records, to which a mistake is added.
VARIANT = '[[records.variants]]\nname = "alt"\n'
RECORDS = '[records]\npaths = ["a.jsonl"]\n'

# What is written in the file, and the one line that must be said of it.
MISTAKES = {
    "other = 1": "other: there is no such key; allowed: " + TABLES,
    "folder = 1": "folder: there is no such key; allowed: " + TABLES,
    "[dataset]\nnme = 1": "dataset.nme: there is no such key; allowed: name, root, catalog, license, description, "
    "language, owners",
    "dataset = 3": "dataset: 3 given; allowed: a table",
    '[dataset]\nname = ""': 'dataset.name: "" given; should have at least 1 character',
    '[dataset]\nowners = ["me@localhost"]': 'dataset.owners.0: "me@localhost" given; '
    'allowed: an e-mail address, or "team:NAME"',
    "[dataset]\nname = 7": "dataset.name: 7 given; should be a valid string",
    "[dataset]\ndescription = 2024-01-31": "dataset.description: 2024-01-31 given; should be a valid string",
    '[dataset]\nroot = "a\\u0000b"': 'dataset.root: "a\\u0000b" given; allowed: a path, which holds no NUL character',
    '[dataset]\nroot = "~no-such-user/x"': 'dataset.root: "~no-such-user/x" given; allowed: a path; there is no user '
    "of this name whose home it could mean",
    "sources = []": "sources: [] given; allowed: at least one table, or [records]",
    "sources = []\n[trainer]": 'trainer.ids: "" given without [[sources]] and [records], there is nothing to make '
    "metadata of; allowed: a file",
    'sources = "raw"': 'sources: "raw" given; allowed: a list',
    'sources = ["raw"]': 'sources.0: "raw" given; allowed: a table',
    '[sources]\npath = "raw"': 'sources: {path = "raw"} given; allowed: a list of tables, each under [[sources]]',
    "[[sources]]\npath = 3": "sources.0.path: 3 given; should be a valid string",
    '[[sources]]\npath = ""': 'sources.0.path: "" given; should have at least 1 character',
    '[[sources]]\nkind = "ftp"': 'sources.0.kind: "ftp" given; allowed: folder, tars, parquet, bucketed_shards',
    "[[sources]]\nkind = 3": "sources.0.kind: 3 given; allowed: folder, tars, parquet, bucketed_shards",
    '[[sources]]\nkind = "tars"': "sources.0.path: is missing",
    '[[sources]]\nkind = "tars"\npath = ""': 'sources.0.path: "" given; should have at least 1 character',
    '[[sources]]\nkind = "tars"\npath = "t"\nid = "name"': "sources.0.id: \"name\" given; should be 'key', 'path' or "
    "'json'",
    '[[sources]]\nkind = "tars"\npath = "t"\nimage = "jpg"': "sources.0.image: there is no such key; allowed: kind, "
    "path, name, prefix, id, id_field",
    '[[sources]]\nkind = "parquet"\npath = "p"\nimage = ""': 'sources.0.image: "" given; should have at least 1 '
    "character",
    '[[sources]]\nkind = "parquet"\npath = "p"\nmetadata = "text"': 'sources.0.metadata: "text" given; allowed: a list',
    '[[sources]]\nkind = "parquet"\npath = "p"\nid_field = "n"': "sources.0.id_field: there is no such key; allowed: "
    "kind, path, name, prefix, image, id, metadata",
    '[[sources]]\nkind = "bucketed_shards"\npath = "e"\nid = "key"': "sources.0.id: there is no such key; allowed: "
    "kind, path, name, prefix",
    '[[sources]]\nkind = "tars"\npath = "a"\n[[sources]]\nkind = "tars"\npath = "b"': 'sources: names ["tars", "tars"] '
    "given; allowed: each name once",
    '[[sources]]\nname = "My Photos"': "sources.0.name: \"My Photos\" given; should match pattern '^[a-z0-9_-]+$'",
    '[[sources]]\nname = "a\\n\\"b"': 'sources.0.name: "a\\n\\"b" given; should match pattern \'^[a-z0-9_-]+$\'',
    "[[sources]]\nfolder = 1": "sources.0.folder: there is no such key; allowed: kind, path, name, prefix",
    "[[sources]]\n[[sources]]": 'sources: names ["folder", "folder"] given; allowed: each name once',
    "[buckets]\nbase_resolutions = 512": "buckets.base_resolutions: 512 given; allowed: a list",
    "[buckets]\nbase_resolutions = []": "buckets.base_resolutions: [] given; should have at least 1 item",
    "[buckets]\nbase_resolutions = [true]": "buckets.base_resolutions.0: true given; should be a valid integer",
    '[buckets]\nbase_resolutions = ["512"]': 'buckets.base_resolutions.0: "512" given; should be a valid integer',
    "[buckets]\nbase_resolutions = [9000]": "buckets.base_resolutions.0: 9000 given; should be less than or equal to "
    "8192",
    "[buckets]\nbase_resolutions = [512, 512]": "buckets.base_resolutions: [512, 512] given; allowed: each base once",
    "[buckets]\nbase_resolutions = [512, 32]": "buckets.base_resolutions: [512, 32] given with divisible 32, the "
    "narrowest bucket would be 0 pixels wide; allowed: a base of 64 or more",
    '[buckets]\nprotos = "1024x1024"': 'buckets.protos: "1024x1024" given; allowed: a list',
    '[buckets]\nprotos = ["1024"]': 'buckets.protos.0: "1024" given; should match pattern '
    "'^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$'",
    '[buckets]\nprotos = ["64x64", "64x64"]': 'buckets.protos: ["64x64", "64x64"] given; allowed: each proto once',
    '[buckets]\nprotos = ["1024x1024", "1024x60"]': "buckets.base_resolutions: [512] given with divisible 32, the "
    "narrowest bucket would be 0 pixels wide; allowed: a base of 547 or more",
    "[buckets]\nbase_resolutions = [32]": "buckets.base_resolutions: [32] given with divisible 32, the narrowest "
    "bucket would be 0 pixels wide; allowed: a base of 64 or more",
    "[buckets]\ndivisible = true": "buckets.divisible: true given; should be a valid integer",
    "[buckets]\ndivisible = 8.0": "buckets.divisible: 8.0 given; should be a valid integer",
    '[buckets]\ntoo_small_policy = "keep"': "buckets.too_small_policy: \"keep\" given; should be 'drop' or "
    "'next_bucket'",
    "[duplicates]\nexact = true": "duplicates.exact: true given; should be 'keep' or 'drop'",
    "[duplicates]\nnear_distance = 4": "duplicates.near_distance: 4 given; should be less than or equal to 3",
    '[images]\nmode = "passthrough"': "images.mode: \"passthrough\" given; should be 'reencode_jpeg' or "
    "'passthrough_jpeg'",
    '[images]\nquality = "95"': 'images.quality: "95" given; should be a valid integer',
    "[images]\nquality = 0": "images.quality: 0 given; should be greater than or equal to 1",
    "[images]\nadaptive_scale_threshold = nan": "images.adaptive_scale_threshold: nan given; should be less than or "
    "equal to 1",
    "[images]\nadaptive_scale_threshold = true": "images.adaptive_scale_threshold: true given; should be a valid "
    "number",
    "[images]\ntimeout_seconds = inf": "images.timeout_seconds: inf given; should be less than or equal to 86400",
    "[images]\nmax_pixels = 99999999999999999999": "images.max_pixels: 99999999999999999999 given; should be less than "
    "or equal to 1099511627776",
    '[images]\nsubsampling_policy = "422"': "images.subsampling_policy: \"422\" given; should be 'adaptive_scale', "
    "'444' or '420'",
    '[images]\ncrop = "corner"': 'images.crop: "corner" given; allowed: a table',
    "[images.crop]\ncorners = [1]": "images.crop.corners: there is no such key; allowed: strategy, allowed_corners, "
    "corner_jitter",
    "[images.crop]\nallowed_corners = [2, 4]": "images.crop.allowed_corners.1: 4 given; should be less than or equal "
    "to 3",
    "[images.crop]\nallowed_corners = [2, 2]": "images.crop.allowed_corners: [2, 2] given; allowed: each corner once",
    "[images.crop]\nallowed_corners = []": "images.crop.allowed_corners: [] given; should have at least 1 item",
    "[shards]\nshard_size = 0": "shards.shard_size: 0 given; should be greater than or equal to 1",
    '[captions]\nmissing_caption_policy = "keep"': "captions.missing_caption_policy: \"keep\" given; should be 'empty' "
    "or 'drop'",
    '[[captions.priority]]\nvariant = "caption_x"': 'captions.priority.0.variant: "caption_x" given; allowed: '
    "caption_sidecar",
    '[[captions.priority]]\nvariant = "caption_sidecar"\nmodel = 3': "captions.priority.0.model: 3 given; should be a "
    "valid string",
    "[[captions.variants]]": "captions.variants.0.name: is missing",
    '[[captions.variants]]\nname = "Caption-1"': 'captions.variants.0.name: "Caption-1" given; allowed: lower-case '
    "letters, digits and _, starting with a letter",
    '[[captions.variants]]\nname = "a"\n[[captions.variants]]\nname = "a"': 'captions.variants: names ["a", "a"] '
    "given; allowed: each name once",
    '[[captions.variants]]\nname = "caption_sidecar"\nextension = "json"': 'captions.variants.0.extension: "json" '
    "given without field; allowed: with field, the name of the key that holds the caption",
    '[[captions.variants]]\nname = "caption_sidecar"\nextension = "txt"\nfield = "title"': "captions.variants.0.field: "
    '"title" given, which reads photo.json, with extension "txt"; allowed: one of the two',
    "[[captions.variants]]\nname = 'caption_sidecar'\nmodell = 1": "captions.variants.0.modell: there is no such key; "
    "allowed: name, backend, extension, field",
    '[captions]\nvariants = "caption_vlm"': 'captions.variants: "caption_vlm" given; allowed: a list',
    '[captions]\nvariants = ["caption_vlm"]': 'captions.variants.0: "caption_vlm" given; allowed: a table',
    '[[captions.variants]]\nname = "a"\nbackend = "gemini"': 'captions.variants.0.backend: "gemini" given; allowed: '
    "sidecar, imported, openrouter, openai",
    '[[captions.variants]]\nname = "a"\nbackend = 3': "captions.variants.0.backend: 3 given; allowed: sidecar, "
    "imported, openrouter, openai",
    '[[captions.variants]]\nname = "a"\nmodel = "m"': "captions.variants.0.model: there is no such key; allowed: "
    "name, backend, extension, field",
    '[[captions.variants]]\nname = "a"\nbackend = "imported"\nmodel = "m"': "captions.variants.0.model: there is no "
    "such key; allowed: name, backend",
    '[[captions.variants]]\nname = "a"\nbackend = "openrouter"': "captions.variants.0.model: is missing",
    '[[captions.variants]]\nname = "a"\nbackend = "openai"\nmodel = ""': 'captions.variants.0.model: "" given; should '
    "have at least 1 character",
    f'{CHAT}modell = "m"': f"captions.variants.0.modell: there is no such key; allowed: {CHAT_KEYS}",
    f'{CHAT}api_key = "sk-1"': f"captions.variants.0.api_key: there is no such key; allowed: {CHAT_KEYS}",
    f'{CHAT}user_prompt = "Say."\nuser_prompt_file = "say.txt"': 'captions.variants.0.user_prompt_file: "say.txt" '
    "given, and user_prompt, too; allowed: one of the two",
    f'{CHAT}system_prompt_file = "nowhere.txt"': 'captions.variants.0.system_prompt_file: "nowhere.txt" given, which '
    "cannot be read: No such file or directory",
    f'{CHAT}user_prompt_file = "."': 'captions.variants.0.user_prompt_file: "." given, which cannot be read: Is a '
    "directory",
    f'{CHAT}user_prompt = "What does {{{{caption}}}} mean?"': "captions.variants.0.user_prompt: "
    '"What does {{caption}} mean?" given; allowed: {{caption}} replaced by image_id, width, height, bucket_id or '
    "meta.KEY of photo.json",
    f'{CHAT}user_prompt = "{{{{meta.}}}}"': 'captions.variants.0.user_prompt: "{{meta.}}" given; allowed: {{meta.}} '
    "replaced by image_id, width, height, bucket_id or meta.KEY of photo.json",
    '[dataset]\ncatalog = "mysql://me:s3cret@host/x"': 'dataset.catalog: allowed: "postgresql://user@host/database", '
    '"sqlite:////absolute/path", or "" for a file in the root',
    '[dataset]\ncatalog = "sqlite:///dataset.sqlite"': 'dataset.catalog: allowed: "postgresql://user@host/database", '
    '"sqlite:////absolute/path", or "" for a file in the root',
    '[dataset]\ncatalog = ["postgresql://me:s3cret@host/x"]': "dataset.catalog: allowed: a text",
    f'{CHAT}base_url = "api.example.org/v1"': "captions.variants.0.base_url: allowed: an address such as "
    "https://openrouter.ai/api/v1 or http://127.0.0.1:8000/v1",
    f'{CHAT}base_url = "https://me:sk-1@example.org/v1"': "captions.variants.0.base_url: allowed: an address without a "
    "name or key in it; keys come from the environment, see api_key_env",
    f'{CHAT}base_url = "https://example.org/v1?key=sk-1"': "captions.variants.0.base_url: allowed: an address without "
    "a name or key in it; keys come from the environment, see api_key_env",
    f"{CHAT}base_url = 3": "captions.variants.0.base_url: allowed: a text",
    f'{CHAT}user_prompt = ""': 'captions.variants.0.user_prompt: "" given, and no system_prompt; allowed: a question, '
    "or an instruction",
    f'{CHAT}api_key_env = "sk-1"': "captions.variants.0.api_key_env: allowed: the name of an environment variable, "
    'which holds the key; "" where none is needed',
    f"{CHAT}image_max_side = 9000": "captions.variants.0.image_max_side: 9000 given; should be less than or equal to "
    "8192",
    f"{CHAT}temperature = 3": "captions.variants.0.temperature: 3 given; should be less than or equal to 2",
    f'{CHAT}provider = "fast"': 'captions.variants.0.provider: "fast" given; allowed: a table',
    f"{CHAT}budget_usd = inf": "captions.variants.0.budget_usd: inf given; should be less than or equal to 1000000000",
    f"{CHAT}attempts = 3": "captions.variants.0.attempts: 3 given; allowed: a table",
    f"{CHAT}attempts = {{ errors = 3 }}": "captions.variants.0.attempts.errors: there is no such key; allowed: error, "
    "empty, placeholder, unavailable, truncated, refused, filtered",
    f"{CHAT}attempts = {{ error = 0 }}": "captions.variants.0.attempts.error: 0 given; should be greater than or equal "
    "to 1",
    f"{CHAT}prices = {{ out = 1 }}": "captions.variants.0.prices.out: there is no such key; allowed: input, output",
    '[captions.review]\nrefused = "retry"': "captions.review.refused: \"retry\" given; should be 'keep', "
    "'fall_through' or 'drop'",
    '[captions.review]\nblank_image = "fall_through"': 'captions.review.blank_image: "fall_through" given; should be '
    "'keep' or 'drop'",
    '[captions.review]\nlanguages = ["english"]': 'captions.review.languages.0: "english" given; should match pattern '
    "'^[a-z]{2,3}$'",
    "[captions.review]\nrepeated_images = 1": "captions.review.repeated_images: 1 given; should be greater than or "
    "equal to 2",
    '[automation]\nnightly = "24:00"': (
        'automation.nightly: "24:00" given; allowed: a time of day such as "03:00", or "" for never'
    ),
    "[automation]\npartitions_per_run = 501": (
        "automation.partitions_per_run: 501 given; should be less than or equal to 500"
    ),
    "[automation.run_tags.partition]": (
        "automation.run_tags.partition: there is no such job; "
        "allowed: index, crops, partitions, release, records_index, records, trainer"
    ),
    "[[automation.run_tags]]": (
        'automation.run_tags: [{}] given; allowed: a table of jobs, such as partitions = { "dagster/priority" = "1" }'
    ),
    '[automation.run_tags]\nindex = "4"': 'automation.run_tags.index: "4" given; allowed: a table of tags',
    "[automation.run_tags.index]\ncores = 4": (
        "automation.run_tags.index.cores: 4 given; allowed: a text, or a table, which becomes JSON"
    ),
    '[automation.run_tags.index]\n"a b" = "4"': (
        'automation.run_tags.index: "a b" given; allowed: names of tags, such as "dagster-ray/config"'
    ),
    "[automation.run_tags.index]\nwhen = { at = 2026-01-01 }": (
        "automation.run_tags.index.when: {at = 2026-01-01} given; allowed: a table of values that JSON has"
    ),
    "[records]": "records.paths: is missing",
    "[records]\npaths = []": "records.paths: [] given; should have at least 1 item",
    '[[records]]\npaths = ["a"]': 'records: [{paths = ["a"]}] given; allowed: a table',
    f'{RECORDS}path = "a"': f"records.path: there is no such key; allowed: {RECORD_KEYS}",
    f'{RECORDS}mode = "strict"': "records.mode: \"strict\" given; should be 'careful' or 'faithful'",
    f'{RECORDS}priority = ["title"]': 'records.priority: ["title"] given; allowed: each once of summary, tags',
    f'{RECORDS}priority = ["tags", "tags"]': 'records.priority: ["tags", "tags"] given; allowed: each once of summary, '
    "tags",
    f'{RECORDS}text_tars = ["title"]': 'records.text_tars: ["title"] given; allowed: each once of summary, tags',
    f"{RECORDS}modulus = 0": "records.modulus: 0 given; should be greater than or equal to 1",
    f"{RECORDS}modulus = 20_000": "records.modulus: 20000 given; should be less than or equal to 10000",
    f"{RECORDS}padding = 2": "records.padding: 2 given; allowed: as many digits as 999 has, or more",
    f"{RECORDS}variants = []": "records.variants: [] given; should have at least 1 item",
    f"{RECORDS}{VARIANT}join = []": "records.variants.0.join: [] given; should have at least 1 item",
    f'{RECORDS}{VARIANT}join = "x"': 'records.variants.0.join: "x" given; allowed: a list',
    f'{RECORDS}{VARIANT}field = "x"\njoin = ["x"]': "records.variants.0.field: there is no such key; allowed: name, "
    "join, when",
    f'{RECORDS}{VARIANT}join = ["x"]\n{VARIANT}join = ["y"]': 'records.variants: names ["alt", "alt"] given; allowed: '
    "each name once",
    f'{RECORDS}{VARIANT}join = ["x"]\nwhen = {{ field = "y" }}': "records.variants.0.when.equals: is missing",
    f'{RECORDS}{VARIANT}join = ["x"]\nwhen = {{ field = "y", equals = "z", is = "y" }}': "records.variants.0.when.is: "
    "there is no such key; allowed: field, equals",
    **{
        f'{RECORDS}[[records.variants]]\nname = "{name}"\njoin = ["x"]': f'records.variants.0.name: "{name}" given; '
        "allowed: others than caption, captions, empty, none, which reports and tars have a meaning of their own for"
        for name in ("caption", "captions", "empty", "none")
    },
    "trainer = 1": "trainer: 1 given; allowed: a table",
    '[trainer]\nid = "a.json"': "trainer.id: there is no such key; allowed: ids, tags, captions, latents, key_prefix, "
    "dialect, split, archives",
    '[trainer]\nkey_prefix = "../e621"': 'trainer.key_prefix: "../e621" given; allowed: "", or a folder such as '
    '"e621": letters, digits and _ . - / inside',
    '[trainer]\nkey_prefix = "e621/"': 'trainer.key_prefix: "e621/" given; allowed: "", or a folder such as "e621": '
    "letters, digits and _ . - / inside",
    '[trainer]\ndialect = "csv"': "trainer.dialect: \"csv\" given; should be 'json' or 'jsonl'",
    "[trainer]\nsplit = 0": "trainer.split: 0 given; should be greater than or equal to 1",
    "[work]\nworkers = -1": "work.workers: -1 given; should be greater than or equal to 0",
    "[work]\nworkers = false": "work.workers: false given; should be a valid integer",
}


def write(folder: Path, text: str) -> Path:
    path = folder / "dataset.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_gives_one_line_with_key_value_and_what_is_allowed(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(SettingsError) as caught:
        load_settings(path)

    assert str(caught.value) == f"{path}: {MISTAKES[text]}"


def test_several_mistakes_give_a_line_each(tmp_path: Path) -> None:
    path = write(tmp_path, '[images]\nquality = 200\nnope = 1\n[images.crop]\nallowed_corners = [7, "x"]')

    with pytest.raises(SettingsError) as caught:
        load_settings(path)

    said = [line.removeprefix(f"{path}: ").split(":")[0] for line in str(caught.value).splitlines()]
    assert sorted(said) == [
        "images.crop.allowed_corners.0",
        "images.crop.allowed_corners.1",
        "images.nope",
        "images.quality",
    ]


def test_an_empty_file_is_a_whole_configuration(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, ""))

    assert settings == Settings(folder=tmp_path)
    assert settings.root == tmp_path / "data"
    assert settings.resolve(settings.sources[0].path) == tmp_path / "data" / "raw"
    assert settings.workers == len(os.sched_getaffinity(0))


def test_a_root_in_an_object_store_is_a_place_with_a_folder_of_its_own_on_the_disk(tmp_path: Path) -> None:
    table = {"root": "s3://bucket/data", "catalog": "sqlite:////tmp/catalog.sqlite"}
    one, other = (
        parse_settings({"dataset": {**table, "root": root}}, folder=tmp_path)
        for root in (table["root"], "s3://bucket/b")
    )

    assert str(one.root) == "s3://bucket/data"
    assert one.layout.local.parent == tmp_path / ".dataset_assets"
    assert one.layout.local != other.layout.local


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"dataset": {"root": "s3://bucket"}}, 'dataset.catalog: "" given, and a database cannot lie in the object'),
        ({"dataset": {"root": "s3://"}}, "dataset.root: allowed: a folder, or a URL such as s3://bucket/folder"),
        ({"dataset": {"root": "http://host/a"}}, "s3, s3a, gs, gcs, abfs, az or memory, not http"),
        ({"dataset": {"root": "file://data"}}, "dataset.root: allowed: a folder, or file:///folder, which names no"),
        (
            {"dataset": {"root": "s3://me:secret@bucket"}},
            "dataset.root: allowed: a folder, or a URL without user and password",
        ),
    ],
)
def test_a_root_that_cannot_be_is_refused_without_showing_secrets(
    tmp_path: Path, tables: dict[str, object], said: str
) -> None:
    with pytest.raises(SettingsError) as error:
        parse_settings(tables, folder=tmp_path)

    assert said in str(error.value)
    assert "secret" not in str(error.value)


def test_every_key_can_be_written(tmp_path: Path) -> None:
    text = """
        [dataset]
        name = "birds"
        root = "out"
        catalog = "sqlite:////tmp/birds.sqlite"
        license = "cc0-1.0"
        description = "Birds."
        language = "de"
        owners = ["anna@example.org", "team:data"]
        [[sources]]
        kind = "folder"
        path = "raw"
        name = "raw"
        prefix = "raw/"
        [[sources]]
        path = "/srv/more"
        name = "more"
        [[sources]]
        kind = "tars"
        path = "tars"
        name = "shards"
        prefix = "tars/"
        id = "json"
        id_field = "number"
        [[sources]]
        kind = "parquet"
        path = "rows"
        name = "rows"
        prefix = "rows/"
        image = "photo.bytes"
        id = "number"
        metadata = ["title", "tags"]
        [[sources]]
        kind = "bucketed_shards"
        path = "published"
        name = "published"
        prefix = "published/"
        [buckets]
        base_resolutions = [256, 512]
        divisible = 8
        protos = ["1024x1024", "1216x832"]
        too_small_policy = "next_bucket"
        [duplicates]
        exact = "drop"
        near = true
        near_distance = 2
        [images]
        mode = "passthrough_jpeg"
        quality = 90
        subsampling_policy = "444"
        adaptive_scale_threshold = 1
        icc = "ignore"
        max_pixels = 1000000
        timeout_seconds = 2.5
        crop = { strategy = "center", allowed_corners = [0, 1, 2, 3], corner_jitter = 4 }
        [shards]
        shard_size = 10
        shards_per_partition = 2
        [release]
        samples = false
        webshart = true
        charts = false
        [gallery]
        enabled = false
        images = 20
        drops = 3
        [captions]
        priority = [{ variant = "caption_title", backend = "sidecar", model = "json:title" }]
        missing_caption_policy = "drop"
        [[captions.variants]]
        name = "caption_title"
        backend = "sidecar"
        extension = "json"
        field = "title"
        [[captions.variants]]
        name = "caption_by_hand"
        backend = "imported"
        [[captions.variants]]
        name = "caption_vlm"
        backend = "openai"
        model = "maker/model"
        base_url = "http://127.0.0.1:8000/v1"
        api_key_env = ""
        system_prompt = "You write captions."
        system_prompt_file = ""
        user_prompt = "What is {{meta.title}}?"
        user_prompt_file = ""
        image_max_side = 384
        image_quality = 80
        image_detail = "low"
        max_tokens = 200
        temperature = 0.5
        provider = { order = ["one", "two"], allow_fallbacks = false }
        extra_body = { top_k = 1 }
        concurrency = 8
        requests_per_minute = 60
        budget_usd = 12.5
        timeout_seconds = 30
        max_retries = 0
        stop_after_errors = 5
        only_needed = false
        ask = false
        image_tokens = 1000
        [captions.variants.attempts]
        error = 1
        empty = 1
        placeholder = 1
        unavailable = 1
        truncated = 2
        refused = 2
        filtered = 2
        [captions.variants.prices]
        input = 0.1
        output = 0.4
        [captions.review]
        truncated = "keep"
        refused = "drop"
        filtered = "drop"
        placeholder = "fall_through"
        unavailable = "keep"
        blank_image = "keep"
        blank_spread = 0.01
        repeated = "drop"
        repeated_images = 3
        language = "fall_through"
        languages = ["de", "en"]
        too_short = "fall_through"
        min_words = 5
        too_long = "drop"
        max_words = 60
        prompt_leak = "fall_through"
        [records]
        paths = ["captions/*.jsonl", "more.parquet"]
        mode = "faithful"
        id = "post"
        priority = ["title", "alt"]
        modulus = 10
        padding = 2
        tars_per_partition = 3
        text_tars = ["title"]
        [[records.variants]]
        name = "alt"
        join = ["alt", "more"]
        [records.variants.when]
        field = "state"
        equals = "done"
        [[records.variants]]
        name = "title"
        join = ["title"]
        [trainer]
        ids = "ids.json"
        tags = "tags.jsonl"
        captions = "captions.parquet"
        latents = "latents.json"
        key_prefix = "photos"
        dialect = "jsonl"
        split = 4
        archives = false
        [work]
        workers = 3
        [automation]
        watch = false
        interval_seconds = 60
        settle_seconds = 2.5
        nightly = ""
        partitions_per_run = 4
        separate_crops = true
        [automation.run_tags]
        crops = { "dagster-ray/config" = '{"num_cpus": 4}', team = "birds" }
        index = {}
    """

    settings = load_settings(write(tmp_path, text))

    said = settings.model_dump(mode="json")
    assert said["dataset"]["catalog"] == ""  # a password may be in it
    said["dataset"]["catalog"] = settings.dataset.catalog
    said["sources"][1] = {"path": "/srv/more", "name": "more"}  # the rest of it are defaults
    assert said["records"]["variants"][1].pop("when") is None
    chat = said["captions"]["variants"][2]
    chat |= {name: json.loads(chat[name]) for name in ("provider", "extra_body")}  # kept as JSON, which can be hashed
    said["automation"]["run_tags"] = json.loads(said["automation"]["run_tags"])
    assert said == tomllib.loads(text)
    for source, written in zip(settings.sources, tomllib.loads(text)["sources"], strict=True):
        assert written["path"] == "/srv/more" or set(type(source).model_fields) == set(written)
    assert settings.workers == 3
    assert settings.resolve("/srv/more") == Path("/srv/more")


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    write(tmp_path / "project", '[dataset]\nroot = "../out"\n[[sources]]\npath = "raw"')
    monkeypatch.chdir(tmp_path)

    settings = load_settings("project/dataset.toml")
    monkeypatch.chdir("/")

    assert on_disk(settings.root).resolve() == tmp_path / "out"
    assert settings.resolve("raw") == tmp_path / "project" / "raw"


@pytest.mark.parametrize(
    "url", ["s3://me:secret@bucket/a.jsonl", "s3://", "http://host/a.jsonl", "s3://bucket/a#b/c.jsonl"]
)
@pytest.mark.parametrize("key", ["records.paths", "trainer.latents"])
def test_a_url_that_no_file_of_records_can_have_is_refused_without_its_secrets(
    tmp_path: Path, url: str, key: str
) -> None:
    table = {"records.paths": f'[records]\npaths = ["{url}"]', "trainer.latents": f'[trainer]\nlatents = "{url}"'}[key]

    with pytest.raises(SettingsError, match=rf"{re.escape(key)}: allowed: ") as caught:
        load_settings(write(tmp_path, table))

    assert "secret" not in str(caught.value)


def test_urls_of_files_of_records_are_places_in_a_store(tmp_path: Path) -> None:
    text = '[records]\npaths = ["s3://b/*/a?.jsonl", "a.jsonl"]\n[trainer]\nlatents = "s3://b/c/lat.json"'
    settings = load_settings(write(tmp_path, text))

    assert settings.trainer is not None
    assert settings.resolve(settings.trainer.latents) == ObjectPath("s3://b/c/lat.json")
    assert settings.resolve("a.jsonl") == tmp_path / "a.jsonl"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    assert load_settings(write(tmp_path, '[dataset]\nroot = "~/data"')).root == tmp_path / "home" / "data"


def test_which_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("given", "variable", "default"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, f'[dataset]\nname = "{name}"')
    monkeypatch.chdir(tmp_path / "default")
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    assert load_settings().dataset.name == "default"

    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "variable" / "dataset.toml"))
    assert load_settings().dataset.name == "variable"
    assert load_settings(tmp_path / "given" / "dataset.toml").dataset.name == "given"

    monkeypatch.setenv(CONFIG_VARIABLE, "")
    assert load_settings().dataset.name == "default"


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    path = tmp_path / "no" / "dataset.toml"

    with pytest.raises(SettingsError) as caught:
        load_settings(path)

    assert str(caught.value).startswith(f"{path}: there is no such file; `dataset-assets init DIR --source PATH`")
    assert CONFIG_VARIABLE in str(caught.value)


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path)

    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "dataset.toml"
    path.symlink_to(path)

    with pytest.raises(SettingsError) as caught:
        load_settings(path)

    assert str(caught.value) == f"{path}: cannot be read: Too many levels of symbolic links"


def test_invalid_toml_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path, '[dataset]\nname = "x"\nroot = data\n')

    with pytest.raises(SettingsError, match=r"dataset\.toml: .*line 3") as caught:
        load_settings(path)

    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "dataset.toml"
    path.write_bytes('[dataset]\nname = "Vögel"'.encode("latin-1"))

    with pytest.raises(SettingsError) as caught:
        load_settings(path)

    assert str(caught.value).startswith(f"{path}: is not UTF-8: ")
    assert str(caught.value).endswith("at byte 19")


def test_settings_cannot_be_changed_and_are_equal_when_the_file_is(tmp_path: Path) -> None:
    data = {"buckets": {"base_resolutions": [256]}}
    settings = parse_settings(data, folder=tmp_path)

    assert settings == parse_settings(data, folder=tmp_path)
    assert hash(settings) == hash(parse_settings(data, folder=tmp_path))
    with pytest.raises(ValueError, match="frozen"):
        settings.buckets.divisible = 8


def test_records_need_no_images(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, RECORDS)).sources == ()
    assert len(load_settings(write(tmp_path, RECORDS + "[[sources]]")).sources) == 1
    assert len(load_settings(write(tmp_path, "[trainer]")).sources) == 1


def test_metadata_of_a_list_of_ids_needs_neither_images_nor_records(tmp_path: Path) -> None:
    trainer = '[trainer]\nids = "ids.json"\n'

    assert load_settings(write(tmp_path, trainer)).sources == ()
    assert len(load_settings(write(tmp_path, trainer + "[[sources]]")).sources) == 1


def test_tars_are_cut_into_ranges(tmp_path: Path) -> None:
    records = load_settings(write(tmp_path, RECORDS + "modulus = 10\npadding = 2\ntars_per_partition = 4")).records

    assert records
    assert records.ranges == {"00-03": range(4), "04-07": range(4, 8), "08-09": range(8, 10)}


def test_a_priority_says_who_comes_first_and_who_never_does(tmp_path: Path) -> None:
    as_listed, some = (load_settings(write(tmp_path, RECORDS + more)).records for more in ("", 'priority = ["tags"]\n'))

    assert as_listed
    assert some
    assert [one.name for one in as_listed.selectors] == ["summary", "tags"]
    assert [one.name for one in some.selectors] == ["tags"]


def test_a_url_of_a_folder_on_the_disk_is_that_folder() -> None:
    given = {"dataset": {"root": "file:///my%20data"}, "sources": [{"path": "file:///some/photographs"}]}

    settings = parse_settings(given, folder=Path("/nowhere"))

    assert settings.root == Path("/my data")
    assert make_location(settings.sources[0].path, settings.folder) == Path("/some/photographs")
    with pytest.raises(
        SettingsError, match=r"sources\.0\.path: allowed: a path, or file:///folder, which names no machin"
    ):
        parse_settings({"sources": [{"path": "file://localhost/data"}]}, folder=Path("/nowhere"))


def test_the_tags_of_a_job_are_texts_and_tables_become_json() -> None:
    tables = {"crops": {"dagster-ray/config": {"num_cpus": 4, "memory": 2}, "team": "birds"}}

    said = parse_settings({"automation": {"run_tags": tables}}, folder=Path("/nowhere")).automation

    assert said.tags_of("crops") == {"dagster-ray/config": '{"memory": 2, "num_cpus": 4}', "team": "birds"}
    assert said.tags_of("index") == {}


def test_a_catalogs_password_is_in_nothing_that_is_printed_or_kept(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, '[dataset]\ncatalog = "postgresql://me:s3cret@host/x?sslmode=require"'))

    assert settings.dataset.catalog == "postgresql://me:s3cret@host/x?sslmode=require"
    assert "s3cret" not in repr(settings) + str(settings) + settings.model_dump_json() + str(settings.model_dump())
