import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from dataset_assets.errors import SettingsError, StorageError
from dataset_assets.settings import (
    ChatSettings,
    ExportSettings,
    ParquetSettings,
    RecordSettings,
    Settings,
    SidecarSettings,
    TarSettings,
    TrainerSettings,
    load_settings,
    parse_settings,
)
from dataset_assets.template import write_record_template, write_template
from dataset_assets_tests import children

REFUSED = """
import sys
from pathlib import Path
from dataset_assets.errors import StorageError
from dataset_assets.template import write_template

try:
    write_template(Path(sys.argv[1]), Path(sys.argv[2]), "name")
except StorageError as error:
    print(error)
"""


def models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation, *(one for field in annotation.model_fields.values() for one in models(field.annotation))]
    return [one for part in get_args(annotation) for one in models(part)]


def test_the_file_says_the_defaults(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    source.mkdir()

    path = write_template(tmp_path / "new" / "dataset", source, "my-dataset")

    expected: dict[str, Any] = {"sources": [{"path": str(source)}]}
    assert path == tmp_path / "new" / "dataset" / "dataset.toml"
    assert load_settings(path) == parse_settings(expected, folder=path.parent)


def test_every_key_is_named_and_explained(tmp_path: Path) -> None:
    lines = write_template(tmp_path, tmp_path, "name").read_text().splitlines()

    said = {line.removeprefix("# ").partition("=")[0].strip() for line in lines if "=" in line}
    text = "\n".join(lines)
    keys = {
        name
        for model in models(Settings)
        if model is not Settings
        for name, field in model.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
    } - {"variants"}  # tables, each under its heading
    assert {key for key in keys if key not in said and f"{key} = " not in text} == set()
    tables = ("dataset", "[sources]", "buckets", "duplicates", "images", "images.crop", "shards", "release", "captions")
    for table in tables:
        assert any(line.startswith(f"[{table}]") for line in lines)
    assert "[[captions.variants]]" in lines
    assert any(line.startswith("[captions.review]") for line in lines)
    assert "[work]" in lines


def test_keys_that_are_commented_out_are_valid_too(tmp_path: Path) -> None:
    text = write_template(tmp_path, tmp_path, "name").read_text()

    options = tomllib.loads(
        text.replace('# catalog = "', 'catalog = "').replace('# extension = "txt"', 'extension = "json"')
        .replace('# field = "', 'field = "').replace("# priority = [{", "priority = [{")
    )  # fmt: skip

    settings = parse_settings(options, folder=tmp_path)
    assert settings.dataset.catalog.startswith("sqlite:////")
    assert settings.captions.variants[0] == SidecarSettings(name="caption_sidecar", extension="json", field="title")
    assert settings.captions.priority == parse_settings({}, folder=tmp_path).captions.priority


def test_the_other_sources_that_are_commented_out_have_every_key_with_its_default(tmp_path: Path) -> None:
    text = write_template(tmp_path, tmp_path, "name").read_text()
    block = re.search(r"(?:^#.*\n)+", text[text.index("# [[sources]]") :], re.MULTILINE)
    assert block
    shown = re.sub(r"^# ?", "", block[0], flags=re.MULTILINE)

    _, *sources = parse_settings(tomllib.loads(text.replace(block[0], shown)), folder=tmp_path).sources

    assert sources == [
        TarSettings(kind="tars", path="/path/to/tars"),
        ParquetSettings(kind="parquet", path="/path/to/parquet"),
        ExportSettings(kind="bucketed_shards", path="/path/to/export"),
    ]
    said = tomllib.loads(shown)["sources"]
    assert [set(source) for source in said] == [set(type(one).model_fields) for one in sources]


def test_the_model_that_is_commented_out_has_every_key_with_its_default(tmp_path: Path) -> None:
    text = write_template(tmp_path, tmp_path, "name").read_text()
    block = re.search(r"(?:^# .*\n)+", text[text.index("# [[captions.variants]]") :], re.MULTILINE)
    assert block
    shown = re.sub(r"^# ", "", block[0], flags=re.MULTILINE)  # what stays a comment is the example of a temperature

    settings = parse_settings(tomllib.loads(text.replace(block[0], shown)), folder=tmp_path)

    keys = {line.removeprefix("# ").partition(" = ")[0] for line in shown.splitlines()[1:]}
    sidecar, model = settings.captions.variants
    assert isinstance(model, ChatSettings)
    default = ChatSettings(name=model.name, backend=model.backend, model=model.model)
    assert keys == set(ChatSettings.model_fields)
    assert model.model_copy(update={"base_url": None, "api_key_env": None}) == default
    assert (model.base_url, model.api_key_env) == (default.url, default.key_variable)
    assert settings.captions.before(model) == (sidecar,)


def test_records_that_are_commented_out_have_every_key_with_its_default(tmp_path: Path) -> None:
    text = write_template(tmp_path, tmp_path, "name").read_text()
    block = re.search(r"(?:^(?:# .*)?\n)+", text[text.index("# [records]") :], re.MULTILINE)
    assert block
    shown = re.sub(r"^# ", "", block[0], flags=re.MULTILINE)

    settings = parse_settings(tomllib.loads(text.replace(block[0], shown)), folder=tmp_path)

    said = tomllib.loads(shown)
    assert settings.records == RecordSettings(paths=("captions/*.jsonl",))
    assert settings.trainer == TrainerSettings()
    assert [*said["records"]] == [name for name in RecordSettings.model_fields if name != "variants"] + ["variants"]
    assert [*said["trainer"]] == list(TrainerSettings.model_fields)
    assert len(settings.sources) == 1


def test_a_file_for_records_says_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    path = write_record_template(Path("new"), "captions/*.jsonl", 'of "posts"')

    pattern = str(tmp_path / "captions" / "*.jsonl")
    expected = {"dataset": {"name": 'of "posts"'}, "records": {"paths": [pattern]}, "trainer": {}}
    assert path == Path("new/dataset.toml")
    assert load_settings(path) == parse_settings(expected, folder=path.parent)


def test_a_url_of_records_is_written_as_it_is_given(tmp_path: Path) -> None:
    settings = load_settings(write_record_template(tmp_path / "new", "s3://bucket/captions/*.jsonl", "name"))

    assert settings.records is not None
    assert settings.records.paths == ("s3://bucket/captions/*.jsonl",)


def test_records_without_a_pattern_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"records\.paths\.0"):
        write_record_template(tmp_path / "new", "", "name")

    assert not (tmp_path / "new").exists()


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    write_template(tmp_path, tmp_path, "first")
    before = (tmp_path / "dataset.toml").read_bytes()

    with pytest.raises(SettingsError, match="is there already"):
        write_template(tmp_path, tmp_path, "second")

    assert (tmp_path / "dataset.toml").read_bytes() == before


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere: there is no such folder; --source names"):
        write_template(tmp_path / "new", tmp_path / "nowhere", "name")

    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "name",
    ['say "cheese"', "C:\\photos", "日本の写真 🌸", "tab\tand\nnewline", "it's {not} a [format] %s", "del\x7f", "'''"],
)
def test_names_are_written_as_they_are(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    source.mkdir()

    settings = load_settings(write_template(tmp_path / "dataset", source, name))

    assert settings.dataset.name == name
    assert settings.sources[0].path == str(source)


@pytest.mark.parametrize("name", ["", "n" * 97])
def test_a_name_that_the_settings_refuse_is_refused_now(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"dataset\.name"):
        write_template(tmp_path / "new", tmp_path, name)

    assert not (tmp_path / "new").exists()


def test_a_source_that_is_no_text_leaves_no_file(tmp_path: Path) -> None:
    source = tmp_path / "\udcff"
    source.mkdir()

    with pytest.raises(SettingsError, match=r"sources\.0\.path: .*unicode"):
        write_template(tmp_path / "new", source, "name")

    assert not (tmp_path / "new").exists()


def test_a_relative_source_is_relative_to_where_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)

    path = write_template(Path("dataset"), Path("photos"), "name")

    assert tomllib.loads(path.read_text())["sources"][0]["path"] == str(tmp_path / "photos")
    assert json.dumps(str(tmp_path / "photos")) in path.read_text()


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    tmp_path.chmod(0o555)

    said = children.run(REFUSED, tmp_path / "new", tmp_path / "photos", powerless=True)
    with pytest.raises(StorageError, match="cannot write"):
        write_template(Path("/dev/null/folder"), tmp_path, "name")

    assert said == f"cannot write {tmp_path / 'new' / 'dataset.toml'}: Permission denied"
